"""Instructions of fused bodies that agree in all that is counted and shown of them, as one row of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from hlo_count.hlo.computation import Computation
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.metadata import Metadata
from hlo_count.hlo.shapes import Shape
from hlo_count.visitors.cost import Cost, Times


@dataclass(frozen=True, slots=True)
class Alike:
    """`number` instructions of one opcode, shape and metadata, in bodies that run equally often. Reads as one
    instruction; `computation` and `index` are the first one's."""

    computation: Computation
    index: int
    number: int
    opcode: str
    shape: Shape
    metadata: Metadata

    @property
    def instruction(self) -> Instruction:
        """The first of them."""
        return self.computation.instructions[self.index]

    @property
    def name(self) -> str:
        return self.instruction.name

    def attribute(self, name: str) -> str | None:
        return self.instruction.attribute(name)


def first_of(of: Instruction | Alike) -> Instruction:
    """The instruction, or the first of those that are alike."""
    return of.instruction if isinstance(of, Alike) else of


def how_many(of: Instruction | Alike) -> int:
    """How many instructions stand for it in the text."""
    return of.number if isinstance(of, Alike) else 1


Row = tuple[Instruction | Alike, Times, Cost]
"""What runs, how often, and what all its runs cost together."""

_Line = tuple[str, str]
"""Kind and attributes of an instruction: all that a row needs to know of it."""
_Key = tuple[object, ...]
"""What the instructions of a row share."""


class Rows:
    """The rows of a program, in the order in which the first instruction of each is added.

    In a fused body what an instruction costs follows from its kind, or stands under its position. Those without a place
    in the source stay apart, since where each belongs follows from its neighbours, and so do those that send.
    """

    def __init__(self, by_kind: Mapping[str, Cost]) -> None:
        self._by_kind = by_kind
        self._lines: dict[Times, Counter[_Line]] = {}
        """The lines of the bodies that run so often, with how many there are of each."""
        self._unplaced: set[_Line] = set()
        self._numbers: Counter[_Key] = Counter()
        self._firsts: dict[_Key, tuple[Instruction | tuple[Computation, int, _Line], Times, Cost]] = {}

    def add(self, instruction: Instruction, times: Times, cost: Cost) -> None:
        """One that is a row of its own, with the cost of one run."""
        self._firsts[instruction.computation, instruction.index] = instruction, times, cost

    def add_body(self, computation: Computation, times: Times, by_index: Mapping[int, Cost]) -> None:
        """A printed computation, with what those of its instructions cost whose kind does not tell; bodies that share
        one `by_index` have the same instructions, names and metadata aside."""
        lines = computation.kinds_and_attributes()
        found = self._first_of_kinds(computation, lines, times)
        for index, cost in by_index.items():
            key: _Key = (computation, index) if cost.network_bytes else (times, lines[index], id(by_index), index)
            self._numbers[key] += 1
            if key not in self._firsts:
                found[index] = key, cost
        for index in sorted(found):
            key, cost = found[index]
            self._firsts[key] = (computation, index, lines[index]), times, cost

    def _first_of_kinds(
        self, computation: Computation, lines: list[_Line], times: Times
    ) -> dict[int, tuple[_Key, Cost]]:
        """By position, the first of each row that begins here of what costs as its kind says."""
        counted = self._lines.setdefault(times, Counter())
        known = len(counted)
        counted.update(lines)
        found: dict[int, tuple[_Key, Cost]] = {}
        if len(counted) > known:
            first = dict(zip(reversed(lines), range(len(lines) - 1, -1, -1), strict=True))
            for line in islice(reversed(counted), len(counted) - known):
                if cost := self._by_kind[line[0]]:
                    if computation.module.metadata.of(line[1]).source:
                        found[first[line]] = (times, line), cost
                    else:
                        self._unplaced.add(line)
        if self._unplaced:
            for index, line in enumerate(lines):
                if line in self._unplaced:
                    found[index] = (computation, index), self._by_kind[line[0]]
        return found

    def __iter__(self) -> Iterator[Row]:
        for key, (first, times, cost) in self._firsts.items():
            if isinstance(first, Instruction):
                yield first, times, cost * times
                continue
            computation, index, line = first
            number = self._numbers.get(key) or (self._lines[times][line] if key == (times, line) else 1)
            module = computation.module
            alike = Alike(computation, index, number, *module.kinds[line[0]], module.metadata.of(line[1]))
            yield alike, times, cost * times * number
