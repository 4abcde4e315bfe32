"""Which instruction of which program ran from when to when, on which device: out of the planes of a trace.

What the planes look like was read off traces of CPUs and a TPU and in the sources of XLA's and XProf's converters:
a CPU's events carry the stats hlo_op, program_id, run_id and device_ordinal, on the lines of the threads that ran them;
a GPU's kernels, on the lines of its streams, hlo_op and program_id; a TPU has lines "XLA Modules" and "XLA Ops".
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hlo_count.lowering.wire_format import BrokenMessageError
from hlo_count.measured.traces.host_activity import HostActivity, cause_of
from hlo_count.measured.traces.xspace import Event, EventMetadata, Line, Plane, XSpace

CPU_PLANE, METADATA_PLANE, _ABOUT_PLANE = "/host:CPU", "/host:metadata", "Task Environment"
MODULES_LINE, OPS_LINE, ASYNC_LINE = "XLA Modules", "XLA Ops", "Async XLA Ops"
_DEVICE = re.compile(r"/device:(GPU|TPU):(\d+)")
_ID = re.compile(r"(.*)\((\d+)\)")
_MASK = 2**64 - 1
IN_FLIGHT = "in flight: "
"""Before the name of an instruction that goes on in the background, beside its own events."""
START, END, OVER, OP, ENTRIES = range(5)
"""Where in the ENTRIES numbers of an event in `DeviceRun.events` stand its start, its end, by when what it left to
other threads was over, and the number of its instruction."""


@dataclass(slots=True)
class DeviceRun:
    """One run of a program on one device: its events one after the other, times in picoseconds."""

    events: array[int] = field(default_factory=lambda: array("q"))
    span: tuple[int, int] | None = None
    """From when to when it ran, where the trace says so itself."""

    @property
    def is_seen(self) -> bool:
        return bool(self.events) or self.span is not None

    @property
    def start(self) -> int:
        """Picoseconds."""
        return self.span[0] if self.span is not None else min(self.events[START::ENTRIES])

    def add(self, event: Event, op: int, over: int | None = None) -> None:
        self.events.extend((event.start, event.end, event.end if over is None else max(over, event.end), op))


@dataclass(slots=True)
class ProgramEvents:
    """What one host saw of one program: its runs in the order of time, by device."""

    name: str
    program_id: int | None
    backend: str
    numbers: dict[str, int] = field(default_factory=dict)
    """The number of each instruction that has events, by name."""
    runs: dict[int, dict[int, DeviceRun]] = field(default_factory=dict)
    kernels: dict[int, set[str]] = field(default_factory=dict)
    """The kernels that a library makes of each instruction of a GPU's program."""

    def number(self, instruction: str) -> int:
        return self.numbers.setdefault(instruction, len(self.numbers))

    def run(self, run: int, device: int) -> DeviceRun:
        return self.runs.setdefault(run, {}).setdefault(device, DeviceRun())


@dataclass(slots=True)
class Unattributed:
    """Kernels that tell no instruction: how many, and picoseconds; `in_graph` of them ran in command buffers."""

    number: int = 0
    picoseconds: int = 0
    in_graph: int = 0


@dataclass(slots=True)
class HostEvents:
    """What one file holds: programs by their id and name, and what could not be used."""

    programs: dict[tuple[int | None, str], ProgramEvents] = field(default_factory=dict)
    unattributed: dict[str, Unattributed] = field(default_factory=dict)
    activity: HostActivity = field(default_factory=HostActivity)
    device_kind: str | None = None
    backwards: int = 0
    """Events that end before they begin."""
    unread: int = 0
    """Lines that break off."""
    windows: list[int] = field(default_factory=list)
    """When what each file holds began to be recorded: picoseconds since the first did."""

    def program(self, program_id: int | None, name: str, backend: str) -> ProgramEvents:
        key = (program_id, name)
        if key not in self.programs:
            self.programs[key] = ProgramEvents(name, program_id, backend)
        return self.programs[key]

    def is_sound(self, event: Event) -> bool:
        self.backwards += event.end < event.start
        return event.end >= event.start


def read_events(spaces: Sequence[XSpace]) -> HostEvents:
    """The events of all planes of the files of one host, which were recorded one after the other."""
    found = HostEvents()
    begun = [_begun(space) for space in spaces]
    for space, at in zip(spaces, begun, strict=True):
        found.windows.append((at - begun[0]) * 1000)
        _read_planes(space, found)
    return found


def _begun(space: XSpace) -> int:
    """When the profiler started, in nanoseconds since the epoch: 0 where that is not told."""
    stats = (plane.stats for plane in space.planes if plane.name == _ABOUT_PLANE)
    return next((int(each["profile_start_time"]) for each in stats if "profile_start_time" in each), 0)


def _read_planes(space: XSpace, found: HostEvents) -> None:
    for plane in space.planes:
        device = _DEVICE.match(plane.name)
        if plane.name.startswith(CPU_PLANE):
            _CpuThreads(found).read(plane)
        elif device is not None:
            found.device_kind = found.device_kind or plane.stats.get("device_type_string")
            (_tpu if device[1] == "TPU" else _gpu)(plane, int(device[2]), found)


def _events(plane: Plane, line: Line, found: HostEvents, wanted: Any = lambda _: True) -> Iterator[Event]:
    """The events of a line up to where it can be read, those that run backwards left out."""
    line = replace(line, timestamp=line.timestamp + found.windows[-1])
    try:
        for event in plane.events(line, wanted):
            if found.is_sound(event):
                yield event
    except BrokenMessageError:
        found.unread += 1


