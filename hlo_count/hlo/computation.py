"""Computation: a named list of instructions, made when they are asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from hlo_count.errors import HloCountError
from hlo_count.harmless import harmless
from hlo_count.hlo.attributes import split_attributes
from hlo_count.hlo.calls import Call, may_call
from hlo_count.hlo.garbage import no_garbage_collection
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.printed import Line, Printed
from hlo_count.hlo.shapes import Shape

if TYPE_CHECKING:
    import networkx as nx

    from hlo_count.hlo.module import Module

NUMBERS = [str(n) for n in range(10_000)]
"""What stands in the parentheses of parameters, by number."""


class Computation:
    """A named list of instructions in the order of the text, its root among them."""

    def __init__(self, module: Module, name: str, printed: Printed | None = None) -> None:
        self.module = module
        self.name = name
        self.attribute_text = ""
        self.lines: list[int] | None = None
        """Line of each instruction, where they do not stand on consecutive lines."""
        self._printed = printed
        self.twin = self
        """The first computation of the module that says the same, names and metadata aside; often itself.

        What is worked out from shapes, operands and attributes holds of both, instruction by instruction.
        """

    @cached_property
    def instructions(self) -> list[Instruction]:
        """Its instructions in the order of the text, which is the schedule's where the module is scheduled."""
        if self._printed is None:
            return []  # the scanner appends them
        return self._made_of(self._printed.lines())

    def make(self, lines: list[Line]) -> None:
        """Its instructions, of the lines that were just read: where it is known that they will be asked for."""
        self.instructions = self._made_of(lines)

    def _made_of(self, lines: list[Line]) -> list[Instruction]:
        kinds = self.module.kinds
        with no_garbage_collection():
            return [
                Instruction(self, index, name, *kinds[kind], operands, attributes)
                for index, (_, name, kind, operands, attributes) in enumerate(lines)
            ]

    @cached_property
    def root(self) -> Instruction:
        """What it gives: the instruction marked ROOT, else the last."""
        return self.instructions[self._printed.outline.root if self._printed is not None else -1]

    @cached_property
    def kinds(self) -> list[tuple[str, Shape, int]]:
        """(opcode, shape, how many) of its instructions; a printed text is counted without making them."""
        if self.twin is not self:
            return self.twin.kinds
        if self._printed is not None:
            kinds = self.module.distinct_lines.kinds
            numbers: dict[int, int] = {}  # of a kind by its first line: shapes are long to compare
            firsts: dict[int, int] = {}
            for line, number in Counter(self._printed.numbers).items():
                first = firsts.setdefault(id(kinds[line]), line)
                numbers[first] = numbers.get(first, 0) + number
            return [(*kinds[line], number) for line, number in numbers.items()]
        by_id = {id(i.shape): i.shape for i in self.instructions}
        made = Counter([(i.opcode, id(i.shape)) for i in self.instructions])
        return [(opcode, by_id[shape], number) for (opcode, shape), number in made.items()]

    @property
    def calls(self) -> Sequence[Call]:
        """The computations that its instructions name, in the order of the text. Raises HloCountError for one that a
        text read token by token does not have."""
        if self._printed is not None:
            return self._printed.calls
        calling = [i for i in self.instructions if may_call(i.opcode)]
        return [Call(i.opcode, role, callee.name) for i in calling for role, callee in i.called]

    @property
    def printed(self) -> Printed:
        """Its lines as XLA prints them; there where `is_printed`."""
        assert self._printed is not None
        return self._printed

    @cached_property
    def by_name(self) -> dict[str, Instruction]:
        """Its instructions by name. Raises HloCountError where two have the same."""
        found = {instruction.name: instruction for instruction in self.instructions}
        if len(found) < len(self.instructions):
            second = next(i for i in self.instructions if found[i.name] is not i)
            raise HloCountError(f"{found[second.name].place}: {self.name} has a second instruction named {second.name}")
        return found

    @cached_property
    def opcodes(self) -> frozenset[str]:
        """The opcodes that occur in it."""
        if self.twin is not self:
            return self.twin.opcodes
        if self._printed is not None:
            kinds = self.module.distinct_lines.kinds
            return frozenset([kinds[number][0] for number in set(self._printed.numbers)])
        return frozenset([i.opcode for i in self.instructions])  # asked before their shapes are settled

    @property
    def unused_parameters(self) -> set[Instruction]:
        """Parameters that no instruction takes and that are not the root."""
        if self._printed is not None and self._printed.outline.takes_all_parameters:
            return set()
        names = {self.root.name, *(name for i in self.instructions for name in i.operand_names)}
        return {p for p in self.parameters if p.name not in names}

    @property
    def parameter_numbers(self) -> list[str]:
        """The numbers of its parameters, as the text has them and in its order."""
        if self._printed is not None:
            return self._printed.outline.parameter_numbers
        return [i.operand_text for i in self.instructions if i.opcode == "parameter"]

    @cached_property
    def parameters(self) -> list[Instruction]:
        """Its parameters, in the order of their numbers. Raises HloCountError where these are not 0, 1, 2 ..."""
        found = [i for i in self.instructions if i.opcode == "parameter"]
        numbers = [i.operand_text.strip() for i in found]
        if numbers == NUMBERS[: len(found)]:
            return found
        by_number = dict(zip(numbers, found, strict=True))
        try:
            return [by_number[str(n)] for n in range(len(found))]
        except KeyError as missing:
            raise HloCountError(
                f"{found[0].place}: {self.name} has {len(found)} parameters, but none with the number {missing.args[0]}"
            ) from None

    @cached_property
    def signature(self) -> tuple[list[Shape], Shape]:
        """The shapes of its parameters, in the order of their numbers, and of its root, without making instructions."""
        if self.twin is not self:
            return self.twin.signature
        if self._printed is None:
            return [parameter.shape for parameter in self.parameters], self.root.shape
        kinds, numbers, outline = self.module.distinct_lines.kinds, self._printed.numbers, self._printed.outline
        numbered = sorted(zip(map(int, outline.parameter_numbers), outline.parameters, strict=True))
        lines = [numbers[index] for _, index in numbered]
        return [kinds[line][1] for line in lines], kinds[numbers[outline.root]][1]

    @cached_property
    def users(self) -> dict[Instruction, list[Instruction]]:
        """The instructions that take each as an operand, once each, in the order of the text."""
        found: dict[Instruction, list[Instruction]] = {i: [] for i in self.instructions}
        for instruction in self.instructions:
            for operand in dict.fromkeys(instruction.operands):
                found[operand].append(instruction)
        return found

    @property
    def is_printed(self) -> bool:
        """Whether the text has it as XLA prints one: an instruction a line, each with its shape."""
        return self._printed is not None

    @property
    def is_entry(self) -> bool:
        return self.module.entry is self

    @property
    def attributes(self) -> dict[str, str]:
        """What follows its closing brace, `execution_thread` mostly."""
        return split_attributes(self.attribute_text)

    @cached_property
    def graph(self) -> nx.DiGraph[str]:
        """Operand -> user over its instructions; an edge's `control` is True where it only orders."""
        from hlo_count.hlo.graphs import computation_graph

        return computation_graph(self)

    def line_of(self, index: int) -> int:
        if self.lines is not None:
            return self.lines[index]
        return self._first_line + index

    @cached_property
    def _first_line(self) -> int:
        assert self._printed is not None
        return self.module.lines.number(self._printed.start)

    def to_text(self) -> str:
        head = "ENTRY " if self.is_entry else ""
        parameters = ", ".join(f"{p.name}: {bare_shape(p.shape)}" for p in self.parameters)
        lines = [f"{head}%{self.name} ({parameters}) -> {bare_shape(self.root.shape)} {{"]
        lines += [f"  {instruction.to_text()}" for instruction in self.instructions]
        lines.append("}" + "".join(f", {name}={value}" for name, value in self.attributes.items()))
        return "\n".join(lines)

    def __iter__(self) -> Iterator[Instruction]:
        return iter(self.instructions)

    def __len__(self) -> int:
        return len(self._printed if self._printed is not None else self.instructions)

    def __getitem__(self, name: str) -> Instruction:
        return self.by_name[name]

    def __repr__(self) -> str:
        return harmless(f"<Computation %{self.name}, {len(self.instructions)} instructions>")


def bare_shape(shape: Shape) -> str:
    """A shape as a computation's signature prints it: without layouts."""
    if shape.is_tuple:
        return "(" + ", ".join(map(bare_shape, shape.elements)) + ")"
    if shape.dtype == "buffer":
        return f"b({bare_shape(shape.elements[0])})"
    return str(replace(shape, layout=None))
