"""What is known of an array's elements whatever the data are: numbers made of indices, and where a mask puts the same
number everywhere."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hlo_count.hlo.attributes import parse_padding, parse_slice
from hlo_count.hlo.evaluate import COMPARISONS, literal
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import COPIES, ELEMENTWISE, NAMES
from hlo_count.hlo.shapes import Shape
from hlo_count.roofline.index_conditions import (
    ALWAYS,
    NOWHERE,
    UNCERTAIN,
    Along,
    AtLeastZero,
    Condition,
    Conditions,
    DimensionMove,
    Factors,
    NotAll,
    OneFits,
    linear,
    moved,
    taken,
)


@dataclass(frozen=True, slots=True)
class Indices:
    """Integers that indices alone make: the sum of factor · index, and `start`; another function of them where
    `factors` is None."""

    factors: Factors | None
    start: int = 0


@dataclass(frozen=True, slots=True)
class Masked:
    """`fill` in all elements that do not meet all conditions `where`; in those that do `inside`, None for data."""

    fill: float
    where: Conditions
    inside: float | None = None

    def filled(self, fill: float) -> Masked | None:
        """The same with `fill` outside of its conditions; None where that is not so."""
        if self.fill == fill:
            return self
        if self.inside == fill:
            return Masked(fill, frozenset({unless(self.where)}), self.fill)
        return None


@dataclass(frozen=True, slots=True)
class TupleElements:
    """The elements of a tuple."""

    each: tuple[Value, ...]


Value = float | Indices | Masked | TupleElements | None
"""A float is the number that all elements are, None an array of data."""

SO_LOW = -1e4
"""What masks add to scores or put in their place, where it is no -inf: exp of it is 0 beside any other score."""

_MOVING = frozenset("concatenate dynamic-slice dynamic-update-slice gather".split())
_SAME = NAMES | COPIES | {"reduce-precision"}
_APPLIED: Mapping[str, Callable[..., float]] = {
    "convert": lambda x: x,
    "negate": operator.neg,
    "abs": abs,
    "not": lambda x: 1.0 - x,
    "exponential": lambda x: math.exp(x) if x < 700 else math.inf,
    "tanh": math.tanh,
    "sqrt": lambda x: math.sqrt(x) if x >= 0 else math.nan,
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "maximum": max,
    "minimum": min,
    "and": lambda a, b: float(bool(a) and bool(b)),
    "or": lambda a, b: float(bool(a) or bool(b)),
}


def value_of(i: Instruction, operands: list[Value]) -> Value:
    """What is known of an instruction's result, of what is known of its operands; calls and tuples are not its own."""
    opcode = i.opcode
    if opcode == "constant":
        number = literal(i.shape.element_type, i.operand_text) if i.shape.is_array and not i.shape.rank else None
        return None if number is None else float(number)
    if opcode == "iota":
        return Indices(linear(dict.fromkeys(i.dims("iota_dimension"), 1)))
    if all(value is None for value in operands):
        return None
    if opcode in ("broadcast", "transpose", "reshape", "bitcast"):
        return _elsewhere(operands[0], move_to_result(i))
    if opcode in _SAME:
        return operands[0]
    if opcode == "pad":
        return _padded(i, operands)
    if opcode in ("slice", "reverse"):
        return _at_places(operands[0], i, _places_in_source(i))
    if opcode in _MOVING:
        return _somewhere(operands)
    if opcode == "compare":
        return _compared(i, operands)
    if opcode == "select":
        return _selected(*operands)
    if opcode in ELEMENTWISE:
        return _computed(opcode, operands)
    return None


def move_to_result(i: Instruction) -> DimensionMove:
    """Where the dimensions of the first operand stand in the result."""
    source, result = i.operands[0].shape, i.shape
    if i.opcode == "broadcast":
        return DimensionMove(dict(enumerate(i.dims("dimensions"))), source.dimensions)
    if i.opcode == "transpose":
        return DimensionMove({d: n for n, d in enumerate(i.dims("dimensions"))}, source.dimensions)
    return reshaping(source, result, in_memory=i.opcode == "bitcast")


