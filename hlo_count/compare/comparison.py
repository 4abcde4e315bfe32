"""Two programs beside each other: what became of every operation and byte, as rows and plain data."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from fractions import Fraction
from functools import cached_property
from math import isfinite
from typing import Any, Self

from hlo_count.compare.change_rows import KEYS, Change, ChangeRow, changed_rows, grouped
from hlo_count.compare.executed import ExecutedProgram, Labels
from hlo_count.compare.explain import Share, explain
from hlo_count.compare.reasons import UNMATCHED
from hlo_count.errors import HloCountError
from hlo_count.hlo.garbage import no_garbage_collection
from hlo_count.made_with import MadeWith
from hlo_count.report.breakdown import KEYS as BREAKDOWNS
from hlo_count.report.export import EXPORTED_COUNTERS, cost_dict
from hlo_count.report.report import Report
from hlo_count.report.units import change_percent
from hlo_count.visitors.cost import Cost

PEAK = "peak_bytes"


class Comparison(MadeWith):
    """What it takes to get from the counts of `before` to those of `after`, as rows and plain data."""

    def __init__(self, before: Report, after: Report, *, optimization: bool = False) -> None:
        for report in (before, after):
            if report.convention != "default":
                raise HloCountError("a diff breaks down our own count: give it reports of the default convention")
        self.before = before
        self.after = after
        self.optimization = optimization
        """Whether one of them is what the compiler made of the other."""
        self._turned: Comparison | None = None
        """The comparison that this is the other way round, where it was made from one."""

    @cached_property
    def _shares(self) -> tuple[list[Share], list[Share]]:
        if self._turned is not None:
            before, after = self._turned._shares
            return [_against(share) for share in after], [_against(share) for share in before]
        labels = Labels()
        with no_garbage_collection():
            one, other = ExecutedProgram(self.before, labels), ExecutedProgram(self.after, labels)
            return explain(one, other, optimization=self.optimization)

    @cached_property
    def rows(self) -> list[Change]:
        """What changed, by scope, source line, opcode and reason, largest change first; adds up to `change` exactly.

        The amounts do. A status stays with the instructions that it is about: one that did not change has no row.
        """
        with no_garbage_collection():
            return changed_rows(*self._shares)

    @property
    def change(self) -> Cost:
        """The difference of the totals, after - before."""
        return self.after.total - self.before.total

    def by(self, key: str, *, depth: int = 2) -> list[ChangeRow]:
        """Rows by "reason", "scope" (`depth` levels), "source", "opcode", "class" or another key of `Report.by`.

        Their `before` and `after` are those of the two reports' own breakdowns, so that each adds up to its total, all
        but "memory_space": its rows hold no operations, and as `bytes` the traffic of their own memory, which the
        totals count only of main memory. Largest change first. Raises HloCountError for another key.
        """
        check_key(key)
        with no_garbage_collection():
            return grouped(*self._shares, key, depth, (self.before.naming(depth), self.after.naming(depth)))

    @cached_property
    def matched(self) -> tuple[float, float]:
        """The part of what runs, before and after, that has a partner in the other program; 1 of nothing."""
        return tuple(_part(shares) for shares in self._shares)  # type: ignore[return-value]

    @property
    def unmatched(self) -> tuple[Cost, Cost]:
        """What the instructions cost that have no partner and no other reason, before and after."""
        one, other = (Cost.sum(s.cost for s in side if s.reason.kind in UNMATCHED) for side in self._shares)
        return one, other

    @property
    def notes(self) -> list[str]:
        """What has to be known to read the figures."""
        return list(_notes(self))

    def exceeds(self, limits: Mapping[str, float]) -> list[str]:
        """A line for each counter that grew by more than its limit: {"bytes": 0.05} is 5 %, "*" any counter.

        A counter that was 0 exceeds any limit. Raises HloCountError as `check_limits` does.
        """
        check_limits(limits, optimization=self.optimization)
        lines = [over(n, getattr(self.before, n), getattr(self.after, n), limits, n) for n in self.counters]
        return [line for line in lines if line]

    @property
    def counters(self) -> tuple[str, ...]:
        """What of both reports can be compared: peak memory only where both programs are compiled."""
        return EXPORTED_COUNTERS if self.optimization else (*EXPORTED_COUNTERS, PEAK)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, for JSON; amounts that change are after - before."""
        return {
            "format": 1,
            "before": self._totals(self.before),
            "after": self._totals(self.after),
            "optimization": self.optimization,
            "differs": bool(self),
            "matched": {"before": self.matched[0], "after": self.matched[1]},
            "notes": self.notes,
            "change": _counters(self.change),
            "rows": [
                {
                    "scope": row.scope,
                    "source": row.source,
                    "opcode": row.opcode,
                    "class": row.op_class,
                    "reason": row.reason,
                    "before": _counters(row.before),
                    "after": _counters(row.after),
                    "instructions": list(row.instructions),
                }
                for row in self.rows
            ],
            "by": {
                key: [
                    {
                        "name": row.name,
                        "reason": row.reason,
                        "before": _counters(row.before),
                        "after": _counters(row.after),
                    }
                    for row in self.by(key)
                    if row.reason
                ]
                for key in KEYS
            },
        }

    def _totals(self, report: Report) -> dict[str, Any]:
        peak = {} if self.optimization else {PEAK: report.peak_bytes}
        return {"name": report.name, "stage": report.stage, **cost_dict(report.total), **peak}

    def __neg__(self) -> Self:
        turned = type(self)(self.after, self.before, optimization=self.optimization)
        turned._turned = self
        return turned

    def __bool__(self) -> bool:
        return bool(self.rows)


