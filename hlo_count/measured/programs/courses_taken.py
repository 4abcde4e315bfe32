"""Which way a program went: how often its loops ran and which branches it took, told by how often events were seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from hlo_count.hlo.computation import Computation
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.hlo.trip_counts import trip_count
from hlo_count.visitors.call_sites import branches_of
from hlo_count.visitors.cost import Times


@dataclass(slots=True)
class CoursesTaken:
    """Trip counts and branches (how often each was taken, of 1) by instruction, each a mean over the runs; `problems`
    are loops and conditionals that ran and whose events contradict each other or the text. `times` is how often each
    computation ran in all runs, by its name, where that is told."""

    trip_counts: dict[str, Times] = field(default_factory=dict)
    branches: dict[str, list[float | Fraction]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    times: dict[str, Times] = field(default_factory=dict)

    @property
    def vary(self) -> bool:
        """Whether the runs differed: a mean that is no whole number tells that, one that is does not tell otherwise."""
        means = [*self.trip_counts.values(), *(weight for each in self.branches.values() for weight in each)]
        return any(mean != int(mean) for mean in means)


def courses_taken(module: Module, seen: Mapping[str, int], runs: int) -> CoursesTaken:
    """Of a program that ran `runs` times (once for each device), whose instructions left `seen` events.

    All instructions of a computation run equally often, and so as often as most of them were seen: one that a library
    makes of several kernels is seen more often, one that is no kernel not at all. Where a computation left no events
    nothing is told of what calls it.
    """
    times: dict[str, Times] = {module.entry.name: runs}
    found = CoursesTaken(times=times)
    waiting = [module.entry]
    while waiting:
        computation = waiting.pop()
        entered = times[computation.name]
        for instruction in computation.instructions:
            if not instruction.called or instruction.opcode == "fusion" or not entered:
                continue
            if instruction.opcode == "while":
                inside = _loop(instruction, entered, seen, found)
            elif instruction.opcode == "conditional":
                inside = _conditional(instruction, entered, seen, found)
            else:
                inside = {callee: entered for role, callee in instruction.called if role in ("calls", "to_apply")}
            for callee, number in inside.items():
                if callee.name not in times:  # XLA gives each call a computation of its own
                    times[callee.name] = number
                    waiting.append(callee)
    return found


def completed(found: CoursesTaken, module: Module, other: CoursesTaken, other_module: Module) -> CoursesTaken:
    """What was found, and of loops and conditionals of which nothing was told what another compile of the same program
    tells: of those with the same name and op_name, else with an op_name that stands once in each."""
    trips, branches = dict(found.trip_counts), dict(found.branches)
    for settled, more in ((trips, other.trip_counts), (branches, other.branches)):
        opcode = "while" if settled is trips else "conditional"
        there = [i for i in other_module.instructions() if i.opcode == opcode and i.name in more]
        here = [i for i in module.instructions() if i.opcode == opcode]
        for instruction in here:
            op_name = instruction.metadata.op_name
            alike = [i for i in there if i.metadata.op_name == op_name]
            named = [i for i in alike if i.name == instruction.name]
            alone = alike if op_name and sum(i.metadata.op_name == op_name for i in here) == 1 else []
            chosen = named or (alone if len(alone) == 1 else [])
            if chosen:
                settled.setdefault(instruction.name, more[chosen[0].name])  # type: ignore[arg-type]
    return CoursesTaken(trips, branches, found.problems, found.times)


def _seen_of(computation: Computation, seen: Mapping[str, int]) -> int | None:
    """How often a computation ran; None where nothing of it was seen."""
    numbers = Counter(seen[i.name] for i in computation.instructions if seen.get(i.name))
    if numbers:
        most = max(numbers.values())
        return min(number for number, votes in numbers.items() if votes == most)
    callees = [callee for i in computation.instructions if i.opcode == "call" for _, callee in i.called]
    return next((found for callee in callees if (found := _seen_of(callee, seen)) is not None), None)


def _loop(loop: Instruction, entered: Times, seen: Mapping[str, int], found: CoursesTaken) -> dict[Computation, Times]:
    body, condition = loop.callee("body"), loop.callee("condition")
    if body is None or condition is None:
        return {}
    settled = trip_count(loop).n
    ran, asked = _seen_of(body, seen), _seen_of(condition, seen)
    if ran is None and asked is None:
        return {} if settled is None else {body: entered * settled, condition: entered * (settled + 1)}
    if ran is None:
        assert asked is not None
        # A body that leaves no events, or none because it never ran: the condition was asked once more than it.
        total: Times = max(0, asked - entered)
    elif asked is not None and asked != ran + entered:
        found.problems.append(
            f"{loop.name}: its body was seen {ran:,} times and its condition {asked:,} times in {entered} runs of it, "
            f"of which one must be wrong: events are missing"
        )
        return {}
    else:
        total = ran
    if settled is None:
        found.trip_counts[loop.name] = _whole(Fraction(total) / Fraction(entered))
    elif total != settled * entered:
        found.problems.append(
            f"{loop.name}: the text says {settled:,} trips, its body was seen {total:,} times in {entered} runs of it"
        )
    return {body: total, condition: total + entered}


def _conditional(
    conditional: Instruction, entered: Times, seen: Mapping[str, int], found: CoursesTaken
) -> dict[Computation, Times]:
    branches = branches_of(conditional)
    numbers = [_seen_of(branch, seen) for branch in branches]
    dark = [n for n, number in enumerate(numbers) if number is None]
    left = Fraction(entered) - sum(number or 0 for number in numbers)
    if left < 0 or (left and len(dark) != 1):
        if any(number is not None for number in numbers):
            found.problems.append(
                f"{conditional.name}: its branches were seen {sum(n or 0 for n in numbers):,} times in {entered} runs "
                f"of it: which was taken in the others is not told"
            )
        return {}
    taken: list[Times] = [
        number if number is not None else left if n in dark[:1] else 0 for n, number in enumerate(numbers)
    ]
    found.branches[conditional.name] = [_whole(Fraction(number) / Fraction(entered)) for number in taken]
    return {branch: _whole(Fraction(number)) for branch, number in zip(branches, taken, strict=True)}


def _whole(number: Fraction) -> Times:
    return int(number) if number.denominator == 1 else number
