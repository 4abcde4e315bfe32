"""The Job: every module of one run, one by one and summed up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.harmless import harmless, spreadsheet_cell
from hlo_count.job.job_diff import JobDiff, paired
from hlo_count.job.job_page import save_job
from hlo_count.job.job_rows import JobRow, Retrace, UnknownGroup, retraces, total, unknown_groups
from hlo_count.job.job_table import render
from hlo_count.job.module_counts import EVERYTHING_ELSE, KEYS, OF_DATA, OF_PROGRAM, largest
from hlo_count.made_with import MadeWith
from hlo_count.report.export import EXPORTED_COUNTERS, cost_dict
from hlo_count.text_page import TextPage
from hlo_count.visitors.cost import Cost


class Job(TextPage, MadeWith):
    """The modules in a folder that XLA dumped into. Amounts are those of one run of each on one device: how often each
    ran, the dumps do not tell."""

    def __init__(self, path: Path, compiles: Sequence[JobRow], passed_over: int) -> None:
        self.path = path
        self.compiles = tuple(compiles)
        """A row a module, in the order in which they were compiled."""
        self.passed_over = passed_over
        """Files that are no HLO, or that XLA did not write of a module's states."""

    @cached_property
    def rows(self) -> list[JobRow]:
        """The modules, the largest first: by FLOP, then by bytes. Those that cannot be read are last."""
        return sorted(self.compiles, key=_size, reverse=True)

    @property
    def problems(self) -> list[JobRow]:
        """The modules that cannot be read."""
        return [row for row in self.compiles if row.counts is None]

    @property
    def total(self) -> Cost:
        """One run of each module."""
        return total(self.compiles)

    @cached_property
    def retraces(self) -> list[Retrace]:
        """What was compiled more than once under one name, and what changed between."""
        return retraces(self.compiles)

    @cached_property
    def unknowns(self) -> list[UnknownGroup]:
        """What was not known, grouped over the modules."""
        return unknown_groups(self.compiles)

    def by(self, key: str) -> dict[str, Cost]:
        """The total by "source", "scope" or "class" over all modules, the largest first; adds up to it exactly.

        Of each module the largest are known by name, the others of all modules are one. Raises HloCountError for
        another key.
        """
        if key not in KEYS:
            raise HloCountError(f"by({key!r}): over many modules there is {', '.join(KEYS)}")
        groups: dict[str, list[Cost]] = {}
        for row in self.compiles:
            for name, cost in row.counts.contributors[key].items() if row.counts is not None else ():
                groups.setdefault(name, []).append(cost)
        costs = {name: Cost.sum(each) for name, each in groups.items()}
        rest = {EVERYTHING_ELSE: costs.pop(EVERYTHING_ELSE)} if EVERYTHING_ELSE in costs else {}
        ranked = sorted(costs, key=lambda name: (-costs[name].flops, -costs[name].bytes, name))
        return {**{name: costs[name] for name in ranked}, **rest}

    def diff(self, other: Job) -> JobDiff:
        """What it takes to get from this run to `other`: modules paired by name and shapes, new and gone ones."""
        return JobDiff(self.path, other.path, paired(self.compiles, other.compiles))

    def table(self, by: str | None = None, *, rows: int = 12) -> str:
        """Text: totals, modules, retraces, contributors by `by`, unknowns."""
        return render(self, by, rows)

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the job as one HTML file that needs no network, and return its path.

        Raises HloCountError as `Report.save` does; needs the extra `html`.
        """
        return save_job(self, path, force=force)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, for JSON."""
        return {
            "format": 1,
            "folder": str(self.path),
            "total": cost_dict(self.total),
            "passed_over": self.passed_over,
            "modules": [row_dict(row) for row in self.rows],
            "retraces": [
                {
                    "name": each.name,
                    "modules": [row.label for row in each.compiles],
                    "changes": [[asdict(change) for change in changes] for changes in each.changes],
                }
                for each in self.retraces
            ],
            "by": {key: {n: cost_dict(c) for n, c in largest(self.by(key)).items()} for key in KEYS},
            "unknowns": [
                {
                    "what": group.what,
                    "reason": group.reason,
                    "instructions": group.instructions,
                    "modules": list(group.labels),
                    "settle": group.kinds[0].settle,
                }
                for group in self.unknowns
            ],
        }

    def to_pandas(self) -> Any:
        """A pandas.DataFrame, a row a module, the largest first; needs the extra `pandas`."""
        try:
            import pandas as pd
        except ImportError:
            raise HloCountError('to_pandas needs pandas: pip install "hlo-count[pandas]"') from None
        found = [{k: v for k, v in row_dict(row).items() if not isinstance(v, dict | list)} for row in self.rows]
        for each in found:
            each.update({k: spreadsheet_cell(v) for k, v in each.items() if isinstance(v, str)})
        return pd.DataFrame(found)

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        counts = f"{self.total.flops:,} FLOP, {self.total.bytes:,} bytes"
        return harmless(f"<Job {self.path}: {len(self.compiles)} modules, {counts}>")


def row_dict(row: JobRow) -> dict[str, Any]:
    """One module as plain data; amounts are missing where it cannot be read."""
    data: dict[str, Any] = {"module": row.label, "name": row.name, "file": row.path.name, "modified": row.modified}
    counts = row.counts
    if counts is None:
        return {**data, "problem": row.problem}
    return {
        **data,
        **{name: getattr(counts, name) for name in OF_PROGRAM},
        **cost_dict(counts.total),
        **{name: getattr(counts, name) for name in OF_DATA},
        "xla_peak_bytes": row.xla_peak_bytes,
        "unknowns": counts.unknown_instructions,
        "before": None if row.before is None else {name: getattr(row.before, name) for name in EXPORTED_COUNTERS},
    }


def _size(row: JobRow) -> tuple[int, int, int]:
    return (
        (-1, 0, 0) if row.counts is None else (row.counts.total.flops, row.counts.total.bytes, -row.counts.instructions)
    )
