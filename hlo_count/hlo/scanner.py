"""HLO text read token by token: headers, and whatever is not laid out one instruction a line.

Follows the grammar that XLA's own parser accepts (xla/hlo/parser): comments anywhere, instructions over several lines,
operands that are whole instructions, computations that stand inline, results without a shape, sugared names.
"""

from __future__ import annotations

import re

from hlo_count.hlo.computation import Computation
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.hlo.opcodes import LEAVES
from hlo_count.hlo.shapes import COMMENT, GAP, Shape, static
from hlo_count.hlo.source_table_grammar import TABLES, entries_end
from hlo_count.hlo.tokens import NAME, Tokens
from hlo_count.hlo.verifier.shape_agreement import fits

_WORD = re.compile(r"[A-Za-z_][\w.\-]*")
_ATTRIBUTE = re.compile(r"([A-Za-z_][\w.\-]*)=", re.A)
_SHAPE_START = re.compile(rf"\(|b{GAP}\(|[a-z][a-z0-9]*{GAP}\[", re.S)
_TABLES_START = re.compile(r"FileNames\b|FunctionNames\b|FileLocations\b|StackFrames\b")
_PLAIN = re.compile(r"[^\s,\"'(){}\[\]/]+|/(?![/*])")
_INLINE = re.compile(rf"{GAP}(?:ROOT{GAP})?%?[\w.\-]+(?:\s|{COMMENT})++=", re.S)
_CALLEE_ATTRIBUTES = frozenset(
    ("calls", "to_apply", "condition", "body", "select", "scatter", "true_computation", "false_computation")
)
_CALLEE_LISTS = frozenset(("branch_computations", "called_computations"))
_SHAPED_NAME_END = re.compile(rf"{GAP}(?:[,)#]|\Z)", re.S)


