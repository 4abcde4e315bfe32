"""Measured time over `bound` and over `estimate`, for programs of many kinds and sizes on the machine at
hand.

    hlo-count calibrate                      # twice or three times, on a quiet machine
    python benchmarks/roofline.py            # all programs
    python benchmarks/roofline.py --only matmul sort --device local --seconds 0.2

A bound must not be beaten by the fastest sample of any program (exit code 1 where one is); the ratios are
taken with the median. A sample is the mean of calls in a row, each waited for. Runs on whatever device JAX
has.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import jax

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(1, str(Path(__file__).resolve().parent.parent))

from programs import PROGRAMS, Program

import hlo_count
from hlo_count.roofline.catalog import device as find_device
from hlo_count.roofline.device import Device
from hlo_count.roofline.roofline_table import seconds

SAMPLE_SECONDS = 0.004
CLOSE = 1.5


@dataclass(frozen=True, slots=True)
class Result:
    """One program: seconds of the fastest sample and of the median, the bound and the estimate."""

    program: str
    kind: str
    fastest: float
    median: float
    bound: float
    estimate: float
    bottleneck: str
    flops: int
    bytes: int

    @property
    def holds(self) -> bool:
        return self.bound <= self.fastest


def measure(program: Program, device: Device, limit: float) -> Result:
    """Count a program, run it for about `limit` seconds, and compare."""
    step = program.build()
    report = hlo_count.count(step.function.lower(*step.args).compile(), branches=step.branches)
    roofline = report.roofline(device)
    call = _caller(step.function, step.args, step.donated)
    samples = list(_samples(call, limit))
    return Result(
        program.name,
        program.kind,
        min(samples),
        statistics.median(samples),
        roofline.bound,
        roofline.estimate,
        roofline.bottleneck,
        report.flops,
        report.bytes,
    )


def _caller(function: Any, args: tuple[Any, ...], donated: bool) -> Callable[[], Any]:
    """One call, waited for; a donated first argument is given the last result."""
    if not donated:
        return lambda: jax.block_until_ready(function(*args))
    state = [args[0]]

    def call() -> None:
        state[0] = jax.block_until_ready(function(state[0], *args[1:]))

    return call


def _samples(call: Callable[[], Any], limit: float) -> Iterator[float]:
    call()
    once = min(_timed(call, 1) for _ in range(3))
    runs = max(1, min(2000, round(SAMPLE_SECONDS / once)))
    end = time.perf_counter() + limit
    for taken in range(10_000):
        if taken >= 5 and time.perf_counter() > end:
            return
        yield _timed(call, runs)


def _timed(call: Callable[[], Any], runs: int) -> float:
    begun = time.perf_counter()
    for _ in range(runs):
        call()
    return (time.perf_counter() - begun) / runs


def line(r: Result) -> str:
    broken = "" if r.holds else "  BOUND BROKEN"
    return (
        f"{r.program:<24} {seconds(r.median):>9} {seconds(r.bound):>9} {seconds(r.estimate):>9}"
        f" {r.median / r.bound:>7.2f} {r.median / r.estimate:>7.2f}  {r.bottleneck}{broken}"
    )


HEADER = f"{'program':<24} {'measured':>9} {'bound':>9} {'estimate':>9} {'/bound':>7} {'/est.':>7}  limited by"


def summary(results: list[Result]) -> str:
    """How close, over all programs, and over those of which the bound counts more than bytes."""
    over_bound = [r.median / r.bound for r in results]
    over_estimate = [r.median / r.estimate for r in results]
    counted = [r.median / r.bound for r in results if r.kind != "bytes only"]
    worst = max(results, key=lambda r: r.median / r.bound)
    furthest = max(results, key=lambda r: abs(math.log(r.median / r.estimate)))
    close = sum(1 / CLOSE <= ratio <= CLOSE for ratio in over_estimate)
    broken = [r.program for r in results if not r.holds]
    kinds = dict.fromkeys(r.kind for r in results)
    return "\n".join(
        [
            *(_of_kind(kind, [r for r in results if r.kind == kind]) for kind in kinds if len(kinds) > 1),
            "",
            f"{len(results)} programs; bound <= fastest sample: {len(results) - len(broken)}"
            + (f", broken by {', '.join(broken)}" if broken else ""),
            f"measured / bound:    geometric mean {_geometric(over_bound):.2f}, "
            f"worst {max(over_bound):.2f} ({worst.program})"
            + (f"; {_geometric(counted):.2f} where operations are counted" if counted else ""),
            f"measured / estimate: geometric mean {_geometric(over_estimate):.2f}, "
            f"worst {furthest.median / furthest.estimate:.2f} ({furthest.program}), "
            f"{close} of {len(results)} within a factor of {CLOSE}",
        ]
    )


def _of_kind(kind: str, results: list[Result]) -> str:
    over_bound = _geometric([r.median / r.bound for r in results])
    over_estimate = _geometric([r.median / r.estimate for r in results])
    return f"{kind:<24} {len(results):>9} programs, geometric means {over_bound:>8.2f} {over_estimate:>7.2f}"


def _geometric(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="local", help="profile name or file; default: the calibrated one")
    parser.add_argument("--only", nargs="*", default=["*"], help="names or kinds of programs, * as in file names")
    parser.add_argument("--seconds", type=float, default=0.4, help="how long each program is measured")
    parser.add_argument("--runs", type=int, default=1, help="how many times all of it is done")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    options = parser.parse_args()
    device = find_device(options.device)
    chosen = [p for p in PROGRAMS if any(fnmatch(p.name, o) or fnmatch(p.kind, o) for o in options.only)]
    rows: list[dict[str, Any]] = []
    holds = True
    for run in range(options.runs):
        print(f"run {run + 1} of {options.runs} on {device.name} ({device.description})\n\n{HEADER}", flush=True)
        results = []
        for program in chosen:
            results.append(measure(program, device, options.seconds))
            print(line(results[-1]), flush=True)
        print(f"\n{summary(results)}\n", flush=True)
        rows += [{"run": run + 1, **asdict(r)} for r in results]
        holds = holds and all(r.holds for r in results)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
