"""A device as the roofline sees it: peaks per unit and dtype, memory levels, network, overheads.

Peaks are FLOP/s with 1 FMA = 2 FLOP, or operations per second for integers and special functions. All figures
of a `Device` are those of one *jax device*: where jax's device is half a chip (TPU v2, v3, 7x, MI250X) the
figures of the chip, which is what a profile states, have been divided.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from hlo_count.errors import DeviceError
from hlo_count.harmless import harmless, printable
from hlo_count.roofline.device_table import device_table
from hlo_count.roofline.fallback import UNITS, figure_key, runs_on
from hlo_count.roofline.throughput import VectorPipeline

SHIPPED = Path(__file__).parent / "profiles"
"""Where the profiles of hlo_count itself lie."""
PRECISIONS = ("default", "high", "highest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number of a profile in SI units, and where it comes from.

    `value` is the ceiling: a datasheet's peak, or the fastest that calibration has seen; infinite where none is
    known. `typical` is what is
    sustained, the median of a calibration; a datasheet has only the one number. `spread` is the interquartile
    range of a measurement over its median (None where nothing was measured).
    """

    value: float
    typical: float
    source: str
    spread: float | None = None
    unsure: bool = False

    def __truediv__(self, devices: int) -> Figure:
        if devices == 1:
            return self
        return Figure(
            value=self.value / devices,
            typical=self.typical / devices,
            source=f"{self.source}; one of {devices} devices of the chip",
            spread=self.spread,
            unsure=self.unsure,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How fast an operation runs: `value` per second at best and `typical` per second, on which unit and as
    which dtype it really runs, and a note wherever that is not what was asked for."""

    value: float
    typical: float
    unit: str
    dtype: str
    source: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLevel:
    """One level of memory. `kind` is "cache", "scratchpad" (holds what the program puts there) or "main".

    `bandwidth` (B/s) is the fastest in any mix of reading and writing; `read` and `write` are there where
    the two were told apart. Sizes in bytes, None where not known.
    """

    name: str
    kind: str
    size: Figure | None = None
    bandwidth: Figure | None = None
    read: Figure | None = None
    write: Figure | None = None

    @property
    def size_bytes(self) -> float | None:
        return None if self.size is None else self.size.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Links to other devices: `bandwidth` in B/s, one way, all links of the device together.

    `domain` is how many devices a switch joins, next to each other by their ids; None where there is no such end (the
    links of a torus), or it is not known.
    """

    name: str
    bandwidth: Figure
    links: int | None = None
    latency: Figure | None = None
    domain: int | None = None

    @property
    def is_mesh(self) -> bool:
        """Whether each link goes to another device of the domain, and no switch is between."""
        return self.domain is not None and self.links == self.domain - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """What an f32 dot runs as at one of DEFAULT, HIGH and HIGHEST: so many passes in `runs_as`."""

    runs_as: str
    passes: int
    source: str


Figures = Mapping[str, Figure]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device profile. Build one with `hlo_count.device(name)`; figures that a profile lacks are None or
    absent, and asking for one of them raises DeviceError."""

    name: str
    backend: str
    description: str
    aliases: tuple[str, ...] = ()
    arch: str = ""
    devices_per_chip: int = 1
    matrix: Figures = field(default_factory=dict, hash=False)
    vector: Mapping[str, Figures] = field(default_factory=dict, hash=False)
    special: Mapping[str, Figures] = field(default_factory=dict, hash=False)
    precision: Mapping[str, Precision] = field(default_factory=dict, hash=False)
    memory: tuple[MemoryLevel, ...] = ()
    network: Network | None = None
    dcn: Network | None = None
    """The data-centre network that leads to other slices of TPUs."""
    launch_overhead: Figure | None = None
    call_overhead: Figure | None = None
    dispatch_overhead: Figure | None = None
    """Seconds that handing a program to another thread adds to a call; where the runtime does so (XLA's CPU)."""
    split_overhead: Figure | None = None
    """Seconds that waking the other cores for a program adds to that, measured on a CPU."""
    routine: Figures = field(default_factory=dict, hash=False)
    """What `roofline.routines` sustain, per second; measured by calibration, for estimates alone."""
    clock: Figure | None = None
    cores: Figure | None = None
    shared_memory_per_core: Figure | None = None
    pipeline: VectorPipeline | None = None
    price_per_hour: float | None = None
    """What the user pays for it, in a currency of the user's choice; the shipped profiles state none."""
    calibration: Mapping[str, str | float] = field(default_factory=dict, hash=False)
    path: Path | None = field(default=None, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        """One of hlo_count's own lies elsewhere on another machine: its name is what travels."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**found, "path": self.path.name if self.is_shipped and self.path is not None else self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        path = state["path"]
        for name, value in {**state, "path": SHIPPED / path if isinstance(path, str) else path}.items():
            object.__setattr__(self, name, value)

    def __str__(self) -> str:
        return printable(f"{harmless(f'{self.name}: {self.description}')}\n\n{device_table([self.to_row()])}")

    @property
    def main_memory(self) -> MemoryLevel:
        """HBM or DRAM: the level that all arguments and results live in."""
        return self.memory[-1]

    @property
    def last_level_cache(self) -> MemoryLevel | None:
        """The hardware cache next to main memory; None where there is none (a scratchpad is no cache)."""
        caches = [level for level in self.memory if level.kind == "cache"]
        return caches[-1] if caches else None

    @property
    def cache_bytes(self) -> float:
        """What all hardware caches together can hold: as much as may stay there from one call to the next."""
        return sum(level.size_bytes or 0 for level in self.memory if level.kind == "cache")

    @property
    def clock_hz(self) -> float | None:
        return None if self.clock is None else self.clock.value

    @property
    def launch_overhead_s(self) -> float | None:
        """Seconds that starting one kernel takes; None where no source states it."""
        return None if self.launch_overhead is None else self.launch_overhead.typical

    @property
    def call_overhead_s(self) -> float | None:
        """Seconds that calling a compiled program takes, whatever is in it; measured by calibration."""
        return None if self.call_overhead is None else self.call_overhead.typical

    def memory_for(self, working_set: float) -> MemoryLevel:
        """The nearest level with a known bandwidth that holds `working_set` bytes; else main memory.

        Scratchpads are skipped: what is in one is decided by the program, not by its size.
        """
        for level in self.memory[:-1]:
            fits = level.size is not None and working_set <= level.size.value
            if fits and level.kind == "cache" and level.bandwidth is not None:
                return level
        return self.main_memory

    def bandwidth(self, memory: str | None = None) -> Figure:
        """Bandwidth (B/s) of main memory or of the named level. Raises DeviceError when it is not known."""
        level = self.main_memory
        if memory is not None:
            named = [m for m in self.memory if m.name.lower() == memory.lower()]
            if not named:
                known = ", ".join(m.name for m in self.memory)
                raise DeviceError(f"{self.name} has no memory level {memory!r}: its levels are {known}")
            level = named[0]
        if level.bandwidth is None:
            raise DeviceError(f"{self.name}: no bandwidth of {level.name} in its profile{self._where}")
        return level.bandwidth

    def peak(
        self,
        dtype: str,
        unit: str = "matrix",
        *,
        op: str | None = None,
        fma: bool = True,
        precision: str = "default",
    ) -> Rate:
        """The most operations per second of `dtype` on `unit` ("matrix", "vector" or "special").

        On the vector unit the rate is that of FMA (2 FLOP each), or with `fma=False` that of lone operations;
        `op` asks for one of them by name ("minmax", "divide", "exponential", ...), where the profile tells
        them apart. `precision` is that of an f32 dot, "default", "high" or "highest", or the name of an HLO
        dot algorithm such as "dot_bf16_bf16_f32_x3", whose passes divide the rate.

        A dtype or unit that the device does not have falls to what would run it, and `note` says so. Raises
        DeviceError, naming dtype and unit, when no figure is left.
        """
        if unit not in UNITS:
            raise DeviceError(f"no unit {unit!r}: the units are {', '.join(UNITS)}")
        wanted, passes = dtype, 1
        if unit == "matrix":
            wanted, passes = self._contraction(dtype, precision)
        for on, key in runs_on(wanted, unit):
            found = self._figure(on, key, op=op if on == unit else None, fma=fma and unit != "special")
            if found is None:
                continue
            figure, fused_note = found
            notes = [fused_note] if fused_note else []
            if on != unit:
                notes.insert(0, f"{dtype} has no {unit} unit on {self.name}: runs as {key} on the {on} unit")
            elif key != figure_key(wanted):
                notes.insert(0, f"{wanted} has no {unit} figure on {self.name}: runs as {key}")
            if wanted != dtype:
                times = f" in {passes} passes" if passes > 1 else ""
                notes.append(f"{dtype} at precision {precision} runs as {wanted}{times}")
            if figure.unsure:
                notes.append("a figure that is not sure")
            return Rate(
                value=figure.value / passes,
                typical=figure.typical / passes,
                unit=on,
                dtype=key,
                source=figure.source,
                note="; ".join(notes),
            )
        raise DeviceError(
            f"{self.name}: no figure for {dtype} on the {unit} unit, nor for what would run it instead; "
            f"add {unit}.{figure_key(wanted)} to a profile{self._where}"
        )

    def required_intensity(
        self,
        dtype: str,
        unit: str = "matrix",
        *,
        memory: str | None = None,
        fma: bool = True,
        precision: str = "default",
    ) -> float:
        """The ridge point in FLOP/byte: peak over bandwidth, of main memory or of the level named.

        Below it a program is bound by memory, above it by the unit. Raises DeviceError for a missing figure.
        """
        return self.peak(dtype, unit, fma=fma, precision=precision).value / self.bandwidth(memory).value

    @property
    def is_shipped(self) -> bool:
        """Whether the profile is one of hlo_count's own."""
        return self.path is not None and self.path.parent == SHIPPED

    def to_row(self) -> dict[str, str | float | None]:
        """Its row of the table of devices: dense peaks of its fastest unit in 10¹² per second, memory in 10⁹ bytes
        (per second), and the ridge point of bf16 in FLOP/byte, all per jax device; None where the profile has no
        figure."""
        main = self.main_memory
        return {
            "name": self.name,
            "f64_tflop_per_s": self._tera("f64"),
            "f32_tflop_per_s": self._tera("f32"),
            "bf16_tflop_per_s": self._tera("bf16"),
            "narrow_tops_per_s": max(filter(None, (self._tera("s8"), self._tera("f8"))), default=None),
            "f32_vector_tflop_per_s": self._tera("f32", "vector"),
            "memory_gb": None if main.size is None else main.size.value / 1e9,
            "memory_gb_per_s": None if main.bandwidth is None else main.bandwidth.value / 1e9,
            "ridge_bf16": _or_none(lambda: self.required_intensity("bf16")),
            "devices_per_chip": self.devices_per_chip,
            "origin": "" if self.is_shipped else "yours",
        }

    def _tera(self, dtype: str, unit: str = "matrix") -> float | None:
        return _or_none(lambda: self.peak(dtype, unit).value / 1e12)

    @property
    def _where(self) -> str:
        return "" if self.path is None else f" ({self.path.name})"

    def _contraction(self, dtype: str, precision: str) -> tuple[str, int]:
        """The dtype a dot of `dtype` is multiplied in, and how many passes that takes."""
        if algorithm := re.fullmatch(r"dot_(any_)?([a-z]+\d+)_.*?(?:_x(\d))?", precision):
            return algorithm[2], int(algorithm[3] or 1)
        if precision not in (*PRECISIONS, "unset"):
            raise DeviceError(f"no precision {precision!r}: {', '.join(PRECISIONS)}, or an HLO dot algorithm (dot_...)")
        if dtype in ("f32", "c64"):
            stated = self.precision.get("default" if precision == "unset" else precision)
            if stated is not None:
                return stated.runs_as, stated.passes
        return dtype, 1

    def _figure(self, unit: str, key: str, *, op: str | None, fma: bool) -> tuple[Figure, str] | None:
        """The profile's figure and a note on how it was picked, or None where it has no such figure."""
        if unit == "matrix":
            figure = self.matrix.get(key)
            return None if figure is None else (figure, "")
        figures = (self.vector if unit == "vector" else self.special).get(key)
        if not figures:
            return None
        if op is not None and op in figures:
            return figures[op], ""
        if unit == "special":
            return figures["any"], ""
        if fma and "fma" in figures:
            return figures["fma"], ""
        return figures["add"], "" if not fma else "no FMA: each operation takes a slot"


def _or_none(figure: Callable[[], float]) -> float | None:
    try:
        return figure()
    except DeviceError:
        return None
