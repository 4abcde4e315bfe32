"""Tables as one HTML file that needs no network, for what has no program to draw: a run, a fleet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hlo_count.harmless import harmless
from hlo_count.report.page_file import page_template, part


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table under its heading; `numbers` says which columns stand to the right."""

    heading: str
    about: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[bool, ...]
    more: str = ""
    """What is left out."""


def render_tables(title: str, facts: Sequence[str], tables: Sequence[PageTable]) -> str:
    """The page as text. Raises HloCountError without Jinja2 (the extra `html`)."""
    template, markup = page_template("tables.html.jinja")
    shown = [
        PageTable(
            harmless(table.heading),
            harmless(table.about),
            tuple(map(harmless, table.columns)),
            tuple(tuple(map(harmless, row)) for row in table.rows),
            table.numbers,
            harmless(table.more),
        )
        for table in tables
    ]
    title = f"{harmless(title, 200)} · hlo_count"
    return str(
        template.render(title=title, css=markup(part("page.css")), facts=list(map(harmless, facts)), tables=shown)
    )
