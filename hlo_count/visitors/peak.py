"""The device memory that a program needs at its worst moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from hlo_count.hlo.attributes import alias_pairs
from hlo_count.hlo.garbage import no_garbage_collection
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.hlo.shapes import Shape, leaf_span
from hlo_count.visitors import tpu_arena
from hlo_count.visitors.buffer_reuse import Reuse
from hlo_count.visitors.buffers import Sized, Value, buffers, live_sums
from hlo_count.visitors.cost import MAIN, Status
from hlo_count.visitors.first_fit import FirstFit, MayReuse
from hlo_count.visitors.memory_spaces import backend_of, space_name
from hlo_count.visitors.positions import positions


@dataclass(frozen=True, slots=True)
class Peak:
    """Bytes of device memory. Arguments and outputs are there throughout; `aliased` are both at once; `gaps` are those
    of the temporaries that no array takes.

    An estimate where there are temporaries: which of them share a buffer, and where buffers lie, a text does not say,
    nor one without a schedule what lives at a time. Where the compiler's own figure is known, that decides (`beside`).
    """

    arguments: int
    outputs: int
    temporaries: int
    aliased: int
    status: Status = "exact"
    gaps: int = 0

    @property
    def total(self) -> int:
        return self.arguments + self.outputs + self.temporaries - self.aliased

    def beside(self, compilers: int | None) -> Peak:
        """The same beside the compiler's own figure, where that is known: it decides whether this one is exact."""
        if compilers is None:
            return self
        return replace(self, status="exact" if self.total == compilers else "estimate")


def device_bytes(module: Module) -> Callable[[Shape], int]:
    """Gives the bytes that an array takes in the device's memory: none where it lies on the chip or with the host."""
    backend = backend_of(module)

    def size(shape: Shape) -> int:
        space = shape.memory_space
        return shape.bytes if not space or space_name(backend, space) == MAIN else 0

    return size


def peak_bytes(module: Module) -> Peak:
    """What the program needs at its worst moment, in bytes, by the order of the schedule (else of the text).

    It is arguments + outputs + the largest sum of live temporaries − donated arguments that outputs take, as
    `compiled.memory_analysis()` has it. Temporaries share a buffer, or take an operand's that dies, by the
    rules of XLA's buffer assignment, and lie in an output's buffer, or a donated argument's, while that is
    not needed. On TPU they lie in an arena, with gaps (`tpu_arena`). Constants are part of the program, arrays in
    the host's memory or on the chip take no device memory, and tables of pointers to the elements of tuples, scratch
    inside library calls and alignment are left out on CPU and GPU.
    """
    size = device_bytes(module)
    root = module.entry.root
    aliased = 0
    for _, number, path in alias_pairs(module.attributes.get("input_output_alias")):
        shape = module.entry.parameters[number].shape
        start, count = leaf_span(shape, path)
        aliased += sum(map(size, shape.leaves[start : start + count]))
    taken, at_once = _temporaries(module)
    live = sum(bytes_ for bytes_, _ in at_once)
    return Peak(
        arguments=sum(size(leaf) for p in module.entry.parameters for leaf in p.shape.leaves),
        outputs=sum(map(size, root.shape.leaves)),
        temporaries=taken,
        aliased=aliased,
        status="estimate" if taken or not module.is_scheduled else "exact",
        gaps=taken - live,
    )


def _start(value: Value) -> int:
    return value.start


def live_temporaries(module: Module) -> list[Sized]:
    """The buffers of temporaries that are alive at the worst moment, with their bytes."""
    return _temporaries(module)[1]


def temporaries_over_time(module: Module) -> tuple[list[int], Instruction | None]:
    """Bytes of temporaries at each moment of the schedule, and the instruction that runs at the worst; loops once.

    Without gaps. None where nothing is made at that moment.
    """
    with no_garbage_collection():
        _, sized, end = _counted(module)
        sums = live_sums(((bytes_, buffer.values) for bytes_, buffer in sized), end)
    worst = sums.index(max(sums))
    made = [value.definer for _, buffer in sized for value in buffer.values if value.start == worst]
    return sums, made[0] if made else None


def _temporaries(module: Module) -> tuple[int, list[Sized]]:
    """The bytes that temporaries take, and the buffers that are alive when those take most."""
    with no_garbage_collection():
        taken, sized, end = _counted(module)
        live = _at_the_largest_sum(sized, end)
        return sum(bytes_ for bytes_, _ in live) if taken is None else taken, live


def _counted(module: Module) -> tuple[int | None, list[Sized], int]:
    """What temporaries take, None where that is the sum of what lives; their buffers; when the program ends."""
    sized, end = _apart(module)
    if backend_of(module) != "tpu":
        return None, sized, end
    taken = tpu_arena.temporaries(module, sized, end)
    return taken, tpu_arena.counted(sized) if taken else [], end


def _apart(module: Module) -> tuple[list[Sized], int]:
    """The buffers that are no argument's, output's or constant's, with their bytes, and when the program ends."""
    size = device_bytes(module)
    reuses = Reuse(reshaped=backend_of(module) == "gpu")
    found, end = buffers(module)
    sized = [(max(size(value.shape) for value in buffer.values), buffer) for buffer in found]
    sized = [(bytes_, b) for bytes_, b in sized if bytes_ and not (b.is_constant or b.is_argument)]
    # XLA's order: the largest first, so that small ones do not stand in the way of large ones, then by
    # position.
    place = positions(module)
    sized.sort(key=lambda item: (-item[0], min(place[value.definer] for value in item[1].values)))
    outputs = [(bytes_, buffer.values) for bytes_, buffer in reversed(sized) if buffer.is_output]
    temporary = [(bytes_, buffer) for bytes_, buffer in sized if not buffer.is_output]
    into_outputs = FirstFit(outputs, [value for _, buffer in temporary for value in buffer.values], reuses)
    # libtpu keeps what a SparseCore makes out of the buffers of arguments and outputs.
    apart = backend_of(module) == "tpu"
    left = [
        (bytes_, buffer)
        for bytes_, buffer in temporary
        if (apart and buffer.is_another_threads) or not into_outputs.take(bytes_, buffer.values)
    ]
    _reuse_dying_operands([buffer.values[0] for _, buffer in left if len(buffer.values) == 1], reuses)
    return left, end


def _reuse_dying_operands(alone: list[Value], may_reuse: MayReuse) -> None:
    """Ends a value a moment earlier where the instruction that needs it last puts its own in its place."""
    arrays = {value.definer: value for value in alone if value.definer.shape.is_array}
    for value in sorted(alone, key=_start):
        for operand in value.definer.operands:
            other = arrays.get(operand)
            if other is not None and other.end == value.start and may_reuse(value, other):
                other.end -= 1
                break


def _at_the_largest_sum(temporary: list[Sized], end: int) -> list[Sized]:
    """Those that are live when the sum of sizes is largest; a buffer of many values counts once."""
    sums = live_sums(((bytes_, buffer.values) for bytes_, buffer in temporary), end)
    worst = sums.index(max(sums))
    return [item for item in temporary if any(value.start <= worst <= value.end for value in item[1].values)]