def check_limits(limits: Mapping[str, float], *, optimization: bool) -> None:
    """Raise HloCountError for limits that `Diff.exceeds` does not take: {counter: part of what it was}.

    Counters are those of a Cost and "peak_bytes", which is not known of a program before `optimization`.
    """
    for name, limit in limits.items():
        if name not in ("*", *EXPORTED_COUNTERS, PEAK):
            raise HloCountError(
                f"no counter is called {name!r}: use {', '.join((*EXPORTED_COUNTERS, PEAK))}, or * for all"
            )
        if name == PEAK and optimization:
            raise HloCountError("peak_bytes is not known before optimization: compare two programs")
        if not (isfinite(limit) and limit >= 0):
            raise HloCountError(f"{name}={limit:g}: a limit is a part of what it was, 0.05 for 5 %")


def over(counter: str, before: int, after: int, limits: Mapping[str, float], name: str) -> str:
    """A line on a counter that grew by more than its limit, which calls it `name`; "" on one that did not."""
    limit = limits.get(counter, limits.get("*"))
    if limit is None or after <= before * (1 + Fraction(limit)):
        return ""
    grew = f"{change_percent(before, after, 2)} %" if before else "from 0"
    return f"{name}: {before:,} -> {after:,} ({grew}), more than {100 * limit:g} %"


def check_key(key: str) -> None:
    keys = dict.fromkeys((*KEYS, *BREAKDOWNS))
    if key not in keys:
        near = get_close_matches(key, keys, 1)
        hint = f", did you mean {near[0]!r}?" if near else ":"
        raise HloCountError(f"by({key!r}): no such key{hint} {', '.join(keys)}")


def _against(share: Share) -> Share:
    return Share(share.item, share.cost, -share.reason, share.stands)


def _part(shares: list[Share]) -> float:
    items = {share.item for share in shares if share.item.cost and share.item.opcode != "fusion"}
    total = sum(item.times for item in items)
    return float(1 - sum(item.left for item in items) / total) if total else 1.0


def _counters(cost: Cost) -> dict[str, int]:
    return {name: getattr(cost, name) for name in EXPORTED_COUNTERS}


def _notes(diff: Comparison) -> list[str]:
    notes: list[str] = []
    reports = (diff.before, diff.after)
    if diff.optimization:
        notes.append(
            "before optimization every operation is a kernel: it reads its operands from memory and writes its result"
        )
    whole = [word for word, r in zip(("before", "after"), reports, strict=True) if r.stage == "unpartitioned"]
    if len(whole) == 1:
        devices = max(report.num_devices for report in reports)
        notes.append(
            f"{whole[0]} is not partitioned: its counts are those of all {devices} devices together, "
            "those of the other are of one"
        )
    elif reports[0].num_devices != reports[1].num_devices:
        counts = " and ".join(str(report.num_devices) for report in reports)
        notes.append(
            f"the programs run on {counts} devices, and the counts are those of {'all together' if whole else 'one'}"
        )
    if reports[0].backend != reports[1].backend:
        notes.append(f"compiled for {reports[0].backend} and {reports[1].backend}")
    if max(diff.matched) == 0:
        notes.append("the programs have nothing in common: no instruction of one was found in the other")
    elif min(diff.matched) < 1 and not diff.optimization:
        one, other = (f"{100 * part:.1f} %" for part in diff.matched)
        notes.append(f"{one} of what runs before and {other} of what runs after was found in the other program")
    for word, report in zip(("before", "after"), reports, strict=True):
        if report.status != "exact":
            notes.append(f"{word} is {'an' if report.status == 'estimate' else 'a'} {report.status}: see its unknowns")
    said = {
        note: [word for word, r in zip(("before", "after"), reports, strict=True) if note in r.notes]
        for report in reports
        for note in report.notes
    }
    notes += [f"{' and '.join(words)}: {note}" for note, words in said.items()]
    return notes
