"""One program of a trace: what its kernels took, beside what they have to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from statistics import fmean, median
from typing import Any, Self

from hlo_count.errors import DeviceError, HloCountError
from hlo_count.hlo.computation import Computation
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.hlo.opcodes import COLLECTIVES, halved
from hlo_count.made_with import MadeWith
from hlo_count.measured.programs.courses_taken import CoursesTaken, completed
from hlo_count.report.breakdown import op_class
from hlo_count.report.report import Report
from hlo_count.report.scopes import scope_path
from hlo_count.roofline.device import Device
from hlo_count.roofline.resources import CALL
from hlo_count.roofline.roofline import Roofline
from hlo_count.visitors.cost import ZERO, Cost, Times
from hlo_count.visitors.settings import Settings

PICO = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRow:
    """One kernel, or what a loop or a call takes beside its own kernels: all its runs together, on one device.

    `seconds` add up: an instant that several kernels share is divided among them. `elapsed` is how long it was under
    way, whatever ran beside it. `bound` and `estimate` are of one device's profile, None where none is known; `limit`
    is what the estimate is limited by. Of a program whose HLO the trace lacks `flops` and `bytes` are None.
    """

    name: str
    opcode: str
    op_class: str
    source: str
    scope: str
    runs: Times
    seconds: float
    elapsed: float
    share: float
    """Of the program's time, from 0 to 1."""
    flops: int | None
    bytes: int | None
    network_bytes: int | None
    hidden: float
    """Seconds that it went on in the background while something else ran."""
    calls_kernels: bool = False
    """Whether what it calls has rows of its own: then `seconds` are what it took beside them."""
    bound: float | None = None
    estimate: float | None = None
    limit: str = ""

    @property
    def flops_per_s(self) -> float | None:
        """FLOP in a second of `elapsed`; None where either is not known."""
        return self.flops / self.elapsed if self.flops is not None and self.elapsed else None

    @property
    def bytes_per_s(self) -> float | None:
        """Bytes of main memory in a second of `elapsed`."""
        return self.bytes / self.elapsed if self.bytes is not None and self.elapsed else None

    @property
    def times_bound(self) -> float | None:
        """`elapsed` over `bound`; None without a bound, or where that is 0."""
        return self.elapsed / self.bound if self.bound else None


