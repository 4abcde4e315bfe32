"""A job as one HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hlo_count.job.job_table import changes_text
from hlo_count.job.module_counts import KEYS, largest
from hlo_count.layout import number_of
from hlo_count.report.tables_page import PageTable, render_tables
from hlo_count.report.units import amount, percent
from hlo_count.visitors.cost import Cost
from hlo_count.whole_file import save_text

if TYPE_CHECKING:
    from hlo_count.job.job import Job
    from hlo_count.job.job_rows import JobRow

_MODULES = ("module", "FLOP", "%", "unoptimized", "bytes", "%", "peak", "XLA's", "status", "backend", "stage")


def save_job(job: Job, path: str | Path, *, force: bool) -> Path:
    """Write the page, and return its path. Raises HloCountError as `Report.save` does."""
    return save_text(path, (".html",), lambda: _page(job), force=force)


def _page(job: Job) -> str:
    facts = [
        f"{number_of(len(job.compiles), 'module')}, {len(job.problems):,} that cannot be read, "
        f"{number_of(job.passed_over, 'other file')}",
        f"{amount(job.total.flops)} FLOP and {amount(job.total.bytes, 'B')} in one run of each, {job.total.status}",
    ]
    rows = tuple(_row(row, job.total) for row in job.rows if row.counts is not None)
    again = tuple(
        (each.name, one.label, other.label, changes_text(changed))
        for each in job.retraces
        for one, other, changed in zip(each.compiles, each.compiles[1:], each.changes, strict=False)
    )
    unknowns = tuple(
        (group.what, group.reason, f"{group.instructions:,}", f"{len(group.labels):,}", group.kinds[0].settle)
        for group in job.unknowns
    )
    problems = tuple((row.label, row.problem.partition("\n")[0]) for row in job.problems)
    from_to = ("name", "from", "to", "what changed")
    why = ("what", "why", "instructions", "modules", "settle it")
    tables = [
        PageTable("modules", "one run of each, the largest first", _MODULES, rows, _numbers("<>>>>>>><<<")),
        PageTable("compiled again", "what changed from one compile to the next", from_to, again, _numbers("<<<<")),
        *(_contributors(key, largest(job.by(key), 50), job.total) for key in KEYS),
        PageTable("unknown or estimated", "over all modules", why, unknowns, _numbers("<<>><")),
        PageTable("cannot be read", "and are in no total", ("module", "why"), problems, _numbers("<<")),
    ]
    return render_tables(str(job.path), facts, tables)


def _row(row: JobRow, total: Cost) -> tuple[str, ...]:
    counts = row.counts
    assert counts is not None
    return (
        row.label,
        amount(counts.total.flops),
        percent(counts.total.flops, total.flops),
        "" if row.before is None else amount(row.before.flops),
        amount(counts.total.bytes, "B"),
        percent(counts.total.bytes, total.bytes),
        amount(counts.peak_bytes, "B", binary=True),
        "" if row.xla_peak_bytes is None else amount(row.xla_peak_bytes, "B", binary=True),
        counts.total.status,
        counts.backend,
        counts.stage,
    )


def _contributors(key: str, costs: Mapping[str, Cost], total: Cost) -> PageTable:
    rows = tuple(
        (
            name,
            amount(cost.flops),
            percent(cost.flops, total.flops),
            amount(cost.bytes, "B"),
            percent(cost.bytes, total.bytes),
        )
        for name, cost in costs.items()
    )
    return PageTable(f"by {key}", "over all modules", (key, "FLOP", "%", "bytes", "%"), rows, _numbers("<>>>>"))


def _numbers(sides: str) -> tuple[bool, ...]:
    return tuple(side == ">" for side in sides)
