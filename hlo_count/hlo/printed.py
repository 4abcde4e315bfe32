"""A computation as XLA prints one, an instruction a line: read all at once, by one compiled pattern."""

from __future__ import annotations

import re
from array import array
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from hlo_count.hlo.calls import Call, called_names, may_call
from hlo_count.hlo.metadata import without_scheduling_names
from hlo_count.hlo.shapes import Shape, parse_shape, static, tuple_of

# The repeats are possessive: no part of a line can be read in two ways, so nothing is gained by trying again.
_P1 = r"[^()\n]*+(?:\([^()\n]*+\)[^()\n]*+)*+"
_P2 = rf"[^()\n]*+(?:\({_P1}\)[^()\n]*+)*+"
_P3 = rf"[^()\n]*+(?:\({_P2}\)[^()\n]*+)*+"
_P4 = rf"[^()\n]*+(?:\({_P3}\)[^()\n]*+)*+"
# An operand that is a whole instruction, `f32[] constant(2)`, has a word before its parenthesis: the scanner's.
_OPERANDS = rf"[^()\n]*+(?:(?<![a-z0-9\-])\({_P2}\)[^()\n]*+)*+"
_SHAPE = rf"[a-z][^ (\n]*+|[a-z][^ (\n]*\{{[^{{}}\n]*+\}}|\({_P4}\)"
_ATTRIBUTES = r", *[\w\-]++=[^\n]*[^\s,]|"

_LINE = re.compile(
    rf"^[ \t]++(ROOT )?+%?+([A-Za-z_][\w.\-]*+) = ((?:{_SHAPE}) [a-z][\w\-]*+)\(({_OPERANDS})\)({_ATTRIBUTES})[ \t]*+$",
    re.M | re.A,
)
_INDICES = r"i\d+=\d+(?:, *+i\d+=\d+)*+\*/"
_COMMENT = re.compile(rf"/(?:/|\*(?!index=\d+\*/|{_INDICES}))", re.A)
"""A comment other than those of XLA's own: `/*index=5*/` in lists, `/*i0=0*/` between the rows of a literal."""
_TUPLE_ELEMENT = re.compile(r"#(?<=[\w.\-]#)\d+[,)#]", re.A)
"""An operand that is short for a get-tuple-element, `%pair#1`: it is none of the lines."""
_ROW = re.compile(rf"/\*{_INDICES}", re.A)
_INDEX = re.compile(r"/\*index=\d+\*/", re.A)
_BETWEEN_ARRAYS = re.compile(r"(?<=[\]}]), *+")

Line = tuple[str, str, str, str, str]
"""An instruction as printed: "ROOT " or "", its name, its kind (shape and opcode), operands, attributes."""


class Shapes(dict[str, Shape]):
    """Shapes by their text, each read once. Raises HloCountError for a text that spells none."""

    def __missing__(self, text: str) -> Shape:
        elements = _elements(text)
        shape = self[text] = tuple_of(tuple(map(self.__getitem__, elements))) if elements else parse_shape(text)
        return shape


def _elements(text: str) -> list[str]:
    """The elements of a tuple of arrays as XLA prints it, where hundreds are of a dozen kinds; [] of any other text."""
    if not text.startswith("(") or not text.endswith(")"):
        return []
    elements = _BETWEEN_ARRAYS.split(_INDEX.sub("", text)[1:-1])
    return elements if all(_is_array(element) for element in elements) else []


def _is_array(text: str) -> bool:
    return text.endswith(("]", "}")) and text.count("[") == 1 and text[0] != "("


