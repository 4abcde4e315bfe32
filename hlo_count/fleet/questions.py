"""Questions to a scan: the ready ones, and SQL."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from hlo_count.errors import HloCountError
from hlo_count.fleet.store import reading
from hlo_count.fleet.tables import QUESTIONS, SHOWN
from hlo_count.harmless import harmless, printable, spreadsheet_cell
from hlo_count.layout import cut, tabular, width
from hlo_count.report.units import amount
from hlo_count.text_page import TextPage

_NARROWEST = 16
_YEAR_10_000 = 253_402_300_800  # where dates of Python end, and times of files do not
_CUT_AT: dict[str, Literal["start"]] = {"file": "start", "for_example": "start", "source": "start"}


@dataclass(frozen=True, slots=True)
class Answer(TextPage):
    """Rows under the names of their columns."""

    question: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    more: bool
    """Whether there are more rows than were asked for."""

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        found = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return {"format": 1, "question": self.question, "rows": found, "more": self.more}

    def to_pandas(self) -> Any:
        """As a pandas.DataFrame; needs the extra `pandas`."""
        try:
            import pandas as pd
        except ImportError:
            raise HloCountError('to_pandas needs pandas: pip install "hlo-count[pandas]"') from None
        rows = [[spreadsheet_cell(cell) if isinstance(cell, str) else cell for cell in row] for row in self.rows]
        return pd.DataFrame(rows, columns=list(self.columns))

    @property
    def are_numbers(self) -> tuple[bool, ...]:
        """Which columns hold numbers alone."""
        return tuple(all(isinstance(row[n], int | float | None) for row in self.rows) for n in range(len(self.columns)))

    @property
    def cells(self) -> tuple[tuple[str, ...], ...]:
        """The rows as people read them: amounts with their units, four digits of each."""
        return tuple(
            tuple(_cell(cell, name) for cell, name in zip(row, self.columns, strict=True)) for row in self.rows
        )

    def __str__(self) -> str:
        if not self.rows:
            return "no rows"
        cells, numbers = self.cells, self.are_numbers
        widths = [max(len(name) + 2, *(len(row[n]) for row in cells)) + 2 for n, name in enumerate(self.columns)]
        of_numbers = sum(width for width, is_number in zip(widths, numbers, strict=True) if is_number)
        of_texts = [width for width, is_number in zip(widths, numbers, strict=True) if not is_number]
        room = _room(of_texts, width() - of_numbers) - 2
        shown = [
            [cut(cell, room, _CUT_AT.get(name, "middle")) for cell, name in zip(row, self.columns, strict=True)]
            for row in cells
        ]
        text = tabular(shown, self.columns, ["right" if is_number else "left" for is_number in numbers])
        return printable(text + (f"\n\nthese are the first {len(self.rows)}" if self.more else ""))


def ask(database: Path, question: str, rows: int | None = 20) -> Answer:
    """The answer to a question by its name, from a table, or to SQL that begins with SELECT or WITH.

    `rows`: the most that are given, all without. Raises HloCountError for a question that is not known, for SQL that
    SQLite does not take, and for a file that is no scan's.
    """
    if rows is not None and rows < 1:
        raise HloCountError(f"rows={rows}: an answer has at least one row")
    sql = _sql(question)
    with reading(database) as connection:
        try:
            cursor = connection.execute(sql)
            found = cursor.fetchall() if rows is None else cursor.fetchmany(rows + 1)
        except (sqlite3.Error, sqlite3.Warning) as problem:
            raise HloCountError(f"{question}: {problem}") from None
        columns = tuple(column[0] for column in cursor.description or ())
    return Answer(question, columns, tuple(found[:rows]), rows is not None and len(found) > rows)


def _sql(question: str) -> str:
    words = question.split(maxsplit=1)
    if question in QUESTIONS or question in SHOWN:
        return f'SELECT * FROM "{question}"'
    if len(words) == 2 and words[0].upper() in ("SELECT", "WITH"):
        return question
    near = get_close_matches(question, [*QUESTIONS, *SHOWN], 1)
    hint = f", did you mean {near[0]!r}?" if near else ":"
    raise HloCountError(f"no question {question!r}{hint} {', '.join((*QUESTIONS, *SHOWN))}, or SQL")


def questions_table() -> str:
    """The ready questions, each with what it asks."""
    return tabular([(name, question.about) for name, question in QUESTIONS.items()], ("question", "about"))


def _room(widths: list[int], width: int) -> int:
    """The most that a text may take, so that all of them fit into `width`: short ones leave room to long ones."""
    left, room = width, width
    for at, each in enumerate(sorted(widths)):
        room = left // (len(widths) - at)
        if each > room:
            break
        left -= each
    return max(_NARROWEST, room)


def _cell(value: Any, column: str) -> str:
    if value is None:
        return ""
    if isinstance(value, int | float):
        if column == "modified" and 0 <= value < _YEAR_10_000:
            return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S")
        if column.startswith("times_"):
            return f"{value:.4g}"
        unit = "B" if "bytes" in column or column in ("beyond", "size") else ""
        return amount(value, unit) if abs(value) >= 10_000 or value != int(value) else str(int(value))
    return harmless(value)
