"""Integers of a kernel that are not all known: the least and the most that each can be, at every step of a grid.

A bound is an int, or an array over the steps (one axis for each dimension of the grid and each loop around). What is
known is an interval whose two bounds are one object. Bounds that say nothing stop at those of an i32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np

Bound: TypeAlias = "int | np.ndarray[Any, Any]"

END = 2**31
"""What no integer of a kernel reaches: arithmetic on addresses does not overflow."""


class Interval(NamedTuple):
    """What lies between two bounds, both included."""

    low: Bound
    high: Bound

    @property
    def is_known(self) -> bool:
        return self.low is self.high


def known(value: Bound) -> Interval:
    """An interval of one value."""
    return Interval(value, value)


def anything(bit: bool = False, made_of: Iterable[Interval] = ()) -> Interval:
    """What is not known. Its axes are those of what it is made from: along the others it does not change."""
    low, high = (0, 1) if bit else (-END, END)
    shapes = [bound.shape for each in made_of for bound in each if not isinstance(bound, int)]
    if not shapes:
        return Interval(low, high)
    import numpy as np

    shape = np.broadcast_shapes(*shapes)
    return Interval(np.broadcast_to(np.int64(low), shape), np.broadcast_to(np.int64(high), shape))


def times(one: Bound, other: Bound) -> Bound:
    """A product of weights, of which most are 0 or 1."""
    if isinstance(one, int) and one in (0, 1):
        return other if one else 0
    if isinstance(other, int) and other in (0, 1):
        return one if other else 0
    return one * other


def constant_of(value: Interval) -> int | None:
    """The value where it is known and alike at all steps."""
    if not value.is_known:
        return None
    if isinstance(value.low, int):
        return value.low
    first = int(value.low.flat[0]) if value.low.size else 0
    return first if (value.low == first).all() else None


def is_bounded(value: Interval) -> bool:
    """Whether it cannot grow beyond all bounds."""
    return largest(value.high) < END


def hull(one: Interval, other: Interval) -> Interval:
    """What holds both."""
    if one is other or (one.is_known and other.is_known and _same(one.low, other.low)):
        return one
    return Interval(minimum(one.low, other.low), maximum(one.high, other.high))


def minimum(one: Bound, other: Bound) -> Bound:
    if isinstance(one, int) and isinstance(other, int):
        return min(one, other)
    import numpy as np

    return np.minimum(one, other)


def maximum(one: Bound, other: Bound) -> Bound:
    if isinstance(one, int) and isinstance(other, int):
        return max(one, other)
    import numpy as np

    return np.maximum(one, other)


def where(condition: Bound, one: Bound, other: Bound) -> Bound:
    """`one` where the condition is not 0."""
    if isinstance(condition, int):
        return one if condition else other
    import numpy as np

    return np.where(condition != 0, one, other)


def as_bit(condition: Any) -> Bound:
    """True and False as 1 and 0."""
    return int(condition) if isinstance(condition, bool) else condition.astype("int64")


def chosen(condition: Interval, one: Interval, other: Interval) -> Interval:
    """`one` where a bit is 1, `other` where it is 0, what holds both where it is not known."""
    if condition.is_known and one.is_known and other.is_known:
        return known(where(condition.low, one.low, other.low))
    both = hull(one, other)
    return Interval(
        where(condition.low, one.low, where(condition.high, both.low, other.low)),
        where(condition.low, one.high, where(condition.high, both.high, other.high)),
    )


def plus(one: Interval, other: Interval) -> Interval:
    return evaluate("arith.addi", [one, other]) or anything()


def product(one: Interval, other: Interval) -> Interval:
    return evaluate("arith.muli", [one, other]) or anything()


def evaluate(name: str, operands: list[Interval], predicate: int = 0) -> Interval | None:
    """The result of an operation on scalars by its name in MLIR; None where it is not known how it comes about."""
    if name == "arith.cmpi":
        if operands[0] is operands[1]:
            return known(int(predicate in (0, 3, 5, 7, 9)))
        return _compared(predicate, *operands)
    if name == "arith.select":
        return chosen(*operands)
    if name in _SAME:
        return operands[0]
    if len(operands) == 2:
        alike = _of_alike(name, *operands)
        if alike is not None:
            return alike
    exact = _EXACT.get(name)
    if exact is not None and len(operands) == 2 and operands[0].is_known and operands[1].is_known:
        if not (name in _DIVIDES and _has_zero(operands[1].low)):
            return known(exact(operands[0].low, operands[1].low))
        return None
    bounded = _BOUNDED.get(name)
    return bounded(*operands) if bounded is not None and len(operands) == 2 else None


def _of_alike(name: str, a: Interval, b: Interval) -> Interval | None:
    """What does not depend on what the operands are: a - a, a * 1, a + 0."""
    if a is b and name in ("arith.subi", "arith.xori"):
        return known(0)
    if a is b and name in _IDEMPOTENT:
        return a
    if name in _NEUTRAL and isinstance(b.low, int) and b.is_known and b.low == _NEUTRAL[name]:
        return a
    if name in _COMMUTES and isinstance(a.low, int) and a.is_known and a.low == _NEUTRAL[name]:
        return b
    return None


def _compared(predicate: int, one: Interval, other: Interval) -> Interval:
    """MLIR's predicates: eq, ne, slt, sle, sgt, sge, ult, ule, ugt, uge."""
    if predicate in (3, 5, 7, 9):  # a <= b is no b < a, a >= b no a < b
        return opposite(_compared(predicate + (1 if predicate in (3, 7) else -3), one, other))
    if predicate in (4, 8):
        one, other = other, one
    if predicate in (0, 1):
        if one.is_known and other.is_known:
            bit = known(as_bit(one.low == other.low))
        else:
            apart = as_bit((one.high < other.low) | (other.high < one.low))
            bit = Interval(0, 1 - apart)
        return opposite(bit) if predicate == 1 else bit
    if one.is_known and other.is_known:
        return known(as_bit(one.low < other.low))
    return Interval(as_bit(one.high < other.low), as_bit(one.low < other.high))