def reshaping(source: Shape, result: Shape, *, in_memory: bool) -> DimensionMove:
    """A reshape, or `in_memory` a bitcast, which keeps elements where they are in the layouts of both: dimensions in
    that order, cut where products are equal."""
    if not (source.is_array and result.is_array):
        return DimensionMove({}, source.dimensions if source.is_array else ())
    before, after = (each.minor_to_major[::-1] if in_memory else range(each.rank) for each in (source, result))
    olds = [d for d in before if source.dimensions[d] != 1]
    news = [d for d in after if result.dimensions[d] != 1]
    found: dict[int, int] = {}
    groups = []
    while olds and news:
        ours, theirs = [olds.pop(0)], [news.pop(0)]
        a, b = source.dimensions[ours[0]], result.dimensions[theirs[0]]
        while a != b and (olds if a < b else news):
            if a < b:
                ours.append(olds.pop(0))
                a *= source.dimensions[ours[-1]]
            else:
                theirs.append(news.pop(0))
                b *= result.dimensions[theirs[-1]]
        if a == b and len(ours) == len(theirs) == 1:
            found[ours[0]] = theirs[0]
        elif a == b:
            groups.append((frozenset(ours), frozenset(theirs)))
    return DimensionMove(found, source.dimensions, tuple(groups))


def unless(where: Conditions) -> Condition:
    """The condition that holds where those do not all hold."""
    if len(where) == 1:
        (only,) = where
        if isinstance(only, AtLeastZero):  # of integers, not (x >= 0) is -x - 1 >= 0
            return AtLeastZero(tuple((d, -factor) for d, factor in only.factors), -only.start - 1)
    return UNCERTAIN if UNCERTAIN in where else NotAll(where)


def _elsewhere(value: Value, move: DimensionMove) -> Value:
    to = move.to
    if isinstance(value, Indices):
        if value.factors is None or any(d not in to for d, _ in value.factors):
            return Indices(None)
        return Indices(tuple(sorted((to[d], factor) for d, factor in value.factors)), value.start)
    if isinstance(value, Masked):
        return Masked(value.fill, moved(value.where, move), value.inside)
    return value


def _somewhere(operands: list[Value]) -> Value:
    """What is masked, or made of indices, after its elements were moved."""
    for value in operands:
        if isinstance(value, Masked):
            return Masked(value.fill, NOWHERE)
    return Indices(None) if any(isinstance(value, Indices) for value in operands) else None


def _places_in_source(i: Instruction) -> dict[int, Along]:
    """Where what a slice or a reverse has stands in its operand."""
    source = i.operands[0].shape.dimensions
    if i.opcode == "reverse":
        return {d: Along(-1, source[d] - 1) for d in i.dims("dimensions")}
    bounds = zip(parse_slice(i.attribute("slice")), source, strict=True)
    return {d: Along(stride, start) for d, ((start, *_, stride), n) in enumerate(bounds) if i.shape.dimensions[d] != n}


def _at_places(value: Value, i: Instruction, along: dict[int, Along]) -> Value:
    """What is known of the elements of the first operand, where the result has those."""
    if isinstance(value, Masked):
        where = taken(value.where, along, i.operands[0].shape.dimensions, i.shape.dimensions)
        return Masked(value.fill, where, value.inside)
    if isinstance(value, Indices) and value.factors is not None:
        factors = {d: factor * (along[d].factor if d in along else 1) for d, factor in value.factors}
        start = sum(factor * along[d].start for d, factor in value.factors if d in along)
        return Indices(linear(factors), value.start + start)
    return value


