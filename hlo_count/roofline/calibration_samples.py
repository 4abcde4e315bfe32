"""From samples to a profile: ceilings, typical rates and spreads, and what must agree between them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from hlo_count.roofline import machine, profile_file
from hlo_count.roofline.calibration_suite import Level, Machine
from hlo_count.roofline.timed_kernels import LAUNCHES, Kernel

SAME_MACHINE = ("processor", "cores", "device_kind", "jaxlib")


@dataclass(slots=True)
class Samples:
    """Seconds per run of one kernel: all samples, and the least of each round."""

    kernel: Kernel
    seconds: list[float] = field(default_factory=list)
    rounds: list[float] = field(default_factory=list)
    runs_per_sample: int = 1


def profile_document(all_samples: list[Samples], here: Machine) -> dict[str, Any]:
    """The profile `local` as a TOML document, from the samples of every kernel."""
    by_figure: dict[str, list[Samples]] = {}
    for samples in all_samples:
        by_figure.setdefault(samples.kernel.figure, []).append(samples)
    call = min(by_figure["call"][0].seconds)

    def rate(name: str, unit: str, scale: float) -> dict[str, Any] | None:
        found = by_figure.get(name)
        return None if not found else _rate(found, unit, scale, call)

    def rates(prefix: str, unit_of: Callable[[str], tuple[str, float]]) -> dict[str, Any]:
        named = sorted(name for name in by_figure if name.startswith(prefix))
        return {name.removeprefix(prefix): rate(name, *unit_of(name)) for name in named}

    matrix = rates("matrix.", _rate_unit)
    vector = _nested(rates("vector.", _rate_unit))
    special = _nested(rates("special.", lambda _: ("gop_per_s", 1e9)))
    for figures in special.values():
        _raise_to(figures, "any", max(figures.values(), key=lambda f: f["gop_per_s"]), "the fastest of them")
    if here.known is not None and here.known.precision and "f32" in matrix:
        as_run = here.known.precision["default"].runs_as  # TF32, say, is what an f32 matmul has measured
        _raise_to(matrix, as_run, matrix.pop("f32"), "f32 at default precision")
    _same_units(matrix, vector, separate_matrix=here.backend != "cpu")
    document: dict[str, Any] = {
        "name": "local",
        "aliases": ["cpu"] if here.backend == "cpu" else [],
        "backend": here.backend,
        "description": f"this machine: {here.kind}",
        "launch_overhead": _launch(by_figure),
        "call_overhead": _time(by_figure["call"][0].seconds, "an empty program, called and waited for"),
        "dispatch_overhead": _more("call", "dispatch", by_figure),
        "split_overhead": _more("dispatch", "split", by_figure),
        "matrix": matrix,
        "vector": vector,
        "special": special,
        "routine": rates("routine.", lambda _: ("gop_per_s", 1e9)),
        "pipeline": _pipeline() if here.backend == "cpu" else None,
        "memory": [_memory(level, by_figure, call) for level in here.levels],
    }
    document.update(_taken_over(here))
    _nearer_is_no_slower(document["memory"])
    return {key: value for key, value in document.items() if value not in ({}, None)}


def _pipeline() -> dict[str, Any] | None:
    """The processor's registers by its instruction set; latency and width are what its kind has in common."""
    registers = machine.vector_registers()
    if registers is None:
        return None
    return {
        "registers": registers,
        "latency_cycles": 4,
        "issue_per_cycle": 2,
        "source": "the processor's flags; two FMA units of latency 4 assumed, as Intel has since Skylake",
    }


def _rate_unit(name: str) -> tuple[str, float]:
    return ("gop_per_s" if name.split(".")[1].startswith("s") else "gflop_per_s"), 1e9


def _rate(found: list[Samples], unit: str, scale: float, call: float) -> dict[str, Any]:
    """The figure of the program with the fastest sample, among those that measure the same thing; typical is
    the median of what each round brought."""
    best = max(found, key=lambda s: s.kernel.work / _net(min(s.seconds), s.kernel, call))
    times = [_net(t, best.kernel, call) for t in best.seconds]
    rounds = [_net(t, best.kernel, call) for t in best.rounds]
    return {
        unit: _digits(best.kernel.work / min(times) / scale),
        f"typical_{unit}": _digits(best.kernel.work / statistics.median(rounds) / scale),
        "spread_percent": _spread_percent(times),
        "source": f"measured: {best.kernel.of}, fastest of {len(times)} samples",
    }


