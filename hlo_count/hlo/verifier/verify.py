"""Every instruction of a text is verified before anything is counted: each once that says the same of the same shapes.

A text of 100,000 instructions has some thousands that differ in more than names. While it is read, `Verifier.see` takes
note of these; `finish` verifies them when all computations are there.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import repeat

from hlo_count.errors import HloCountError, ParseError
from hlo_count.hlo.attributes import attribute_of, without_comments
from hlo_count.hlo.computation import Computation
from hlo_count.hlo.infer import RECOMPUTED
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.metadata import metadata_apart
from hlo_count.hlo.module import Module
from hlo_count.hlo.opcodes import LEAVES
from hlo_count.hlo.printed import Columns, Line
from hlo_count.hlo.shapes import Shape
from hlo_count.hlo.twins import twins_called
from hlo_count.hlo.verifier.aliases import header_outputs_problem, header_parameters_problem
from hlo_count.hlo.verifier.attribute_values import (
    HEADER_ATTRIBUTES,
    header_value_problem,
    metadata_is_right,
    value_problem,
)
from hlo_count.hlo.verifier.entry_layout import entry_problem
from hlo_count.hlo.verifier.instruction_problems import contradiction, parser_problem
from hlo_count.hlo.verifier.literals import literal_problem
from hlo_count.hlo.verifier.shape_agreement import fits
from hlo_count.hlo.verifier.uses import use_problems

_AFTER_SHAPE = re.compile(r"%?[A-Za-z_][\w.\-]*+ *+(?:, *|$)", re.A)
"""The name of an operand, after the shape that is written before it."""


class _Codes(dict[str, str]):
    """A short text for each kind, so that those of operands can be joined: "0 ", "1 " ..."""

    def __init__(self) -> None:
        super().__init__()
        self._kinds: list[str] = []

    def __missing__(self, kind: str) -> str:
        code = self[kind] = f"{len(self)} "
        self._kinds.append(kind)
        return code

    def kind(self, code: str) -> str:
        return self._kinds[int(code)]


_UNNAMED = "? "
"""Stands for an operand that is no name of an instruction before it: a literal, a number, or what is wrong."""


_Key = tuple[int, str]
"""A line by the number of what it says, and the codes of what it takes."""


@dataclass(frozen=True, slots=True)
class _Noted:
    """An instruction that says what none before it did."""

    computation: Computation
    index: int
    line: Line
    said: str
    """Its attributes without metadata."""
    taken: str
    """The codes of its operands' kinds."""


class _Sayings:
    """What lines say but for names and metadata: a number for a kind and attributes, those with the first of its twins
    for each computation that they call. Of lines that differ in their metadata, many say the same."""

    def __init__(self, module: Module) -> None:
        self._lines = module.distinct_lines
        self._computations = module.computations
        self._numbers: dict[tuple[int, str], int] = {}
        self.opcodes: list[str] = []
        """By that number."""
        self.of_line: list[int] = []
        """By number of the line."""
        self.attributes: list[str] = []
        """By number of the line, those without metadata."""
        self.metadata: list[str] = []
        """That of all lines, and all attributes of those in which something else may be metadata."""

    def add(self) -> None:
        """Take note of the lines that were not there before."""
        first = len(self.of_line)
        if first == len(self._lines.attributes):
            return
        attributes, metadata = metadata_apart(self._lines.attributes[first:])
        self.attributes += attributes
        self.metadata += metadata
        numbers = self._numbers
        for kind, said in zip(self._lines.kinds[first:], attributes, strict=True):
            with_twins = twins_called(said, self._computations)[0] if "=%" in said else said
            number = numbers.setdefault((id(kind), with_twins), len(numbers))
            if number == len(self.opcodes):
                self.opcodes.append(kind[0])
            self.of_line.append(number)


