"""Which parts of an array the slices in a loop's body touch, over all of its trips."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice

from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.progressions import Progression, progression
from hlo_count.hlo.steps import Steps, carried_by
from hlo_count.hlo.trace import Tracer
from hlo_count.hlo.traced_values import Constant, TracedValue, UnknownValue, parts


def parts_touched(
    tracer: Tracer, loop: Instruction, slicing: Instruction, trips: int, fusion: Instruction | None = None
) -> Fraction:
    """How many parts of the size of one a dynamic-slice or dynamic-update-slice in the body of `loop`, or in a
    `fusion` there, is certain to touch in so many trips: 1 where they may all be the same, fewer than the trips
    where they overlap. Slices whose places no formula gives are stepped through, as far as the tracer's budget goes."""
    updating = slicing.opcode == "dynamic-update-slice"
    whole, part = slicing.operands[0].shape, slicing.operands[1].shape if updating else slicing.shape
    indices = slicing.operands[1 + updating :]
    if trips < 2 or len(indices) != part.rank:
        return Fraction(1)
    values = [tracer.in_loop(index, loop, fusion) for index in indices]
    # Along each dimension the touched positions count for themselves: of a position there is at least one whole slab.
    return max(
        (
            _covered(tracer, value, whole.dimensions[d], part.dimensions[d], trips)
            for d, value in enumerate(values)
            if not isinstance(value, Constant) and part.dimensions[d] < whole.dimensions[d]
        ),
        default=Fraction(1),
    )


def _covered(tracer: Tracer, start: TracedValue, whole: int, size: int, trips: int) -> Fraction:
    """How many times `size` positions of a dimension are covered by slices that begin at `start`; 1 if not known."""
    updates, starts = carried_by(tracer, [start])
    known = [start, *updates.values()]
    if any(isinstance(part, UnknownValue) for part in parts(known)) or not all(
        isinstance(value, Constant) for value in starts.values()
    ):
        return Fraction(1)
    line = progression(start, updates, starts, trips)
    if line is not None:
        return Fraction(covered_by(line, size, whole - size), size)
    steps = Steps([start], updates, starts)
    followed = min(trips, tracer.budget.trips(steps.operations))
    tracer.budget.spend(followed * steps.operations)
    begins = sorted({min(max(int(begin), 0), whole - size) for (begin,) in islice(steps, followed)})
    covered, end = 0, 0
    for begin in begins:
        covered += begin + size - max(begin, end)
        end = begin + size
    return Fraction(covered, size)


def covered_by(line: Progression, size: int, most: int) -> int:
    """How many positions slices of `size` cover that begin on a line, or at 0 and `most` where that lies outside."""
    first, last, step = min(line.first, line.last), max(line.first, line.last), abs(line.step)
    if not step:
        return size
    skipped, taken = max(0, -(first // step)), min(line.trips - 1, (most - first) // step)
    if skipped > taken:
        return size + (min(most, size) if first < 0 and last > most else 0)
    low, high = first + skipped * step, first + taken * step
    before = min(low, size) if first < 0 else 0
    after = min(most - high, size) if last > most else 0
    return before + (taken - skipped) * min(step, size) + size + after