def with_id(name: str) -> tuple[str, int | None]:
    """`jit_step(7)` as its name and its program's id."""
    found = _ID.fullmatch(name)
    return (name, None) if found is None else (found[1], program_id(found[2]))


def program_id(value: Any) -> int | None:
    """As an unsigned number of 64 bits, whichever way it was written."""
    return int(value) & _MASK if isinstance(value, int) or str(value).isdecimal() else None


# CPU


_NAME = re.compile(r"[\w.\-]+|end: .*")
"""An instruction's, or the end of one."""


def _may_be_told(metadata: EventMetadata) -> bool:
    return _NAME.fullmatch(metadata.name) is not None or cause_of(metadata.name) is not None


def _is_no_function_of_python(metadata: EventMetadata) -> bool:
    return (not metadata.name.startswith("$") and "::" not in metadata.name) or cause_of(metadata.name) is not None


_END = "end: "
_CALL_OF_DRIVER = "correlation_id"
"""What launches a GPU's kernel tells the instruction too, on the host's lines, and by this which kernel."""


class _CpuThreads:
    """The threads of a CPU. What a kernel leaves to other threads is over by the time that one says "end: ..."."""

    def __init__(self, found: HostEvents) -> None:
        self._found = found
        self._begun: dict[int, tuple[DeviceRun, int]] = {}
        self._ended: dict[int, int] = {}
        self._ends = False

    def read(self, plane: Plane) -> None:
        # Where nothing is left to other threads nothing need be kept of what has begun.
        self._ends = any(metadata.name.startswith(_END) for _, metadata in plane.metadata)
        for line in plane.lines:
            of_python = line.name.startswith("python")
            for event in _events(plane, line, self._found, _is_no_function_of_python if of_python else _may_be_told):
                if "hlo_op" in event.stats and _CALL_OF_DRIVER not in event.stats:
                    self._add(event)
                elif event.metadata.name.startswith(_END) and "_c" in event.stats:
                    self._end(event.stats["_c"], event.start)
                else:
                    self._found.activity.add(event, of_python)

    def _add(self, event: Event) -> None:
        stats = event.stats
        program = self._found.program(program_id(stats.get("program_id")), str(stats.get("hlo_module", "")), "cpu")
        run = program.run(int(stats.get("run_id", 0)), int(stats.get("device_ordinal", 0)))
        flow = stats.get("_p")
        over = None if flow is None else self._ended.pop(flow, None)
        run.add(event, program.number(str(stats["hlo_op"])), over)
        if self._ends and flow is not None and over is None:
            self._begun[flow] = (run, len(run.events) - ENTRIES)

    def _end(self, flow: int, time: int) -> None:
        begun = self._begun.pop(flow, None)
        if begun is None:
            self._ended[flow] = time
        else:
            run, at = begun
            run.events[at + OVER] = max(run.events[at + OVER], time)


# TPU


def _tpu(plane: Plane, device: int, found: HostEvents) -> None:
    """A core of a TPU: its modules say when each program ran, the operations of which fall between."""
    lines = {line.name: line for line in plane.lines}
    if MODULES_LINE not in lines or OPS_LINE not in lines:
        return
    modules: list[tuple[int, int, ProgramEvents, DeviceRun]] = []
    for number, event in enumerate(_events(plane, lines[MODULES_LINE], found)):
        name, number_of = with_id(event.metadata.name)
        program = found.program(number_of, name, "tpu")
        run = program.run(int(event.stats.get("run_id", number)), device)
        run.span = (event.start, event.end) if run.span is None else (run.span[0], max(run.span[1], event.end))
        modules.append((event.start, event.end, program, run))
    modules.sort(key=lambda module: module[0])
    starts = [module[0] for module in modules]
    for name in (OPS_LINE, ASYNC_LINE):
        for event in _events(plane, lines[name], found) if name in lines else ():
            at = bisect_right(starts, event.start) - 1
            op = event.metadata.display_name or event.metadata.name.partition(" = ")[0].lstrip("%")
            if at < 0 or event.start >= modules[at][1]:
                _add_unattributed(found, op, event, False)
                continue
            _, _, program, run = modules[at]
            named = op if name == OPS_LINE else IN_FLIGHT + op
            run.add(event, program.number(named))


# GPU


def _gpu(plane: Plane, device: int, found: HostEvents) -> None:
    """The streams of a GPU. Its kernels tell their instruction and program, but not their run: here a stream stands for
    one, until `hlo_count.measured.programs.run_splitting` makes runs of them."""
    for stream, line in enumerate(plane.lines):
        if not line.name.startswith("Stream"):
            continue  # what XProf derives from the streams
        for event in _events(plane, line, found):
            stats = event.stats
            if "hlo_op" not in stats:
                in_graph = any(stats.get(name) for name in ("cuda_graph_id", "cuda_graph_exec_id"))
                if not found.activity.add_copy(event) and (in_graph or "kernel_details" in stats):
                    _add_unattributed(found, event.metadata.name, event, in_graph)
                continue
            program = found.program(program_id(stats.get("program_id")), str(stats.get("hlo_module", "")), "gpu")
            number = program.number(str(stats["hlo_op"]).rpartition("::")[2])
            program.kernels.setdefault(number, set()).add(event.metadata.name)
            program.run(stream, device).add(event, number)


def _add_unattributed(found: HostEvents, name: str, event: Event, in_graph: bool) -> None:
    kernel = found.unattributed.setdefault(name, Unattributed())
    kernel.number += 1
    kernel.picoseconds += event.end - event.start
    kernel.in_graph += in_graph
