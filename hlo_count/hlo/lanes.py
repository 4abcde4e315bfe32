"""One lane of an array: what an instruction's operands show to it, and what it computes of them.

A `View` says for each dimension of an array which coordinate of the lane selects an element of it, or that the lane
sees it WHOLE. `vmap` of a loop makes a counter an array of counters, one for each lane, which do not meet.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hlo_count.hlo.opcodes import NAMES
from hlo_count.hlo.shapes import Shape

if TYPE_CHECKING:
    from hlo_count.hlo.instruction import Instruction

View = tuple[int, ...]
WHOLE = -1

_BOUNDS = re.compile(r"\[(\d+):(\d+)(?::(\d+))?\]", re.A)
_UNCHANGED = NAMES | {"copy"}
_Rule = tuple[tuple[object, ...], list[View]]


def every_lane(shape: Shape) -> View:
    """That of a lane of which there is one for each element."""
    return tuple(d if size > 1 else WHOLE for d, size in enumerate(shape.dimensions))


def asks_lanes(instruction: Instruction) -> str:
    """`or` or `and` for a reduction of all of a predicate by it: whether any, or all, of its elements hold; else ""."""
    if instruction.opcode != "reduce" or instruction.shape.dtype != "pred" or not instruction.shape.is_array:
        return ""
    reduced = set(instruction.dims("dimensions"))
    kept = [size for d, size in enumerate(instruction.operands[0].shape.dimensions) if d not in reduced]
    applied = _applied(instruction)
    return applied if applied in ("or", "and") and all(size == 1 for size in kept) else ""


def operand_view(i: Instruction, view: View | None) -> View | None:
    """What of its operand an instruction passes on to a lane with this view of it.

    None where there are no lanes, and where the operand's elements come in another order.
    """
    if view is None or not i.operands[0].shape.is_array:
        return None if view is None else view
    source = i.operands[0].shape
    if i.opcode in _UNCHANGED:
        return view
    if i.opcode == "broadcast":
        seen = _before_broadcast(i, view)
        return None if _whole(source, seen) else seen
    if i.opcode == "transpose":
        order = i.dims("dimensions")
        seen = tuple(view[order.index(d)] for d in range(source.rank))
        return seen if len(_whole(source, seen)) < 2 else None
    if i.opcode in ("reshape", "bitcast"):
        return _reshaped(source, i.shape, view, in_memory=i.opcode == "bitcast")
    return None


def same_elsewhere(i: Instruction, view: View) -> _Rule | None:
    """What a lane computes by an instruction that is no elementwise one: a key, the same for the same function of the
    operands, and the views of these. None where it is not known to be the lane's own affair."""
    opcode, shape = i.opcode, i.shape
    seen: tuple[object, ...] = (shape.dtype, shape.dimensions, view)
    if opcode == "constant":
        return None if "..." in i.operand_text else ((opcode, i.operand_text, *seen), [])
    if opcode == "iota":
        return (opcode, i.attribute("iota_dimension"), *seen), []
    if opcode == "broadcast":
        return (opcode, i.dims("dimensions"), *seen), [_before_broadcast(i, view)]
    if opcode == "slice":
        bounds = [(int(a), int(b), int(c or 1)) for a, b, c in _BOUNDS.findall(i.attribute("slice") or "")]
        source = i.operands[0].shape
        if len(bounds) != source.rank:
            return None
        for d, lane in enumerate(view):
            if lane != WHOLE and bounds[d] != (0, source.dimensions[d], 1):
                return None
        return (opcode, *bounds, *seen), [view]
    if opcode == "reduce" and len(i.operands) == 2:
        applied = _applied(i)
        reduced = i.dims("dimensions")
        kept = iter(view)
        source = i.operands[0].shape
        inner = tuple(WHOLE if d in reduced else next(kept) for d in range(source.rank))
        return ((opcode, applied, reduced, source.dimensions, *seen), [inner, ()]) if applied else None
    return None


def _applied(reduction: Instruction) -> str:
    """The opcode that a reduction applies to what it has and one more element; "" where it does more than one thing."""
    body = reduction.callee("to_apply")
    if body is None or len(body.parameters) != 2:
        return ""
    root = body.root
    return root.opcode if sorted(map(id, root.operands)) == sorted(map(id, body.parameters)) else ""


def _whole(shape: Shape, view: View) -> list[int]:
    """The dimensions of which a lane sees more than one element."""
    return [d for d, lane in enumerate(view) if lane == WHOLE and shape.dimensions[d] > 1]


def _before_broadcast(i: Instruction, view: View) -> View:
    sizes = i.operands[0].shape.dimensions
    return tuple(view[d] if size > 1 else WHOLE for d, size in zip(i.dims("dimensions"), sizes, strict=True))


def _reshaped(source: Shape, result: Shape, view: View, *, in_memory: bool) -> View | None:
    """Dimensions of size 1 come and go; the others keep their order, a bitcast's in the layout too."""
    before = [d for d, size in enumerate(source.dimensions) if size > 1]
    after = [d for d, size in enumerate(result.dimensions) if size > 1]
    if [source.dimensions[d] for d in before] != [result.dimensions[d] for d in after]:
        return None
    if in_memory and _order(source, before) != _order(result, after):
        return None
    seen = [WHOLE] * source.rank
    for d, e in zip(before, after, strict=True):
        seen[d] = view[e]
    return tuple(seen)


def _order(shape: Shape, dimensions: list[int]) -> list[int]:
    return [dimensions.index(d) for d in shape.minor_to_major if d in dimensions]
