"""Routines: code that runs at a pace of its own, far below any peak. Sorting, transposing, factorizing ...

No datasheet states these rates. Calibration measures them on the machine at hand, as its compiler and
libraries do the work, and an estimate takes them where a profile has them; a bound never does.
"""

from __future__ import annotations

from collections.abc import Iterator

from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import COMPUTING, MOVEMENT
from hlo_count.hlo.shapes import Shape
from hlo_count.visitors.cost import OP_COUNTERS, Cost
from hlo_count.visitors.walk import Walk
from hlo_count.visitors.window_reductions import window_applications

ROUTINES = (
    *("sort", "top_k", "fft", "linalg", "convolution", "grouped_convolution", "batched_matmul"),
    *("reduce_window", "reduce_tuple", "transpose", "fused_transpose"),
)
"""`sort` to `batched_matmul` by the operations counted; `reduce_window` by the operations of
its windows; `reduce_tuple` (reductions of several arrays in step, such as argmax) by the elements that go in;
`transpose` by the elements of what is transposed or copied into another layout alone, `fused_transpose` by those
of what is so in the middle of other operations."""

_ONLY_MOVING = frozenset(("parameter", "transpose", "copy", "bitcast"))
_NO_ROUTINE = (COMPUTING | MOVEMENT) - {"transpose", "copy"}
"""Opcodes whose operations are of no class that a routine runs."""
_BY_CLASS = frozenset(("sort", "fft", "linalg", "convolution"))


def routines_of(walk: Walk, kernel: Instruction) -> Iterator[tuple[Instruction, str, int]]:
    """The instructions of a kernel that are a routine's, with its name and how much work each is."""
    callee = kernel.callee("calls") if kernel.opcode == "fusion" else None
    if callee is not None and callee.opcodes <= _NO_ROUTINE:
        return
    inside = [kernel] if callee is None else callee.instructions
    alone = {i.opcode for i in inside} <= _ONLY_MOVING
    for instruction in inside:
        if instruction.opcode in _NO_ROUTINE:
            continue
        if instruction.opcode in ("transpose", "copy"):
            if _turns(instruction):
                yield instruction, "transpose" if alone else "fused_transpose", instruction.shape.size
            continue
        found = _routine_of(instruction, walk.cost_of(instruction, False))
        if found is not None and found[1]:
            yield instruction, *found


def _routine_of(instruction: Instruction, cost: Cost) -> tuple[str, int] | None:
    opcode = instruction.opcode
    if opcode == "reduce-window":  # one that is a reduction runs as a reduction does
        return ("reduce_window", _operations(cost)) if window_applications(instruction).windows else None
    if opcode == "reduce":
        return ("reduce_tuple", instruction.operands[0].shape.size) if instruction.shape.is_tuple else None
    if opcode == "dot":
        batched = bool(instruction.dims("lhs_batch_dims"))
        return ("batched_matmul", _operations(cost)) if batched else None
    if opcode == "convolution":  # one of a single tap too, whose operations count as a matmul's
        grouped = int(instruction.attribute("feature_group_count") or 1) > 1
        return "grouped_convolution" if grouped else "convolution", _operations(cost)
    found = next((key[1] for key in cost.amounts if key[0] in OP_COUNTERS and key[1] in _BY_CLASS), None)
    if found == "sort" and opcode != "sort":
        found = "top_k"
    return None if found is None else (found, _operations(cost))


def _operations(cost: Cost) -> int:
    return sum(n for key, n in cost.amounts.items() if key[0] in OP_COUNTERS)


def _turns(instruction: Instruction) -> bool:
    """Whether neighbours in memory are no neighbours afterwards: another dimension becomes the innermost."""
    source, result = instruction.operands[0].shape, instruction.shape
    if not source.is_array or min(source.rank, result.rank) < 2:
        return False
    moved = instruction.dims("dimensions") if instruction.opcode == "transpose" else range(result.rank)
    inner = _innermost(result)
    return inner is not None and moved[inner] != _innermost(source)


def _innermost(shape: Shape) -> int | None:
    """The dimension whose elements are neighbours; those of one element do not count."""
    return next((d for d in shape.minor_to_major if shape.dimensions[d] > 1), None)