def _net(seconds: float, kernel: Kernel, call: float) -> float:
    """Less the time of an empty call, where a run is one call; at most half is taken off as overhead."""
    return max(seconds - call, seconds / 2) if kernel.less_call else seconds


def _time(seconds: list[float], of: str) -> dict[str, Any]:
    """An overhead: the fastest is its value, and the median what to expect."""
    return {
        "us": _digits(min(seconds) * 1e6),
        "typical_us": _digits(statistics.median(seconds) * 1e6),
        "spread_percent": _spread_percent(seconds),
        "source": f"measured: {of}, fastest of {len(seconds)} samples",
    }


def _launch(by_figure: dict[str, list[Samples]]) -> dict[str, Any] | None:
    """What one more kernel in a program costs: the difference of two programs, round by round."""
    short, long = (by_figure[f"launch.{count}"][0].rounds for count in LAUNCHES)
    more = LAUNCHES[1] - LAUNCHES[0]
    steps = [(b - a) / more for a, b in zip(short, long, strict=True) if b > a]
    return _time(steps, f"{more} tiny kernels more in a program") if steps else None


def _more(less: str, more: str, by_figure: Mapping[str, list[Samples]]) -> dict[str, Any] | None:
    """What one program takes longer than another, their samples paired from the fastest to the slowest."""
    if less not in by_figure or more not in by_figure:
        return None
    short, long = (sorted(by_figure[figure][0].seconds) for figure in (less, more))
    steps = [b - a for a, b in zip(short, long, strict=False) if b > a]
    return _time(steps, f"{by_figure[more][0].kernel.of} less {by_figure[less][0].kernel.of}") if steps else None


def _spread_percent(times: list[float]) -> float:
    if len(times) < 2:
        return 0.0
    low, _, high = statistics.quantiles(times, n=4, method="inclusive")
    return round(100 * (high - low) / statistics.median(times), 1)


def _digits(value: float) -> float:
    return float(f"{value:.4g}")


def _nested(rates: dict[str, Any]) -> dict[str, Any]:
    """{"f32.add": x} as {"f32": {"add": x}}."""
    result: dict[str, Any] = {}
    for name, figure in rates.items():
        dtype, op = name.split(".")
        result.setdefault(dtype, {})[op] = figure
    return result


def _raise_to(figures: dict[str, Any], key: str, other: dict[str, Any], why: str, factor: float = 1) -> None:
    """Make figures[key] at least `factor` times as fast as `other`, its typical value left as measured."""
    unit = next(k for k in other if k.endswith("_per_s") and not k.startswith("typical_"))
    own = figures.get(key)
    if own is None:
        figures[key] = {
            unit: _digits(other[unit] * factor),
            f"typical_{unit}": _digits(other[f"typical_{unit}"] * factor),
            "source": f"{other['source']} ({why})",
        }
    elif own[unit] < other[unit] * factor:
        figures[key] = {**own, unit: _digits(other[unit] * factor), "source": f"{own['source']}; {why}"}


def _same_units(matrix: dict[str, Any], vector: dict[str, Any], *, separate_matrix: bool) -> None:
    """One ceiling for what the same units do.

    A slot that can do an FMA can do a lone operation, so the rate of lone ones is at least half of FMA's; on
    a CPU a matmul in f16, f32 or f64 is made of the FMA that vector code uses, so both have the faster rate.
    """
    for dtype, figures in vector.items():
        if "fma" in figures and dtype in matrix and not separate_matrix:
            _raise_to(figures, "fma", matrix[dtype], "raised to the matmul's, the same units")
            _raise_to(matrix, dtype, figures["fma"], "raised to the FMA rate, the same units")
        if "fma" in figures:
            _raise_to(figures, "add", figures["fma"], "raised to half of FMA's, the same slots", factor=0.5)
        if "fma" in figures and "add" in figures:
            _raise_to(figures, "fma", figures["add"], "raised to the rate of lone operations")


