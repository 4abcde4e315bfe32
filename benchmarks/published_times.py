"""Bound and estimate beside times that others measured or published: who was right, and by how much.

    python benchmarks/published_times.py                        # programs that are written again here
    python benchmarks/published_times.py --modules FILE...      # .jsonl.gz of {"name", "seconds", "hlo"}, by their name

Compiles for TPU v2 and v7 and for H100; needs the extras `tpu` and `cuda`. A bound above the time is a fault (exit 1).
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from tabulate import tabulate

import hlo_count
from hlo_count.roofline.roofline_table import seconds

SMALL = 10e-6
"""Seconds below which launching and waiting are most of a time, and a factor of 3 is asked for; else 1.5."""


@dataclass(frozen=True, slots=True)
class Published:
    """A program, the target that it ran on, the seconds that it took there, and who says so."""

    name: str
    target: str
    taken: float
    source: str
    report: Callable[[], hlo_count.Report]


def product(n: int, target: str) -> Callable[[], hlo_count.Report]:
    x = jax.ShapeDtypeStruct((n, n), jnp.bfloat16)
    return lambda: hlo_count.count(jnp.matmul, x, x, target=target)


def over_eight(kind: str, elements: int) -> Callable[[], hlo_count.Report]:
    """One collective of so many f32 elements, whole, over the eight GPUs of a node."""

    def gathered(x: Any) -> Any:
        return jax.lax.with_sharding_constraint(x, PartitionSpec())

    def reduced(x: Any) -> Any:
        return jax.lax.with_sharding_constraint(x.sum(0), PartitionSpec())

    fn, shape = (gathered, (elements,)) if kind == "all-gather" else (reduced, (8, elements))
    return lambda: hlo_count.count(
        fn,
        jax.ShapeDtypeStruct(shape, jnp.float32),
        target="h100-sxm:8",
        mesh={"x": 8},
        in_specs=(PartitionSpec("x"),),
    )


IRONWOOD = "AI-Hypercomputer/accelerator-microbenchmarks, Ironwood (dtype taken as bf16)"
BOOK = "How to Scale Your Model, GPU chapter"
PROGRAMS = [
    *(
        Published(f"bf16 matmul {n}^3", "tpu:v7", taken, IRONWOOD, product(n, "tpu:v7"))
        for n, taken in (
            (128, 1.6e-6), (256, 1.8e-6), (1024, 6.1e-6), (2048, 25.3e-6), (4096, 154e-6), (32768, 73.6e-3)
        )
    ),
    Published("bf16 matmul 32768^3", "h100-sxm", 117e-3, "openxla/xprof#1712", product(32768, "h100-sxm")),
    Published("bf16 matmul 8192^3", "h100-sxm", 2.12e-3, "cuBLAS by fast.cu#13", product(8192, "h100-sxm")),
    Published("all-gather 537 MB", "h100-sxm", 1.5e-3, BOOK, over_eight("all-gather", 537_000_000 // 4)),
    Published("all-reduce 58 MB", "h100-sxm", 0.685e-3, BOOK, over_eight("all-reduce", 58_000_000 // 4)),
    Published("all-reduce 8.6 GB", "h100-sxm", 40.6e-3, BOOK, over_eight("all-reduce", 8_600_000_000 // 4)),
]  # fmt: skip


def published() -> bool:
    rows, beaten = [], 0
    for each in PROGRAMS:
        roofline = each.report().roofline(each.target)
        bound, estimate = roofline.bound or 0.0, roofline.estimate
        beaten += bound > each.taken
        within = 3 if each.taken < SMALL else 1.5
        ratio = each.taken / estimate
        close = "" if 1 / within <= ratio <= within else f"not within {within}"
        rows.append(
            (each.name, each.target, seconds(each.taken), seconds(bound), seconds(estimate), f"{ratio:.2f}", close)
        )
    print(tabulate(rows, ("program", "device", "published", "bound", "estimate", "published / estimate", "")))
    print(f"\nbound above the published time: {beaten} of {len(rows)}")
    return not beaten


def devices_of(name: str) -> str | None:
    """The device that a name such as `out_prof/a100/16/…` or one of MI350 models says."""
    lowered = name.lower()
    kinds = {"a100": "a100-sxm-80gb", "v100": "v100-sxm2", "mi350": "mi350x", "hlo_eval_tools": "mi350x"}
    return next((device for kind, device in kinds.items() if kind in lowered), None)


def modules(path: Path) -> Iterator[tuple[str, float, str]]:
    with gzip.open(path, "rt") as file:
        for row in map(json.loads, file):
            if row["seconds"]:
                yield row["name"], row["seconds"], row["hlo"]


def measured(paths: list[Path]) -> bool:
    ratios: dict[str, list[float]] = {}
    beaten = failed = 0
    for path in paths:
        for name, taken, text in modules(path):
            device = devices_of(name)
            try:
                roofline = hlo_count.count(text).roofline(device)
            except hlo_count.HloCountError as problem:
                failed += 1
                print(f"{name}: {problem}", file=sys.stderr)
                continue
            beaten += roofline.bound is not None and roofline.bound > taken
            where = "/".join(name.split("/")[1:3]) if name.startswith("out_prof") else path.name
            what = ", some of it not known" if roofline.is_lower_bound else ""
            ratios.setdefault(f"{where} on {device}{what}", []).append(taken / roofline.estimate)
    rows = [
        (
            where,
            len(found),
            f"{math.exp(statistics.fmean(map(math.log, found))):.2f}",
            f"{statistics.median(found):.2f}",
            f"{min(found):.2f}",
            f"{max(found):.2f}",
        )
        for where, found in sorted(ratios.items())
    ]
    print(tabulate(rows, ("programs", "number", "geometric mean", "median", "least", "most")))
    print(f"\nmeasured / estimate; bound above the measured time: {beaten}; no answer: {failed}")
    return not beaten


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modules", nargs="+", type=Path, metavar="FILE.jsonl.gz")
    options = parser.parse_args()
    holds = measured(options.modules) if options.modules else published()
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
