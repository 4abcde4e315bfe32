"""Whether elements are of types that an opcode takes, after XLA's xla/service/shape_inference.cc."""

from __future__ import annotations

from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import OPCODES
from hlo_count.hlo.shapes import Shape

_COMPARED_AS = {
    "float": ("FLOAT", "TOTALORDER"),
    "complex": ("FLOAT",),
    "int": ("SIGNED",),
    "uint": ("UNSIGNED",),
    "pred": ("UNSIGNED",),
}
"""What `type=` of a comparison may say of elements of a kind."""


def type_problem(i: Instruction) -> str:
    """What is wrong with the types of an instruction's elements, in words that follow its name; "" where nothing is."""
    kinds = OPCODES[i.opcode].kinds
    taken = i.operands[0].shape if i.operands else i.shape
    if kinds and taken.is_array and taken.element_type.kind not in kinds:
        return f"is a {i.opcode} of {taken}, and takes elements of the kinds {', '.join(sorted(kinds))}"
    if i.opcode == "compare" and taken.is_array:
        said = i.attribute("type")
        if said is not None and said not in _COMPARED_AS[taken.element_type.kind]:
            return f"compares {taken} as {said}"
    if i.opcode == "select" and taken.is_array and taken.dtype != "pred":
        return f"chooses by {taken}, which is no pred"
    if i.opcode == "complex" and taken.dtype not in ("f32", "f64"):
        return f"makes complex numbers of {taken}"
    if i.opcode in ("gather", "scatter"):
        indices = i.operands[len(i.operands) // 2].shape
        if indices.is_array and not indices.element_type.is_integer:
            return f"takes {indices} as indices"
    return ""


def same_kind(one: Shape, other: Shape) -> bool:
    """Whether elements are of one type, or of two float types: XLA lets one stand for the other."""
    if not (one.is_array and other.is_array):
        return one.dtype == other.dtype
    return one.dtype == other.dtype or (one.element_type.is_float and other.element_type.is_float)
