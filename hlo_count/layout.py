"""Rows and sentences as lines of text. What a cell or a sentence holds is made harmless before it is measured."""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from hlo_count.harmless import LONGEST, harmless, markdown_cell

NARROWEST, USUAL, WIDEST = 60, 100, 200
"""Columns: nothing is laid out for less than the first or more than the last; a file and a pipe get the second."""
SHORTEST_NAME = 40
"""Characters that a name keeps however narrow the place is: who wants to know more of it has to type it."""

_KEPT = "\u2800"
"""Stands for a blank at the ends of a cell, which tabulate would strip, and for one at which no line breaks."""
_GAP = 2
"""Blanks between columns."""
_NARROWEST_CELL = 24
"""Columns that a cell of text has at least before others go below it."""
_NARROWEST_TEXT, _NARROWEST_ALIGNED = 16, 10
_asked: ContextVar[int | None] = ContextVar("columns", default=None)

Style = Literal["plain", "github", "html"]


def width() -> int:
    """Columns that there are for what is printed: those asked for (`columns`), else $COLUMNS, else those of the
    terminal that standard output leads to, else `USUAL`."""
    return max(NARROWEST, min(WIDEST, _asked.get() or _told() or _of_the_terminal() or USUAL))


@contextmanager
def columns(number: int | None) -> Iterator[None]:
    """What is laid out inside has so many columns; None changes nothing."""
    before = _asked.set(number or _asked.get())
    try:
        yield
    finally:
        _asked.reset(before)


def _told() -> int:
    told = os.environ.get("COLUMNS", "")
    return int(told) if told.isdecimal() and len(told) < 6 else 0


def _of_the_terminal() -> int:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError, AttributeError):  # no terminal, closed, or no file at all
        return 0