def _memory(level: Level, by_figure: dict[str, list[Samples]], call: float) -> dict[str, Any]:
    """A level with the fastest of its streams as bandwidth; `write` is a copy's time less its reading."""
    result: dict[str, Any] = {"name": level.name, "kind": level.kind}
    if level.size_bytes:
        result["size"] = {"kib": round(level.size_bytes / 1024), "source": level.source}
    kinds = {kind: by_figure.get(f"memory.{level.name}.{kind}", []) for kind in ("read", "update", "copy")}
    streams = [samples for group in kinds.values() for samples in group]
    if streams:
        result["bandwidth"] = _rate(streams, "gb_per_s", 1e9, call)
    if kinds["read"]:
        result["read"] = _rate(kinds["read"], "gb_per_s", 1e9, call)
    if kinds["read"] and kinds["copy"]:
        copy = _rate(kinds["copy"], "gb_per_s", 1e9, call)
        write = {unit: _digits(_writing(copy[unit], result["read"][unit])) for unit in ("gb_per_s", "typical_gb_per_s")}
        write["gb_per_s"] = max(write.values())  # the fastest reading leaves more of the copy's time to writing
        result["write"] = {**write, "source": f"derived: a copy less its reading; {copy['source']}"}
    return result


def _writing(copy: float, read: float) -> float:
    """Rate of the write half of a copy whose two halves move the same bytes: 2/copy = 1/read + 1/write."""
    left = 2 / copy - 1 / read
    return 1 / left if left > 0.5 / copy else 2 * copy


def _nearer_is_no_slower(levels: list[dict[str, Any]]) -> None:
    """What streams from afar could stream from near: ceilings do not fall towards the processor."""
    for near, far in reversed(list(pairwise(levels))):
        if "bandwidth" in near and "bandwidth" in far:
            _raise_to(near, "bandwidth", far["bandwidth"], f"raised to that of {far['name']}")


def _taken_over(here: Machine) -> dict[str, Any]:
    """What cannot be measured on one device and the shipped profile of its kind states."""
    if here.known is None or here.known.path is None:
        return {}
    stated = profile_file.read_document(here.known.path)
    keys = ("precision", "network") if here.known.devices_per_chip == 1 else ("precision",)
    return {key: stated[key] for key in keys if key in stated}


def keep_fastest(document: dict[str, Any], earlier: Mapping[str, Any]) -> None:
    """Raise the ceilings of `document` to those of an `earlier` profile of the same machine and jaxlib, and take what
    was typical then where the machine was quieter.

    What the machine has once done it can do: a calibration at a busy time must not lower a ceiling, nor pass off what
    it saw as what is typical.
    """
    facts, before = document["calibration"], earlier.get("calibration", {})
    if any(facts.get(key) != before.get(key) for key in SAME_MACHINE):
        return
    was_quieter = before.get(OTHERS, 0.0) + NOTICED < facts.get(OTHERS, 0.0)
    old = dict(_figures(earlier))
    for where, figure in _figures(document):
        if where not in old:
            continue
        for unit in [key for key in figure if key.endswith("_per_s") and not key.startswith("typical_")]:
            if old[where].get(unit, 0) > figure[unit]:
                figure[unit] = old[where][unit]
                figure["source"] += f"; faster in a calibration before {facts['date']}"
            if was_quieter and f"typical_{unit}" in old[where]:
                figure[f"typical_{unit}"] = min(figure[unit], old[where][f"typical_{unit}"])
    if was_quieter:
        facts["typical_of"] = before.get("typical_of", before.get("date", "an earlier calibration"))


OTHERS = "others_percent"
"""The key of the share of the processors that others used meanwhile."""
NOTICED = 5.0
"""Percent by which a calibration has to be busier than another to be called so."""


def _figures(value: Any, where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every figure of a profile document and its place; memory levels go by their names."""
    if isinstance(value, list):
        for item in value:
            if isinstance(item, dict):
                yield from _figures(item, f"{where}.{item['name']}")
    elif isinstance(value, dict):
        if "source" in value:
            yield where, value
        for key, item in value.items():
            yield from _figures(item, f"{where}.{key}")
