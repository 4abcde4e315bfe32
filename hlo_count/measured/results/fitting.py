"""What measured kernels teach a device's profile: its typical figures, which estimates are made of.

Of each kernel its estimate says what limits it. Where kernels that are limited by one figure took twice as long as
estimated, in the median, that figure is halved; ceilings, which bounds are made of, stay. A third of the kernels is
held back, and the error told is theirs.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from zlib import crc32

from hlo_count.errors import DeviceError
from hlo_count.harmless import printable
from hlo_count.layout import tabular
from hlo_count.measured.programs.program_times import ProgramTimes
from hlo_count.roofline import profile_file
from hlo_count.roofline.calibrate import write_profile
from hlo_count.roofline.device import Device
from hlo_count.roofline.resources import MATRIX, NETWORK, SPECIAL, VECTOR
from hlo_count.roofline.roofline import Roofline

LAUNCH = "launch"
LEAST_KERNELS = 3
"""Fewer say more of themselves than of a figure."""
ROUNDS = 4
"""What limits a kernel changes with the figures: they are fitted again."""

HEADER = """Typical figures fitted to the kernels of a trace by hlo_count; ceilings as they were."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One kernel of a program, and what one run of it took."""

    program: str
    kernel: str
    seconds: float

    @property
    def is_held_back(self) -> bool:
        """The same third each time."""
        return crc32(f"{self.program}/{self.kernel}".encode()) % 3 == 0


