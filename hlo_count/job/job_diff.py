"""Two runs beside each other: which module of one is which of the other, and what changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hlo_count.compare.comparison import PEAK, check_limits, over
from hlo_count.compare.diff import Diff
from hlo_count.harmless import harmless
from hlo_count.job.job_diff_table import render
from hlo_count.job.job_rows import JobRow
from hlo_count.job.signature import Changed, causes_of
from hlo_count.made_with import MadeWith
from hlo_count.report.export import EXPORTED_COUNTERS, cost_dict
from hlo_count.text_page import TextPage
from hlo_count.visitors.cost import ZERO, Cost


@dataclass(frozen=True, slots=True)
class ModulePair:
    """A module of each run; one that stands in one of them alone is new or gone."""

    before: JobRow | None
    after: JobRow | None

    @property
    def name(self) -> str:
        row = self.after or self.before
        assert row is not None
        return row.name

    @property
    def change(self) -> Cost:
        """after - before, of one run; all of a module that is new, minus all of one that is gone."""
        return _total(self.after) - _total(self.before)

    @property
    def changed(self) -> tuple[Changed, ...]:
        """What it was compiled for otherwise; nothing where there is one of them alone, or one cannot be read."""
        if self.before is None or self.after is None:
            return ()
        one, other = self.before.signature, self.after.signature
        if one is None or other is None:
            return ()
        return tuple(change for change in causes_of(one, other) if change.kind != "nothing")

    @property
    def what(self) -> str:
        """ "new", "gone", "cannot be read", "changed", or "same": compiled for the same, with the same counts."""
        if self.before is None or self.after is None:
            return "new" if self.before is None else "gone"
        if self.before.counts is None or self.after.counts is None:
            return "cannot be read"
        return "changed" if self.changed or self.change.amounts else "same"

    def diff(self) -> Diff:
        """The two programs in full, as `hlo_count.diff` compares them."""
        assert self.before is not None and self.after is not None, f"{self.name} is {self.what}"
        return Diff(self.before.report, self.after.report)


class JobDiff(TextPage, MadeWith):
    """What it takes to get from one run to another. True when anything differs."""

    def __init__(self, before: Path, after: Path, pairs: Sequence[ModulePair]) -> None:
        self.before_path, self.after_path = before, after
        self.pairs = tuple(pairs)
        """Every module of both, those that changed most first."""

    @property
    def before(self) -> Cost:
        """One run of each module of the first."""
        return Cost.sum(_total(pair.before) for pair in self.pairs)

    @property
    def after(self) -> Cost:
        """One run of each module of the second."""
        return Cost.sum(_total(pair.after) for pair in self.pairs)

    @property
    def rows(self) -> list[ModulePair]:
        """The pairs in which anything differs."""
        return [pair for pair in self.pairs if pair.what != "same"]

    def __bool__(self) -> bool:
        return bool(self.rows)

    def exceeds(self, limits: Mapping[str, float]) -> list[str]:
        """A line for each counter of all modules together that grew by more than its limit, {"bytes": 0.05} is 5 %, and
        for each module whose own peak did; "*" is any counter. Raises HloCountError as `check_limits` does."""
        check_limits(limits, optimization=False)
        found = [
            over(name, getattr(self.before, name), getattr(self.after, name), limits, name)
            for name in EXPORTED_COUNTERS
        ]
        for pair in self.pairs:
            peaks = [row.counts.peak_bytes for row in (pair.before, pair.after) if row is not None and row.counts]
            if len(peaks) == 2:
                found.append(over(PEAK, peaks[0], peaks[1], limits, f"{PEAK} of {pair.name}"))
        return [line for line in found if line]

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, for JSON."""
        return {
            "format": 1,
            "before": {"folder": str(self.before_path), **cost_dict(self.before)},
            "after": {"folder": str(self.after_path), **cost_dict(self.after)},
            "modules": [
                {
                    "name": pair.name,
                    "what": pair.what,
                    "before": None if pair.before is None else pair.before.label,
                    "after": None if pair.after is None else pair.after.label,
                    "change": {name: getattr(pair.change, name) for name in EXPORTED_COUNTERS},
                    "changes": [asdict(change) for change in pair.changed],
                }
                for pair in self.pairs
            ],
        }

    def table(self, *, rows: int = 12) -> str:
        """Text: totals, then a row a module that differs."""
        return render(self, rows)

    def markdown(self, *, rows: int = 12) -> str:
        """The same as tables for a pull request comment."""
        return render(self, rows, "github")

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        folders = f"{self.before_path} -> {self.after_path}"
        return harmless(f"<JobDiff {folders}: {len(self.rows)} of {len(self.pairs)} differ>")


def paired(before: Sequence[JobRow], after: Sequence[JobRow]) -> list[ModulePair]:
    """The modules of two runs: first those of the same name that were compiled for the same, then what is left of a
    name in its order; what is left then is gone or new. The largest change first."""
    pairs: list[ModulePair] = []
    one, other = list(before), list(after)
    for key in (_same_program, _same_shapes, _same_name):
        found, one, other = _matched(one, other, key)
        pairs += found
    pairs += [ModulePair(row, None) for row in one] + [ModulePair(None, row) for row in other]
    return sorted(pairs, key=_weight)


def _matched(
    before: Iterable[JobRow], after: Iterable[JobRow], key: Callable[[JobRow], Hashable]
) -> tuple[list[ModulePair], list[JobRow], list[JobRow]]:
    waiting: dict[Hashable, list[JobRow]] = {}
    for row in after:
        waiting.setdefault(key(row), []).append(row)
    pairs, left = [], []
    for row in before:
        same = waiting.get(key(row))
        if same:
            pairs.append(ModulePair(row, same.pop(0)))
        else:
            left.append(row)
    taken = {id(pair.after) for pair in pairs}
    return pairs, left, [row for row in after if id(row) not in taken]


def _same_program(row: JobRow) -> Hashable:
    return row.name, row.signature or id(row)


def _same_shapes(row: JobRow) -> Hashable:
    return row.name, id(row) if row.signature is None else (row.signature.parameters, row.signature.results)


def _same_name(row: JobRow) -> Hashable:
    return row.name


def _total(row: JobRow | None) -> Cost:
    return row.counts.total if row is not None and row.counts is not None else ZERO


def _weight(pair: ModulePair) -> tuple[bool, int, int, str]:
    return pair.what == "same", -abs(pair.change.flops), -abs(pair.change.bytes), pair.name
