"""The device memory that a program needs at its worst moment."""

from __future__ import annotations

from bisect import bisect_right, insort
from dataclasses import dataclass, field
from itertools import accumulate

from hlo_count.hlo.module import Module
from hlo_count.hlo.shapes import Shape
from hlo_count.visitors.buffers import Buffer, Value, alias_pairs, buffers, leaf_span, may_reuse
from hlo_count.visitors.memory_spaces import MAIN, backend_of, space_name


@dataclass(frozen=True, slots=True)
class Peak:
    """Bytes of device memory. Arguments and outputs are there throughout; `aliased` are both, counted once."""

    arguments: int
    outputs: int
    temporaries: int
    aliased: int

    @property
    def total(self) -> int:
        return self.arguments + self.outputs + self.temporaries - self.aliased


def peak_bytes(module: Module) -> Peak:
    """What the program needs at its worst moment, in bytes, by the order of the schedule (else of the text).

    It is arguments + outputs + the largest sum of live temporaries − donated arguments that outputs take, as
    `compiled.memory_analysis()` has it. Temporaries share a buffer, or take an operand's that dies, by the rules
    of XLA's buffer assignment, and lie in an output's buffer, or a donated argument's, while that is not needed.
    Constants are part of the program, arrays in the host's memory or on the chip take no device memory, and tables
    of pointers to the elements of tuples, scratch inside library calls and alignment are left out.
    """
    size = _Sizes(backend_of(module))
    root = module.entry.root
    aliased = 0
    for _, number, path in alias_pairs(module.attributes.get("input_output_alias")):
        shape = module.entry.parameters[number].shape
        start, count = leaf_span(shape, path)
        aliased += sum(map(size, shape.leaves[start : start + count]))
    return Peak(
        arguments=sum(size(leaf) for p in module.entry.parameters for leaf in p.shape.leaves),
        outputs=sum(map(size, root.shape.leaves)),
        temporaries=_temporaries(module, size),
        aliased=aliased,
    )


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Bytes of device memory that an array takes."""

    backend: str

    def __call__(self, shape: Shape) -> int:
        space = shape.memory_space
        return shape.bytes if not space or space_name(self.backend, space) == MAIN else 0


@dataclass(slots=True, eq=False)
class _Allocation:
    """Memory that is there throughout, and the values in it, which do not overlap, by their start."""

    size: int
    busy: list[tuple[int, int, Value]] = field(default_factory=list)

    def admits(self, value: Value) -> bool:
        after = bisect_right(self.busy, value.end, key=lambda item: item[0])
        for start, end, other in reversed(self.busy[:after][-2:]):
            if end < value.start:
                break
            if not (
                (end == value.start and may_reuse(value, other))
                or (start == value.end and may_reuse(other, value))
            ):
                return False
        return True

    def take(self, values: list[Value]) -> None:
        for value in values:
            insort(self.busy, (value.start, value.end, value), key=lambda item: item[0])


def _temporaries(module: Module, size: _Sizes) -> int:
    found, end = buffers(module)
    permanent: list[_Allocation] = []
    temporary: list[tuple[int, Buffer]] = []
    for buffer in found:
        bytes_ = max(size(value.shape) for value in buffer.values)
        if not bytes_ or buffer.is_constant:
            continue
        if buffer.is_output and not buffer.is_argument:
            permanent.append(_Allocation(bytes_))
            permanent[-1].take(buffer.values)
        elif not (buffer.is_argument or buffer.is_output):
            temporary.append((bytes_, buffer))
    permanent.sort(key=lambda allocation: allocation.size)
    # Largest first, as XLA does, so that small ones do not stand in the way of large ones.
    temporary.sort(key=lambda item: -item[0])
    sizes = [allocation.size for allocation in permanent]
    left: list[tuple[int, Buffer]] = []
    for bytes_, buffer in temporary:
        for allocation in permanent[_first(sizes, bytes_) :]:
            if all(map(allocation.admits, buffer.values)):
                allocation.take(buffer.values)
                break
        else:
            left.append((bytes_, buffer))
    return _largest_sum(left, end)


def _first(sizes: list[int], wanted: int) -> int:
    """Index of the first size that is at least `wanted`."""
    return bisect_right(sizes, wanted - 1)


def _largest_sum(temporary: list[tuple[int, Buffer]], end: int) -> int:
    """The largest sum of sizes that are live at one moment."""
    _reuse_dying_operands([buffer for _, buffer in temporary])
    change = [0] * (end + 2)
    for bytes_, buffer in temporary:
        reached = -1
        for value in sorted(buffer.values, key=lambda value: value.start):
            if value.end > reached:
                change[max(value.start, reached + 1)] += bytes_
                change[value.end + 1] -= bytes_
                reached = value.end
    return max(accumulate(change))


def _reuse_dying_operands(temporary: list[Buffer]) -> None:
    """Ends a value a moment earlier where the instruction that needs it last puts its own value in its place."""
    alone = {b.values[0].definer: b.values[0] for b in temporary if len(b.values) == 1}
    for value in sorted(alone.values(), key=lambda value: value.start):
        for operand in value.definer.operands:
            other = alone.get(operand)
            if other is not None and other.end == value.start and may_reuse(value, other):
                other.end -= 1
                break
