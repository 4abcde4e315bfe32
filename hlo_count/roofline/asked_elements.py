"""What an instruction asks of its operands, where of itself the elements are asked that meet some conditions.

It is asked for one of two uses. What another kernel stores is there whole but for what masks of indices throw away.
Inside a fusion a compiler evaluates the elements that something asks for (`lazily`): what a slice does not take is
never computed, and of a select only the side that was chosen.
"""

from __future__ import annotations

from itertools import accumulate
from math import prod

from hlo_count.hlo.attributes import parse_padding, parse_slice, parse_window
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import COPIES, ELEMENTWISE, LEAVES, NAMES, WINDOWED
from hlo_count.roofline.contraction_places import places, product_shape
from hlo_count.roofline.index_conditions import (
    ALWAYS,
    CHOSEN_BY_DATA,
    NOWHERE,
    Along,
    AtLeastZero,
    Conditions,
    DimensionMove,
    Part,
    certain_share,
    dimensions_of,
    moved,
    projected,
    taken,
)
from hlo_count.roofline.structural_values import SO_LOW, Masked, Value, reshaping, unless, zeros

_AS_IT_IS = (
    (ELEMENTWISE - {"bitcast-convert"})
    | NAMES
    | COPIES
    | frozenset("all-reduce all-reduce-start all-reduce-done collective-permute".split())
)
_ABSORBING = frozenset("multiply add".split())
_WINDOWED = WINDOWED - {"select-and-scatter", "convolution"}
PASSES_ALL = _AS_IT_IS - {"select"} | frozenset(
    "bitcast bitcast-convert broadcast reduce reshape reverse transpose tuple get-tuple-element concatenate dot "
    "scaled-dot all-gather reduce-scatter all-to-all".split()
)
"""Opcodes that ask all of their operands where all is asked of them, inside a fusion too."""
EITHER_WAY = LEAVES | PASSES_ALL
"""Opcodes that ask as much of their operands inside a fusion as outside."""


def asked_of_operands(
    i: Instruction, known: list[Value], asked: Conditions, *, lazily: bool = False
) -> list[Conditions]:
    """What is asked of each operand of an instruction that calls nothing; `known` is what is known of them."""
    operands, opcode = i.operands, i.opcode
    if opcode == "select" and len(operands) == 3:
        return [asked, *(asked | _where(known[0], side, lazily) for side in (1.0, 0.0))]
    if opcode in _AS_IT_IS:
        if opcode not in _ABSORBING:
            return [asked] * len(operands)
        return [asked | _unless_absorbed(opcode, known, n) for n in range(len(operands))]
    if opcode == "transpose":
        return [moved(asked, DimensionMove(dict(enumerate(i.dims("dimensions"))), i.shape.dimensions))]
    if opcode in ("reshape", "bitcast"):
        return [moved(asked, reshaping(i.shape, operands[0].shape, in_memory=opcode == "bitcast"))]
    if opcode == "broadcast":
        place = {at: d for d, at in enumerate(i.dims("dimensions"))}
        return [projected(asked, place, i.shape.dimensions)]
    if opcode == "reduce":
        return _of_reduce(i, asked)
    if opcode in _MOVED:
        return _of_moved(i, asked, lazily)
    if opcode in ("dot", "scaled-dot", "convolution", "custom-call"):
        found = _of_product(i, known, asked, lazily)
        if found is not None:
            return found
    if not asked and (not lazily or opcode in PASSES_ALL or (opcode in _WINDOWED and _covers(i))):
        return [ALWAYS] * len(operands)
    return [NOWHERE] * len(operands)


def _where(predicate: Value, side: float, lazily: bool) -> Conditions:
    """The conditions that elements meet for which a predicate may be `side`; `lazily`, for which it must be."""
    if isinstance(predicate, float):
        return ALWAYS if predicate == side else NOWHERE
    if not isinstance(predicate, Masked):
        return frozenset({CHOSEN_BY_DATA}) if lazily else ALWAYS
    found = predicate.filled(1.0 - side)
    if not lazily:
        return ALWAYS if found is None else found.where
    if predicate.fill == side:  # and perhaps elsewhere, if data make it so
        return frozenset({unless(predicate.where)})
    return predicate.where if predicate.inside == side else predicate.where | {CHOSEN_BY_DATA}


def _unless_absorbed(opcode: str, known: list[Value], number: int) -> Conditions:
    """Where the other operand of a product or sum leaves one a say."""
    other = known[1 - number]
    if opcode == "multiply":
        return zeros(other)
    return other.where if isinstance(other, Masked) and other.fill <= SO_LOW else ALWAYS


def _of_reduce(i: Instruction, asked: Conditions) -> list[Conditions]:
    """All that is reduced for an element; of the value to begin with, one for all."""
    number = len(i.operands) // 2
    reduced = i.dims("dimensions")
    kept = [d for d in range(i.operands[0].shape.rank) if d not in reduced]
    sizes = product_shape(i).dimensions
    of_each = moved(asked, DimensionMove(dict(enumerate(kept)), sizes))
    return [of_each] * number + [projected(asked, {}, sizes)] * (len(i.operands) - number)


