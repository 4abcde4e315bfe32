"""Which parts of an array the slices in a loop's body touch, over all of its trips."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice

from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.steps import Steps, carried_by
from hlo_count.hlo.trace import Constant, Tracer, Unknown, Value, parts
from hlo_count.hlo.trip_counts import MAX_OPERATIONS


def parts_touched(
    tracer: Tracer, loop: Instruction, slicing: Instruction, trips: int, fusion: Instruction | None = None
) -> Fraction:
    """How many parts of the size of one a dynamic-slice or dynamic-update-slice in the body of `loop`, or in a
    `fusion` there, is certain to touch in so many trips: 1 where they may all be the same, fewer than the trips
    where they overlap."""
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


def _covered(tracer: Tracer, start: Value, whole: int, size: int, trips: int) -> Fraction:
    """How many times `size` positions of a dimension are covered by slices that begin at `start`; 1 if not known."""
    updates, starts = carried_by(tracer, [start])
    known = [start, *updates.values()]
    if any(isinstance(part, Unknown) for part in parts(known)) or not all(
        isinstance(value, Constant) for value in starts.values()
    ):
        return Fraction(1)
    steps = Steps([start], updates, starts)
    followed = min(trips, MAX_OPERATIONS // max(1, steps.operations))
    begins = sorted({min(max(int(begin), 0), whole - size) for (begin,) in islice(steps, followed)})
    covered, end = 0, 0
    for begin in begins:
        covered += begin + size - max(begin, end)
        end = begin + size
    return Fraction(covered, size)