class Verifier:
    """Verifies one module."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._codes = _Codes()
        self._sayings = _Sayings(module)
        self._contents: dict[_Key, int] = {}
        """A number for each key that was seen."""
        self._naming: set[_Key] = set()
        """Those that name other instructions, which each computation must have."""
        self._new: list[_Noted] = []
        self.metadata: Set[str] = frozenset()
        """Metadata of lines that were not seen, since what else they say was."""
        self._literals: set[tuple[str, str]] = set()
        """Kinds and literals of constants that are right."""
        self._results: set[tuple[str, str]] = set()
        self._stated: set[tuple[str, str]] = set()
        """Shapes as they are written before operands, each with the kind of what the operand is."""

    def see(self, computation: Computation, columns: Columns) -> None:
        """Take note of what is new in the lines of a computation. Raises ParseError for names that are not right."""
        self._sayings.add()
        keys = self._keys(columns, self._taken_by_all(columns))
        new = self._unseen(keys)
        if self._may_be_wrong(columns, new):
            keys = self._keys(columns, self._taken_one_by_one(computation, columns))
            new = self._unseen(keys)
        if len(columns.roots) > 1:
            index = columns.roots[1]
            raise self._error(computation, index, columns.names[index], "is a second ROOT: a computation has one")
        self._note(computation, columns, keys, new)
        if computation.opcodes.isdisjoint(RECOMPUTED):
            computation.printed.contents = array("I", map(self._contents.__getitem__, keys))

    def _keys(self, columns: Columns, taken: list[str]) -> list[_Key]:
        return list(zip(map(self._sayings.of_line.__getitem__, columns.numbers), taken, strict=True))

    def _unseen(self, keys: Sequence[_Key]) -> list[_Key]:
        """Those that are to be verified here."""
        return [key for key in dict.fromkeys(keys) if key not in self._contents or key in self._naming]

    def _note(self, computation: Computation, columns: Columns, keys: Sequence[_Key], new: Sequence[_Key]) -> None:
        index = 0
        for key in new:
            index = keys.index(key, index)
            said, codes = self._sayings.attributes[columns.numbers[index]], key[1].replace(_UNNAMED, "")
            number = self._contents.setdefault(key, len(self._contents))
            given = codes.split()
            if len(set(given)) < len(given):
                self._module.taking_alike.add(number)
            if "control-predecessors=" in said:
                self._naming.add(key)
            self._new.append(_Noted(computation, index, columns.lines[index], said, codes))

    def _taken_by_all(self, columns: Columns) -> list[str]:
        """The codes of what each line takes, `_UNNAMED` for what is not the name of a line before it."""
        known = {"": ""}
        unnamed = repeat(_UNNAMED)
        taken: list[str] = []
        codes = map(self._codes.__getitem__, columns.kinds)
        for use, code, operands in zip(columns.uses, codes, columns.operand_lists, strict=True):
            taken.append("".join(map(known.get, operands, unnamed)))
            known[use] = code
        return taken

    def _may_be_wrong(self, columns: Columns, new: Sequence[_Key]) -> bool:
        """Whether a line is not right, or operands are written in another way than XLA does today; `new` are the keys
        of which none before was that."""
        for said, codes in new:
            if codes and ("?" in codes) != (self._sayings.opcodes[said] in LEAVES):
                return True
        if len(set(columns.names)) < len(columns.names):
            return True
        constant_lines = self._module.distinct_lines.constants
        constants = [index for index, number in enumerate(columns.numbers) if number in constant_lines]
        return any(self._literal_problem(columns, index) for index in constants)

    def _taken_one_by_one(self, computation: Computation, columns: Columns) -> list[str]:
        """The codes of what each line takes. Raises ParseError for the first that is wrong."""
        kinds, codes = self._module.kinds, self._codes
        known: dict[str, str] = {}
        taken: list[str] = []
        for index, (_, name, kind, operands, _) in enumerate(columns.lines):
            opcode = kinds[kind][0]
            given: list[str] = []
            if opcode in LEAVES:
                problem = self._literal_problem(columns, index) if opcode == "constant" else ""
                if problem:
                    raise self._error(computation, index, name, problem)
            elif operands:
                given = self._named(computation, index, known, columns)
            taken.append("".join(given))
            known["%" + name] = codes[kind]
        if len(known) < len(columns.names):
            seen: dict[str, int] = {}
            index = next(n for n, name in enumerate(columns.names) if seen.setdefault(name, n) < n)
            problem = f"is the name of a second instruction of {computation.name}"
            raise self._error(computation, index, columns.names[index], problem)
        return taken

    def _literal_problem(self, columns: Columns, index: int) -> str:
        said = columns.kinds[index], columns.operands[index]
        if said in self._literals:
            return ""
        problem = literal_problem(said[1], self._module.kinds[said[0]][1])
        if not problem:
            self._literals.add(said)
        return problem

    def _named(self, computation: Computation, index: int, known: dict[str, str], columns: Columns) -> list[str]:
        """What stands in `known` of the operands of a line: with their shapes, with comments, or without `%`."""
        line = columns.lines[index]
        names = Instruction(computation, index, line[1], *self._module.kinds[line[2]], *line[3:]).operand_names
        missing = next((name for name in names if "%" + name not in known), None)
        if missing is None:
            given = [known["%" + name] for name in names]
            problem = self._stated_problem(line[3], names, given)
            if problem:
                raise self._error(computation, index, line[1], problem)
            return given
        later = missing in columns.names
        what = "stands after it" if later else f"{computation.name} does not have; is the text complete?"
        raise self._error(computation, index, line[1], f"takes the operand {missing}, which {what}")

    def _stated_problem(self, operands: str, names: Sequence[str], given: Sequence[str]) -> str:
        """What is wrong with the shapes that are written before operands, `f32[2]{0} %a`; "" where nothing is."""
        stated = _AFTER_SHAPE.split(without_comments(operands))[:-1]
        if not any(map(str.strip, stated)):
            return ""
        for text, name, code in zip(stated, names, given, strict=False):
            shape, kind = text.strip(), self._codes.kind(code)
            if not shape or kind.startswith(f"{shape} ") or (shape, kind) in self._stated:
                continue
            try:
                written = self._module.kinds.shapes[shape]
            except HloCountError as problem:
                return f"has an operand whose shape cannot be read: {problem}"
            if not fits(written, self._module.kinds[kind][1]):
                return f"takes {name} as {written}, but that is {self._module.kinds[kind][1]}"
            self._stated.add((shape, kind))
        return ""

    def finish(self) -> None:
        """Verify all that was seen, what was read token by token, and the entry. Raises ParseError.

        What XLA's parser takes is taken: a contradiction that only its verifier finds goes to `module.contradictions`.
        """
        self._verify_header()
        if not metadata_is_right(list({*self._sayings.metadata, *self.metadata})):
            self._verify_metadata()
        kinds, computations = self._module.kinds, self._module.computations
        operands = {code.strip(): _operand(self._module.entry, *kinds[kind]) for kind, code in self._codes.items()}
        recomputed = {code for code, operand in operands.items() if operand.opcode in RECOMPUTED}
        split: dict[str, dict[str, str]] = {}
        for noted in self._new:
            _, name, kind, operand_text, _ = noted.line
            opcode, shape = kinds[kind]
            taken = noted.taken.split()
            if recomputed and (opcode in RECOMPUTED or not recomputed.isdisjoint(taken)):
                self._verify(noted.computation.instructions[noted.index])
                continue
            instruction = Instruction(noted.computation, noted.index, name, opcode, shape, operand_text, noted.said)
            if opcode not in LEAVES:
                instruction._operands = tuple([operands[each] for each in taken])
            instruction._attributes = split.get(noted.said)
            self._verify(instruction)
            split[noted.said] = instruction.attributes
        for computation in computations.values():
            if not computation.is_printed:
                self._verify_scanned(computation)
        self._module.contradictions += use_problems(self._module)
        problem = entry_problem(self._module)
        if problem:
            raise self._error(self._module.entry, -1, "", problem)
        problem = header_outputs_problem(self._module)
        if problem:
            raise self._error_at(self._module.text.find("input_output_alias="), f"the header {problem}")
        problem = header_parameters_problem(self._module)
        if problem:
            self._module.contradictions.append((self._module.entry, 0, problem))

    def _verify_header(self) -> None:
        module = self._module
        for name, value in module.attributes.items():
            problem = header_value_problem(name, value)
            if problem:
                raise self._error_at(module.text.find(f"{name}="), f"the header {problem}")
            if name not in HEADER_ATTRIBUTES:
                strange = f"is in a module with {name}= in its header, which is not known here: XLA may be newer"
                module.contradictions.append((module.entry, 0, f"{strange}, or the text damaged"))

    def _verify_metadata(self) -> None:
        """Line by line, where something is wrong with the metadata of one."""
        for computation in self._module.computations.values():
            for index, line in enumerate(computation.printed.lines() if computation.is_printed else ()):
                try:
                    metadata = attribute_of(line[4], "metadata")
                except HloCountError as problem:
                    raise self._error(computation, index, line[1], f"cannot be read: {problem}") from None
                problem_of_value = "" if metadata is None else value_problem("metadata", metadata)
                if problem_of_value:
                    raise self._error(computation, index, line[1], problem_of_value)

    def _verify_scanned(self, computation: Computation) -> None:
        computation.by_name  # noqa: B018  raises where two have one name
        for instruction in computation.instructions:
            problem = ""
            if instruction.opcode == "constant":
                problem = literal_problem(instruction.operand_text, instruction.shape)
            if problem:
                raise self._error(computation, instruction.index, instruction.name, problem)
            self._verify(instruction)

    def _verify(self, instruction: Instruction) -> None:
        """Raise ParseError for what XLA's parser does not take; note what only its verifier does not."""
        computation, index = instruction.computation, instruction.index
        problem = parser_problem(instruction)
        if problem:
            raise self._error(computation, index, instruction.name, problem)
        problem = contradiction(instruction)
        if problem:
            self._module.contradictions.append((computation, index, problem))

    def check_result(self, computation: Computation, result: str, root_kind: str) -> None:
        """Hold the result of a signature, `f32[2]`, to the computation's root; "" says nothing. Raises ParseError."""
        if root_kind.startswith(result) or (result, root_kind) in self._results:
            return
        stated, root = self._module.kinds.shapes[result], self._module.kinds[root_kind][1]
        if not fits(stated, root):
            raise self._error(
                computation, -1, "", f"{computation.name} says that it gives {stated}, but its root is {root}"
            )
        self._results.add((result, root_kind))

    def _error_at(self, at: int, message: str) -> ParseError:
        line, column, source = self._module.lines.place(max(at, 0))
        return ParseError(message, filename=self._module.filename, line=line, column=column, source=source)

    def _error(self, computation: Computation, index: int, name: str, problem: str) -> ParseError:
        """At an instruction, with a caret under its name; at the first of a computation for -1."""
        line = computation.line_of(max(index, 0))
        source = self._module.lines.line(line)
        column = max(source.find(name), 0) + 1 if name else 1
        message = f"{name} {problem}" if name else problem
        return ParseError(message, filename=self._module.filename, line=line, column=column, source=source)


def _operand(computation: Computation, opcode: str, shape: Shape) -> Instruction:
    return Instruction(computation, 0, "", opcode, shape, "", "")
