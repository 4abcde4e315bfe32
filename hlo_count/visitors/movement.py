"""Opcodes that compute nothing: they move data, order work, or are names for other values."""

from __future__ import annotations

from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import having
from hlo_count.visitors.cost import ZERO, Cost
from hlo_count.visitors.registry import Body, rule


@rule(*sorted(having("movement", "communication", "control")))
def nothing(instruction: Instruction, body: Body) -> Cost:
    """0 operations: bytes and network bytes are counted elsewhere."""
    return ZERO
