"""Shapes of results that the text leaves out, from the operands: what XLA's shape inference would say.

Hand-written HLO may omit them. Texts that XLA prints never do, except that a `send`, a `recv` and some others always
have the shape that their operands give, whatever the text says.
"""

from __future__ import annotations

from hlo_count.errors import HloCountError
from hlo_count.hlo.depth import post_order
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.hlo.opcodes import HOST
from hlo_count.hlo.shape_rules import SHAPE_RULES
from hlo_count.hlo.shapes import MOST_NESTED

RECOMPUTED = HOST | {"add-dependency"}
"""Opcodes whose shape is that which their operands give, whatever the text says."""
_MOST_LEAVES = 100_000
"""Arrays in a tuple whose shape the text leaves out: each line may double them, and none is as long as what it says."""


def settle_shapes(module: Module) -> None:
    """Give every instruction its shape. Raises HloCountError where the operands do not settle it."""
    for computation in module.computations.values():
        if computation.is_printed and computation.opcodes.isdisjoint(RECOMPUTED):
            continue
        for instruction in computation.instructions:
            if instruction.shape is None or instruction.opcode in RECOMPUTED:
                for each in post_order(instruction, _without_shape):
                    _settle(each)


def _without_shape(instruction: Instruction) -> list[Instruction]:
    """What must have a shape before it: operands, and what the computations that it calls give."""
    below = (*instruction.operands, *(callee.root for _, callee in instruction.called))
    return [each for each in below if each.shape is None]


def _settle(instruction: Instruction) -> None:
    rule = SHAPE_RULES.get(instruction.opcode)
    if rule is None:
        raise HloCountError(
            f"{instruction.place}: {instruction.name} has no "
            f"shape, and that of a {instruction.opcode} does not follow from its operands; write it out"
        )
    try:
        shape = rule(instruction)
    except (KeyError, IndexError, ValueError) as problem:
        raise HloCountError(
            f"{instruction.place}: the shape of "
            f"{instruction.name} does not follow from its operands ({problem}); write it out"
        ) from problem
    if shape.depth > MOST_NESTED:
        raise HloCountError(f"{instruction.place}: in {instruction.name} tuples nest more than {MOST_NESTED} deep")
    if shape.num_leaves > _MOST_LEAVES:
        raise HloCountError(
            f"{instruction.place}: {instruction.name} is a tuple of {shape.num_leaves:,} arrays, more than the "
            f"{_MOST_LEAVES:,} that are followed"
        )
    instruction.shape = shape
