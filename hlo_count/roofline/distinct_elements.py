"""Which elements of the arrays inside a fusion are copies of others, whatever the data: an operation on a broadcast
value is done once for all of them."""

from __future__ import annotations

from functools import lru_cache
from math import prod

from hlo_count.hlo.computation import Computation
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import ELEMENTWISE, MOVEMENT
from hlo_count.visitors.window_reductions import reduced_dimensions

_COPYING = frozenset("broadcast iota reduce-window".split())


def distinct_parts(computation: Computation) -> dict[Instruction, float]:
    """The fraction of the elements that each instruction computes, of what a reduction takes, that are not copies of
    others: of those of which that is not 1."""
    found: dict[Instruction, float] = {}
    if not computation.opcodes & _COPYING:
        return found
    varying: list[frozenset[int]] = []
    for instruction in computation.instructions:
        along = _varying(instruction, varying)
        varying.append(along)
        asked = instruction
        if instruction.opcode in ("reduce", "reduce-window"):
            asked = instruction.operands[0]
            along = varying[asked.index]
        shape = asked.shape
        if instruction.opcode not in MOVEMENT and len(along) != len(shape.dimensions) and shape.is_array and shape.size:
            part = prod(shape.dimensions[d] for d in along) / shape.size
            if part != 1:
                found[instruction] = part
    return found


def _varying(instruction: Instruction, known: list[frozenset[int]]) -> frozenset[int]:
    """The dimensions along which its elements may differ; `known` those of what stands before it."""
    opcode, shape = instruction.opcode, instruction.shape
    if opcode in ELEMENTWISE:
        operands = instruction.operands
        found = known[operands[0].index]
        for operand in operands[1:]:
            other = known[operand.index]
            if other is not found and not other <= found:
                found |= other
        return found
    if opcode == "iota":
        return frozenset(instruction.dims("iota_dimension"))
    if opcode == "broadcast":
        source = known[instruction.operands[0].index]
        return frozenset([d for n, d in enumerate(instruction.dims("dimensions")) if n in source])
    if opcode == "transpose":
        source = known[instruction.operands[0].index]
        return frozenset([n for n, d in enumerate(instruction.dims("dimensions")) if d in source])
    if opcode == "reduce-window":
        return _all_dimensions(shape.rank) - reduced_dimensions(instruction) if shape.is_array else frozenset()
    if opcode in ("bitcast", "reshape") and instruction.operands[0].shape.is_array:
        operand = instruction.operands[0]
        if len(known[operand.index]) != operand.shape.rank:
            return frozenset()
    return _all_dimensions(shape.rank) if shape.is_array else frozenset()


@lru_cache(maxsize=1024)
def _all_dimensions(rank: int) -> frozenset[int]:
    return frozenset(range(rank))
