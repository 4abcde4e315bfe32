"""A trace as it is read: the programs that ran, how often and how long, joined with their counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from hlo_count.errors import DeviceError, HloCountError
from hlo_count.harmless import harmless, json_text
from hlo_count.hlo import Module, parse
from hlo_count.hlo.garbage import no_garbage_collection
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import halved
from hlo_count.measured.courses_taken import CoursesTaken, courses_taken
from hlo_count.measured.kept_programs import KeptPrograms
from hlo_count.measured.op_events import IN_FLIGHT, HostEvents, ProgramEvents, Unattributed, read_events
from hlo_count.measured.program_times import HOW_TO_RECORD_HLO, PICO, instructions_that_run, report_of, sends
from hlo_count.measured.run_splitting import split_runs
from hlo_count.measured.timeline import Span, Spent, Timeline
from hlo_count.measured.trace_files import trace_files
from hlo_count.measured.traced_program import TracedProgram
from hlo_count.measured.xspace import XSpace
from hlo_count.roofline.catalog import device as find_device
from hlo_count.roofline.device import Device
from hlo_count.text_page import TextPage


class Trace(TextPage):
    """What a profiler recorded. `programs` are those that ran, that with the most seconds first."""

    def __init__(
        self,
        programs: list[TracedProgram],
        *,
        path: Path,
        hosts: int,
        seconds: float,
        idle: float,
        device: Device | None,
        jax_version: str | None,
        unattributed: Mapping[str, Unattributed],
        problems: list[str],
    ) -> None:
        self.programs = programs
        self.path = path
        self.hosts = hosts
        self.seconds = seconds
        """From the first kernel to the last, a mean over the hosts."""
        self.idle = idle
        """Seconds of that in which no program ran."""
        self.device = device
        self.jax_version = jax_version
        self.unattributed = dict(unattributed)
        """Kernels that tell no instruction, by name."""
        self.problems = problems
        """What could not be read or used, a sentence each."""

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, for JSON."""
        from hlo_count.measured.trace_export import trace_dict

        return trace_dict(self)

    def to_json(self, *, indent: int | None = 2) -> str:
        return json_text(self.to_dict(), indent)

    def to_pandas(self) -> Any:
        """A pandas.DataFrame, a row a kernel of a program; needs the extra `pandas`."""
        from hlo_count.measured.trace_export import trace_frame

        return trace_frame(self)

    def table(self, by: str = "kernel", *, rows: int = 12) -> str:
        """The programs, and of the largest where its time went: by "kernel", "scope", "source" or "class"."""
        from hlo_count.measured.trace_table import trace_table

        return trace_table(self, by, rows)

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return harmless(f"<Trace {self.path}: {len(self.programs)} programs, {self.seconds:.3g} s>")


def read_trace(path: str | Path, *, device: str | Path | Device | None = None) -> Trace:
    """A profile of `jax.profiler`: an `.xplane.pb` file, or a folder, of which the latest profile is read, every host.

    `device`: whose profile bounds and utilization are of, by default the one that the trace names, `local` for a CPU.
    Nothing of the programs is needed but the trace, and no accelerator. Raises HloCountError where nothing can be read;
    what of it cannot is said in `problems`.
    """
    given = None if device is None else find_device(device)
    files = trace_files(Path(path))
    problems: list[str] = []
    hosts: list[_Host] = []
    for file in files:
        try:
            with no_garbage_collection():
                hosts.append(_Host(XSpace(file)))
        except HloCountError as problem:
            if len(files) == 1:
                raise
            problems.append(str(problem))
    if not hosts:
        raise HloCountError("; ".join(problems))
    for host in hosts:
        problems += host.problems()
    if given is None:
        given = _device_of(hosts, problems)
    return _joined(Path(path), hosts, given, problems)


