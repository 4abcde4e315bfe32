"""Measured kernels taken together: by themselves, by scope, by line of source, by op class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hlo_count.measured.programs.program_times import MeasuredRow, ProgramTimes
from hlo_count.report.breakdown import NO_SCOPE, NO_SOURCE
from hlo_count.report.contributor_rows import runs_text
from hlo_count.report.contributors import short_source

GROUPINGS = ("kernel", "scope", "source", "class")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredGroup:
    """Rows that are shown as one: the sums of their figures, None where one of them is not known."""

    name: str
    runs: str
    seconds: float
    elapsed: float
    share: float
    flops: int | None
    bytes: int | None
    bound: float | None
    limit: str
    source: str
    calls_kernels: bool = False

    @classmethod
    def of(cls, name: str, rows: Sequence[MeasuredRow | MeasuredGroup]) -> MeasuredGroup:
        """The sums; source and limit are those of the row with the most seconds."""
        largest = max(rows, key=lambda row: row.seconds)
        alone = largest if len(rows) == 1 else None
        bounds = [row.bound for row in rows if row.bound is not None]
        flops = [row.flops for row in rows if row.flops is not None]
        moved = [row.bytes for row in rows if row.bytes is not None]
        runs = "" if alone is None else alone.runs if isinstance(alone, MeasuredGroup) else runs_text(alone.runs)
        return cls(
            name=name,
            runs=runs,
            seconds=sum(row.seconds for row in rows),
            elapsed=sum(row.elapsed for row in rows if not row.calls_kernels),
            share=sum(row.share for row in rows),
            flops=sum(flops) if flops else None,
            bytes=sum(moved) if moved else None,
            bound=sum(bounds) if bounds else None,
            limit=largest.limit if isinstance(largest, MeasuredRow) else "",
            source=short_source(largest.source) if isinstance(largest, MeasuredRow) and largest.source else "",
        )

    @classmethod
    def of_idle(cls, name: str, program: ProgramTimes) -> MeasuredGroup:
        """The time in which nothing of a program ran."""
        total = program.total_seconds
        return cls(
            name=name, runs="", seconds=program.idle, elapsed=0.0, share=program.idle / total if total else 0.0,
            flops=None, bytes=None, bound=None, limit="", source="",
        )  # fmt: skip

    @property
    def flops_per_s(self) -> float | None:
        return self.flops / self.elapsed if self.flops and self.elapsed else None

    @property
    def times_bound(self) -> float | None:
        return self.elapsed / self.bound if self.bound else None


def grouped_rows(program: ProgramTimes, by: str) -> list[MeasuredGroup]:
    """The rows of a program by one of GROUPINGS, that with the most seconds first; their seconds add up the same."""
    found: dict[str, list[MeasuredRow]] = {}
    for row in program.rows:
        name = {
            "kernel": row.name,
            "scope": row.scope or NO_SCOPE,
            "source": short_source(row.source) if row.source else NO_SOURCE,
            "class": row.op_class or "(not in the program)",
        }[by]
        found.setdefault(name, []).append(row)
    return sorted((MeasuredGroup.of(name, rows) for name, rows in found.items()), key=lambda group: -group.seconds)
