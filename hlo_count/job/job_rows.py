"""The rows of a job: a compile each, and what is summed up over them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from hlo_count.job.module_counts import ModuleCounts, UnknownKind
from hlo_count.job.signature import Changed, Signature, causes_of
from hlo_count.report.counting import count
from hlo_count.report.report import Report
from hlo_count.visitors.cost import Cost


@dataclass(frozen=True, kw_only=True)
class JobRow:
    """One module: what one run of it does on one device."""

    label: str
    """What `--module` and `module=` take: `module_0008.jit_train_step`, or the name of its file."""
    name: str
    path: Path
    """The file of its last state."""
    modified: float
    """When that was written, in seconds since 1970."""
    counts: ModuleCounts | None = None
    """None where it cannot be read: `problem` says why."""
    problem: str = ""
    before: Cost | None = None
    """Before optimization, where that was dumped beside it."""
    signature: Signature | None = None
    """What it was compiled for, by the text before optimization where that was dumped."""
    xla_peak_bytes: int | None = None
    """What XLA's buffer assignment takes, where it lies beside it."""
    wanted: str | None = field(default=None, repr=False)
    """Which module of its file it is, where that holds several."""

    @cached_property
    def report(self) -> Report:
        """Counted again, with everything that a Report has."""
        return count(self.path, module=self.wanted)


@dataclass(frozen=True, slots=True)
class Retrace:
    """A name that was compiled more than once."""

    name: str
    compiles: tuple[JobRow, ...]
    changes: tuple[tuple[Changed, ...], ...]
    """What changed from each compile to the next; empty where one of the two cannot be read."""


def retraces(rows: Iterable[JobRow]) -> list[Retrace]:
    """The names that stand more than once, those with the most FLOP in all their compiles first.

    `rows` are in the order of the compiles.
    """
    by_name: dict[str, list[JobRow]] = {}
    for row in rows:
        by_name.setdefault(row.name, []).append(row)
    found = [
        Retrace(name, tuple(compiles), tuple(map(_changes, compiles, compiles[1:])))
        for name, compiles in by_name.items()
        if len(compiles) > 1
    ]
    return sorted(found, key=lambda each: (-total(each.compiles).flops, each.name))


def _changes(one: JobRow, other: JobRow) -> tuple[Changed, ...]:
    if one.signature is None or other.signature is None:
        return ()
    return tuple(causes_of(one.signature, other.signature))


def total(rows: Iterable[JobRow]) -> Cost:
    """One run of each."""
    return Cost.sum(row.counts.total for row in rows if row.counts is not None)


@dataclass(frozen=True, slots=True)
class UnknownGroup:
    """Unknowns of one reason over all modules."""

    what: str
    reason: str
    kinds: tuple[UnknownKind, ...]
    """Of each module, in their order."""
    labels: tuple[str, ...]
    """The modules."""

    @property
    def instructions(self) -> int:
        return sum(kind.instructions for kind in self.kinds)


def unknown_groups(rows: Sequence[JobRow]) -> list[UnknownGroup]:
    """The unknowns of all modules by what they are and why, that of most instructions first."""
    found: dict[tuple[str, str], list[tuple[UnknownKind, str]]] = {}
    for row in rows:
        for kind in row.counts.unknowns if row.counts is not None else ():
            found.setdefault((kind.what, kind.reason), []).append((kind, row.label))
    groups = [
        UnknownGroup(what, reason, tuple(k for k, _ in each), tuple(dict.fromkeys(label for _, label in each)))
        for (what, reason), each in found.items()
    ]
    return sorted(groups, key=lambda group: (-group.instructions, group.what, group.reason))