class Kinds(dict[str, tuple[str, Shape]]):
    """Opcode and shape by the text of both, `f32[8]{0} add`: a module of 100,000 instructions has a few hundred."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes = Shapes()

    def __missing__(self, text: str) -> tuple[str, Shape]:
        shape_text, _, opcode = text.rpartition(" ")
        shape = self.shapes[shape_text]
        kind = self[text] = opcode, static(shape) if opcode == "constant" else shape
        return kind


class DistinctLines(dict[tuple[str, str], int]):
    """A number for each distinct line of a module by its kind and attributes, all that is shown of an instruction but
    its name: of a hundred thousand lines some hundreds are distinct."""

    def __init__(self, kinds: Kinds) -> None:
        super().__init__()
        self._kinds = kinds
        self.kinds: list[tuple[str, Shape]] = []
        """Opcode and shape, by number."""
        self.attributes: list[str] = []
        """By number, without the scheduling names of fused instructions."""
        self.parameters: set[int] = set()
        self.constants: set[int] = set()
        self.calling: set[int] = set()
        """Those that may call computations."""

    def __missing__(self, line: tuple[str, str]) -> int:
        kind = self._kinds[line[0]]
        number = self[line] = len(self)
        self.kinds.append(kind)
        self.attributes.append(line[1])
        if kind[0] == "parameter":
            self.parameters.add(number)
        elif kind[0] == "constant":
            self.constants.add(number)
        elif may_call(kind[0]):
            self.calling.add(number)
        return number

    def calls(self, numbers: Sequence[int]) -> list[Call]:
        """What lines call, in their order. Raises HloCountError for an attribute that stands twice."""
        calling = [number for number in numbers if number in self.calling]
        called = {number: self._called(number) for number in set(calling)}
        return [call for number in calling for call in called[number]]

    def _called(self, number: int) -> list[Call]:
        opcode = self.kinds[number][0]
        return [Call(opcode, *each) for each in called_names(self.attributes[number])]


@dataclass(frozen=True, slots=True)
class Outline:
    """What counting asks of the lines of a computation, whatever names and metadata they have."""

    size: int
    root: int
    """The line that is marked ROOT, else the last."""
    root_kind: str
    """Its shape and opcode, as the text has them."""
    parameters: list[int]
    """The lines of the parameters."""
    parameter_numbers: list[str]
    """Their numbers, as the text has them."""
    takes_all_parameters: bool
    """Each parameter is an operand of something, or the root; where this is False, one may be none."""
    takes_all_but_root: bool
    """Each line but the root is an operand of something, and the root is not; where this is False, that may be so."""


class Printed:
    """The place of a computation's lines, to be read again by who wants instructions, and what counting asks of them.

    Nearly all computations are fused ones of which no more is asked: not keeping a hundred thousand names and operand
    lists halves the time, most of which went into memory.
    """

    __slots__ = ("_calls", "_numbers", "_reader", "_stop", "contents", "outline", "start")

    def __init__(self, reader: Reader, start: int, stop: int, outline: Outline) -> None:
        self._reader = reader
        self.start = start
        self._stop = stop
        self.outline = outline
        self._numbers: Sequence[int] | None = None
        self._calls: Sequence[Call] | None = None
        self.contents: Sequence[int] = ()
        """What each line says but for names and metadata, as a number: its kind, its attributes with the first of its
        twins for each computation that it calls, and the kinds of its operands. Those of a body that says what another
        did are that one's (`Computation.twin`); none where shapes may not stay as the text has them."""

    @property
    def numbers(self) -> Sequence[int]:
        """Which of the module's distinct lines each is."""
        if self._numbers is None:
            self._numbers = self._reader.numbers(self.lines())
        return self._numbers

    @property
    def calls(self) -> Sequence[Call]:
        """What its lines call, in the order of the text. Raises HloCountError for an attribute that stands twice."""
        if self._calls is None:
            self._calls = self._reader.calls(self.numbers)
        return self._calls

    @property
    def text(self) -> str:
        return self._reader.text[self.start : self._stop]

    def lines(self) -> list[Line]:
        return self._reader.lines(self.start, self._stop)

    def __len__(self) -> int:
        return self.outline.size


