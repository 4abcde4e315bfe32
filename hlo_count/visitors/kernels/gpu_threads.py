"""Where a lane of a GPU is: its block in the grid, its warp in the block, its place in the warp."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from hlo_count.visitors.kernels.grid_steps import GridSteps
from hlo_count.visitors.kernels.intervals import Interval, anything, as_bit, constant_of, evaluate, known, plus, product
from hlo_count.visitors.kernels.kernel_code import Operation
from hlo_count.visitors.kernels.ptx_cost import WARP

_WARPS, _LANES = 3, 4
"""The axes of the steps behind those of the blocks."""
PLACES = frozenset(
    f"gpu.{name}"
    for name in (
        "thread_id block_id block_dim grid_dim cluster_id cluster_block_id cluster_dim cluster_dim_blocks"
    ).split()
)
"""Operations that ask for it."""


def axes_of(sizes: Sequence[int]) -> list[int]:
    """The steps of a kernel that is launched over 3 sizes of a grid, 3 of a block, 3 of a cluster.

    Raises ValueError for threads that fill no warp."""
    threads = prod(sizes[3:6])
    if threads % WARP:
        raise ValueError(f"runs blocks of {threads} threads, which are no warps")
    return [*sizes[:3], threads // WARP, WARP]


class Threads:
    """What the lanes at all steps are told of where they are."""

    def __init__(self, steps: GridSteps, sizes: Sequence[int]) -> None:
        self._steps = steps
        self._grid, self._block, self._cluster = sizes[:3], sizes[3:6], sizes[6:9]

    def arguments(self) -> list[Interval]:
        """What a launched region is given: indices of block and thread, sizes of grid and block."""
        indices = [*map(self._axis, range(3)), *map(self._thread, range(3))]
        return [*indices, *map(known, (*self._grid, *self._block))]

    def place(self, operation: Operation) -> Interval:
        """What one of PLACES gives."""
        dimension = "xyz".index(operation.attributes.get("dimension", "#gpu<dim x>").rstrip(">")[-1])
        block, clustered = self._axis(dimension), known(self._cluster[dimension])
        if operation.name == "gpu.thread_id":
            return self._thread(dimension)
        if operation.name == "gpu.cluster_block_id":
            return evaluate("arith.remui", [block, clustered]) or anything()
        if operation.name == "gpu.cluster_id":
            return evaluate("arith.divui", [block, clustered]) or anything()
        return {
            "gpu.block_id": block,
            "gpu.grid_dim": known(self._grid[dimension]),
            "gpu.block_dim": known(self._block[dimension]),
            "gpu.cluster_dim_blocks": clustered,
            "gpu.cluster_dim": known(self._grid[dimension] // self._cluster[dimension]),
        }[operation.name]

    def elected(self) -> Interval:
        """1 for one lane of each warp."""
        return known(as_bit(self._axis(_LANES).low == 0))

    def of_one_lane(self, value: Interval, lane: Interval) -> Interval:
        """The value that one lane of each warp has."""
        which = constant_of(lane)
        if which is None:
            return anything()
        bounds = [
            each if isinstance(each, int) or each.shape[_LANES] == 1 else each.take([which % WARP], axis=_LANES)
            for each in value
        ]
        return known(bounds[0]) if value.is_known else Interval(*bounds)

    def _axis(self, axis: int) -> Interval:
        return self._steps.lifted(self._steps.index(axis))

    def _thread(self, dimension: int) -> Interval:
        """The first dimension of a block runs fastest."""
        linear = plus(product(self._axis(_WARPS), known(WARP)), self._axis(_LANES))
        before = evaluate("arith.divui", [linear, known(prod(self._block[:dimension]))]) or anything()
        return evaluate("arith.remui", [before, known(self._block[dimension])]) or anything()
