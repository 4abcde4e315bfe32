"""Loops of a kernel: by their trips, each an index along an axis, or one trip after another where integers are carried.

Trips that are data's are an interval; without an end they are unknown, and the body counts once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hlo_count.visitors.kernels.intervals import (
    Interval,
    anything,
    as_bit,
    chosen,
    constant_of,
    evaluate,
    hull,
    is_bounded,
    known,
    largest,
    maximum,
    plus,
    product,
)
from hlo_count.visitors.kernels.kernel_code import Block, Operation
from hlo_count.visitors.kernels.kernel_memory import Value
from hlo_count.visitors.kernels.kernel_tally import Tally

if TYPE_CHECKING:
    from hlo_count.visitors.kernels.kernel_run import KernelRun, Often

MOST_SIMULATED = 200_000
"""Operations of all loops of a kernel that run trip by trip."""


def run_for(run: KernelRun, operation: Operation, often: Often, tally: Tally) -> list[Value]:
    """`scf.for` from its first to its second operand by its third; the others are carried."""
    low, high, step = (run.integer(each) for each in operation.operands[:3])
    initial = [run.value(each) for each in operation.operands[3:]]
    body = operation.regions[0]
    by = constant_of(step)
    loop = _told(run, None if by is None or by <= 0 else _trips(low, high, by))
    course = (low, by if by is not None and by > 0 else 1, loop.trips)
    most = largest(loop.trips.high)
    if most <= 0:
        return initial
    inside = Tally()
    carried = _Carried(run, body, initial)
    if carried.needs_trips and run.simulated + most * carried.length <= MOST_SIMULATED:
        run.simulated += most * carried.length
        behind = _trip_by_trip(run, body, course, initial, often, inside)
    else:
        _all_trips(run, body, course, carried, often, inside)
        behind = carried.after(loop.trips)
    loop.close(run, tally, inside)
    return behind


def run_while(run: KernelRun, operation: Operation, often: Often, tally: Tally) -> list[Value]:
    """`scf.while`: its first region gives whether to go on, and what its second and what follows the loop take."""
    before, after = operation.regions
    carried = [run.value(each) for each in operation.operands]
    length = _length(before) + _length(after)
    while True:
        condition, *given = run.block(before, carried, often, tally)
        goes_on = condition if isinstance(condition, Interval) else anything(True)
        if not goes_on.is_known or run.simulated + length > MOST_SIMULATED:
            break
        often = often.where(goes_on.low, goes_on.low)
        if not run.steps.number(often.counted):
            return given
        run.simulated += length
        carried = run.block(after, given, often, tally)
    loop = _told(run, None)
    inside = Tally()
    unknown = [anything(made_of=[each]) if isinstance(each, Interval) else each for each in given]
    rest = often.where(loop.trips.low, loop.trips.high)
    again = run.block(after, unknown, rest, inside)
    run.block(before, again, rest, inside)
    loop.close(run, tally, inside)
    return unknown


Course = tuple[Interval, int, Interval]
"""Where the index of a loop begins, what it grows by, and how often."""


def _all_trips(run: KernelRun, body: Block, course: Course, carried: _Carried, often: Often, tally: Tally) -> None:
    """The body at all trips at once: along an axis, or with an index that is anything on the way."""
    low, by, trips = course
    most = largest(trips.high)
    if run.steps.has_room(most):
        index = run.steps.enter(most)
        ends = run.steps.lifted(trips)
        often = often.over(run.steps).where(as_bit(index.low < ends.low), as_bit(index.low < ends.high))
        at = plus(run.steps.lifted(low), product(index, known(by)))
        run.block(body, [at, *carried.at(index)], often, tally)
        run.steps.leave()
    else:
        last = plus(low, known(by * (most - 1)))
        run.block(body, [hull(low, last), *carried.at(None)], often.where(trips.low, trips.high), tally)


def _trips(low: Interval, high: Interval, by: int) -> Interval:
    """How often a loop runs from `low` to before `high`."""
    distance = evaluate("arith.subi", [high, low]) or anything()
    steps = distance if by == 1 else evaluate("arith.ceildivsi", [distance, known(by)]) or anything()
    if steps.is_known:
        return known(maximum(steps.low, 0))
    return Interval(maximum(steps.low, 0), maximum(steps.high, 0))


@dataclass(frozen=True, slots=True)
class _Loop:
    """How often a loop runs, and what there is to say of it where its body counts anything."""

    trips: Interval
    choice: bool = False
    """Whether its trips are between two bounds."""
    open: bool = False
    """Whether only the run, or the caller, knows them."""

    def close(self, run: KernelRun, tally: Tally, inside: Tally) -> None:
        """Add what its body came to."""
        tally.join(inside)
        if not inside.counted:
            return
        if self.choice:
            run.open.choices.setdefault("loops as often as data say, counted as the most")
        if self.open:
            run.open.loops, run.open.dynamic = True, 0
            if run.trips is None:
                run.open.unknown.setdefault("loops as often as data say, counted once")


def _told(run: KernelRun, trips: Interval | None) -> _Loop:
    """The trips of a loop; where they have no end what the caller says, else the least and, as counted, one."""
    if trips is not None and is_bounded(trips):
        return _Loop(trips, choice=not trips.is_known)
    if run.trips is not None:
        return _Loop(known(run.trips), open=True)
    least = trips.low if trips is not None else 0
    return _Loop(Interval(least, maximum(least, 1)), open=True)


def _trip_by_trip(
    run: KernelRun, body: Block, course: Course, carried: list[Value], often: Often, tally: Tally
) -> list[Value]:
    """One trip after another, which integers are carried through."""
    low, by, trips = course
    for k in range(largest(trips.high)):
        certain, counted = as_bit(k < trips.low), as_bit(k < trips.high)
        goes_on = known(certain) if trips.is_known else Interval(certain, counted)
        given = run.block(body, [plus(low, known(k * by)), *carried], often.where(certain, counted), tally)
        carried = [
            chosen(goes_on, new, old) if isinstance(new, Interval) and isinstance(old, Interval) else new
            for new, old in zip(given, carried, strict=False)
        ]
    return carried


class _Carried:
    """What a loop carries from trip to trip: what stays as it is, what grows by a constant, and the rest."""

    def __init__(self, run: KernelRun, body: Block, initial: list[Value]) -> None:
        self._run = run
        self._initial = initial
        self.length = _length(body)
        made = {number: each for each in body.operations for number in each.results}
        given = body.operations[-1].operands if body.operations else ()
        self._growth: list[int | None] = [
            _growth(run, made, argument, end) for argument, end in zip(body.arguments[1:], given, strict=False)
        ]
        self.needs_trips = any(
            growth is None and isinstance(value, Interval) and value.is_known
            for growth, value in zip(self._growth, initial, strict=False)
        )
        """Whether an integer that is known at first changes in a way that no formula tells."""

    def at(self, index: Interval | None) -> Iterator[Value]:
        """The values at each trip; at all of them together where there is no index."""
        for growth, value in zip(self._growth, self._initial, strict=False):
            if not isinstance(value, Interval) or growth == 0:
                yield value
            elif growth is None or index is None:
                yield anything(made_of=[value] if index is None else [self._run.steps.lifted(value), index])
            else:
                yield plus(self._run.steps.lifted(value), product(index, known(growth)))

    def after(self, trips: Interval) -> list[Value]:
        """The values behind the loop."""
        found: list[Value] = []
        for growth, value in zip(self._growth, self._initial, strict=False):
            if not isinstance(value, Interval) or growth == 0:
                found.append(value)
            elif growth is None:
                found.append(anything(made_of=[value]))
            else:
                found.append(plus(value, product(trips, known(growth))))
        return found


def _growth(run: KernelRun, made: dict[int, Operation], argument: int, end: int) -> int | None:
    """What is added to a carried integer in each trip; None where it changes otherwise."""
    if end == argument:
        return 0
    source = made.get(end)
    if source is None or source.name != "arith.addi" or argument not in source.operands:
        return None
    other = next((each for each in source.operands if each != argument), argument)
    constant = made.get(other)
    if constant is not None:
        return constant.integer("value") if constant.name == "arith.constant" else None
    return constant_of(run.integer(other)) if other != argument else None


def _length(block: Block) -> int:
    """The operations in a block and in those inside it."""
    return sum(1 + sum(map(_length, each.regions)) for each in block.operations)
