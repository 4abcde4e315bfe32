"""A computation as XLA prints one, an instruction a line: read all at once, by one compiled pattern."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

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

_UP_TO_ATTRIBUTES = rf"^[ \t]++(ROOT )?+%?+([\w.\-]++) = ((?:{_SHAPE}) [a-z][\w\-]*+)\(({_OPERANDS})\)"
_WITHOUT_ATTRIBUTES = re.compile(rf"{_UP_TO_ATTRIBUTES}(?:{_ATTRIBUTES})[ \t]*+$", re.M)
_WITH_ATTRIBUTES = re.compile(rf"{_UP_TO_ATTRIBUTES}({_ATTRIBUTES})[ \t]*+$", re.M)
_KIND_AND_ATTRIBUTES = re.compile(
    rf"^[ \t]++(?:ROOT )?+%?+[\w.\-]++ = ((?:{_SHAPE}) [a-z][\w\-]*+)\({_OPERANDS}\)({_ATTRIBUTES})[ \t]*+$", re.M
)
_SCHEDULED = re.compile(r' ?scheduling_name="[^"\\]*+"(?=[ }])')
"""What GPU's XLA says in the metadata of each instruction, its own name again: nothing asks for it."""
_COMMENT = re.compile(r"/\*(?!index=\d+\*/)")

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


@dataclass(frozen=True, slots=True)
class Printed:
    """What counting asks of every line, and the place of the lines, to be read again by who wants their instructions.

    Nearly all computations are fused ones of which only this is asked: not keeping a hundred thousand names, operand
    lists and attributes halves the time, most of which went into memory.
    """

    text: str
    start: int
    stop: int
    kinds: list[tuple[str, Shape, int]]
    """(opcode, shape, how many)."""
    parameter_numbers: list[str]
    takes_all_parameters: bool
    """Each parameter is an operand of something, or the root; where this is False, one may be none."""

    def lines(self) -> list[Line]:
        return _WITH_ATTRIBUTES.findall(self.text, self.start, self.stop)

    def kinds_and_attributes(self) -> list[tuple[str, str]]:
        """(kind, attributes) of each line: all that is shown of an instruction in a fused body but its name."""
        if self.text.find("scheduling_name=", self.start, self.stop) < 0:
            return _KIND_AND_ATTRIBUTES.findall(self.text, self.start, self.stop)
        return _KIND_AND_ATTRIBUTES.findall(_SCHEDULED.sub("", self.text[self.start : self.stop]))

    def __len__(self) -> int:
        return sum(number for _, _, number in self.kinds)


def read_printed(text: str, start: int, stop: int, kinds: Kinds) -> Printed | None:
    """The lines between `start` and `stop`; None where one is no whole instruction, or where comments stand in them.

    Raises HloCountError for a shape that is none.
    """
    lines = _WITHOUT_ATTRIBUTES.findall(text, start, stop)
    if not lines or len(lines) != text.count("\n", start, stop) + 1 or _has_comment(text, start, stop):
        return None
    counted = [(*kinds[kind], number) for kind, number in Counter([kind for _, _, kind, _ in lines]).items()]
    parameters = [line for line in lines if line[2].endswith(" parameter")]
    taken = set(", ".join([operands for _, _, _, operands in lines]).split(", "))
    takes_all = all(root or "%" + name in taken for root, name, _, _ in parameters)
    return Printed(text, start, stop, counted, [number for _, _, _, number in parameters], takes_all)


def _has_comment(text: str, start: int, stop: int) -> bool:
    """Whether there is a comment other than `/*index=5*/`, which lists print."""
    if text.find("//", start, stop) >= 0:
        return True
    at = text.find("/*", start, stop)
    return at >= 0 and _COMMENT.search(text, at, stop) is not None