def opposite(bit: Interval) -> Interval:
    """1 where a bit is 0."""
    if bit.is_known:
        return known(1 - bit.low)
    return Interval(1 - bit.high, 1 - bit.low)


def _truncated(a: Bound, b: Bound) -> Bound:
    """Division towards 0."""
    if isinstance(a, int) and isinstance(b, int):
        return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    import numpy as np

    towards: Bound = np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))
    return towards


def _add(a: Interval, b: Interval) -> Interval:
    return Interval(_endless(a.low + b.low, -END, a.low, b.low), _endless(a.high + b.high, END, a.high, b.high))


def _subtract(a: Interval, b: Interval) -> Interval:
    return _add(a, Interval(-b.high, -b.low))


def _endless(result: Bound, end: int, *made_of: Bound) -> Bound:
    """A bound that says nothing where one that it is made of says nothing."""
    open_ = 0
    for bound in made_of:
        open_ = open_ | as_bit(bound >= END if end > 0 else bound <= -END)  # type: ignore[assignment]
    return where(open_, end, minimum(maximum(result, -END), END))


def _multiply(a: Interval, b: Interval) -> Interval:
    corners = [a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high]
    low, high = corners[0], corners[0]
    for corner in corners[1:]:
        low, high = minimum(low, corner), maximum(high, corner)
    return Interval(minimum(maximum(low, -END), END), maximum(minimum(high, END), -END))


def _divided(way: Callable[[Bound, Bound], Bound]) -> Callable[[Interval, Interval], Interval]:
    def bounds(a: Interval, b: Interval) -> Interval:
        by = constant_of(b)
        if by is None or by <= 0:
            return anything(made_of=(a, b))
        return Interval(_endless(way(a.low, by), -END, a.low), _endless(way(a.high, by), END, a.high))

    return bounds


def _remainder(a: Interval, b: Interval) -> Interval:
    by = constant_of(b)
    if by is None or by <= 0:
        return anything(made_of=(a, b))
    return Interval(0 if _smallest(a.low) >= 0 else 1 - by, minimum(by - 1, maximum(a.high, 0)))


def _minimum_unsigned(a: Interval, b: Interval) -> Interval:
    """At most what is not negative: without a sign a negative number is larger than any other."""
    highs = [each.high for each in (a, b) if _smallest(each.low) >= 0]
    if not highs:
        return anything(made_of=(a, b))
    low = minimum(a.low, b.low) if len(highs) == 2 else 0
    return Interval(low, highs[0] if len(highs) == 1 else minimum(*highs))


