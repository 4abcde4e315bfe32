"""The shape of what is computed element by element, of operands that may differ in size, type and layout."""

from __future__ import annotations

from dataclasses import replace

from hlo_count.hlo.dims import array_of, dims_of, merged, met, wider
from hlo_count.hlo.dtypes import DTYPES
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.shapes import UNBOUNDED, Shape


def broadcast_together(i: Instruction) -> Shape:
    """Laid out as the left one where both have the same sizes, else size 1 and scalars give way to the other."""
    lhs, rhs = i.operands[0].shape, i.operands[1].shape
    dtype = wider(lhs.dtype, rhs.dtype)
    if lhs.dimensions == rhs.dimensions and UNBOUNDED not in lhs.dimensions:
        return retyped(marked_dynamic(lhs, rhs), dtype)
    if lhs.rank != rhs.rank:
        if lhs.rank and rhs.rank:
            raise ValueError(f"{lhs} and {rhs} differ in rank")
        return array_of(dtype, dims_of(lhs) or dims_of(rhs))
    return array_of(dtype, [met(*pair) for pair in zip(dims_of(lhs), dims_of(rhs), strict=True)])


def marked_dynamic(shape: Shape, *others: Shape) -> Shape:
    """The shape, dynamic wherever it or another of the same rank is."""
    shapes = [s for s in (shape, *others) if s.dynamic and s.rank == shape.rank]
    if not shapes:
        return shape
    return replace(shape, dynamic=tuple(map(any, zip(*(s.dynamic for s in shapes), strict=True))))


def select_shape(i: Instruction) -> Shape:
    """Laid out as its predicate is, unless that is a scalar, with elements of as many bits as the first choice has."""
    predicate, yes, no = (operand.shape for operand in i.operands[:3])
    shape = predicate if predicate.rank else yes
    dims = [
        (size, dynamic or (marked and UNBOUNDED not in (one[0], other[0])))
        for (_, marked), one, other in zip(dims_of(shape), dims_of(yes), dims_of(no), strict=True)
        for size, dynamic in [merged(one, other)]
    ]
    result = replace(array_of(wider(yes.dtype, no.dtype), dims), layout=shape.layout)
    return result.with_element_bits(yes.layout.element_bits if yes.layout is not None else None)


def is_finite_shape(i: Instruction) -> Shape:
    return retyped(i.operands[0].shape, "pred")


def compare_shape(i: Instruction) -> Shape:
    return retyped(broadcast_together(i), "pred")


def retyped(shape: Shape, dtype: str) -> Shape:
    """The same array of another element type: an `E(n)` stays only where that takes less than a byte."""
    shape = replace(shape, dtype=dtype)
    return shape.with_element_bits(None) if DTYPES[dtype].bits >= 8 else shape


def complex_shape(i: Instruction) -> Shape:
    shape = broadcast_together(i)
    return retyped(shape, "c128" if shape.dtype == "f64" else "c64")


def real_shape(i: Instruction) -> Shape:
    shape = i.operands[0].shape
    return retyped(shape, shape.element_type.real) if shape.element_type.is_complex else shape
