"""Rows and sentences as lines of text. What a cell or a sentence holds is made harmless before it is measured."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Literal

from hlo_count.harmless import LONGEST, harmless, markdown_cell

WIDTH = 100
"""Columns of what we print."""

_KEPT = "\u2800"
"""Stands for a blank at the ends of a cell, which tabulate would strip, and for one at which no line breaks."""

Style = Literal["plain", "github", "html"]


def tabular(
    rows: Iterable[Sequence[str]], headers: Sequence[str] = (), align: Sequence[str] = (), style: Style = "plain"
) -> str:
    """Cells in columns, "left" or "right" by `align`; blanks at the ends of a cell stay.

    Plain text, or a table of Markdown ("github") or HTML, in which a cell means no more than its text.
    """
    from tabulate import tabulate

    shown = markdown_cell if style == "github" else harmless  # in HTML tabulate escapes what stands in its cells
    cells = [[_with_its_blanks(shown(cell)) for cell in row] for row in rows]
    text = tabulate(cells, tuple(headers), style, colalign=tuple(align), disable_numparse=True)
    if style == "html":
        return str(text).replace(_KEPT, "\u2003")
    return "\n".join(line.replace(_KEPT, " ").rstrip() for line in text.splitlines())


def _with_its_blanks(cell: str) -> str:
    inside = cell.strip(" ")
    before = len(cell) - len(cell.lstrip(" ")) if inside else 0
    return f"{_KEPT * before}{inside}{_KEPT * (len(cell) - len(inside) - before)}"


def aligned(rows: Iterable[Sequence[str]], sides: str) -> list[str]:
    """Rows as lines, each cell at the side "<" or ">" of its column; two blanks before each column."""
    cells = [[harmless(cell) for cell in row] for row in rows]
    widths = [max(len(row[n]) for row in cells) for n in range(len(sides))]
    return [
        "".join(f"  {cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)).rstrip()
        for row in cells
    ]


def wrapped(
    sentence: str, width: int = WIDTH, *, first: str = "", others: str = "  ", hyphens: bool = True
) -> list[str]:
    """A sentence in lines of `width`; `first` stands before the first, `others` before the others."""
    shown = harmless(sentence, 4 * LONGEST)
    return textwrap.wrap(shown, width, initial_indent=first, subsequent_indent=others, break_on_hyphens=hyphens)


def joined(parts: Iterable[str], width: int = WIDTH) -> list[str]:
    """Parts with a dot between, in lines that break between the parts where they can."""
    text = " · ".join(harmless(part).replace(" ", _KEPT) for part in parts)
    return [line.replace(_KEPT, " ") for line in textwrap.wrap(text, width, subsequent_indent="  ")]


def cut(text: object, room: int, at: Literal["start", "middle", "end"] = "end") -> str:
    """At most `room` characters of a text, with a sign where it is cut: a path at its start, a name in its middle."""
    shown = harmless(text, max(room, LONGEST))
    if len(shown) <= room:
        return shown
    tail = {"start": room - 1, "middle": (room - 1) // 2, "end": 0}[at]
    return f"{shown[: room - 1 - tail]}…{shown[len(shown) - tail :]}"
