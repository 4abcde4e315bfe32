"""Instructions of fused bodies that agree in all that is counted and shown of them, as one row of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

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


Entry = tuple[Instruction | Alike, Times, Cost]
"""What runs, how often, and what all its runs cost together."""


def first_of(of: Instruction | Alike) -> Instruction:
    """The instruction, or the first of those that are alike."""
    return of.instruction if isinstance(of, Alike) else of


def how_many(of: Instruction | Alike) -> int:
    """How many instructions stand for it in the text."""
    return of.number if isinstance(of, Alike) else 1


_Key = tuple[object, ...]
"""What the instructions of a row share."""


class Rows:
    """The rows of a program, in the order in which the first instruction of each is added.

    In a fused body what an instruction costs follows from its line, or stands under its position. Those without a place
    in the source stay apart, since where each belongs follows from its neighbours, and so do those that send.
    """

    def __init__(self, by_line: Mapping[int, Cost]) -> None:
        self._by_line = by_line
        self._lines: dict[Times, Counter[int]] = {}
        """By how often they run, the lines of the bodies, with how many there are of each."""
        self._unplaced: dict[Times, set[int]] = {}
        """Those of them that cost something and have no place in the source."""
        self._numbers: Counter[_Key] = Counter()
        """How many instructions a row stands for, of those that are no row of a line."""
        self._firsts: dict[_Key, tuple[Instruction | tuple[Computation, int], Times, Cost]] = {}

    def add(self, instruction: Instruction, times: Times, cost: Cost) -> None:
        """One that is a row of its own, with the cost of one run."""
        self._numbers[instruction,] = 1
        self._firsts[instruction,] = instruction, times, cost

    def add_body(self, computation: Computation, times: Times, by_index: Mapping[int, Cost]) -> None:
        """A printed computation, with what those of its instructions cost of which their lines do not tell it; bodies
        that share one `by_index` have the same instructions, names and metadata aside."""
        lines = computation.printed.numbers
        counted = self._lines.setdefault(times, Counter())
        unplaced = self._unplaced.setdefault(times, set())
        new: dict[int, tuple[_Key, Cost]] = {}
        """By position, the rows that begin here."""
        for line in [line for line in set(lines) if line not in counted]:
            cost = self._by_line[line]
            if cost and _metadata(computation, line).source:
                new[lines.index(line)] = (times, line), cost
            elif cost:
                unplaced.add(line)
        counted.update(lines)
        if not unplaced.isdisjoint(lines):
            for index, line in enumerate(lines):
                if line in unplaced:
                    new[index] = (computation, index), self._by_line[line]
                    self._numbers[computation, index] = 1
        for index, cost in by_index.items():
            key: _Key = (times, lines[index], id(by_index), index)
            if cost.network_bytes or not _metadata(computation, lines[index]).source:
                key = (computation, index)
            if key not in self._numbers:
                new[index] = key, cost
            self._numbers[key] += 1
        for index in sorted(new):
            key, cost = new[index]
            self._firsts[key] = (computation, index), times, cost

    def __iter__(self) -> Iterator[Entry]:
        together: dict[tuple[int, Times], Cost] = {}  # what is alike costs the same object, also more than once
        for key, (first, times, cost) in self._firsts.items():
            if isinstance(first, Instruction):
                found = together.get((id(cost), times))
                if found is None:
                    found = together[id(cost), times] = cost * times
                yield first, times, found
                continue
            computation, index = first
            line = computation.printed.numbers[index]
            number = self._numbers[key] or self._lines[times][line]
            opcode, shape = computation.module.distinct_lines.kinds[line]
            alike = Alike(computation, index, number, opcode, shape, _metadata(computation, line))
            yield alike, times, cost * times * number


def _metadata(computation: Computation, line: int) -> Metadata:
    module = computation.module
    return module.metadata.of(module.distinct_lines.attributes[line])
