"""What moves of an array that a kernel sees block by block: a block whose index stays is not moved again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from hlo_count.visitors.kernels.grid_steps import MOST_ELEMENTS
from hlo_count.visitors.kernels.intervals import Bound, Interval

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Elements:
    """Elements of an array that move: for certain and each once, as counted, and of those each once."""

    certain: int
    counted: int
    touched: int
    by_data: bool = False
    """Whether data choose the blocks: counted as another one wherever they may."""


def whole(size: int) -> Elements:
    """An array that moves once."""
    return Elements(size, size, size)


def blocks_moved(
    indices: Sequence[Interval],
    block: Sequence[int],
    array: Sequence[int],
    grid: Sequence[int],
    *,
    by_element: bool = False,
) -> Elements:
    """What moves over a grid, whose last dimension runs fastest, of an array of such sizes.

    `indices` count blocks along each dimension, elements where `by_element`. A block at the end moves what is left of
    it. Raises ValueError where the ranks differ, or the grid is too large to follow.
    """
    if not len(indices) == len(block) == len(array):
        raise ValueError(f"moves blocks of rank {len(block)} of an array of rank {len(array)}")
    grid = grid[: 1 + _last_axis(indices)]
    steps = prod(grid)
    if steps > MOST_ELEMENTS:
        raise ValueError(f"has a grid of {steps:,} steps, too many to follow")
    settled = all(index.is_known for index in indices)
    sizes = [_size(index, block[d], array[d], by_element) for d, index in enumerate(indices)]
    same = [_flat(index.low if index.is_known else 0, grid) for index in indices]
    moved, once = _moved(same, [least for least, _ in sizes], grid)
    if settled:
        return Elements(once, moved, once)
    # An index by data is as good as another one wherever what it depends on changes.
    other = [_flat(index.low, grid) if index.is_known else _places(index.low, grid) for index in indices]
    counted, touched = _moved(other, [most for _, most in sizes], grid)
    return Elements(once, counted, min(touched, prod(array)), by_data=True)


def _size(index: Interval, block: int, size: int, by_element: bool) -> tuple[Bound, Bound]:
    """The elements of a block along one dimension, at least and at most."""
    if index.is_known:
        left = size - index.low * (1 if by_element else block)
        if isinstance(left, int):
            return (max(0, min(left, block)),) * 2
        clipped = left.clip(0, block)
        return clipped, clipped
    return 1 if by_element else (size - 1) % block + 1, min(block, size)


def _moved(indices: Sequence[Array], sizes: Sequence[Bound], grid: Sequence[int]) -> tuple[int, int]:
    """Elements of the blocks that differ from those of the step before, and of all that differ at all."""
    import numpy as np

    ids = np.zeros(prod(grid), np.int64)
    for index in indices:
        _, numbered = np.unique(index, return_inverse=True)
        _, ids = np.unique(ids * (int(numbered.max(initial=0)) + 1) + numbered.reshape(-1), return_inverse=True)
    elements = np.ones(prod(grid), np.int64)
    for size in sizes:
        elements = elements * _flat(size, grid)
    changed = np.ones(len(ids), bool)
    changed[1:] = ids[1:] != ids[:-1]
    _, first = np.unique(ids, return_index=True)
    return int(elements[changed].sum()), int(elements[first].sum())


def _last_axis(indices: Sequence[Interval]) -> int:
    """The last dimension of the grid that an index depends on; -1 for none."""
    found = -1
    for index in indices:
        if not isinstance(index.low, int):
            found = max([found, *(n for n, size in enumerate(index.low.shape) if size > 1)])
    return found


def _flat(bound: Bound, grid: Sequence[int]) -> Array:
    """A bound at each step of the first dimensions of a grid, in their order."""
    import numpy as np

    array = np.asarray(bound, np.int64)
    shape = array.shape[: len(grid)] + (1,) * (len(grid) - array.ndim)
    return np.broadcast_to(array.reshape(shape), tuple(grid)).reshape(-1)


def _places(bound: Bound, grid: Sequence[int]) -> Array:
    """A number of its own for each place along the axes that a bound has."""
    import numpy as np

    shape = () if isinstance(bound, int) else bound.shape
    return _flat(np.arange(prod(shape), dtype=np.int64).reshape(shape), grid)
