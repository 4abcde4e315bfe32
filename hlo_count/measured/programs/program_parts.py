"""What one host saw of one program, added up: its runs, and where the time of each went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hlo_count.hlo import Module
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import halved
from hlo_count.measured.programs.cut_runs import leave_out_cut_runs
from hlo_count.measured.programs.program_times import instructions_that_run, sends
from hlo_count.measured.programs.run_splitting import split_runs
from hlo_count.measured.programs.timeline import Span, Spent, Timeline
from hlo_count.measured.traces.op_events import IN_FLIGHT, ProgramEvents


@dataclass(slots=True)
class ProgramPart:
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
    cut: int = 0
    """Runs that the recording cut, and that were left out."""
    is_cut: bool = False
    """Whether all were, so that what is told is of parts of runs."""


def added_up(events: ProgramEvents, module: Module | None, host: int, windows: Sequence[int]) -> ProgramPart:
    """`windows`: when what was recorded began, once or more often."""
    if events.backend == "gpu":
        split_runs(events, {} if module is None else _positions(events, module))
    timeline = _timeline(events, module)
    spent = Spent()
    part = ProgramPart(module, events.name, events.backend)
    if module is not None:
        part.cut, left = leave_out_cut_runs(events, module, windows)
        part.is_cut = not left and bool(part.cut)
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
