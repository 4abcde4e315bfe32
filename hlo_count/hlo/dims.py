"""Dimensions as pairs of size and dynamic or not, and what becomes of them where arrays meet.

After the tables in XLA's xla/service/shape_inference.cc.
"""

from __future__ import annotations

from collections.abc import Sequence

from hlo_count.hlo.attributes import WindowDimension
from hlo_count.hlo.shapes import UNBOUNDED, Shape, array

Dimension = tuple[int, bool]
"""Size and whether it is dynamic; `?` is (UNBOUNDED, True)."""

# What two types meet in is the later one: by range first, then by precision (xla/primitive_util.cc).
_BY_RANGE = (
    "pred u1 s1 u2 s2 u4 s4 u8 s8 u16 s16 u32 s32 u64 s64 f4e2m1fn f6e2m3fn f8e3m4 f6e3m2fn f8e4m3b11fnuz f8e4m3fnuz "
    "f8e4m3 f8e4m3fn f8e5m2fnuz f8e5m2 f16 f8e8m0fnu bf16 f32 f64 c64 c128"
).split()


def dims_of(shape: Shape) -> list[Dimension]:
    """The dimensions of an array, major to minor as the text has them."""
    return list(zip(shape.dimensions, shape.dynamic or (False,) * shape.rank, strict=True))


def array_of(dtype: str, dims: Sequence[Dimension]) -> Shape:
    """An array of these dimensions, without a layout."""
    return array(dtype, tuple(size for size, _ in dims), tuple(dynamic for _, dynamic in dims))


def wider(one: str, other: str) -> str:
    """The element type that holds both best: the one of more range, then of more precision."""
    return max(one, other, key=_BY_RANGE.index)


def taken(shape: Shape, kept: Sequence[int], dtype: str = "") -> Shape:
    """Some dimensions of an array, in that order."""
    dims = dims_of(shape)
    return array_of(dtype or shape.dtype, [dims[d] for d in kept])


def met(one: Dimension, other: Dimension) -> Dimension:
    """What a dimension of size 1, `?`, or the same size becomes next to the other operand's."""
    if 1 in (one[0], other[0]):
        return other if one[0] == 1 else one
    return merged(one, other)


def merged(one: Dimension, other: Dimension) -> Dimension:
    """The same dimension of two arrays: `?` says less than any size, a size less than a bound."""
    if one[0] == other[0]:
        return one[0], one[1] or other[1]
    if UNBOUNDED not in (one[0], other[0]):
        raise ValueError(f"sizes {one[0]} and {other[0]} differ")
    return other if one[0] == UNBOUNDED else one


def concatenated(one: Dimension, other: Dimension) -> Dimension:
    """Both, one after the other."""
    if UNBOUNDED in (one[0], other[0]):
        return UNBOUNDED, True
    return one[0] + other[0], one[1] or other[1]


def windowed(dimension: Dimension, window: WindowDimension) -> Dimension:
    """As many as there are places of a window in it."""
    size, dynamic = dimension
    if size == UNBOUNDED:
        return dimension
    dilated = (size - 1) * window.base_dilation + 1 if size > 0 else 0
    padded = dilated + window.padding_low + window.padding_high
    reach = (window.size - 1) * window.window_dilation + 1
    return (padded - reach) // window.stride + 1 if padded >= reach else 0, dynamic
