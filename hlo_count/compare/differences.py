"""What tells two instructions apart that do the same work."""

from __future__ import annotations

from hlo_count.compare.executed import Executed
from hlo_count.compare.match import Pair
from hlo_count.compare.reasons import Reason
from hlo_count.hlo.dtypes import DTYPES
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.shapes import Shape


def difference(pair: Pair) -> Reason:
    """Why two instructions that do the same work do not cost the same, or cost it in other words."""
    one, other = pair.before.instruction, pair.after.instruction
    if one.opcode != other.opcode:
        return Reason("rewritten", _called(pair.before), _called(pair.after))
    # Which operand of a fusion is which cannot be told.
    operands = zip(one.operands, other.operands, strict=False) if one.opcode != "fusion" else ()
    sides = [(one, other), *operands]
    for a, b in ((_type(a), _type(b)) for a, b in sides):
        if a is not None and b is not None and a != b:
            return Reason(cast(a, b), a, b)
    for a, b in sides:
        if _dims(a.shape) != _dims(b.shape):
            return Reason("shape changed", _dims(a.shape), _dims(b.shape))
    if _spaces(one) != _spaces(other):
        return Reason("memory space changed")
    if minor(one.shape) != minor(other.shape):
        return Reason("layout changed")
    return Reason("operands changed")


def cast(source: str, result: str) -> str:
    """What a conversion of dtypes is called."""
    if source not in DTYPES or result not in DTYPES or DTYPES[source].bits == DTYPES[result].bits:
        return "dtype changed"
    if DTYPES[source].is_integer != DTYPES[result].is_integer or "pred" in (source, result):
        return "dtype changed"
    return "upcast" if DTYPES[result].bits > DTYPES[source].bits else "downcast"


def minor(shape: Shape) -> tuple[int, ...]:
    """The order of the dimensions of its first array in memory."""
    leaf = shape.first_leaf
    return leaf.minor_to_major if leaf is not None else ()


def _called(item: Executed) -> str:
    if item.opcode != "custom-call":
        return item.opcode
    return (item.instruction.attribute("custom_call_target") or item.opcode).strip('"')


def _type(instruction: Instruction) -> str | None:
    leaf = instruction.shape.first_leaf
    return leaf.dtype if leaf is not None else None


def _dims(shape: Shape) -> str:
    leaf = shape.first_leaf
    return f"[{','.join(map(str, leaf.dimensions))}]" if leaf is not None else "()"


def _spaces(instruction: Instruction) -> tuple[int, set[int]]:
    return instruction.shape.memory_space, {operand.shape.memory_space for operand in instruction.operands}