class _Host:
    """One file: its events, and the HLO of the programs in it."""

    def __init__(self, space: XSpace) -> None:
        self.space = space
        self.events: HostEvents = read_events(space)
        self.kept = KeptPrograms(space)

    def text_of(self, program: ProgramEvents) -> str | None:
        """The HLO of a program as text; None where the file lacks it. Raises HloCountError where it is damaged."""
        return self.kept.text_of(program.name, program.program_id)

    def problems(self) -> Iterator[str]:
        events, path = self.events, self.space.path
        if self.space.broken is not None:
            yield f"{path}: breaks off at byte {self.space.broken:,}: the program ended while it was written"
        if events.unread:
            yield f"{path}: {events.unread:,} lines of it break off and were read up to there"
        if events.backwards:
            yield f"{path}: {events.backwards:,} events end before they begin, and were left out"
        if not events.programs and not events.unattributed:
            yield (
                f"{path}: no times of instructions: jax 0.4.31 and older record none on a CPU, and a TPU or GPU none "
                f"where its tracer could not start; record it again with a newer jax"
            )


def _device_of(hosts: Iterable[_Host], problems: list[str]) -> Device | None:
    """The device that a trace names; a CPU is taken to be the one at hand, where that was calibrated."""
    backends = {program.backend for host in hosts for program in host.events.programs.values()}
    kind = next((host.events.device_kind for host in hosts if host.events.device_kind), None)
    name = kind or ("local" if backends == {"cpu"} else None)
    if name is None:
        if backends:
            problems.append("no bounds: the trace does not name its device: pass device=, --device")
        return None
    try:
        return find_device(name)
    except DeviceError as problem:
        problems.append(f"no bounds: {problem}")
        return None


# Programs


@dataclass(slots=True)
class _Part:
    """One program on one host, added up."""

    module: Module | None
    name: str
    backend: str
    spent: dict[str, list[int]] = field(default_factory=dict)
    idle: int = 0
    spans: dict[tuple[int, int], list[Span]] = field(default_factory=dict)
    """From when to when it ran, by host and device."""
    runs: list[list[Span]] = field(default_factory=list)
    """The same by run."""


def _joined(path: Path, hosts: list[_Host], device: Device | None, problems: list[str]) -> Trace:
    parts: dict[tuple[str, str | None], list[_Part]] = {}
    without = Counter[str]()
    first = [min(_starts(host), default=0) for host in hosts]
    covered: dict[tuple[int, int], list[Span]] = {}
    for number, host in enumerate(hosts):
        for events in host.events.programs.values():
            try:
                text = host.text_of(events)
                without[events.name] += text is None
            except HloCountError as problem:
                problems.append(str(problem))
                text = None
            earlier = parts.setdefault((events.name, text), [])
            module = earlier[0].module if earlier else None if text is None else parse(text, filename=events.name)
            part = _added_up(events, module, number)
            earlier.append(part)
            for where, spans in part.spans.items():
                covered.setdefault(where, []).extend(spans)
            part.runs = [[(start - first[number], end - first[number]) for start, end in run] for run in part.runs]
    if without.total():
        problems.append(
            f"the HLO of {', '.join(+without)} is not in the trace, so that they have times and no counts: "
            f"{HOW_TO_RECORD_HLO}"
        )
    lasts = [0] * len(hosts)
    for (at, _), spans in covered.items():
        lasts[at] = max(lasts[at], *(end for _, end in spans))
    seconds = sum(last - begun for last, begun in zip(lasts, first, strict=True)) * PICO / len(hosts)
    idle = seconds - sum(map(_covered, covered.values())) * PICO / max(1, len(covered))
    jax_version = next((host.kept.jax_version for host in hosts if host.kept.jax_version), None)
    programs = [_program(group, device, jax_version, seconds) for group in parts.values()]
    unattributed: dict[str, Unattributed] = {}
    for host in hosts:
        for name, kernel in host.events.unattributed.items():
            total = unattributed.setdefault(name, Unattributed())
            total.number += kernel.number
            total.picoseconds += kernel.picoseconds
            total.in_graph += kernel.in_graph
    return Trace(
        sorted(programs, key=lambda program: -program.total_seconds),
        path=path, hosts=len(hosts), seconds=seconds, idle=idle, device=device, jax_version=jax_version,
        unattributed=unattributed, problems=problems,
    )  # fmt: skip


def _starts(host: _Host) -> Iterator[int]:
    for program in host.events.programs.values():
        for run in program.runs.values():
            yield from (device.start for device in run.values() if device.is_seen)


