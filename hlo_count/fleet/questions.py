"""Questions to a scan: the ready ones, and SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import takewhile
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
_FILES = ("file", "for_example")
_CUT_AT: dict[str, Literal["start"]] = {"source": "start"}


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
        numbers = self.are_numbers
        cells, notes = _without_what_all_share(self.cells, self.columns)
        if self.more:
            notes.append(f"these are the first {len(self.rows)}: --rows, or rows=, for more")
        widths = [max(len(name), *(len(row[n]) for row in cells)) + 2 for n, name in enumerate(self.columns)]
        of_numbers = sum(width for width, is_number in zip(widths, numbers, strict=True) if is_number)
        of_texts = [width for width, is_number in zip(widths, numbers, strict=True) if not is_number]
        room = _room(of_texts, width() - of_numbers) - 2
        shown = [
            [cut(cell, room, _CUT_AT.get(name, "middle")) for cell, name in zip(row, self.columns, strict=True)]
            for row in cells
        ]
        text = tabular(shown, self.columns, ["right" if is_number else "left" for is_number in numbers])
        return printable("\n".join([text, *([""] if notes else []), *notes]))


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


def questions_table(database: Path) -> str:
    """The ready questions, each with what it asks and how many rows answer it."""
    with reading(database) as connection:
        rows = {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in QUESTIONS}
    return tabular(
        [(name, f"{rows[name]:,}", question.about) for name, question in QUESTIONS.items()],
        ("question", "rows", "about"),
        ("left", "right", "left"),
    )


def _without_what_all_share(
    cells: Sequence[Sequence[str]], columns: Sequence[str]
) -> tuple[list[list[str]], list[str]]:
    """The cells, those of files without the folder that all lie in and the end that all have, and lines that name it.

    What XLA dumps is called `module_0060.jit_step.cpu_after_optimizations.txt`: cut to fit, one is like the other.
    """
    found, notes = [list(row) for row in cells], []
    for at, name in enumerate(columns):
        if name not in _FILES or len({row[at] for row in found}) < 2:
            continue
        start = _shared([row[at] for row in found]).rpartition("/")[0]
        for row in found:
            row[at] = row[at][len(start) + 1 if start else 0 :]
        _, dot, rest = _shared([row[at][::-1] for row in found])[::-1].partition(".")
        end = dot + rest
        for row in found:
            row[at] = row[at].removesuffix(end) or row[at]
        where = [f"below {start}"] * bool(start) + [f"ending with {end}"] * bool(end)
        notes += [f"{name}: {', '.join(where)}"] if where else []
    return found, notes


def _shared(texts: Sequence[str]) -> str:
    """What all of them begin with."""
    return "".join(each[0] for each in takewhile(lambda each: len({*each}) == 1, zip(*texts, strict=False)))


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
        if column == "peak_bytes":  # in the unit that a report has it in
            return amount(value, unit, binary=True)
        return amount(value, unit) if abs(value) >= 10_000 or value != int(value) else str(int(value))
    return harmless(value)
