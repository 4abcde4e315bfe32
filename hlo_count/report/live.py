"""What is in memory at the worst moment: an explanation of `peak_bytes`, instruction by instruction."""

from __future__ import annotations

from itertools import accumulate

from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.visitors.buffers import Buffer, buffers
from hlo_count.visitors.cost import MAIN
from hlo_count.visitors.memory_spaces import backend_of, space_name


def live_at_peak(module: Module) -> list[tuple[Instruction, int]]:
    """The arrays that are alive when most bytes are, with their sizes, and the arguments and outputs, largest first.

    Each array counts for itself, also where XLA lays two that are never alive together into one buffer.
    """
    backend = backend_of(module)
    found, end = buffers(module)

    def size(buffer: Buffer) -> int:
        shapes = [value.shape for value in buffer.values]
        return max(s.bytes if not s.memory_space or space_name(backend, s.memory_space) == MAIN else 0 for s in shapes)

    change = [0] * (end + 2)
    spans: list[tuple[int, int, int, Instruction]] = []
    for buffer in found:
        bytes_ = 0 if buffer.is_constant else size(buffer)
        if not bytes_:
            continue
        always = buffer.is_argument or buffer.is_output
        first = 0 if always else min(value.start for value in buffer.values)
        last = end if always else max(value.end for value in buffer.values)
        change[max(first, 0)] += bytes_
        change[last + 1] -= bytes_
        spans.append((max(first, 0), last, bytes_, buffer.values[0].definer))
    alive = list(accumulate(change))
    worst = alive.index(max(alive))
    living = [(definer, bytes_) for first, last, bytes_, definer in spans if first <= worst <= last]
    return sorted(living, key=lambda item: -item[1])
