"""Attributes that number dimensions, `dimensions={0,2}`: whether these are there, and how they are told."""

from __future__ import annotations

from collections.abc import Sequence

from hlo_count.hlo.shapes import Shape


def expect_within(name: str, dims: Sequence[int], of: Shape | int, *, ordered: bool = False) -> None:
    """Raise ValueError unless each is a dimension of a shape, or of so many dimensions, and none stands twice."""
    rank = of if isinstance(of, int) else of.rank
    if len(set(dims)) < len(dims) or any(not 0 <= d < rank for d in dims) or (ordered and sorted(dims) != list(dims)):
        raise ValueError(f"{name}={in_braces(dims)} of {f'{of} dimensions' if isinstance(of, int) else of}")


def in_braces(numbers: Sequence[int]) -> str:
    """`{0,2}`, as attributes are written."""
    return f"{{{','.join(map(str, numbers))}}}"