class Columns:
    """The lines of a computation that were just read, and what is asked of all of them at once."""

    def __init__(self, lines: list[Line], numbers: Sequence[int]) -> None:
        marks, self.names, self.kinds, self.operands, _ = zip(*lines, strict=True)
        self.lines = lines
        self.numbers = numbers
        self.roots = [index for index, mark in enumerate(marks) if mark]

    @cached_property
    def uses(self) -> list[str]:
        """The names as operands have them, line by line."""
        return ("%" + ", %".join(self.names)).split(", ")

    @cached_property
    def operand_lists(self) -> list[list[str]]:
        """The operands of each line; [""] where it has none."""
        if "/*" in "".join(self.operands):
            return [_INDEX.sub("", operands).split(", ") for operands in self.operands]
        return [operands.split(", ") for operands in self.operands]

    def outline(self, is_parameter: Container[int]) -> Outline:
        """What counting asks of them; `is_parameter` tells which of the distinct lines are parameters."""
        parameters = [index for index, number in enumerate(self.numbers) if number in is_parameter]
        root = self.roots[0] if self.roots else len(self.lines) - 1
        taken = set(chain.from_iterable(self.operand_lists))
        root_is_taken = self.uses[root] in taken
        taken.add(self.uses[root])
        return Outline(
            size=len(self.lines),
            root=root,
            root_kind=self.kinds[root],
            parameters=parameters,
            parameter_numbers=[self.operands[index] for index in parameters],
            takes_all_parameters=taken.issuperset([self.uses[index] for index in parameters]),
            takes_all_but_root=not root_is_taken and taken.issuperset(self.uses),
        )


class Reader:
    """Reads the computations of one text that are printed an instruction a line."""

    def __init__(self, text: str, distinct: DistinctLines) -> None:
        self.text = text
        self._distinct = distinct
        self._unprinted = [pattern for pattern in (_COMMENT, _TUPLE_ELEMENT) if pattern.search(text) is not None]
        self._has_scheduling_names = "scheduling_name=" in text
        self._has_rows = "/*i0" in text

    def read(self, start: int, stop: int, *, is_entry: bool) -> Columns | None:
        """The lines between `start` and `stop`; None where one is no whole instruction, or where a comment or a
        `%pair#1` stands in them. Raises HloCountError for a shape that is none."""
        text = self.text
        if any(pattern.search(text, start, stop) is not None for pattern in self._unprinted):
            return None
        lines = self.lines(start, stop)
        if not lines or len(lines) != text.count("\n", start, stop) + 1:
            return None
        return Columns(lines, self.numbers(lines, is_entry=is_entry))

    def printed(self, start: int, stop: int, columns: Columns) -> Printed:
        """Those lines, without keeping them."""
        printed = Printed(self, start, stop, columns.outline(self._distinct.parameters))
        printed._numbers = columns.numbers
        return printed

    def again(self, start: int, stop: int, first: Printed, callees: Sequence[str]) -> Printed:
        """Other lines that say the same, and call others that do."""
        printed = Printed(self, start, stop, first.outline)
        pairs = zip(first.calls, callees, strict=True)
        printed._calls = [Call(*call[:2], name) for call, name in pairs] if callees else ()
        return printed

    def calls(self, numbers: Sequence[int]) -> Sequence[Call]:
        """What lines call, by their numbers."""
        return self._distinct.calls(numbers) or ()

    def lines(self, start: int, stop: int) -> list[Line]:
        """The lines between `start` and `stop` of which all are whole instructions."""
        lines: list[Line] = _LINE.findall(self.text, start, stop)
        if not self._has_rows or self.text.find("/*i0", start, stop) < 0:
            return lines
        return [(*line[:3], " ".join(_ROW.sub("", line[3]).split()), line[4]) for line in lines]

    def numbers(self, lines: list[Line], *, is_entry: bool = False) -> Sequence[int]:
        """Which of the module's distinct lines each is."""
        said = [(kind, attributes) for _, _, kind, _, attributes in lines]
        if self._has_scheduling_names and not is_entry:
            attributes = without_scheduling_names("\n".join([attributes for _, attributes in said])).split("\n")
            said = [(line[2], each) for line, each in zip(lines, attributes, strict=True)]
        return array("I", map(self._distinct.__getitem__, said))
