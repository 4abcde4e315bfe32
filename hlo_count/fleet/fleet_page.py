"""The ready questions to a scan, answered on one HTML page."""

from __future__ import annotations

from pathlib import Path

from hlo_count.fleet.questions import ask
from hlo_count.fleet.tables import QUESTIONS
from hlo_count.layout import number_of
from hlo_count.report.tables_page import PageTable, render_tables
from hlo_count.report.units import amount
from hlo_count.whole_file import save_text

ROWS = 100
"""Rows of each answer."""
_FACTS = "SELECT count(*) - count(error), count(error), total(flops), total(bytes), count(DISTINCT file) FROM modules"
_BACKENDS = (
    "SELECT backend, stage, count(*) AS modules, total(flops) AS flops, total(bytes) AS bytes FROM modules "
    "WHERE error IS NULL GROUP BY backend, stage ORDER BY modules DESC, backend, stage"
)


def save_fleet(database: Path, path: str | Path, *, force: bool) -> Path:
    """Write the page of a scan's database, and return its path. Raises HloCountError as `Report.save` does."""
    return save_text(path, (".html",), lambda: _page(database), force=force)


def _page(database: Path) -> str:
    ((modules, failed, flops, moved, files),) = ask(database, _FACTS).rows
    facts = [
        f"{number_of(modules, 'module')} in {number_of(files, 'file')}, {failed:,} that cannot be counted",
        f"{amount(flops)} FLOP and {amount(moved, 'B')} in one run of each",
    ]
    return render_tables(
        str(database),
        facts,
        [_table("backends", "what the modules are", _BACKENDS, database)]
        + [_table(name, question.about, name, database) for name, question in QUESTIONS.items()],
    )


def _table(heading: str, about: str, question: str, database: Path) -> PageTable:
    answer = ask(database, question, ROWS)
    return PageTable(
        heading.replace("_", " "),
        about,
        answer.columns,
        answer.cells,
        answer.are_numbers,
        f"these are the first {len(answer.rows)}: hlo-count query {database} {question}" if answer.more else "",
    )
