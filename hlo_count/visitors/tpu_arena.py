"""How libtpu lays out a program's temporaries in HBM, and what `memory_analysis()` says of it.

Learnt from what libtpu itself dumps beside a program, its buffer assignment and live ranges:

- Temporaries lie in one arena, each at a multiple of 16 KiB, laid out in the order of time: each in the smallest gap
  that it fits into while it lives.
- Every tuple has a table of pointers to its elements there, in a place of its own: 32 bytes on v5p and v7, 512 on v5e,
  which the text does not tell.
- `memory_analysis()` gives for temporaries the arena and once more its gaps: all of it less the tables and less the
  most that arrays would take together without gaps. XLA's heap simulator adds that up from what it allocates and frees:
  of values that share a buffer, such as those of a loop's state, it knows the first alone
  (HeapSimulator::RunComputation).
  Integers and truth values of no dimension that no fusion gives are with the scalar core. Where there are no arrays at
  all, it gives 0.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from operator import itemgetter

from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.hlo.opcodes import ALIASES, halved
from hlo_count.hlo.shapes import Shape
from hlo_count.visitors.buffers import Sized, Value, live_sums
from hlo_count.visitors.positions import sequential_computations

ALIGNMENT = 16 * 1024
_TABLE = 32
_SAME_TUPLE = ALIASES | {"parameter", "get-tuple-element", "while", "call"}
"""What gives a tuple that another instruction has made: a loop's state lies where its first operand does."""


def temporaries(module: Module, sized: list[Sized], end: int) -> int:
    """The bytes of temporaries as `memory_analysis()` counts them; `sized` are the buffers in the arena."""
    tables = _tables(module)
    arena = tables * ALIGNMENT + packed(
        (-(-size // ALIGNMENT) * ALIGNMENT, min(v.start for v in buffer.values), max(v.end for v in buffer.values))
        for size, buffer in sized
    )
    firsts = [(size, [min(buffer.values, key=_start)]) for size, buffer in counted(sized)]
    live = max(live_sums(firsts, end))
    return 2 * arena - tables * _TABLE - live if live else 0


def counted(sized: list[Sized]) -> list[Sized]:
    """Those of the buffers that libtpu says are live while they are: not those of the scalar core."""
    return [(size, buffer) for size, buffer in sized if not all(map(_is_scalar_cores, buffer.values))]


def packed(lives: Iterable[tuple[int, int, int]]) -> int:
    """How much is needed for (size, first moment, last moment), each laid out when it begins, in the smallest gap."""
    arena = _Arena()
    ending: list[tuple[int, int, int]] = []
    for size, start, end in sorted(lives, key=itemgetter(1)):
        while ending and ending[0][0] < start:
            _, address, freed = heappop(ending)
            arena.free(address, freed)
        heappush(ending, (end, arena.take(size), size))
    return arena.most


class _Arena:
    """Addresses from 0 on; the gaps below `top` by size, and by where they begin and end."""

    def __init__(self) -> None:
        self.most = self._top = 0
        self._gaps: list[tuple[int, int]] = []
        self._size_at: dict[int, int] = {}
        self._begin_of: dict[int, int] = {}

    def take(self, size: int) -> int:
        at = bisect_left(self._gaps, (size, 0))
        if at == len(self._gaps):
            address = self._top
            self._top += size
            self.most = max(self.most, self._top)
            return address
        gap, address = self._gaps[at]
        self._close(address)
        if gap > size:
            self._open(address + size, gap - size)
        return address

    def free(self, address: int, size: int) -> None:
        if (below := self._begin_of.get(address)) is not None:
            size += self._close(below)
            address = below
        if address + size == self._top:
            self._top = address
        else:
            if address + size in self._size_at:
                size += self._close(address + size)
            self._open(address, size)

    def _open(self, address: int, size: int) -> None:
        insort(self._gaps, (size, address))
        self._size_at[address], self._begin_of[address + size] = size, address

    def _close(self, address: int) -> int:
        size = self._size_at.pop(address)
        del self._begin_of[address + size]
        del self._gaps[bisect_left(self._gaps, (size, address))]
        return size


def _start(value: Value) -> int:
    return value.start


def _is_scalar_cores(value: Value) -> bool:
    """Whether it is one integer or truth value, of no dimension, that no fusion gives."""
    element = value.shape.element_type
    return not value.shape.rank and not element.is_float and value.definer.opcode != "fusion"


def _tables(module: Module) -> int:
    """How many tuples have a table in the arena: the program's result has its own, and that of a fusion's body none."""
    found = 0
    shared = set(_places_of_others(module))
    for computation in sequential_computations(module):
        for instruction in computation.instructions:
            if instruction.shape.is_tuple and instruction not in shared:
                found += _made(instruction)
    return found


def _places_of_others(module: Module) -> Iterator[Instruction]:
    """The tuples that lie in another's place: a loop's state, what a branch gives, the program's result."""
    yield module.entry.root
    for computation in sequential_computations(module):
        for instruction in computation.instructions:
            if instruction.opcode == "while" and (body := instruction.callee("body")) is not None:
                yield body.root
            elif instruction.opcode == "conditional":
                for number, (_, branch) in enumerate(instruction.called, start=1):
                    yield branch.root
                    if branch.root.opcode == "parameter" and number < len(instruction.operands):
                        yield instruction.operands[number]  # which it gives on as it is


def _made(instruction: Instruction) -> int:
    """The tables that an instruction makes; a half of an asynchronous pair goes on with those of its start."""
    opcode = instruction.opcode
    if opcode in _SAME_TUPLE or (halved(opcode)[1] in ("update", "done") and opcode != "recv-done"):
        return 0
    return 1 if opcode == "tuple" else _tuples_in(instruction.shape)


def _tuples_in(shape: Shape) -> int:
    found, left = 0, [shape]
    while left:
        found += 1
        left += [element for element in left.pop().elements if element.is_tuple]
    return found