def _added_up(events: ProgramEvents, module: Module | None, host: int) -> _Part:
    if events.backend == "gpu":
        split_runs(events, {} if module is None else _positions(events, module))
    timeline = _timeline(events, module)
    spent = Spent()
    part = _Part(module, events.name, events.backend)
    for run in events.runs.values():
        there = {device: each for device, each in run.items() if each.is_seen}
        if not there:
            continue
        spans = []
        for device, each in there.items():
            spans.append(timeline.add(each, spent))
            part.spans.setdefault((host, device), []).append(spans[-1])
        part.runs.append(spans)
        run.clear()  # its memory is not needed any more
    part.idle = spent.idle
    for name, number in events.numbers.items():
        part.spent[name] = [counts[number] for counts in (spent.number, spent.own, spent.elapsed, spent.hidden)]
    return part


def _positions(events: ProgramEvents, module: Module) -> dict[int, int]:
    """Where each instruction that was seen, or what calls it, stands in the entry."""
    place = {instruction.name: n for n, instruction in enumerate(module.entry.instructions)}
    found: dict[int, int] = {}
    for instruction, above in instructions_that_run(module):
        number = events.numbers.get(instruction.name)
        if number is not None:
            found[number] = next(place[name] for name in (instruction.name, *above) if name in place)
    return found


def _timeline(events: ProgramEvents, module: Module | None) -> Timeline:
    callers: dict[int, frozenset[int]] = {}
    background: set[int] = {n for name, n in events.numbers.items() if name.startswith(IN_FLIGHT)}
    needing: dict[int, frozenset[int]] = {}
    for instruction, above in instructions_that_run(module) if module is not None else ():
        number = events.numbers.get(instruction.name)
        if number is not None:
            callers[number] = frozenset(events.numbers[name] for name in above if name in events.numbers)
            needing[number] = frozenset(events.numbers[name] for name in _needing(instruction, events.numbers))
            if sends(instruction) or halved(instruction.opcode)[1]:
                background.add(number)
    return Timeline(callers, frozenset(background), needing)


def _needing(instruction: Instruction, seen: Mapping[str, int]) -> Iterator[str]:
    """The first instructions with events that use what one makes, of its own computation."""
    waiting, known = [instruction], {instruction}
    while waiting:
        for user in instruction.computation.users[waiting.pop()]:
            if user in known:
                continue
            known.add(user)
            if user.name in seen:
                yield user.name
            else:
                waiting.append(user)


def _program(parts: list[_Part], device: Device | None, jax_version: str | None, traced: float) -> TracedProgram:
    first = parts[0]
    spent: dict[str, list[int]] = {}
    for part in parts:
        for name, figures in part.spent.items():
            held = spent.get(name)
            spent[name] = figures if held is None else [a + b for a, b in zip(held, figures, strict=True)]
    for name in [name for name in spent if name.startswith(IN_FLIGHT)]:
        _, own, elapsed, hidden = spent.pop(name)
        figures = spent.setdefault(name.removeprefix(IN_FLIGHT), [0, 0, 0, 0])
        figures[1:] = [figures[1] + own, elapsed, figures[3] + hidden]  # it was under way from start to done
    ordered = [sorted(part.runs, key=min) for part in parts]
    runs = [[span for spans in together for span in spans] for together in zip_longest(*ordered, fillvalue=())]
    device_runs = sum(map(len, runs))
    devices = len({device for part in parts for device in part.spans})
    courses = CoursesTaken()
    report = None
    if first.module is not None:
        seen = {name: figures[0] for name, figures in spent.items()}
        courses = courses_taken(first.module, seen, device_runs)
        report = report_of(first.module, first.backend, courses, jax_version)
    return TracedProgram(
        first.name, report,
        seconds=[sum(end - start for start, end in run) * PICO / len(run) for run in runs],
        starts=[min(start for start, _ in run) * PICO for run in runs],
        spent={name: (figures[0], figures[1], figures[2], figures[3]) for name, figures in spent.items()},
        idle=sum(part.idle for part in parts) * PICO / devices,
        devices=devices, device=device, courses=courses, backend=first.backend, traced_seconds=traced,
    )  # fmt: skip


def _covered(spans: list[Span]) -> int:
    """How much of the time some of the spans cover."""
    total, now = 0, 0
    for start, end in sorted(spans):
        total += max(0, end - max(start, now))
        now = max(now, end)
    return total
