"""A report for notebooks: plain tables, everything that comes from the program escaped."""

from __future__ import annotations

from collections.abc import Sequence

from hlo_count.harmless import html_text
from hlo_count.layout import USUAL, columns, tabular
from hlo_count.report.contributor_rows import contributor_rows, default_key
from hlo_count.report.counts import Counts
from hlo_count.report.table import contributor_columns, header, totals_rows, unknowns_text


def render_html(report: Counts) -> str:
    """Header, totals, contributors and unknowns as HTML."""
    with columns(USUAL):  # a page has no terminal's width
        return _rendered(report)


def _rendered(report: Counts) -> str:
    parts = [
        f"<p><b>{html_text(header(report))}</b></p>",
        _table(totals_rows(report), ("counter", "amount", "status", "")),
    ]
    found = contributor_cells(report)
    if found is not None:
        headers, cells = found
        parts.append(_table(cells, headers))
    parts += [f"<p>{html_text(note)}</p>" for note in report.notes]
    text = unknowns_text(report)
    if text:
        parts.append(f"<pre>{html_text(text)}</pre>")
    # A notebook would read formulas between two $.
    return "\n".join(['<div class="tex2jax_ignore mathjax_ignore">', *parts, "</div>"])


def contributor_cells(report: Counts) -> tuple[tuple[str, ...], list[tuple[str, ...]]] | None:
    """Heads and cells of the largest contributors; None where nothing is broken down."""
    if report.convention != "default" or not report.rows:
        return None
    key = default_key(report)
    columns = contributor_columns(report, contributor_rows(report, (key,), 3, 12), key)
    return tuple(columns), list(zip(*columns.values(), strict=True))


def _table(rows: Sequence[tuple[str, ...]], headers: tuple[str, ...]) -> str:
    return tabular(rows, headers, style="html")
