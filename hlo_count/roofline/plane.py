"""The plane of a roofline plot: ceilings, memory slopes, the program and its kernels as points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hlo_count.layout import cut
from hlo_count.roofline.device import Device
from hlo_count.roofline.resources import SPECIAL, VECTOR, Ceilings
from hlo_count.roofline.time_rows import KernelRow
from hlo_count.roofline.workload import Workload
from hlo_count.visitors.cost import Cost

APART = 6  # to a decade: kernels closer than that are one point


@dataclass(frozen=True, slots=True)
class Ceiling:
    """A horizontal line: the rate of a unit, in FLOP (evaluations on the special-function unit) per
    second."""

    unit: str
    label: str
    rate: float


@dataclass(frozen=True, slots=True)
class Point:
    """A kernel or the program: FLOP (or evaluations) per byte and per second, and the seconds of all its runs."""

    label: str
    intensity: float
    rate: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RooflinePlane:
    """What a plot shows. `counted` is "flops", or "transcendentals" (evaluations) where the program has no FLOP."""

    title: str
    empty: str
    """What to say where nothing can be drawn."""
    counted: str
    ceilings: list[Ceiling]
    slopes: list[tuple[str, float]]
    program: Point | None
    kernels: list[Point]


def ceilings(workload: Workload, limits: Ceilings) -> list[Ceiling]:
    """One for each unit and dtype that the program uses, highest first."""
    found: dict[tuple[str, str], Ceiling] = {}
    for kernel, _, _ in workload.kernels:
        for key in workload.counted(kernel, limits.fused):
            unit, dtype, how = key
            if unit == VECTOR and not dtype.startswith(("f", "b", "c")):
                continue  # the axis is floating-point operations
            wanted = (
                unit,
                dtype,
                "fma" if unit == VECTOR and limits.fuses(dtype) else "add" if unit == VECTOR else how,
            )
            rate = limits.rate((unit, dtype, "any") if unit == SPECIAL else wanted)
            note = {VECTOR: " FMA" if wanted[2] == "fma" else "", SPECIAL: " functions, evaluations/s"}.get(
                rate.unit, ""
            )
            label = f"{rate.unit} {rate.dtype}{note}"
            found.setdefault((label, f"{rate.value:.6g}"), Ceiling(rate.unit, label, rate.value))
            if unit == VECTOR and wanted[2] == "fma":
                lone = limits.rate((unit, dtype, "add"))
                label = f"{lone.unit} {lone.dtype} without FMA"
                found.setdefault((label, ""), Ceiling(VECTOR, label, lone.value))
    by_rate: dict[float, list[Ceiling]] = {}
    for ceiling in sorted(found.values(), key=lambda c: (-c.rate, c.unit)):
        by_rate.setdefault(ceiling.rate, []).append(ceiling)
    return [
        Ceiling(alike[0].unit, ", ".join(dict.fromkeys(c.label for c in alike)), rate)
        for rate, alike in by_rate.items()
    ]


def slopes(device: Device) -> list[tuple[str, float]]:
    """Memory levels whose bandwidth (B/s) has a ceiling that is known, the nearest first."""
    return [
        (m.name, m.bandwidth.value)
        for m in device.memory
        if m.bandwidth is not None and math.isfinite(m.bandwidth.value)
    ]


def counter(total: Cost) -> str:
    """What the plane is of: "flops", or "transcendentals" (evaluations) for a program that has no FLOP but those."""
    return "transcendentals" if total.transcendentals and not total.flops else "flops"


def program_point(label: str, total: Cost, taken: float, shares: int) -> Point | None:
    """The program that takes so many seconds; None where it has no FLOP (or evaluations), or no traffic."""
    amount = getattr(total, counter(total))
    if not amount or not total.bytes or not taken:
        return None
    return Point(label, amount / total.bytes, amount / shares / taken, taken)


def kernel_points(workload: Workload, rows: Sequence[KernelRow], counted: str, shares: int, most: int) -> list[Point]:
    """The largest kernels that have both FLOP (or evaluations) and traffic, those alike as one."""
    amounts = {kernel.name: getattr(cost * times, counted) for kernel, times, cost in workload.kernels}
    alike: dict[tuple[int, int], list[Point]] = {}
    for row in rows:
        amount = amounts[row.name] / shares
        if amount and row.bytes and row.estimate:
            intensity, rate = amount / row.bytes, amount / row.estimate
            place = (round(APART * math.log10(intensity)), round(APART * math.log10(rate)))
            alike.setdefault(place, []).append(Point(row.name, intensity, rate, row.estimate))
    merged = [
        Point(_named(group), group[0].intensity, group[0].rate, sum(p.seconds for p in group))
        for group in alike.values()
    ]
    return sorted(merged, key=lambda p: -p.seconds)[:most]


def _named(group: list[Point]) -> str:
    name = cut(group[0].label, 28)
    return name if len(group) == 1 else f"{name} and {len(group) - 1} more"