def number_of(number: int, what: str) -> str:
    """ "1 file", "2,000 files": `what` is the word for one."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def tabular(
    rows: Iterable[Sequence[str]], headers: Sequence[str] = (), align: Sequence[str] = (), style: Style = "plain"
) -> str:
    """Cells in columns, "left" or "right" by `align`; blanks at the ends of a cell stay.

    Plain text, or a table of Markdown ("github") or HTML, in which a cell means no more than its text. Plain text keeps
    to the `width`: where it is too narrow, cells at the left have more lines than one, and then columns stand below
    others, each time with the first.
    """
    shown = markdown_cell if style == "github" else harmless  # in HTML tabulate escapes what stands in its cells
    cells = [[shown(cell) for cell in row] for row in rows]
    text = _tabulated(cells, headers, align, style)
    if style == "html":
        return text.replace(_KEPT, "\u2003")
    if style == "plain" and max(map(len, text.splitlines()), default=0) > width():
        return _narrow(cells, headers, align)
    return text


def _tabulated(cells: list[list[str]], headers: Sequence[str], align: Sequence[str], style: Style) -> str:
    from tabulate import tabulate

    kept = [[_with_its_blanks(cell) for cell in row] for row in cells]
    text = str(tabulate(kept, tuple(headers), style, colalign=tuple(align), disable_numparse=True))
    if style == "html":
        return text
    return "\n".join(line.replace(_KEPT, " ").rstrip() for line in text.splitlines())


def _with_its_blanks(cell: str) -> str:
    inside = cell.strip(" ")
    before = len(cell) - len(cell.lstrip(" ")) if inside else 0
    return f"{_KEPT * before}{inside}{_KEPT * (len(cell) - len(inside) - before)}"


# Where all does not fit in the width


def _narrow(cells: list[list[str]], headers: Sequence[str], align: Sequence[str]) -> str:
    """A table as narrow as there is room: cells fold, and columns that still do not fit stand in a block below."""
    rows = [[harmless(" ".join(name.split())) for name in headers], *cells] if headers else cells
    sides = [*align, *["left"] * len(rows[0])][: len(rows[0])]
    widths = [max(len(row[n]) for row in rows) for n in range(len(sides))]
    _fold_into(widths, sides, width())
    blocks = [[0]]
    for n in range(1, len(sides)):
        taken = sum(widths[each] + _GAP for each in blocks[-1])
        if taken + widths[n] > width() and len(blocks[-1]) > 1:
            blocks.append([0])
        blocks[-1].append(n)
    return "\n\n".join("\n".join(_block(rows, block, widths, sides)) for block in blocks)


def _block(
    rows: Sequence[Sequence[str]], block: Sequence[int], widths: Sequence[int], sides: Sequence[str]
) -> list[str]:
    """The rows of some of the columns as lines, whose cells take what room the block leaves them."""
    wholes = {n: max(len(row[n]) for row in rows) for n in block}
    here = [wholes[n] for n in block]
    _fold_into(here, [sides[n] for n in block], width(), least=[widths[n] for n in block])
    marks = "".join(">" if sides[n] == "right" else "<" for n in block)
    return [
        (" " * _GAP).join(f"{cell:{side}{size}}" for cell, side, size in zip(line, marks, here, strict=True)).rstrip()
        for row in rows
        for line in _lines_of([row[n] for n in block], here)
    ]


def _fold_into(widths: list[int], sides: Sequence[str], room: int, least: Sequence[int] | None = None) -> None:
    """Makes columns of text narrower, the widest first, until all fit or none can be."""
    least = [min(size, _NARROWEST_CELL) for size in widths] if least is None else least
    over = sum(widths) + _GAP * (len(widths) - 1) - room
    while over > 0:
        wide = [n for n in range(len(widths)) if sides[n] == "left" and widths[n] > least[n]]
        if not wide:
            return
        widest = max(wide, key=lambda n: widths[n])
        next_one = max([least[widest], *(widths[n] for n in wide if widths[n] < widths[widest])])
        taken = min(over, widths[widest] - next_one)
        widths[widest] -= taken
        over -= taken


def _lines_of(row: Sequence[str], widths: Sequence[int]) -> list[list[str]]:
    """A row as the lines that its cells take."""
    folded = [_folded(cell, size) for cell, size in zip(row, widths, strict=True)]
    height = max(map(len, folded), default=1)
    return [[lines[n] if n < len(lines) else "" for lines in folded] for n in range(height)]


_PIECE = re.compile(r"[^\s/._:,-]*[\s/._:,-]*")


def _folded(cell: str, room: int) -> list[str]:
    """A cell in lines of at most `room`, broken between words, else after signs that part names; indented as it is."""
    if len(cell) <= room:
        return [cell]
    indent = min(len(cell) - len(cell.lstrip(" ")), room // 2)
    if max(map(len, cell.split())) < room - indent:
        return textwrap.wrap(cell.strip(" "), room, initial_indent=" " * indent, subsequent_indent=" " * (indent + 1))
    lines = [" " * indent]
    for piece in _PIECE.findall(cell.strip(" ")):
        if len(lines[-1] + piece.rstrip()) > room and lines[-1].strip():
            lines.append(" " * (indent + 1))
        while len(lines[-1] + piece.rstrip()) > room:
            left = room - len(lines[-1])
            lines[-1] += piece[:left]
            lines.append(" " * (indent + 1))
            piece = piece[left:]
        lines[-1] += piece
    return [line.rstrip() for line in lines if line.strip()]


def aligned(rows: Iterable[Sequence[str]], sides: str) -> list[str]:
    """Rows as lines, each cell at the side "<" or ">" of its column; two blanks before each column. Where there is no
    room for that, cells have more lines than one."""
    cells = [[harmless(cell) for cell in row] for row in rows]
    widths = [max(len(row[n]) for row in cells) for n in range(len(sides))]
    least = [min(size, _NARROWEST_ALIGNED) for size in widths]
    _fold_into(widths, ["left" if side == "<" else "right" for side in sides], width() - _GAP, least)
    return [
        "".join(f"  {cell:{side}{size}}" for cell, side, size in zip(line, sides, widths, strict=True)).rstrip()
        for row in cells
        for line in _lines_of(row, widths)
    ]


def wrapped(
    sentence: str, room: int | None = None, *, first: str = "", others: str = "  ", hyphens: bool = True
) -> list[str]:
    """A sentence in lines of `room`, the `width` unless given; `first` stands before the first, `others` before the
    others."""
    shown = harmless(sentence, 4 * LONGEST)
    most = width() if room is None else max(room, _NARROWEST_TEXT)
    return textwrap.wrap(shown, most, initial_indent=first, subsequent_indent=others, break_on_hyphens=hyphens)


def joined(parts: Iterable[str]) -> list[str]:
    """Parts with a dot between, in lines that break between the parts where they can."""
    text = " · ".join(harmless(part).replace(" ", _KEPT) for part in parts)
    return [line.replace(_KEPT, " ") for line in textwrap.wrap(text, width(), subsequent_indent="  ")]


def cut(text: object, room: int, at: Literal["start", "middle", "end"] = "end") -> str:
    """At most `room` characters of a text, with a sign where it is cut: a path at its start, a name in its middle."""
    shown = harmless(text, max(room, LONGEST))
    if len(shown) <= room:
        return shown
    tail = {"start": room - 1, "middle": (room - 1) // 2, "end": 0}[at]
    return f"{shown[: room - 1 - tail]}…{shown[len(shown) - tail :]}"