class ProgramTimes(MadeWith):
    """What a trace holds of one program. `seconds` are those of each run in order, from its first kernel to its last;
    `report` is None where the trace lacks its HLO. On several devices times are means over them."""

    def __init__(
        self,
        name: str,
        report: Report | None,
        *,
        seconds: list[float],
        starts: list[float],
        spent: Mapping[str, tuple[int, int, int, int]],
        idle: float,
        devices: int,
        device: Device | None,
        courses: CoursesTaken,
        backend: str,
        traced_seconds: float,
    ) -> None:
        self.name = name
        self.report = report
        self.seconds = seconds
        self.starts = starts
        """Seconds from the start of the trace at which each run began."""
        self.idle = idle
        """Seconds of all runs in which nothing of the program ran."""
        self.devices = devices
        """Devices that were seen to run it."""
        self.device = device
        self.backend = backend
        self.courses = courses
        self.traced_seconds = traced_seconds
        self.notes: list[str] = []
        """What a reader must know of how it was measured, a sentence each."""
        self._spent = spent
        """Of each instruction its events, and picoseconds of its own, elapsed and hidden, on all devices together."""

    def settled_by(self, other: ProgramTimes) -> Self:
        """The same program, its open loops and conditionals settled by what another compile of it did."""
        if self.report is None or other.report is None:
            return self
        courses = completed(self.courses, self.report.module, other.courses, other.report.module)
        twin = copy(self)
        twin.courses = courses
        twin.report = report_of(self.report.module, self.backend, courses, self.report.jax_version)
        added = [name for name in courses.trip_counts if name not in self.courses.trip_counts]
        if added:
            twin.notes = [*self.notes, f"the trips of {', '.join(added)} were counted in a run with its kernels apart"]
        return twin

    @property
    def runs(self) -> int:
        return len(self.seconds)

    @property
    def total_seconds(self) -> float:
        """Of all runs together."""
        return sum(self.seconds)

    @property
    def median(self) -> float:
        """Seconds of the run in the middle."""
        return median(self.seconds)

    @property
    def typical(self) -> float:
        """The seconds that rates are of: the median run, or where runs took different courses, of which `report` is the
        mean, their mean."""
        return fmean(self.seconds) if self.courses.vary else self.median

    @property
    def share(self) -> float:
        """Of the traced time, from 0 to 1."""
        return self.total_seconds / self.traced_seconds if self.traced_seconds else 0.0

    @property
    def flops(self) -> int | None:
        """FLOP of all runs on one device."""
        return None if self.report is None else self.report.flops * self.runs

    @property
    def flops_per_s(self) -> float | None:
        """FLOP of a run in a second of the typical run."""
        return None if self.report is None or not self.typical else self.report.flops / self.typical

    @property
    def bytes_per_s(self) -> float | None:
        """Bytes of main memory of a run in a second of the typical run."""
        return None if self.report is None or not self.typical else self.report.bytes / self.typical

    # Against a device

    def roofline(self, device: str | Path | Device | None = None) -> Roofline:
        """The program on a device, that of the trace unless given. Raises DeviceError where that is not known."""
        return self._counted.roofline(device if device is not None else self.device)

    def hfu(self, device: str | Path | Device | None = None) -> float:
        """Hardware FLOP utilization of the typical run, from 0 to 1 (`Roofline.hfu`)."""
        roofline = self.roofline(device)
        seconds = self._called(roofline)
        return roofline.hfu(seconds) * seconds / self.typical

    def mfu(self, device: str | Path | Device | None = None, *, model_flops: float, dtype: str | None = None) -> float:
        """Model FLOP utilization of the typical run: `model_flops` is what the model needs in a run on all devices."""
        roofline = self.roofline(device)
        seconds = self._called(roofline)
        return roofline.mfu(seconds, model_flops=model_flops, dtype=dtype) * seconds / self.typical

    def _called(self, roofline: Roofline) -> float:
        """Seconds of a run that a roofline believes: ours begin with the first kernel, its bound with the call."""
        return max(self.typical, roofline.bound or 0.0)

    @property
    def _counted(self) -> Report:
        if self.report is None:
            raise HloCountError(f"{self.name}: the trace lacks its HLO: {HOW_TO_RECORD_HLO}")
        return self.report

    @cached_property
    def limits(self) -> Roofline | str:
        """The program on the device of the trace, or why there is none."""
        if self.report is None or self.device is None:
            return ""
        try:
            return self.report.roofline(self.device)
        except DeviceError as problem:
            return f"no bounds of {self.name}: {problem}"

    @property
    def bound(self) -> float | None:
        """Seconds that a run cannot beat on the device of the trace, from its first kernel on: without the call that
        `Roofline.bound` holds. None where they are not known."""
        if isinstance(self.limits, str) or self.limits.bound is None:
            return None
        return max((busy.seconds for busy in self.limits.busy if busy.resource != CALL), default=0.0)

    # Rows

    @cached_property
    def rows(self) -> list[MeasuredRow]:
        """A row for each kernel, that with the most seconds first; with `idle` they add up to `total_seconds`."""
        times = _Times(self, None if isinstance(self.limits, str) else self.limits)
        rows = [times.row(name) for name in self._spent]
        return sorted(rows, key=lambda row: -row.seconds)

    @property
    def exposed_communication(self) -> float:
        """Seconds of all runs in which the program sent, or waited for what is sent, and computed nothing."""
        return sum(row.seconds for row in self.rows if row.op_class == "collective")

    @property
    def hidden_communication(self) -> float:
        """Seconds of all runs in which it sent while it computed."""
        return sum(row.hidden for row in self.rows if row.op_class == "collective")


HOW_TO_RECORD_HLO = "record it again with ProfileOptions().enable_hlo_proto = True, which is the default"


def sends(instruction: Instruction) -> bool:
    """Whether it is a collective, or half of one."""
    return instruction.opcode in COLLECTIVES or halved(instruction.opcode)[0] in COLLECTIVES


def report_of(module: Module, backend: str, courses: CoursesTaken, jax_version: str | None) -> Report:
    """The count of one run with what the runs settled."""
    settings = Settings(courses.trip_counts, courses.branches)
    notes = tuple(f"the trace contradicts itself: {problem}" for problem in courses.problems)
    return Report(module, backend=backend, settings=settings, jax_version=jax_version, notes=notes)


