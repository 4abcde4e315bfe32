"""A computation as XLA prints one, an instruction a line: read all at once, by one compiled pattern."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from hlo_count.hlo.metadata import without_scheduling_names
from hlo_count.hlo.shapes import Shape, parse_shape, static

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
_COMMENT = re.compile(rf"/(?:/|\*(?!index=\d+\*/|{_INDICES}))")
"""A comment other than those of XLA's own: `/*index=5*/` in lists, `/*i0=0*/` between the rows of a literal."""
_TUPLE_ELEMENT = re.compile(r"#(?<=[\w.\-]#)\d+[,)#]")
"""An operand that is short for a get-tuple-element, `%pair#1`: it is none of the lines."""
_ROW = re.compile(rf"/\*{_INDICES}")
_NEAR = 8
"""How many lines behind a parameter its first user is looked for: XLA prints most of them right before it."""

Line = tuple[str, str, str, str, str]
"""An instruction as printed: "ROOT " or "", its name, its kind (shape and opcode), operands, attributes."""


class Kinds(dict[str, tuple[str, Shape]]):
    """Opcode and shape by the text of both, `f32[8]{0} add`: a module of 100,000 instructions has a few hundred."""

    def __init__(self) -> None:
        super().__init__()
        self._shapes: dict[str, Shape] = {}

    def __missing__(self, text: str) -> tuple[str, Shape]:
        shape_text, _, opcode = text.rpartition(" ")
        shape = self._shapes.get(shape_text)
        if shape is None:
            shape = self._shapes[shape_text] = parse_shape(shape_text)
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

    def __missing__(self, line: tuple[str, str]) -> int:
        kind = self._kinds[line[0]]
        number = self[line] = len(self)
        self.kinds.append(kind)
        self.attributes.append(line[1])
        if kind[0] == "parameter":
            self.parameters.add(number)
        return number


@dataclass(frozen=True, slots=True)
class Printed:
    """What counting asks of the lines of a computation, and their place, to be read again by who wants instructions.

    Nearly all computations are fused ones of which no more is asked: not keeping a hundred thousand names and operand
    lists halves the time, most of which went into memory.
    """

    text: str
    start: int
    stop: int
    numbers: Sequence[int]
    """Which of the module's distinct lines each is."""
    root: int
    """The line that is marked ROOT, else the last."""
    parameters: list[int]
    """The lines of the parameters."""
    parameter_numbers: list[str]
    """Their numbers, as the text has them."""
    takes_all_parameters: bool
    """Each parameter is an operand of something, or the root; where this is False, one may be none."""

    def lines(self) -> list[Line]:
        return _lines(self.text, self.start, self.stop)

    def __len__(self) -> int:
        return len(self.numbers)


class Reader:
    """Reads the computations of one text that are printed an instruction a line."""

    def __init__(self, text: str, distinct: DistinctLines) -> None:
        self._text = text
        self._distinct = distinct
        self._unprinted = [pattern for pattern in (_COMMENT, _TUPLE_ELEMENT) if pattern.search(text) is not None]
        self._has_scheduling_names = "scheduling_name=" in text

    def read(self, start: int, stop: int, *, is_entry: bool) -> tuple[Printed, list[Line]] | None:
        """The lines between `start` and `stop`; None where one is no whole instruction, or where a comment or a
        `%pair#1` stands in them. Raises HloCountError for a shape that is none."""
        text = self._text
        if any(pattern.search(text, start, stop) is not None for pattern in self._unprinted):
            return None
        lines = _lines(text, start, stop)
        if not lines or len(lines) != text.count("\n", start, stop) + 1:
            return None
        said = [(kind, attributes) for _, _, kind, _, attributes in lines]
        if self._has_scheduling_names and not is_entry:
            attributes = without_scheduling_names("\n".join([attributes for _, attributes in said])).split("\n")
            said = [(line[2], each) for line, each in zip(lines, attributes, strict=True)]
        numbers = array("L", map(self._distinct.__getitem__, said))
        is_parameter = self._distinct.parameters
        parameters = [index for index, number in enumerate(numbers) if number in is_parameter]
        printed = Printed(
            *(text, start, stop, numbers),
            root=_root(lines),
            parameters=parameters,
            parameter_numbers=[lines[index][3] for index in parameters],
            takes_all_parameters=_takes_all(lines, parameters),
        )
        return printed, lines


def _lines(text: str, start: int, stop: int) -> list[Line]:
    lines: list[Line] = _LINE.findall(text, start, stop)
    if text.find("/*i0", start, stop) < 0:
        return lines
    return [(*line[:3], " ".join(_ROW.sub("", line[3]).split()), line[4]) for line in lines]


def _root(lines: list[Line]) -> int:
    last = len(lines) - 1
    return last if lines[last][0] else next((index for index, line in enumerate(lines) if line[0]), last)


def _takes_all(lines: list[Line], parameters: list[int]) -> bool:
    """Whether each of the parameters, given by their lines, is an operand of something, or the root."""
    taken: set[str] = set()
    for index in parameters:
        root, name = lines[index][0], "%" + lines[index][1]
        if root or _is_taken(name, lines[index + 1 : index + _NEAR]):
            continue
        taken = taken or set(", ".join([operands for _, _, _, operands, _ in lines]).split(", "))
        if name not in taken:
            return False
    return True


def _is_taken(name: str, lines: list[Line]) -> bool:
    return any(name in line[3] and name in line[3].split(", ") for line in lines)
