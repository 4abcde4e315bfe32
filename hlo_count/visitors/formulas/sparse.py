"""Sparse matrices of cuSPARSE and hipSPARSE, by the entries that are stored."""

from __future__ import annotations

from hlo_count.hlo.instruction import Instruction
from hlo_count.visitors.contractions import contraction_dtype
from hlo_count.visitors.cost import FLOP_PER_FMA, Cost
from hlo_count.visitors.formulas.reading import missing, operand, result
from hlo_count.visitors.registry import custom_call


def _targets(operation: str) -> list[str]:
    return [
        f"{vendor}sparse_{layout}_{operation}{suffix}"
        for vendor in ("cu", "hip")
        for layout in ("csr", "coo")
        for suffix in ("", "_ffi")
    ]


@custom_call(*_targets("matvec"), *_targets("matmat"))
def sparse_product(instruction: Instruction) -> Cost:
    """2 · stored entries · columns of the result, of data, two arrays of indices, the dense side (JAX)."""
    data, dense, product = operand(instruction, 0), operand(instruction, 3), result(instruction)
    columns = product.dimensions[-1] if product.rank >= 2 else 1
    each = FLOP_PER_FMA * (4 if data.element_type.is_complex else 1)
    counter = "int_ops" if data.element_type.is_integer else "flops"
    return Cost.ops(counter, each * data.size * columns, "matmul", contraction_dtype(data, dense))


@custom_call(*_targets("todense"), *_targets("fromdense"))
def convert(instruction: Instruction) -> Cost:
    """Bytes only: entries put in their places, or found."""
    return Cost()


@custom_call("cusolver_csrlsvqr", "cusolver_csrlsvqr_ffi")
def sparse_solve(instruction: Instruction) -> Cost:
    """Not known: the fill-in of a sparse QR depends on where the entries are."""
    raise missing(instruction, "whose fill-in depends on where the entries are")
