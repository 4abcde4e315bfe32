"""Kernels of a TPU: Mosaic's code, a grid around it, and blocks of arrays that move in and out as the grid goes on.

The first arguments of the code are the indices of the grid, then come scalars that are prefetched, the operands and
results of the call, and room of the kernel's own. A `window_params` says which block of an operand or result a step
sees; without one an array in VMEM or SMEM moves once, and one in memory `any` moves what the code copies by DMAs.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from hlo_count.hlo.shapes import Shape
from hlo_count.visitors.kernels.block_transfers import Elements, blocks_moved, whole
from hlo_count.visitors.kernels.intervals import Interval, anything
from hlo_count.visitors.kernels.kernel_code import Function, KernelCode, integers, split, whole_operations
from hlo_count.visitors.kernels.kernel_count import KernelCount, Traffic
from hlo_count.visitors.kernels.kernel_memory import Memory, Value
from hlo_count.visitors.kernels.kernel_run import KernelRun
from hlo_count.visitors.kernels.kernel_tally import READ, WRITTEN, Amounts, Tally, operations_of
from hlo_count.visitors.kernels.value_types import DEVICE_SPACES

Integers = tuple[int, ...]
_RUNS_FIRST = ("iteration_bounds", "dimension_semantics", "scalar_prefetch")
"""Attributes of a module's function that a call runs; the others give indices of blocks."""


def mosaic_count(
    code: KernelCode,
    operands: Sequence[Shape],
    results: Sequence[Shape],
    integers: Sequence[Integers | None],
    trips: int | None,
) -> KernelCount:
    """Count a call with such operands and results (arrays, a tuple's one by one).

    `integers` are the elements of each operand where they are known; `trips` is how long a loop or a dimension of the
    grid is that the code does not tell. Raises ValueError for code
    that does not fit the call.
    """
    with whole_operations():
        return _MosaicCall(code, operands, results, integers, trips).count()