def _padded(i: Instruction, operands: list[Value]) -> Value:
    source, fill = operands[0], operands[1]
    edges = parse_padding(i.attribute("padding"))
    known = source is None or (isinstance(source, Masked) and source.fill == fill)
    if not known or not isinstance(fill, float):
        return _somewhere(operands)
    if any(between for _, _, between in edges):
        return Masked(fill, NOWHERE)
    moved_source = _at_places(source, i, {d: Along(1, -low) for d, (low, _, _) in enumerate(edges) if low})
    where = set(moved_source.where) if isinstance(moved_source, Masked) else set()
    for d, (low, high, _) in enumerate(edges):
        if low > 0:
            where.add(AtLeastZero(((d, 1),), -low))
        if high > 0:
            where.add(AtLeastZero(((d, -1),), i.shape.dimensions[d] - high - 1))
    return Masked(fill, frozenset(where)) if where else None


def _compared(i: Instruction, operands: list[Value]) -> Value:
    direction = i.attribute("direction") or ""
    a, b = operands
    if isinstance(a, Indices | float) and isinstance(b, Indices | float):
        return _compared_indices(direction, a, b)
    for value, other, operand in ((a, b, i.operands[1]), (b, a, i.operands[0])):
        if isinstance(value, Indices) and other is None:
            return _compared_with_data(direction, value, operand)
    if isinstance(a, Masked) and isinstance(b, float) and direction in COMPARISONS:
        test = COMPARISONS[direction]
        return Masked(test(a.fill, b), a.where, None if a.inside is None else test(a.inside, b))
    return None


def _compared_indices(direction: str, a: Indices | float, b: Indices | float) -> Value:
    difference = _sum(a, b, -1)
    if not isinstance(difference, Indices) or difference.factors is None:
        return Masked(0.0, NOWHERE)
    factors, start = difference.factors, difference.start
    minus = tuple((d, -factor) for d, factor in factors)
    at_least, at_most = AtLeastZero(factors, start), AtLeastZero(minus, -start)
    equal: Conditions = frozenset({at_least, at_most})
    where: dict[str, Conditions] = {
        "GE": frozenset({at_least}),
        "GT": frozenset({AtLeastZero(factors, start - 1)}),
        "LE": frozenset({at_most}),
        "LT": frozenset({AtLeastZero(minus, -start - 1)}),
        "EQ": equal,
    }
    if direction == "NE":
        return Masked(1.0, equal, 0.0)
    return Masked(0.0, where[direction], 1.0) if direction in where else None


def _compared_with_data(direction: str, indices: Indices, data: Instruction) -> Value:
    """An index that is held to data that do not change along it: a one-hot."""
    fill = 1.0 if direction == "NE" else 0.0
    if direction in ("EQ", "NE") and indices.factors is not None and len(indices.factors) == 1:
        dimension = indices.factors[0][0]
        while data.opcode in ("convert", "copy"):
            data = data.operands[0]
        if data.opcode == "broadcast" and dimension not in data.dims("dimensions"):
            return Masked(fill, frozenset({OneFits(dimension, frozenset(data.dims("dimensions")))}))
    return Masked(fill, NOWHERE)


def _sum(a: Indices | float, b: Indices | float, sign: int) -> Value:
    one, other = (Indices((), int(v)) if isinstance(v, float) and v.is_integer() else v for v in (a, b))
    if not isinstance(one, Indices) or not isinstance(other, Indices):
        return Indices(None)
    if one.factors is None or other.factors is None:
        return Indices(None)
    form = dict(one.factors)
    for d, factor in other.factors:
        form[d] = form.get(d, 0) + sign * factor
    return Indices(linear(form), one.start + sign * other.start)


def _selected(predicate: Value, on_true: Value, on_false: Value) -> Value:
    if isinstance(predicate, float):
        return on_true if predicate else on_false
    if not isinstance(predicate, Masked):
        return _one_of(on_true, on_false)
    outside, inside = (on_true, on_false) if predicate.fill else (on_false, on_true)
    if predicate.inside is None or UNCERTAIN in predicate.where:
        fills = [v for v in (outside, inside) if isinstance(v, float)]
        if isinstance(outside, float) and UNCERTAIN not in predicate.where:
            return _within(predicate.where, outside, inside)
        return Masked(fills[0], NOWHERE) if fills else _somewhere([outside, inside])
    if isinstance(outside, float):
        return _within(predicate.where, outside, inside)
    if isinstance(inside, float):
        return _within(frozenset({unless(predicate.where)}), inside, outside)
    return _one_of(outside, inside)


