"""Sizes as XLA's cost analysis for CPU takes them: of the elements and pointers, never of tiles."""

from __future__ import annotations

from math import prod

from hlo_count.hlo import Instruction, Shape
from hlo_count.hlo.dtypes import DTYPES
from hlo_count.visitors.xla.float32 import int64

_POINTER = 8
_STORED = {name: dtype.stored_bytes for name, dtype in DTYPES.items()}


def elements(shape: Shape) -> int:
    """Elements of an array, a dynamic dimension at its bound, `?` as the number that XLA marks it with."""
    leaf = shape if shape.is_array else shape.first_leaf
    return int64(prod(leaf.dimensions)) if leaf is not None else 0


def shape_size(shape: Shape) -> int:
    """Bytes of an array; of a tuple, its table of pointers (`CpuExecutable::ShapeSizeBytes`).

    Sub-byte elements take a byte each unless the layout says `E(n)`; an array with a dynamic dimension
    carries 4 bytes for the size of each of its dimensions.
    """
    dtype = shape.dtype
    if dtype == "tuple":
        return _POINTER * len(shape.elements)
    if dtype == "buffer":
        return shape_size(shape.elements[0])
    if dtype == "opaque":
        return _POINTER
    layout = shape.layout
    if layout is not None and layout.element_bits:
        size = -(-int64(elements(shape) * layout.element_bits) // 8)
    else:
        size = int64(elements(shape) * _STORED[dtype])
    return size + 4 * len(shape.dimensions) if shape.dynamic else size


def value_size(instruction: Instruction) -> int:
    """Bytes of what an instruction gives; a constant's literal has no `E(n)`, whatever the layout says."""
    shape = instruction.shape
    if instruction.opcode == "constant" and shape.layout is not None and shape.layout.element_bits:
        return int64(elements(shape) * _STORED[shape.dtype])
    return shape_size(shape)


def leaf_sizes(shape: Shape) -> list[int]:
    """Bytes of each leaf, tokens (0) included."""
    if shape.dtype == "tuple":
        return [shape_size(leaf) for leaf in shape.leaves]
    return [shape_size(shape)]


def array_leaves(shape: Shape) -> list[Shape]:
    return [leaf for leaf in shape.leaves if leaf.is_array]