class _MosaicCall:
    def __init__(
        self,
        code: KernelCode,
        operands: Sequence[Shape],
        results: Sequence[Shape],
        integers: Sequence[Integers | None],
        trips: int | None,
    ) -> None:
        self.main = _main(code)
        bounds = self.main.operation.integers("iteration_bounds")
        self.trips = trips
        self.dynamic = {n for n, size in enumerate(bounds) if size < 0}
        self.grid = [size if size >= 0 else 1 if trips is None else trips for size in bounds]
        self.run = KernelRun(code, self.grid, trips, self.dynamic)
        if self.dynamic:
            self.run.open.loops = True
            self.run.open.dynamic = len(self.dynamic)
            if trips is None:
                which = ", ".join(str(n) for n in sorted(self.dynamic))
                self.run.open.unknown.setdefault(
                    f"has a grid whose dimension {which} only the run knows, counted as one step"
                )
        prefetched = self.main.operation.integer("scalar_prefetch") or 0
        scratch = self.main.operation.integer("scratch_operands") or 0
        number = len(self.main.body.arguments)
        self.first = len(bounds)
        self.shapes = [*operands[len(self.dynamic) :], *results]
        self.operands, self.results = operands, results
        self.prefetched = prefetched
        self.integers = integers[len(self.dynamic) :]
        if number != self.first + len(self.shapes) + scratch:
            raise ValueError(f"takes {number - self.first - scratch} arrays, and the call has {len(self.shapes)}")

    def count(self) -> KernelCount:
        memory = range(len(self.main.body.arguments) - self.first)
        there = [self._memory(n) for n in memory]
        tally, _ = self.run.call(self.main, [*self._indices(), *there], certain=self._is_certain)
        read, written = self._traffic(READ, tally), self._traffic(WRITTEN, tally)
        extra = (Traffic(),) * len(self.dynamic)
        given = len(self.operands) - len(self.dynamic)
        for n in range(len(self.shapes)):
            moved = self._blocks(n)
            if moved is not None:
                into = read if n < given else written
                into[n] = _bytes(moved, self.shapes[n], certain=self._is_certain)
        return KernelCount(
            operations_of(tally.least),
            operations_of(tally.counted),
            (*extra, *read[:given]),
            tuple(written[given:]),
            (*extra, *written[:given]),
            tuple(read[given:]),
            self.run.open,
        )

    @property
    def _is_certain(self) -> bool:
        """Whether the grid has a step for certain."""
        return not self.dynamic or self.trips is not None

    def _indices(self) -> list[Value]:
        """The index of each step along each dimension of the grid; not known where its size is not."""
        return [
            anything() if n in self.dynamic and self.trips is None else self.run.steps.index(n)
            for n in range(self.first)
        ]

    def _memory(self, n: int) -> Memory:
        """An argument; of scalars that are prefetched, which a kernel only reads, what they are."""
        elements = self.integers[n] if n < self.prefetched else None
        if elements is None or len(elements) != self.run.type_of(self.main.body.arguments[self.first + n]).size:
            return Memory(n if n < len(self.shapes) else None)
        import numpy as np

        return Memory(n, integers=np.asarray(elements, np.int64))

    def _traffic(self, way: str, tally: Tally) -> list[Traffic]:
        """What DMAs move of each array."""
        return [
            Traffic(
                min(_moved(tally.least, way, n), shape.bytes),
                _moved(tally.counted, way, n),
                min(_moved(tally.counted, way, n), shape.bytes),
                _moved(tally.least, way, n) != _moved(tally.counted, way, n),
            )
            for n, shape in enumerate(self.shapes)
        ]

    def _blocks(self, n: int) -> Elements | None:
        """What the grid moves of an array; None where DMAs do."""
        kind = self.run.type_of(self.main.body.arguments[self.first + n])
        window = self._window(n)
        size = self.shapes[n].size
        if "window_bounds" not in window:
            return None if kind.space in DEVICE_SPACES or kind.space.startswith("sem") else whole(size)
        if not prod(self.grid):
            return Elements(0, 0, 0)
        block = integers(window.get("window_bounds", ""))
        transform = self.run.code.functions.get(window.get("transform_indices", "").strip('@"'))
        if transform is None:
            raise ValueError(f"has no function for the blocks of its array {n}")
        prefetched = [self._memory(k) for k in range(self.prefetched)]
        _, given = self.run.call(transform, [*self._indices(), *prefetched])
        indices = [each if isinstance(each, Interval) else anything() for each in given]
        by_element = "element_window" in window.get("window_kind", "")
        moved = blocks_moved(indices, block, self.shapes[n].dimensions, self.grid, by_element=by_element)
        if moved.by_data and moved.counted != moved.certain:
            self.run.open.choices.setdefault("moves blocks that data choose, counted as another at each step")
        return moved

    def _window(self, n: int) -> dict[str, str]:
        """The `window_params` of an array; those of prefetched scalars are left out."""
        text = self.main.operation.attributes.get("window_params", "")
        windows = split(text.strip()[1:-1]) if text else []
        at = n - self.prefetched
        if not 0 <= at < len(windows):
            return {}
        parts = (part.partition(" = ") for part in split(windows[at].strip()[1:-1]))
        return {name.strip(): value.strip() for name, _, value in parts}


def _main(code: KernelCode) -> Function:
    """What a call runs: the function that has a grid, or the first."""
    there = list(code.functions.values())
    return next((each for each in there if any(name in each.operation.attributes for name in _RUNS_FIRST)), there[0])


def _moved(amounts: Amounts, way: str, n: int) -> int:
    return amounts.get((way, n), 0)


def _bytes(moved: Elements, shape: Shape, *, certain: bool) -> Traffic:
    """Elements as their share of the bytes of an array, padding too."""

    def share(elements: int) -> int:
        return -(-elements * shape.bytes // shape.size) if shape.size else 0

    by_data = not certain or (moved.by_data and moved.counted != moved.certain)
    return Traffic(share(moved.certain) if certain else 0, share(moved.counted), share(moved.touched), by_data)
