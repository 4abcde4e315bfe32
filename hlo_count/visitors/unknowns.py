"""What could not be told, and what a user can do about it."""

from __future__ import annotations

from dataclasses import dataclass

from hlo_count.hlo.instruction import Instruction
from hlo_count.visitors.cost import Status


@dataclass(frozen=True, slots=True)
class Unknown:
    """One instruction whose cost is not fully known: why, what was counted instead, and how to settle it."""

    instruction: str
    what: str
    """Its opcode, with the target of a custom call."""
    source: str
    """The user's `file:line`, "" where the text has none."""
    op_name: str
    reason: str
    remedy: str
    status: Status = "lower bound"

    def __str__(self) -> str:
        place = f" ({self.source})" if self.source else ""
        return f"{self.instruction}{place} {self.reason}. Settle it: {self.remedy}"


def unknown_of(instruction: Instruction, reason: str, remedy: str, status: Status = "lower bound") -> Unknown:
    from hlo_count.hlo.attributes import unquote

    metadata = instruction.metadata
    what = instruction.opcode
    target = instruction.attribute("custom_call_target")
    if target is not None:
        what = f"custom-call {unquote(target)}"
    return Unknown(instruction.name, what, metadata.source, metadata.op_name, reason, remedy, status)


def signature(instruction: Instruction) -> str:
    """`(f32[8], s32[]) -> f32[8]`: operand and result shapes, without layouts."""
    from hlo_count.hlo.computation import bare_shape

    operands = ", ".join(bare_shape(operand.shape) for operand in instruction.operands)
    return f"({operands}) -> {bare_shape(instruction.shape)}"