def instructions_that_run(module: Module) -> Iterator[tuple[Instruction, frozenset[str]]]:
    """What a device may run as a kernel or a call, each with the names of all that called it."""
    waiting: list[tuple[Computation, frozenset[str]]] = [(module.entry, frozenset())]
    seen = {module.entry}
    while waiting:
        computation, callers = waiting.pop()
        for instruction in computation.instructions:
            yield instruction, callers
            if instruction.called and instruction.opcode != "fusion":
                for role, callee in instruction.called:
                    applied = role == "to_apply" and instruction.opcode != "call"  # to elements, by one kernel
                    if callee not in seen and not applied:
                        seen.add(callee)
                        waiting.append((callee, callers | {instruction.name}))


class _Times:
    """Makes rows: of each instruction what was measured, what it costs, and where it stands."""

    def __init__(self, program: ProgramTimes, roofline: Roofline | None) -> None:
        self._program = program
        self._spent = program._spent
        self._report = program.report
        self._roofline = roofline
        self._bounds = {} if roofline is None else {row.name: row for row in roofline.rows}
        self._instructions: dict[str, Instruction] = {}
        self._inside: dict[str, list[Instruction]] = {}
        if self._report is not None:
            for instruction, callers in instructions_that_run(self._report.module):
                self._instructions[instruction.name] = instruction
                for caller in callers:
                    self._inside.setdefault(caller, []).append(instruction)

    def row(self, name: str) -> MeasuredRow:
        number, own, elapsed, hidden = self._spent[name]
        devices, total = self._program.devices, self._program.total_seconds
        common: dict[str, Any] = {
            "name": name,
            "seconds": own * PICO / devices,
            "elapsed": elapsed * PICO / devices,
            "share": own * PICO / devices / total if total else 0.0,
            "hidden": hidden * PICO / devices,
        }
        instruction = self._instructions.get(name)
        if instruction is None or self._report is None:
            return MeasuredRow(
                **common, opcode="", op_class="", source="", scope="", runs=_mean(number, devices), flops=None,
                bytes=None, network_bytes=None,
            )  # fmt: skip
        runs = _mean(self._program.courses.times.get(instruction.computation.name, number), devices)
        calls_kernels = self._calls_what_was_seen(instruction)
        cost = ZERO if calls_kernels else self._cost(instruction)
        all_runs = cost * runs
        names = dict.fromkeys(scope_path(instruction.metadata.op_name))
        return MeasuredRow(
            **common,
            opcode=instruction.opcode,
            op_class="collective" if sends(instruction) else op_class(instruction, cost),
            source=self._report.places.of(instruction) or "",
            scope="/".join(names),
            runs=runs,
            flops=all_runs.flops,
            bytes=all_runs.bytes,
            network_bytes=all_runs.network_bytes,
            calls_kernels=calls_kernels,
            **({} if calls_kernels else self._limits(instruction, float(runs))),
        )

    def _calls_what_was_seen(self, instruction: Instruction) -> bool:
        return any(inner.name in self._spent for inner in self._inside.get(instruction.name, ()))

    def _cost(self, instruction: Instruction) -> Cost:
        """One run, with all that it holds or calls."""
        assert self._report is not None
        walk = self._report.walk
        if instruction.opcode == "fusion":
            callee = instruction.callee("calls")
            inner = ZERO if callee is None else walk.total_of(callee, kernels=False)
            return walk.cost_of(instruction, True) + inner
        edges = dict(walk.edges(instruction.computation)).get(instruction, [])
        called = [walk.total_of(edge.callee, kernels=edge.kernels) * edge.times for edge in edges]
        return Cost.sum([walk.cost_of(instruction, True), *called])

    def _limits(self, instruction: Instruction, runs: float) -> dict[str, Any]:
        if self._roofline is None:
            return {}
        found = self._bounds.get(instruction.name)
        if found is not None and found.runs:
            each = 1 / found.runs
            bound = None if found.bound is None else found.bound * each * runs
            return {"bound": bound, "estimate": found.estimate * each * runs, "limit": found.limit}
        # A function of its own: what it holds may stay in registers, so that its operations alone are certain.
        held = [self._bounds[i.name] for i in self._inside.get(instruction.name, ()) if i.name in self._bounds]
        if not held:
            return {}
        slowest = max(held, key=lambda row: row.estimate)
        return {
            "bound": self._roofline.operations_bound(instruction) * runs,
            "estimate": sum(row.estimate for row in held) * self._program.runs,
            "limit": slowest.limit,
        }


def _mean(number: Times, devices: int) -> Times:
    found = Fraction(number) / devices
    return int(found) if found.denominator == 1 else found
