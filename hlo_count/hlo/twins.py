"""Fused bodies that say the same: compilers for accelerators print some dozens of them a thousand times."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hlo_count.hlo.metadata import without_metadata
from hlo_count.hlo.opcodes import COLLECTIVES, OPCODES, having
from hlo_count.hlo.printed import DistinctLines, Line, Printed

if TYPE_CHECKING:
    from hlo_count.hlo.computation import Computation

_NEVER_ALIKE = (
    ((having("runs", "host", "device") | {"custom-call"}) - {"fusion"})
    | COLLECTIVES
    | {opcode for opcode, row in OPCODES.items() if row.half}
)
"""Opcodes of which more than shapes, operands and attributes is asked: names, neighbours, formulas of users."""
_CALLEE = re.compile(r"=%([\w.\-]+)")
_INDEX = re.compile(r"/\*index=\d+\*/")
_NEXT = "\n"
"""Stands between the operands of two instructions: no operand is that."""

_Content = tuple[object, ...]


class Twins:
    """The computations of a module by what they say, names and metadata aside: operands count by their positions."""

    def __init__(self, computations: Mapping[str, Computation], distinct: DistinctLines) -> None:
        self._computations = computations
        self._distinct = distinct
        self._alone: dict[int, tuple[Computation, Printed | None]] = {}
        """The first that has these kinds in this order; None beside it once a second put it into `_first`."""
        self._first: dict[_Content, Computation] = {}
        self._said: dict[int, int] = {}
        """Of a distinct line the first that says the same without its metadata."""
        self._saying: dict[tuple[object, ...], int] = {}

    def first_like(self, computation: Computation, printed: Printed, lines: list[Line]) -> Computation:
        """The first of those given that says the same, often itself."""
        if not computation.opcodes.isdisjoint(_NEVER_ALIKE):
            return computation
        roots = [line[0] for line in lines].count("ROOT ")
        outline = hash((roots, printed.root, *map(id, map(self._distinct.kinds.__getitem__, printed.numbers))))
        other, alone = self._alone.setdefault(outline, (computation, printed))
        if other is computation:
            return computation
        if alone is not None:
            self._first.setdefault(self._content(alone, alone.lines()), other)
            self._alone[outline] = other, None
        return self._first.setdefault(self._content(printed, lines), computation)

    def _content(self, printed: Printed, lines: list[Line]) -> _Content:
        position = {"%" + line[1]: index for index, line in enumerate(lines)}
        if len(position) < len(lines):
            return (printed,)  # two of one name: like no other
        operands = f", {_NEXT}, ".join([operands for _, _, _, operands, _ in lines])
        taken = (_INDEX.sub("", operands) if "/*" in operands else operands).split(", ")
        for number in set(printed.numbers) - self._said.keys():
            said = (*self._distinct.kinds[number], self._said_by(self._distinct.attributes[number]))
            self._said[number] = self._saying.setdefault(said, number)
        return (
            [line[0] for line in lines].count("ROOT "),
            printed.root,
            tuple(map(self._said.__getitem__, printed.numbers)),
            tuple(map(position.get, taken, taken)),
        )

    def _said_by(self, attributes: str) -> str:
        text = without_metadata(attributes) if "metadata={" in attributes else attributes
        return _CALLEE.sub(self._twin_of, text) if "=%" in text else text

    def _twin_of(self, callee: re.Match[str]) -> str:
        called = self._computations.get(callee[1])
        return callee[0] if called is None else f"=%{called.twin.name}"