# Parts of other arrays


def _of_moved(i: Instruction, asked: Conditions, lazily: bool) -> list[Conditions]:
    operands, opcode = i.operands, i.opcode
    sizes, source = i.shape.dimensions, operands[0].shape.dimensions
    whole = ALWAYS if not asked and not lazily else NOWHERE
    if opcode == "reverse":
        return [taken(asked, {d: Along(-1, sizes[d] - 1) for d in i.dims("dimensions")}, sizes, source)]
    if opcode == "concatenate":
        (at,) = i.dims("dimensions")
        starts = accumulate((operand.shape.dimensions[at] for operand in operands[:-1]), initial=0)
        return [
            taken(asked, {at: Along(1, start)}, sizes, operand.shape.dimensions)
            for operand, start in zip(operands, starts, strict=True)
        ]
    if opcode == "pad":
        return [taken(asked, _padding(i), sizes, source, within=lazily), whole]
    if opcode == "dynamic-update-slice":
        update = operands[1].shape.dimensions
        somewhere = {d: Along(0, 0) for d, size in enumerate(update) if size != sizes[d]}
        left = asked if not lazily else _beside(asked, prod(update) / max(1, prod(sizes)), sizes)
        return [left, taken(asked, somewhere, sizes, update), *[ALWAYS if not asked else NOWHERE] * (len(operands) - 2)]
    at_once = projected(asked, {}, sizes)
    return [taken(asked, _slice(i), sizes, source, within=lazily), *[at_once] * (len(operands) - 1)]


_MOVED = frozenset("slice dynamic-slice reverse concatenate pad dynamic-update-slice".split())


def _slice(i: Instruction) -> dict[int, Along]:
    """The dimensions of which a slice takes a part."""
    sizes, source = i.shape.dimensions, i.operands[0].shape.dimensions
    found = {d: Along(0, 0, (Part(frozenset({d}), sizes[d] / n),)) for d, n in enumerate(source) if sizes[d] != n}
    if i.opcode == "slice":
        for d, (start, limit, stride) in enumerate(parse_slice(i.attribute("slice"))):
            if stride == 1 and d in found:
                inside = AtLeastZero(((d, 1),), -start), AtLeastZero(((d, -1),), limit - 1)
                found[d] = Along(1, -start, inside)
    return found


def _padding(i: Instruction) -> dict[int, Along]:
    found = {}
    for d, (low, high, between) in enumerate(parse_padding(i.attribute("padding"))):
        cut = []
        if low < 0:
            cut.append(AtLeastZero(((d, between + 1),), low))
        if high < 0:
            cut.append(AtLeastZero(((d, -between - 1),), i.shape.dimensions[d] - 1 - low))
        if low or high or between:
            found[d] = Along(between + 1, low, tuple(cut))
    return found


def _beside(asked: Conditions, part: float, sizes: tuple[int, ...]) -> Conditions:
    """What is asked outside of a part at a place that is not known."""
    left = certain_share(asked - {CHOSEN_BY_DATA}, sizes) - part
    if left <= 0:
        return NOWHERE
    return frozenset({Part(frozenset(range(len(sizes))), left)}) | (asked & {CHOSEN_BY_DATA})


# Products


def _of_product(i: Instruction, known: list[Value], asked: Conditions, lazily: bool) -> list[Conditions] | None:
    """Of each operand what a multiplication that is asked for takes, and not with zeros of the other one; None where
    nothing is known of how it does."""
    found = places(i)
    if found is None or (found.windowed and (lazily or found.windowed & dimensions_of(asked))):
        return None
    each = []
    for place, other in ((found.lhs, 1), (found.rhs, 0)):
        there = found.rhs if other else found.lhs
        conditions = asked | moved(zeros(known[other]), DimensionMove(there, i.operands[other].shape.dimensions))
        each.append(projected(conditions, {at: d for d, at in place.items()}, found.sizes))
    return [*each, *[ALWAYS if not asked else NOWHERE] * (len(i.operands) - 2)]


def share_of_product(i: Instruction, known: list[Value], asked: Conditions) -> float:
    """The least fraction of the multiplications of a product that are for what is asked and not with zeros."""
    found = places(i)
    if found is not None and found.windowed & dimensions_of(asked):
        return 0.0  # at edges windows hold less
    if found is None:
        masked = any(
            zeros(value) for operand, value in zip(i.operands, known, strict=True)
            if operand.shape.is_array and operand.shape.element_type.is_float
        )  # fmt: skip
        return 0.0 if masked or asked else 1.0
    conditions = asked
    for place, operand, value in zip((found.lhs, found.rhs), i.operands, known, strict=False):
        conditions |= moved(zeros(value), DimensionMove(place, operand.shape.dimensions))
    return certain_share(conditions, found.sizes)


def _covers(instruction: Instruction) -> bool:
    """Whether the windows of an instruction leave no element of its input out."""
    windows = parse_window(instruction.attribute("window"))
    return all(
        w.padding_low >= 0 <= w.padding_high and w.stride == 1 and w.base_dilation == 1 and w.window_dilation == 1
        for w in windows
    )
