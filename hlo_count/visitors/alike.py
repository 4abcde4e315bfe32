"""Instructions of a fused body that agree in all that is counted and shown of them, as one row of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from hlo_count.hlo.computation import Computation
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.metadata import Metadata
from hlo_count.hlo.shapes import Shape
from hlo_count.visitors.cost import Cost


@dataclass(frozen=True, slots=True)
class Alike:
    """`number` instructions of one opcode, shape and metadata; `index` is the first one's. Reads as an instruction."""

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


Entry = tuple[Instruction | Alike, int | Fraction, Cost]
"""What runs, how often, and what all its runs cost together."""


def first_of(of: Instruction | Alike) -> Instruction:
    """The instruction, or the first of those that are alike."""
    return of.instruction if isinstance(of, Alike) else of


def how_many(of: Instruction | Alike) -> int:
    """How many instructions stand for it in the text."""
    return of.number if isinstance(of, Alike) else 1


def rows_of(
    computation: Computation, by_kind: Mapping[str, Cost], by_index: Mapping[int, Cost]
) -> list[tuple[Alike, Cost]]:
    """What costs anything in a printed computation, with what one instruction of each costs, in the text's order.

    The cost stands under the position of an instruction or follows from its kind. Instructions without a place in the
    source stay apart: where each belongs follows from its neighbours.
    """
    kinds, metadata = computation.module.kinds, computation.module.metadata
    lines = computation.kinds_and_attributes()
    said: dict[tuple[str, str], Metadata] = {}
    numbers: dict[object, int] = {}
    first: dict[object, int] = {}
    costed = {kind for kind in {kind for kind, _ in lines} if by_kind[kind]}
    for index, line in enumerate(lines):
        key: object = index
        if line[0] in costed:
            own = said.get(line)
            if own is None:
                own = said[line] = metadata.of(line[1])
            if own.source:
                key = line[0], id(own)
        elif index not in by_index:
            continue
        numbers[key] = numbers.get(key, 0) + 1
        first.setdefault(key, index)
    rows: list[tuple[Alike, Cost]] = []
    for key, index in first.items():
        line = lines[index]
        own = said[line] if line in said else metadata.of(line[1])
        alike = Alike(computation, index, numbers[key], *kinds[line[0]], own)
        rows.append((alike, by_index[index] if index in by_index else by_kind[line[0]]))
    return rows