def _within(where: Conditions, fill: float, inside: Value) -> Value:
    if isinstance(inside, Masked) and inside.fill == fill:
        return Masked(fill, where | inside.where, inside.inside)
    return Masked(fill, where, inside if isinstance(inside, float) else None)


def _one_of(a: Value, b: Value) -> Value:
    """Data decide which of two."""
    if a == b:
        return a
    for value, other in ((a, b), (b, a)):
        if isinstance(value, Masked) and (
            other == value.fill or (isinstance(other, Masked) and other.fill == value.fill)
        ):
            return Masked(value.fill, value.where if other == value.fill else NOWHERE)
    return None


def _computed(opcode: str, operands: list[Value]) -> Value:
    """An elementwise function of its operands."""
    if any(isinstance(value, Indices) for value in operands):
        return _of_indices(opcode, operands)
    absorbed = _absorbed(opcode, operands)
    if absorbed is not None:
        return absorbed
    function = _APPLIED.get(opcode)
    masks = [value for value in operands if isinstance(value, Masked)]
    if function is None or any(value is None for value in operands) or len({m.where for m in masks}) > 1:
        return None
    fill = function(*[v.fill if isinstance(v, Masked) else v for v in operands])
    if not masks:
        return fill
    inner = [v.inside if isinstance(v, Masked) else v for v in operands]
    return Masked(fill, masks[0].where, None if None in inner else function(*inner))


def _of_indices(opcode: str, operands: list[Value]) -> Value:
    if not all(isinstance(value, Indices | float) for value in operands):
        return None
    if opcode == "convert":
        return operands[0]
    if opcode in ("add", "subtract"):
        a, b = operands
        assert isinstance(a, Indices | float) and isinstance(b, Indices | float)
        return _sum(a, b, 1 if opcode == "add" else -1)
    for value, times in (operands, operands[::-1]) if opcode == "multiply" else ():
        if isinstance(value, Indices) and value.factors is not None and isinstance(times, float) and times.is_integer():
            factors = linear({d: n * int(times) for d, n in value.factors})
            return Indices(factors, value.start * int(times))
    return Indices(None)


def _absorbed(opcode: str, operands: list[Value]) -> Masked | None:
    """Where one operand decides the result alone: 0 in a product, false in an and, true in an or, and what masks
    subtract from scores."""
    fill = {"multiply": 0.0, "and": 0.0, "divide": 0.0, "or": 1.0}.get(opcode)
    if fill is not None:
        deciding = operands[:1] if opcode == "divide" else operands
        found = [each for v in deciding if isinstance(v, Masked) and (each := v.filled(fill)) is not None]
        if not found:
            return None
        where = frozenset().union(*(each.where for each in found))
        known = [each.inside if isinstance(each, Masked) else each for each in [*found, *_numbers(operands)]]
        whole = len(known) == len(operands) and None not in known and opcode != "divide"
        return Masked(fill, where, _APPLIED[opcode](*known) if whole else None)
    if opcode in ("add", "subtract"):
        low = [v for v in (operands if opcode == "add" else operands[:1]) if isinstance(v, Masked)]
        for value in low:
            lowest = value if value.fill <= SO_LOW else _turned(value)
            if lowest is not None and lowest.fill <= SO_LOW:
                return Masked(-math.inf, lowest.where)
    return None


def _turned(value: Masked) -> Masked | None:
    return None if value.inside is None else value.filled(value.inside)


def _numbers(operands: list[Value]) -> list[float]:
    return [value for value in operands if isinstance(value, float)]


def zeros(value: Value) -> Conditions:
    """The conditions outside of which an array is 0."""
    if isinstance(value, float):
        return ALWAYS if value else NOWHERE
    found = value.filled(0.0) if isinstance(value, Masked) else None
    return ALWAYS if found is None else found.where
