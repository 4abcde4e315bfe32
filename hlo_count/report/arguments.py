"""The arguments of a program by the names that their pytrees give them: parameters and their shapes by module.

JAX names an argument by its path, `params['block_0']['kernel']`, `state.opt[0].mu`; the levels of the tree are those of
the path. As elsewhere siblings that differ in a number are one row, and each level adds up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hlo_count.errors import HloCountError
from hlo_count.harmless import printable
from hlo_count.hlo.computation import bare_shape
from hlo_count.hlo.module import Module
from hlo_count.layout import SHORTEST_NAME, cut, tabular, width
from hlo_count.report.numbered import numbered_as_one
from hlo_count.report.units import column, percent

_PART = re.compile(r"\[['\"]?(.*?)['\"]?\]|\.?([^.\[\]]+)")
_DEEPEST = 30
_LEAST = 0.002
"""Share of all that a row has; smaller ones are everything else."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One array: where it stands in the arguments, `("params", "block_0", "kernel")`, its elements and bytes."""

    path: tuple[str, ...]
    shape: str
    elements: int
    bytes: int


def arguments_of(module: Module) -> list[Argument]:
    """The array arguments of the entry computation in their order; what has no name is called by its instruction."""
    found = []
    for parameter in module.entry.parameters:
        name = parameter.metadata.op_name or parameter.name
        path = tuple(filter(None, (key or attribute for key, attribute in _PART.findall(name))))[:_DEEPEST]
        elements = sum(leaf.size for leaf in parameter.shape.leaves if leaf.is_array)
        found.append(Argument(path or (name,), bare_shape(parameter.shape), elements, parameter.shape.bytes))
    return found


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    depth: int
    arguments: Sequence[Argument]

    @property
    def shape(self) -> str:
        """That of all of them, where it is one."""
        shapes = {each.shape for each in self.arguments}
        return shapes.pop() if len(shapes) == 1 else ""

    @property
    def elements(self) -> int:
        return sum(each.elements for each in self.arguments)

    @property
    def bytes(self) -> int:
        return sum(each.bytes for each in self.arguments)


def arguments_table(module: Module, depth: int) -> str:
    """A row a level of the paths, the largest first, with shapes, elements and bytes; rows add up to the one above."""
    if depth < 1:
        raise HloCountError(f"depth={depth}: an argument has at least one level")
    every = arguments_of(module)
    if not every:
        return "the program takes no arguments"
    least = _LEAST * sum(each.bytes for each in every)
    rows = [_Row("all arguments", 0, every), *_below([(each, each.path) for each in every], 1, depth, least)]
    total = rows[0]
    columns = {
        "shape": [cut(row.shape, SHORTEST_NAME) for row in rows],
        "arrays": [f"{len(row.arguments):,}" for row in rows],
        "elements": column([row.elements for row in rows]),
        "%": [percent(row.elements, total.elements) for row in rows],
        "bytes": column([row.bytes for row in rows], "B", binary=True),
    }
    taken = sum(max(len(name) + 2, *map(len, cells)) + 2 for name, cells in columns.items())
    room = max(SHORTEST_NAME, width() - taken)
    names = [2 * row.depth * " " + cut(row.name, max(8, room - 2 * row.depth), "middle") for row in rows]
    table = tabular(
        zip(names, *columns.values(), strict=True), ("argument", *columns), ("left", "left", *["right"] * 4)
    )
    return printable(table)


_Left = tuple[Argument, tuple[str, ...]]
"""An argument with what is left of its path."""


def _below(found: Sequence[_Left], level: int, depth: int, least: float) -> Iterator[_Row]:
    """The rows of arguments below one row."""
    groups: dict[str, list[_Left]] = {}
    for argument, path in found:
        groups.setdefault(path[0] if path else "", []).append((argument, path[1:]))
    if "" in groups or level > depth:  # it is the array itself
        return
    shown: list[tuple[_Row, list[_Left]]] = []
    small: list[tuple[_Row, list[_Left]]] = []
    for name, number, members in numbered_as_one(groups):
        inside = [each for member in members for each in member]
        while len({path[0] if path else "" for _, path in inside}) == 1 and inside[0][1] and number == 1:
            name += f"/{inside[0][1][0]}"
            inside = [(argument, path[1:]) for argument, path in inside]
        row = _Row(name if number == 1 else f"{name} ×{number}", level, [argument for argument, _ in inside])
        (shown if row.bytes >= least else small).append((row, inside))
    if len(small) == 1:
        shown, small = [*shown, *small], []
    for row, inside in sorted(shown, key=lambda each: -each[0].bytes):
        yield row
        yield from _below(inside, level + 1, depth, least)
    if small:
        yield _Row("everything else", level, [argument for row, _ in small for argument in row.arguments])
