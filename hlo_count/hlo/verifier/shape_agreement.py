"""Whether shapes agree: sizes and types of elements, not layouts."""

from __future__ import annotations

from hlo_count.hlo.shapes import UNBOUNDED, Shape


def fits(one: Shape, other: Shape, *, rounded: bool = False) -> bool:
    """Whether a value of one shape may stand where the other is stated: sizes and types of elements, not layouts.

    With `rounded` any float type may stand for any other.
    """
    if one is other:
        return True
    if one.elements or other.elements or one.is_tuple or other.is_tuple:
        same = one.dtype == other.dtype and len(one.elements) == len(other.elements)
        return same and all(
            fits(*elements, rounded=rounded) for elements in zip(one.elements, other.elements, strict=True)
        )
    if one.dtype != other.dtype and not (rounded and are_floats(one, other)):
        return False
    return one.is_unbounded or other.is_unbounded or one.dimensions == other.dimensions


def are_floats(*shapes: Shape) -> bool:
    return all(shape.is_array and shape.element_type.is_float for shape in shapes)


def is_known(*shapes: Shape) -> bool:
    return all(shape.is_array and not shape.is_unbounded for shape in shapes)


def sizes_agree(one: Shape, other: Shape) -> bool:
    """Dimension by dimension, where both sizes are known."""
    return len(one.dimensions) == len(other.dimensions) and all(map(size_agrees, one.dimensions, other.dimensions))


def size_agrees(one: int, other: int) -> bool:
    return one == other or UNBOUNDED in (one, other)
