"""The steps of a kernel: those of its grid, times the trips of the loops around what runs."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from hlo_count.visitors.kernels.intervals import Bound, Interval, known

MOST_ELEMENTS = 2**22
"""Of an array over the steps: a loop for which more were needed has no axis of its own."""


class GridSteps:
    """Axes, the dimensions of the grid first. An array of bounds has an axis for each, of size 1 where it does not
    change along it, and none for those that were entered after it was made."""

    def __init__(self, grid: Sequence[int]) -> None:
        self.sizes = list(grid)
        self.grid_rank = len(grid)
        self._lifted_before: dict[tuple[int, int], tuple[Interval, Interval]] = {}

    def number(self, weight: Bound, each: Bound = 1) -> int:
        """The sum over all steps of a weight, times what each is."""
        total = weight * each
        if isinstance(total, int):
            return total * prod(self.sizes)
        alike = prod(size for n, size in enumerate(self.sizes) if n >= total.ndim or total.shape[n] == 1)
        return int(total.sum()) * alike

    def index(self, axis: int) -> Interval:
        """The index of each step along an axis. Raises ValueError for one that is too long to follow."""
        size = self.sizes[axis]
        if size <= 1:
            return known(0)
        if size > MOST_ELEMENTS:
            raise ValueError(f"has {size:,} steps along one dimension, too many to follow")
        import numpy as np

        shape = [1] * len(self.sizes)
        shape[axis] = size
        return known(np.arange(size, dtype=np.int64).reshape(shape))

    def has_room(self, size: int) -> bool:
        """Whether another axis may be entered."""
        return prod(self.sizes) * size <= MOST_ELEMENTS

    def enter(self, size: int) -> Interval:
        """The index along a new axis, the last."""
        self.sizes.append(size)
        return self.index(len(self.sizes) - 1)

    def leave(self) -> None:
        """Drop the last axis."""
        self.sizes.pop()

    def lifted(self, value: Interval) -> Interval:
        """A value with all axes that there are now; of one value always the same."""
        if self._has_all_axes(value.low) and self._has_all_axes(value.high):
            return value
        key = (id(value), len(self.sizes))
        if key not in self._lifted_before:
            low = self.with_all_axes(value.low)
            lifted = known(low) if value.is_known else Interval(low, self.with_all_axes(value.high))
            self._lifted_before[key] = value, lifted  # the value too: its id must not be another's
        return self._lifted_before[key][1]

    def _has_all_axes(self, bound: Bound) -> bool:
        return isinstance(bound, int) or bound.ndim == len(self.sizes)

    def with_all_axes(self, bound: Bound) -> Bound:
        """A bound that does not change along the axes that were entered after it was made."""
        if isinstance(bound, int):
            return bound
        return bound.reshape(bound.shape + (1,) * (len(self.sizes) - bound.ndim))