class Scanner(Tokens):
    """Reads one text into a module."""

    def __init__(self, module: Module) -> None:
        super().__init__(module.text, module.lines, module.filename)
        self.module = module
        self.missing_operands_are_parameters = False
        self.anonymous = 0
        self.parameters = 0
        """Operands that nothing defines, so far."""
        self.defined: dict[str, Instruction] = {}
        """The instructions so far of the computation that is being read, by name."""

    # The header

    def scan_header(self) -> int:
        """Read `HloModule ...` and the source tables, where they are there; the index where computations begin."""
        text, module = self.text, self.module
        at = self.skip(0)
        if at >= len(text):
            raise self.error("the text is empty: expected 'HloModule ...' or a computation", at)
        if text.startswith("HloModule", at):
            module.name, at = self.name(at + len("HloModule"), "the module's name")
            if text.startswith(":", at):
                at += 1
            module.attributes, at = self.attributes(at)
        elif not self._computation_follows(at):
            return self._single_instruction(at)
        at = self.skip(at)
        if _TABLES_START.match(text, at):
            start = at
            for table in TABLES:
                at = self.expect(table, at, "in the tables of source lines")
                at = entries_end(table, text, at)
            module.tables_text = text[start:at]
            at = self.skip(at)
            if text[at : at + 1].isdigit():
                raise self.error("this is no entry of the tables of source lines", at)
        return at

    def _computation_follows(self, at: int) -> bool:
        if re.compile(r"ENTRY\b").match(self.text, at):
            return True
        found = NAME.match(self.text, at)
        if found is None:
            raise self.error(f"this is no HLO: expected 'HloModule ...' or a computation{self.instead(at)}", at)
        after = self.skip(found.end())
        return self.text.startswith(("{", "("), after) and not _SHAPE_START.match(self.text, at)

    def _single_instruction(self, at: int) -> int:
        """Text that is one instruction: operands that nothing defines are its parameters."""
        self.missing_operands_are_parameters = True
        computation = Computation(self.module, "entry")
        computation.lines = []
        if _SHAPE_START.match(self.text, at):
            at = self.right_hand_side(computation, "root", at)
        elif re.compile(r"(ROOT\s+)?%?[\w.\-]+\s*=").match(self.text, at):
            _, at = self.instruction(computation, at)
        else:
            raise self.error(f"this is no HLO: expected 'HloModule ...' or a computation{self.instead(at)}", at)
        at = self.skip(at)
        if at < len(self.text):
            raise self.error("expected the end of the text after a single instruction; is 'HloModule ...' missing?", at)
        computation.root = computation.instructions[-1]
        self.module.computations[computation.name] = computation
        return at

    # Computations and instructions

    def scan_computation(self, at: int) -> tuple[Computation, bool, int]:
        """The computation at `at`, whether it is marked ENTRY, and the index after it."""
        is_entry = re.compile(r"ENTRY\b").match(self.text, at) is not None
        start, at = at, at + len("ENTRY") * is_entry
        name, at = self.name(at, "the name of a computation")
        if name in self.module.computations:
            raise self.error(f"a second computation named {name}", start)
        at = self.skip(at)
        stated: Shape | None = None
        if self.text.startswith("(", at):
            before = at
            stated, at = self.signature(at)
        computation, at = self.instruction_list(name, at)
        root = computation.root.shape
        if stated is not None and root is not None and not fits(stated, root):
            raise self.error(f"{name} says that it gives {stated}, but its root is {root}", before)
        attributes, at = self.attributes(at)
        computation.attribute_text = "".join(f", {name}={value}" for name, value in attributes.items())
        return computation, is_entry, at

    def signature(self, at: int) -> tuple[Shape, int]:
        """The result of `(a: f32[2], b: s32[]) -> f32[2]`, which opens at `at`, and the index after it."""
        at = self.skip(at + 1)
        while not self.text.startswith(")", at):
            _, at = self.name(at, "the name of a parameter, or ')'")
            _, at = self.shape(at + self.text.startswith(":", at))
            at = self.skip(at)
            if not self.text.startswith(")", at):
                at = self.skip(self.expect(",", at, "between parameters"))
        return self.shape(self.expect("->", at + 1, "between parameters and result"))

    def instruction_list(self, name: str, at: int) -> tuple[Computation, int]:
        at = self.expect("{", at, "before the instructions of a computation")
        computation = Computation(self.module, name)
        computation.lines = []
        around, self.defined = self.defined, {}
        root: Instruction | None = None
        while True:
            at = self.skip(at)
            if self.text.startswith("}", at):
                break
            if at >= len(self.text):
                raise self.error(f"computation {name} is not closed: the text is truncated, or a '}}' is missing", at)
            is_root, at = self.instruction(computation, at)
            if is_root:
                root = computation.instructions[-1]
        if not computation.instructions:
            raise self.error(f"computation {name} has no instructions", at)
        self.defined = around
        computation.root = root or computation.instructions[-1]
        self.module.computations[name] = computation
        return computation, at + 1

    def instruction(self, computation: Computation, at: int) -> tuple[bool, int]:
        """One `[ROOT] name = ...`, appended to the computation; whether it is the root, and the index after it."""
        root = re.compile(r"ROOT\b").match(self.text, at)
        name, at = self.name(root.end() if root else at, "an instruction, as in '%name = f32[8] add(%a, %b)'")
        at = self.expect("=", at, f"after the instruction's name {name}")
        return root is not None, self.right_hand_side(computation, name, at)

    def right_hand_side(self, computation: Computation, name: str, at: int, *, nested: bool = False) -> int:
        text = self.text
        start = at = self.skip(at)
        shape: Shape | None = None
        if (_SHAPE_START.match(text, at) and not re.compile(r"[a-z][\w\-]*\(").match(text, at)) or text.startswith(
            "b(", at
        ):
            shape, at = self.shape(at)
        at = self.skip(at)
        word = _WORD.match(text, at)
        if word is None:
            raise self.error(f"expected an opcode{self.instead(at)}", at)
        opcode = word[0]
        at = self.expect("(", word.end(), f"after the opcode {opcode}")
        if opcode == "constant" and shape is not None:
            shape = static(shape)  # a literal has all its elements
        if opcode in LEAVES:
            end = self.balanced(at - 1)
            operand_text = " ".join(self.uncommented(at, end - 1, joined=False).split())
            at = end
            if opcode == "parameter" and not operand_text.isdigit():
                raise self.error(f"expected a parameter number, not {operand_text!r}", start)
        else:
            names, at = self.operands(computation, at)
            operand_text = ", ".join(f"%{operand}" for operand in names)
        attributes: dict[str, str] = {}
        if not nested:
            attributes, at = self.attributes(at)
        elif opcode != "parameter" or shape is not None:
            self.anonymous += 1
            name = name or f"{opcode}.anon.{self.anonymous}"
        attribute_text = "".join(f", {key}={value}" for key, value in attributes.items())
        self._add(computation, name, opcode, shape, operand_text, attribute_text, start)
        return at

    def _add(
        self, to: Computation, name: str, opcode: str, shape: Shape | None, operands: str, attributes: str, at: int
    ) -> Instruction:
        """One more instruction, which stands at index `at`; settle_shapes gives it its shape before anybody sees it."""
        index = len(to.instructions)
        instruction = Instruction(to, index, name, opcode, shape, operands, attributes)  # type: ignore[arg-type]
        to.instructions.append(instruction)
        assert to.lines is not None
        to.lines.append(self.module.lines.number(at))
        self.defined.setdefault(name, instruction)
        return instruction

    def operands(self, computation: Computation, at: int) -> tuple[list[str], int]:
        """Names of the operands up to the closing parenthesis; an operand that is an instruction is added first."""
        names: list[str] = []
        while True:
            at = self.skip(at)
            if self.text.startswith(")", at):
                return names, at + 1
            if self.text.startswith(",", at):
                at += 1
                continue
            if at >= len(self.text):
                raise self.error("the operands are not closed: the text is truncated, or a ')' is missing", at)
            name, at = self._operand(computation, at)
            if name:
                names.append(name)

    def _operand(self, computation: Computation, at: int) -> tuple[str, int]:
        start = at
        shape: Shape | None = None
        if _SHAPE_START.match(self.text, at) and not re.compile(r"(?!b\()[a-z][\w\-]*\(").match(self.text, at):
            shape, at = self.shape(at)
            at = self.skip(at)
            if self.text.startswith((",", ")"), at):  # a shape and no name
                if not self.missing_operands_are_parameters:
                    return "", at
                return self._parameter(computation, "", shape, start), at
        found = NAME.match(self.text, at)
        if found is None:
            raise self.error(f"expected an operand{self.instead(at)}", at)
        if _SHAPED_NAME_END.match(self.text, found.end()):
            name, at = found[1], found.end()
            if self.missing_operands_are_parameters and shape is not None and name not in self.defined:
                return self._parameter(computation, name, shape, start), at
            name, at = self._element_of(computation, name, at)
            there = self.defined.get(name)
            if shape is not None and there is not None and there.shape is not None and not fits(shape, there.shape):
                raise self.error(f"{name} is written as {shape} here, but it is {there.shape}", start)
            return name, at
        at = self.right_hand_side(computation, "", start, nested=True)
        return computation.instructions[-1].name, at

    def _element_of(self, computation: Computation, name: str, at: int) -> tuple[str, int]:
        """`%tuple#1#0` is short for get-tuple-elements."""
        while self.text.startswith("#", at := self.skip(at)):
            index = re.compile(r"\s*(\d+)").match(self.text, at + 1)
            if index is None:
                raise self.error("expected the index of a tuple element after '#'", at)
            element = f"{name}_{index[1]}"
            at = index.end()
            if element not in self.defined:
                source = self.defined.get(name)
                if source is None or (source.shape is not None and not _has_element(source.shape, index[1])):
                    raise self.error(f"{name} has no element {index[1]}", at)
                shape = source.shape.elements[int(index[1])] if source.shape is not None else None
                self._add(computation, element, "get-tuple-element", shape, f"%{name}", f", index={index[1]}", at)
            name = element
        return name, at

    def _parameter(self, computation: Computation, name: str, shape: Shape, at: int) -> str:
        number = self.parameters
        self.parameters += 1
        return self._add(computation, name or f"_{number}", "parameter", shape, str(number), "", at).name

    # Attributes

    def attributes(self, at: int) -> tuple[dict[str, str], int]:
        """`, name=value` as often as it comes; inline computations become computations of their own."""
        found: dict[str, str] = {}
        while True:
            start = self.skip(at)
            if not self.text.startswith(",", start):
                return found, at
            start = self.skip(start + 1)
            match = _ATTRIBUTE.match(self.text, start)
            if match is None:
                raise self.error(f"expected an attribute such as dimensions={{0,1}}{self.instead(start)}", start)
            if match[1] in found:
                raise self.error(f"the attribute {match[1]} stands twice", start)
            found[match[1]], at = self._value(match[1], self.skip(match.end()))

    def _value(self, name: str, at: int) -> tuple[str, int]:
        if name in _CALLEE_ATTRIBUTES and self.text.startswith("{", at) and _INLINE.match(self.text, at + 1):
            return self._inline(name, at)
        if name in _CALLEE_LISTS and self.text.startswith("{", at):
            return self._callee_list(name, at)
        start = at
        if name == "literal":  # a shape, then its value
            _, at = self.shape(at)
            at = self.skip(at)
        while at < len(self.text):
            char = self.text[at]
            if char in "({[":
                at = self.balanced(at)
            elif char in "\"'":
                at = self.string(at)
            else:
                plain = _PLAIN.match(self.text, at)
                if plain is not None:
                    at = plain.end()
                    continue
                # A mesh goes on after a space: mesh['a'=4] {'a'}; groups of devices too: [2,4] <= [8]
                after = self.skip(at)
                if after > at and self._goes_on(start, at, after):
                    at = after
                    continue
                break
        if at == start:
            raise self.error(f"expected the value of {name}{self.instead(at)}", at)
        return self.uncommented(start, at), at

    def _goes_on(self, start: int, at: int, after: int) -> bool:
        if self.text.startswith("mesh[", start) and self.text.startswith("{", after):
            return True
        return self.text.endswith("<=", start, at) or self.text.startswith("<=", after)

    def _inline(self, name: str, at: int) -> tuple[str, int]:
        self.anonymous += 1
        while f"{name}.anon.{self.anonymous}" in self.module.computations:
            self.anonymous += 1
        computation, at = self.instruction_list(f"{name}.anon.{self.anonymous}", at)
        return f"%{computation.name}", at

    def _callee_list(self, name: str, at: int) -> tuple[str, int]:
        names: list[str] = []
        at += 1
        while True:
            at = self.skip(at)
            if self.text.startswith("}", at):
                return "{" + ", ".join(names) + "}", at + 1
            if self.text.startswith(",", at):
                at += 1
            elif self.text.startswith("{", at):
                callee, at = self._inline(name, at)
                names.append(callee)
            else:
                callee, at = self.name(at, "the name of a computation")
                names.append(f"%{callee}")


def _has_element(shape: Shape, index: str) -> bool:
    return len(index) < 10 and int(index) < len(shape.elements)