@dataclass(frozen=True, slots=True)
class FittedFigure:
    """A figure of the profile, how many times as fast (of a launch, as short) it is now, and by how many kernels."""

    name: str
    factor: float
    kernels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A device whose typical figures were fitted. `before` and `after` are how many times too long or too short the
    estimates of the `held_back` kernels are, in the median."""

    device: Device
    document: dict[str, Any]
    figures: list[FittedFigure]
    used: int
    held_back: int
    before: float
    after: float

    def write(self, path: Path) -> None:
        """As a profile, whole or not at all. Raises DeviceError where it cannot be written."""
        write_profile(path, profile_file.to_toml(self.document, HEADER))

    def __str__(self) -> str:
        rows = [(each.name, f"x {each.factor:.3g}", f"{each.kernels:,}") for each in self.figures]
        table = tabular(
            rows, ("figure of " + self.device.name, "typical, of before", "kernels"), ("left", "right", "right")
        )
        said = (
            f"fitted to {self.used:,} kernels; of {self.held_back:,} that were not used the estimate is off "
            f"{self.before:.3g} times before, {self.after:.3g} after, in the median"
        )
        return printable(f"{table}\n\n{said}" if rows else said)


def fit(programs: Sequence[ProgramTimes], device: Device) -> Fit:
    """The typical figures of a device, fitted to the kernels of programs that ran on it.

    Raises DeviceError for a device without a file, and where there are too few kernels to learn from and to test with.
    """
    if device.path is None:
        raise DeviceError(f"{device.name} has no file to take its figures from")
    document = profile_file.read_document(device.path)
    known = {f"{program.name}#{number}": program for number, program in enumerate(programs)}
    samples = [sample for name, program in known.items() for sample in _samples(name, program)]
    learned = [sample for sample in samples if not sample.is_held_back]
    held_back = [sample for sample in samples if sample.is_held_back]
    if len(learned) < LEAST_KERNELS or len(held_back) < LEAST_KERNELS:
        raise DeviceError(
            f"too few kernels to learn from: {len(learned)} and {len(held_back)} to test with, where {LEAST_KERNELS} "
            f"each are the least; record a larger program"
        )
    before = _error(held_back, _rooflines(known, device))
    factors: dict[str, float] = {}
    counts: dict[str, int] = {}
    for _ in range(ROUNDS):
        rooflines = _rooflines(known, device)
        for name, ratios in _by_figure(learned, rooflines).items():
            if len(ratios) >= LEAST_KERNELS:
                slower = median(ratios)
                if _scale(document, name, slower):
                    factors[name] = factors.get(name, 1.0) / slower
                    counts[name] = len(ratios)
        device = profile_file.from_document(tomllib.loads(profile_file.to_toml(document)), device.path or Path())
    return Fit(
        device=device,
        document=document,
        figures=[FittedFigure(name, factor, counts[name]) for name, factor in factors.items()],
        used=len(learned),
        held_back=len(held_back),
        before=before,
        after=_error(held_back, _rooflines(known, device)),
    )


def _samples(name: str, program: ProgramTimes) -> Iterator[Sample]:
    if isinstance(program.limits, str):
        return
    estimated = {row.name for row in program.limits.rows if row.estimate}
    for row in program.rows:
        if row.name in estimated and row.elapsed and row.op_class != "control":
            yield Sample(name, row.name, row.elapsed / float(row.runs))


_Rooflines = dict[str, Roofline]


def _rooflines(programs: Mapping[str, ProgramTimes], device: Device) -> _Rooflines:
    return {
        name: program.report.roofline(device)
        for name, program in programs.items()
        if program.report is not None and not isinstance(program.limits, str)
    }


def _error(samples: Sequence[Sample], rooflines: _Rooflines) -> float:
    """How many times too long or too short, in the median."""
    off = []
    for sample in samples:
        time = rooflines[sample.program].kernel_time(sample.kernel)
        if time is not None and time.seconds:
            off.append(abs(math.log(time.seconds / sample.seconds)))
    return math.exp(median(off)) if off else 1.0


def _by_figure(samples: Sequence[Sample], rooflines: _Rooflines) -> dict[str, list[float]]:
    """By what limits a kernel, how many times as long as estimated it took."""
    found: dict[str, list[float]] = {}
    for sample in samples:
        time = rooflines[sample.program].kernel_time(sample.kernel)
        if time is None or not time.busy:
            continue
        slowest = max(time.busy, key=lambda busy: busy.seconds)
        beside = time.seconds - slowest.seconds
        name = slowest.what if slowest.resource in (MATRIX, VECTOR, SPECIAL) else slowest.resource
        # Beside a launch all else is part of it; of anything else at least a tenth of the time is its own.
        own = sample.seconds if name == LAUNCH else max(sample.seconds - beside, sample.seconds / 10)
        found.setdefault(name, []).append(own / slowest.seconds)
    return found


# Figures in the document


def _scale(document: dict[str, Any], name: str, slower: float) -> bool:
    """Make the typical figures of one name so many times slower; whether there are any."""
    figures = list(_figures_of(document, name))
    for figure in figures:
        unit = next(key for key in figure if _is_unit(key)).removeprefix("typical_")
        is_rate = unit.endswith("_per_s")
        ceiling = float(figure.get(unit, math.inf))  # a time has one
        typical = float(figure.get(f"typical_{unit}", ceiling))
        fitted = float(f"{typical / slower if is_rate else typical * slower:.4g}")
        figure[f"typical_{unit}"] = min(fitted, ceiling) if is_rate else max(fitted, ceiling)
        source = figure["source"]
        figure["source"] = source if source.endswith(_FITTED) else f"{source}{_FITTED}"
    return bool(figures)


_FITTED = "; typical: fitted to measured kernels"


def _is_unit(key: str) -> bool:
    return key.endswith("_per_s") or key.removeprefix("typical_") in profile_file.TIME


def _figures_of(document: Mapping[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """The figures that a name of `_by_figure` stands for: `matrix f32`, a memory level, the network, the launch."""
    unit, _, dtype = name.partition(" ")
    if dtype:
        yield from _leaves(document.get(unit, {}).get(dtype, {}))
    elif name == LAUNCH:
        yield from _leaves(document.get("launch_overhead", {}))
    elif name == NETWORK:
        yield from _leaves(document.get("network", {}).get("bandwidth", {}))
    for level in document.get("memory", []):
        if level["name"] == name:
            for way in ("bandwidth", "read", "write"):
                yield from _leaves(level.get(way, {}))


def _leaves(table: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if isinstance(table, dict) and any(map(_is_unit, table)):
        yield table
        return
    for value in table.values():
        if isinstance(value, dict):
            yield from _leaves(value)