def _and(a: Interval, b: Interval) -> Interval:
    """Of bits; of other numbers that are not negative at most the smaller."""
    if _is_bit(a) and _is_bit(b):
        return Interval(minimum(a.low, b.low), minimum(a.high, b.high))
    if min(_smallest(a.low), _smallest(b.low)) < 0:
        return anything(made_of=(a, b))
    return Interval(0, minimum(a.high, b.high))


def _or(a: Interval, b: Interval) -> Interval:
    if _is_bit(a) and _is_bit(b):
        return Interval(maximum(a.low, b.low), maximum(a.high, b.high))
    return anything(made_of=(a, b))


def _xor(a: Interval, b: Interval) -> Interval:
    if not (_is_bit(a) and _is_bit(b)):
        return anything(made_of=(a, b))
    return opposite(a) if constant_of(b) == 1 else anything(True, (a, b))


def _is_bit(value: Interval) -> bool:
    return bool(_smallest(value.low) >= 0 and largest(value.high) <= 1)


def _smallest(value: Bound) -> int:
    return value if isinstance(value, int) else int(value.min(initial=END))


def largest(value: Bound) -> int:
    """The largest at any step."""
    return value if isinstance(value, int) else int(value.max(initial=-END))


def smallest(value: Bound) -> int:
    """The smallest at any step."""
    return value if isinstance(value, int) else int(value.min(initial=END))


def _same(one: Bound, other: Bound) -> bool:
    if one is other:
        return True
    return isinstance(one, int) and isinstance(other, int) and one == other


def _has_zero(value: Bound) -> bool:
    return value == 0 if isinstance(value, int) else bool((value == 0).any())


_COMMUTES = frozenset(("arith.addi", "arith.muli"))
_NEUTRAL = {
    "arith.addi": 0,
    "arith.subi": 0,
    **dict.fromkeys((f"arith.{n}" for n in ("muli", "divsi", "divui", "floordivsi", "ceildivsi", "ceildivui")), 1),
}
"""What changes nothing on the right."""
_IDEMPOTENT = frozenset(f"arith.{name}" for name in "maxsi maxui minsi minui andi ori".split())
_DIVIDES = frozenset(f"arith.{name}" for name in "divsi divui remsi remui ceildivsi ceildivui floordivsi".split())
_EXACT: dict[str, Callable[[Any, Any], Any]] = {
    "arith.addi": lambda a, b: a + b,
    "arith.subi": lambda a, b: a - b,
    "arith.muli": lambda a, b: a * b,
    "arith.divsi": _truncated,
    "arith.divui": _truncated,
    "arith.floordivsi": lambda a, b: a // b,
    "arith.ceildivsi": lambda a, b: -(-a // b),
    "arith.ceildivui": lambda a, b: -(-a // b),
    "arith.remsi": lambda a, b: a - b * _truncated(a, b),
    "arith.remui": lambda a, b: a - b * _truncated(a, b),
    "arith.maxsi": maximum,
    "arith.maxui": maximum,
    "arith.minsi": minimum,
    "arith.minui": minimum,
    "arith.andi": lambda a, b: a & b,
    "arith.ori": lambda a, b: a | b,
    "arith.xori": lambda a, b: a ^ b,
    "arith.shli": lambda a, b: a << b,
    "arith.shrsi": lambda a, b: a >> b,
    "arith.shrui": lambda a, b: a >> b,
}
_SAME = frozenset(
    "arith.extui arith.extsi arith.trunci arith.index_cast arith.index_castui tpu.assume_multiple".split()
)
_BOUNDED: dict[str, Callable[[Interval, Interval], Interval]] = {
    "arith.addi": _add,
    "arith.subi": _subtract,
    "arith.muli": _multiply,
    "arith.divsi": _divided(_truncated),
    "arith.divui": _divided(_truncated),
    "arith.floordivsi": _divided(lambda a, b: a // b),
    "arith.ceildivsi": _divided(lambda a, b: -(-a // b)),
    "arith.remsi": _remainder,
    "arith.remui": _remainder,
    "arith.maxsi": lambda a, b: Interval(maximum(a.low, b.low), maximum(a.high, b.high)),
    "arith.minsi": lambda a, b: Interval(minimum(a.low, b.low), minimum(a.high, b.high)),
    "arith.minui": _minimum_unsigned,
    "arith.andi": _and,
    "arith.ori": _or,
    "arith.xori": _xor,
}
