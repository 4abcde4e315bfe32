"""What a kernel's references to memory are parts of, and how large the parts are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hlo_count.visitors.kernels.intervals import (
    Interval,
    anything,
    constant_of,
    known,
    largest,
    maximum,
    minimum,
    smallest,
)
from hlo_count.visitors.kernels.kernel_code import Operation
from hlo_count.visitors.kernels.kernel_tally import READ, WRITTEN, Moved
from hlo_count.visitors.kernels.value_types import DEVICE_SPACES, DYNAMIC, ValueType

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Memory:
    """The argument of the kernel that a reference is a part of (None: memory of its own), and the size of each
    dimension where the type does not say all of them; `integers` are its elements where it is the whole of an array
    that is known, `offset` how many elements of the argument lie before it, where that is followed."""

    argument: int | None
    sizes: tuple[Interval, ...] | None = None
    integers: Array | None = field(default=None, compare=False)
    offset: Interval | None = field(default=None, compare=False)


def element(memory: Memory, kind: ValueType, indices: Sequence[Interval]) -> Interval:
    """What a load gives of an array that is known: where an index is not, what its elements lie between."""
    import numpy as np

    assert memory.integers is not None
    array = memory.integers.reshape(kind.dimensions)
    inside = all(
        smallest(index.low) >= 0 and largest(index.high) < size
        for index, size in zip(indices, array.shape, strict=True)
    )
    if not inside or not all(index.is_known for index in indices):
        bounds = Interval(int(array.min()), int(array.max())) if array.size else anything()
        return Interval(*np.broadcast_arrays(*bounds, *(bound for index in indices for bound in index))[:2])
    found = array[tuple(index.low for index in indices)]
    return known(found if found.ndim else int(found))


@dataclass(frozen=True, slots=True)
class Scratch:
    """A place in memory that the caller of a GPU's kernel sets up for it: which, and how many bytes from its begin."""

    number: int
    offset: int


Value = Interval | Memory | Scratch | None
"""What is known of a value: an integer, a reference to memory; None for vectors."""


def sizes_of(value: Value, kind: ValueType) -> tuple[Interval, ...]:
    """The size of each dimension of a reference to memory."""
    if isinstance(value, Memory) and value.sizes is not None:
        return value.sizes
    return tuple(anything() if size == DYNAMIC else known(size) for size in kind.dimensions)


def part_of(
    operation: Operation, kind: ValueType, source: Value, whole: ValueType, given: Sequence[Interval]
) -> Memory:
    """What an operation makes of the reference `source`, of the type `whole`; `given` are its other operands."""
    argument = source.argument if isinstance(source, Memory) else None
    if DYNAMIC not in kind.dimensions:
        return Memory(argument)
    there = sizes_of(source, whole)
    if operation.name == "tpu.memref_slice":
        segments = operation.integers("operandSegmentSizes")
        sizes = iter(given[len(given) - segments[-1] :] if segments else ())
        return Memory(
            argument,
            tuple(
                known(size) if size != DYNAMIC else _within(next(sizes, anything()), there[n])
                for n, size in enumerate(kind.dimensions)
            ),
        )
    left = list(there)  # a squeeze drops dimensions of 1, other operations keep them
    for size in there:
        if len(left) > len(kind.dimensions) and constant_of(size) == 1:
            left.remove(size)
    return Memory(argument, tuple(left) if len(left) == len(kind.dimensions) else None)


def _within(size: Interval, whole: Interval) -> Interval:
    if size.is_known:
        return size
    return Interval(maximum(size.low, 0), minimum(size.high, whole.high))


def sides(source: tuple[Value, ValueType], target: tuple[Value, ValueType]) -> list[Moved]:
    """What a copy reads and writes of the kernel's arguments outside the core."""
    found: list[Moved] = []
    for way, (value, kind) in ((READ, source), (WRITTEN, target)):
        if isinstance(value, Memory) and value.argument is not None and kind.space in DEVICE_SPACES:
            found.append((way, value.argument))
    return found
