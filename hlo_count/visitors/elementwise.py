"""Rules for elementwise opcodes: one operation of some kind for each element of the output."""

from __future__ import annotations

from functools import lru_cache

from hlo_count.hlo.dtypes import DTYPES, DType
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import COMPUTING, TRANSCENDENTAL
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.registry import Body, rule

_ARITHMETIC = {
    "add": ("add", 1),
    "subtract": ("add", 1),
    "multiply": ("multiply", 1),
    "divide": ("divide", 1),
    "remainder": ("divide", 1),
    "maximum": ("minmax", 1),
    "minimum": ("minmax", 1),
    "clamp": ("minmax", 2),
}
"""Opcode: (op class, operations an element)."""
_COMPLEX = {"add": 2, "subtract": 2, "multiply": 6, "divide": 11}
"""Real operations of one on complex numbers."""
_OTHER = {
    "compare": "compare",
    "select": "select",
    **dict.fromkeys(("convert", "stochastic-convert", "reduce-precision"), "convert"),
    **dict.fromkeys(("negate abs sign floor ceil round-nearest-afz round-nearest-even is-finite").split(), "sign"),
}
_BITWISE = ("and", "or", "xor", "not")


@lru_cache(maxsize=4096)
def elementwise_cost(opcode: str, dtype: str, elements: int) -> Cost:
    """`elements` times what `opcode` does on one element of `dtype`."""
    kind: DType = DTYPES[dtype]
    if opcode in TRANSCENDENTAL and not kind.is_integer:
        return Cost.ops("transcendentals", elements, "transcendental", dtype, "special")
    if opcode in _BITWISE and kind.kind == "pred":
        return Cost.ops("other_ops", elements, "compare", dtype)
    if opcode in _OTHER:
        return Cost.ops("other_ops", elements, _OTHER[opcode], dtype)
    if opcode in _ARITHMETIC:
        op_class, each = _ARITHMETIC[opcode]
        if kind.kind == "pred":
            return Cost.ops("other_ops", each * elements, "compare", dtype)
        if kind.is_integer:
            return Cost.ops("int_ops", each * elements, "integer", dtype)
        each = _COMPLEX.get(opcode, each) if kind.is_complex else each
        return Cost.ops("flops", each * elements, op_class, dtype)
    return Cost.ops("int_ops", elements, "integer", dtype)


@rule(*sorted(COMPUTING))
def elementwise(instruction: Instruction, body: Body) -> Cost:
    """N of one kind: arithmetic by the dtype, transcendental evaluations, or other operations."""
    return elementwise_cost(instruction.opcode, instruction.shape.dtype, instruction.shape.size)


@rule("bitcast-convert")
def bitcast_convert(instruction: Instruction, body: Body) -> Cost:
    """N between element sizes; nothing between types of one size."""
    source, result = instruction.operands[0].shape, instruction.shape
    if source.element_type.bits == result.element_type.bits:
        return Cost()
    return Cost.ops("other_ops", result.size, "convert", result.dtype)
