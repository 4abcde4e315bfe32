"""Scalars of a loop that each trip moves by the same number, in closed form, however many trips there are."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass

from hlo_count.hlo.courses import Course, offset_of
from hlo_count.hlo.dtypes import DTYPES
from hlo_count.hlo.evaluate import limits
from hlo_count.hlo.traced_values import Carried, Constant, TracedOperation, TracedValue, parts

_Decided = Callable[[int, int], bool]
_COMPARE: dict[str, _Decided] = {
    "LT": operator.lt,
    "LE": operator.le,
    "GT": operator.gt,
    "GE": operator.ge,
}
_TURNS = {**_COMPARE, "EQ": operator.eq, "NE": operator.ne}
_CHOICE = {"maximum": "GE", "minimum": "LE"}


@dataclass(frozen=True, slots=True)
class Progression:
    """first + step · n in trip n of `trips`, counted from 0."""

    first: int
    step: int
    trips: int

    @property
    def last(self) -> int:
        return self.first + self.step * (self.trips - 1)

    def __sub__(self, other: Progression) -> Progression:
        return Progression(self.first - other.first, self.step - other.step, self.trips)


def progression(
    value: TracedValue, updates: dict[Carried, TracedValue], starts: dict[Carried, TracedValue], trips: int
) -> Progression | None:
    """What an expression of a loop is in its trips; None where that is no progression, or it is not seen to be one.

    Integers are only followed where they do not wrap around, choices where one side is taken in every trip.
    """
    known: dict[TracedValue, Progression | bool | None] = {}
    for part in parts([value]):
        known[part] = _of(part, [known[arg] for arg in part.args], updates, starts, trips)
    found = known[value]
    return found if isinstance(found, Progression) else None


def _of(
    part: TracedValue,
    args: list[Progression | bool | None],
    updates: dict[Carried, TracedValue],
    starts: dict[Carried, TracedValue],
    trips: int,
) -> Progression | bool | None:
    if isinstance(part, Constant):
        return part.value if isinstance(part.value, bool) else _constant(part, trips)
    if isinstance(part, Carried):
        return _carried(part, updates[part], starts[part], trips)
    if not isinstance(part, TracedOperation):
        return None
    if part.name == "select" and isinstance(args[0], bool):
        return args[1] if args[0] else args[2]
    followed = [arg for arg in args if isinstance(arg, Progression)]
    if len(followed) < len(args) or not followed:
        return None
    one, other = followed[0], followed[-1]
    if part.name in _COMPARE:
        return _decided(part.name, one, other)
    if part.name in _CHOICE and len(followed) == 2:
        first = _decided(_CHOICE[part.name], one, other)
        return None if first is None else one if first else other
    if part.name == "convert":
        ends = [part.function(end) for end in (one.first, one.last)]
        same = ends == [one.first, one.last] and all(type(end) is int for end in ends)
        return one if same else None
    return _within(_arithmetic(part.name, one, other), part.dtype)


def _constant(part: Constant, trips: int) -> Progression | None:
    return Progression(part.value, 0, trips) if isinstance(part.value, int) else None


def _carried(carried: Carried, update: TracedValue, start: TracedValue, trips: int) -> Progression | None:
    if not isinstance(start, Constant) or not isinstance(start.value, int) or isinstance(start.value, bool):
        return None
    if update is carried:
        return Progression(start.value, 0, trips)
    moved, step = offset_of(update)
    if moved is not carried or not isinstance(update, TracedOperation):
        return None
    return _within(Progression(start.value, step, trips), update.dtype)


def _arithmetic(name: str, one: Progression, other: Progression) -> Progression | None:
    trips = one.trips
    if name == "add":
        return Progression(one.first + other.first, one.step + other.step, trips)
    if name == "subtract":
        return one - other
    if name == "negate":
        return Progression(-one.first, -one.step, trips)
    if name == "multiply" and not (one.step and other.step):
        step = one.step * other.first + other.step * one.first
        return Progression(one.first * other.first, step, trips)
    return None


def _within(found: Progression | None, dtype: str) -> Progression | None:
    """It, where its type holds all of it: what lies between its ends then too."""
    if found is None or not DTYPES[dtype].is_integer:
        return None
    low, high = limits(DTYPES[dtype])
    return found if low <= min(found.first, found.last) and max(found.first, found.last) <= high else None


def _decided(direction: str, one: Progression, other: Progression) -> bool | None:
    """How a comparison turns out in every trip; None where it changes: the difference of two lines is one."""
    compare, difference = _COMPARE[direction], one - other
    first, last = compare(difference.first, 0), compare(difference.last, 0)
    return first if first is last else None


# A condition that compares two progressions


def line_course(
    condition: TracedValue, updates: dict[Carried, TracedValue], starts: dict[Carried, TracedValue]
) -> Course | None:
    """When a comparison of two progressions turns first, `i * 2 < n` or `i < n - i`; None where the condition is none,
    or something in it wraps around before."""
    if not isinstance(condition, TracedOperation) or condition.name not in _TURNS:
        return None
    begin = [progression(arg, updates, starts, 2) for arg in condition.args]
    if begin[0] is None or begin[1] is None:
        return None
    turn = _turn(condition.name, begin[0] - begin[1])
    if turn is None or any(progression(arg, updates, starts, turn + 1) is None for arg in condition.args):
        return None
    before, after = (0, turn), (turn, turn + 1)
    return Course(before, after) if _TURNS[condition.name](begin[0].first, begin[1].first) else Course(after, before)


def _turn(direction: str, difference: Progression) -> int | None:
    """The first trip in which a difference compares with 0 in another way than in trip 0; None for none."""
    first, step = difference.first, difference.step
    if not step:
        return None
    if direction in ("EQ", "NE"):
        zero, rest = divmod(-first, step)
        return 1 if not first else zero if zero > 0 and not rest else None
    turned = -first // step  # the last trip before the line has passed 0, or that in which it is 0
    compare = _TURNS[direction]
    return next(
        (n for n in (turned, turned + 1) if n > 0 and compare(first + step * n, 0) is not compare(first, 0)), None
    )
