"""When a loop's condition is certain to hold and when it is certain to fail, and the closed form for a counter."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, inf

from hlo_count.hlo.dtypes import DTYPES, DType
from hlo_count.hlo.evaluate import limits
from hlo_count.hlo.traced_values import Carried, Constant, TracedOperation, TracedValue

OpenSpan = tuple[float, float] | None
"""Trips from the first number to before the second, counted from 0; None for no trip."""

NEVER = "its condition never fails"


@dataclass(frozen=True, slots=True)
class Course:
    """A condition over the trips of its loop: a span in which it certainly holds, one in which it certainly fails.

    Of several such spans the first; outside of both nothing is said. `closed`: without running the loop's scalars.
    `reason`: why it is not known when it fails first.
    """

    holds: OpenSpan = None
    fails: OpenSpan = None
    closed: bool = True
    reason: str = ""

    @property
    def certain_trips(self) -> float:
        """How many trips it holds for at least, from the first on."""
        return self.holds[1] if self.holds and self.holds[0] == 0 else 0

    @property
    def ends_certainly(self) -> bool:
        """Whether the trip in which it fails first is known."""
        return self.fails is not None and self.fails[0] <= self.certain_trips

    @property
    def never_ends(self) -> bool:
        return self.certain_trips == inf


def negation(course: Course) -> Course:
    return Course(course.fails, course.holds, course.closed, course.reason)


def conjunction(one: Course, other: Course) -> Course:
    """It holds where both do, and fails where either does."""
    first = min((one, other), key=lambda c: c.fails[0] if c.fails else inf)
    reason = min((c for c in (one, other) if c.reason), key=lambda c: c.certain_trips, default=one).reason
    return Course(_both(one.holds, other.holds), _either(one.fails, other.fails), first.closed, reason)


def _both(one: OpenSpan, other: OpenSpan) -> OpenSpan:
    if not one or not other:
        return None
    return span(max(one[0], other[0]), min(one[1], other[1]))


def _either(one: OpenSpan, other: OpenSpan) -> OpenSpan:
    """The one that begins first, and the other with it where they meet."""
    if not one or not other:
        return one or other
    if other[0] < one[0]:
        one, other = other, one
    return (one[0], max(one[1], other[1])) if other[0] <= one[1] else one


def span(start: float, end: float) -> OpenSpan:
    return (start, end) if start < end else None


# The closed form: a counter that each trip moves by a constant, against a constant

_FLIPPED = {"LT": "GT", "GT": "LT", "LE": "GE", "GE": "LE", "EQ": "EQ", "NE": "NE"}


def affine_course(
    condition: TracedValue, updates: dict[Carried, TracedValue], starts: dict[Carried, TracedValue]
) -> Course | None:
    """When `counter + constant <direction> constant` holds and fails; None where the condition is not of this form, or
    the counter wraps around before it fails."""
    if not isinstance(condition, TracedOperation) or condition.name not in _FLIPPED:
        return None
    dtype = DTYPES[condition.dtype]
    direction = condition.name
    left, right = condition.args
    if isinstance(left, Constant):
        left, right, direction = right, left, _FLIPPED[direction]
    counter, offset = offset_of(left)
    if not dtype.is_integer or not isinstance(right, Constant) or counter is None:
        return None
    start = starts[counter]
    moved, step = offset_of(updates[counter])
    if moved is not counter or not isinstance(start, Constant):
        return None
    return _of_counter(int(start.value) + offset, step, int(right.value), direction, dtype)


def offset_of(value: TracedValue) -> tuple[Carried | None, int]:
    """A carried value plus a constant, as the two of them; (None, 0) for anything else."""
    offset = 0
    while isinstance(value, TracedOperation) and value.name in ("add", "subtract"):
        left, right = value.args
        if isinstance(left, Constant) and value.name == "add":
            left, right = right, left
        if not isinstance(right, Constant) or not DTYPES[value.dtype].is_integer:
            break
        offset += int(right.value) if value.name == "add" else -int(right.value)
        value = left
    return (value, offset) if isinstance(value, Carried) else (None, 0)


def _of_counter(x: int, step: int, bound: int, direction: str, dtype: DType) -> Course | None:
    """That of `x + n * step <direction> bound` in trip n."""
    low, high = limits(dtype)
    modulus = high - low + 1
    x = low + (x - low) % modulus
    step = (step + modulus // 2) % modulus - modulus // 2
    if direction in ("EQ", "NE"):
        equal = _equality(x, step, bound, modulus)
        course = equal if direction == "EQ" else negation(equal)
    else:
        if direction in ("GT", "GE"):
            # The mirror image: -x < -bound.
            x, bound, low, high, step = -x, -bound, -high, -low, -step
        if direction in ("LE", "GE"):
            bound += 1
        found = _below(x, step, bound, low, high)
        if found is None:
            return None
        course = found
    return Course(course.holds, course.fails, reason=NEVER) if course.never_ends else course


def _below(x: int, step: int, bound: int, low: int, high: int) -> Course | None:
    """That of `x + n * step < bound`, until the integers wrap around."""
    if step == 0 or bound > high or bound <= low:
        return Course(holds=(0, inf)) if x < bound else Course(fails=(0, inf))
    wraps = (high - x) // step + 1 if step > 0 else (x - low) // -step + 1
    turns = -((x - bound) // step) if step > 0 else (x - bound) // -step + 1
    before, after = span(0, min(max(turns, 0), wraps)), span(max(turns, 0), wraps)
    course = Course(before, after) if step > 0 else Course(after, before)
    return course if course.fails or not course.certain_trips else None


def _equality(x: int, step: int, bound: int, modulus: int) -> Course:
    """That of `x + n * step = bound`, modulo a power of two: solvable if the gcd of both divides the distance."""
    distance, common = (bound - x) % modulus, gcd(step, modulus)
    if distance % common:
        return Course(fails=(0, inf))
    period = modulus // common
    if period == 1:
        return Course(holds=(0, inf))
    n = distance // common * pow(step // common, -1, period) % period
    return Course(holds=(n, n + 1), fails=(0, n) if n else (1, period))
