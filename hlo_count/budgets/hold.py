"""Holding one program to its limits or to its snapshot, with a record of it for the end of the run."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hlo_count.budgets.growth import NumberChange, counters_changed, explained, growth, shown
from hlo_count.budgets.snapshot import KEPT_COUNTERS, Snapshot, load_snapshots, snapshot
from hlo_count.errors import BudgetExceeded, HloCountError
from hlo_count.harmless import harmless
from hlo_count.layout import aligned, cut
from hlo_count.report.contributors import short_source
from hlo_count.report.counting import TEXT_KEYWORDS, count
from hlo_count.report.exceeded import (
    contributor_sections,
    first_line,
    message,
    program,
    room,
    unknown_lines,
)
from hlo_count.report.limits import KEYWORDS, Limit, Limits, Measured, limits_of, measured_limits, misspelt
from hlo_count.report.report import Report

Record = dict[str, Any]
"""What is kept of one count: plain data, since it travels from the workers of pytest-xdist."""

UPDATE = "pytest --flop-update"
COUNT_KEYWORDS = frozenset(name for name, p in inspect.signature(count).parameters.items() if p.kind is p.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class SnapshotPlace:
    """Where the snapshot of a test stands: a file, and a key in it. `root` is what its sources are relative to."""

    file: Path
    key: str
    root: Path

    def __str__(self) -> str:
        return harmless(f"{short_source(f'{self.file}:0').removesuffix(':0')}, key {self.key!r}")


@dataclass(frozen=True, slots=True)
class BudgetOutcome:
    """The outcome: the report, its record, and the failure where there is one."""

    report: Report
    record: Record
    failure: BudgetExceeded | None


def hold_budget(
    fn: Any, args: Sequence[Any], keywords: dict[str, Any], place: SnapshotPlace, *, update: bool
) -> BudgetOutcome:
    """Count, and compare with the limits among the keywords. A stored snapshot explains what grew.

    With `update` the record of a budget that holds carries a snapshot for next time.
    """
    wanted = {name: value for name, value in keywords.items() if name in KEYWORDS}
    others = {name: value for name, value in keywords.items() if name not in KEYWORDS}
    refuse_misspelt(fn, others)
    limits = limits_of(**wanted)
    stored = load_snapshots(place.file).get(place.key)
    report = count(fn, *args, **others)
    measured = measured_limits(report, limits)
    record = _record("budget", report, place, measured)
    if any(m.exceeded for m in measured):
        grown = _grown(report, measured, stored, place)
        record["exceeded"] = True
        return BudgetOutcome(report, record, BudgetExceeded(message(report, measured, limits, grown)))
    if update and report.convention == "default":
        record["snapshot"] = snapshot(report, place.root)
    return BudgetOutcome(report, record, None)


def hold_snapshot(
    fn: Any,
    args: Sequence[Any],
    keywords: dict[str, Any],
    place: SnapshotPlace,
    *,
    rel: float,
    ops: bool,
    update: bool,
) -> BudgetOutcome:
    """Count, and compare with what is stored: every difference beyond `rel` of what was is a failure."""
    if isinstance(rel, bool) or not isinstance(rel, int | float) or not 0 <= rel < 1:
        raise HloCountError(f"rel={rel!r} is no tolerance: give a share such as 0.01, at least 0 and below 1")
    for name in keywords:
        if name in KEYWORDS:
            raise HloCountError(f"{name}=: a snapshot takes no limits; hold them with flop_budget")
    refuse_misspelt(fn, keywords)
    stored = load_snapshots(place.file).get(place.key)
    if stored is None and not update:
        raise HloCountError(f"no snapshot yet in {place}. Make it: {UPDATE}")
    report = count(fn, *args, **keywords)
    now = snapshot(report, place.root)
    record = _record("snapshot", report, place, [])
    if update or stored is None:
        record["snapshot"] = now
        return BudgetOutcome(report, record, None)
    found = counters_changed(stored, now, rel=rel, ops=ops)
    record["measured"] = [
        {"name": c, "headroom": _room(stored, now, c, rel), "limit": f"{shown(c, stored['counters'][c])} ± {rel:.2%}"}
        | {"actual": shown(c, now["counters"][c])}
        for c in KEPT_COUNTERS
        if rel and stored["counters"][c]
    ]
    others = _other_differences(stored, now)
    if not found and not others:
        return BudgetOutcome(report, record, None)
    record["exceeded"] = True
    return BudgetOutcome(report, record, BudgetExceeded(_differs(report, stored, now, found, others, place, rel)))


def _other_differences(stored: Snapshot, now: Snapshot) -> list[str]:
    """What differs beside the numbers: how sure they are, and what they are of."""
    found = []
    if stored["status"] != now["status"]:
        found.append(f"status {now['status']}, was {stored['status']}")
    for what in ("backend", "target"):
        was, is_now = stored.get(what), now[what]
        # A program for JAX's default backend has no target, whether or not another run names it.
        if was != is_now and (what == "backend" or None not in (was, is_now)):
            found.append(f"{what} {is_now}, was {was}")
    return found


def _differs(
    report: Report,
    stored: Snapshot,
    now: Snapshot,
    found: list[NumberChange],
    others: list[str],
    place: SnapshotPlace,
    rel: float,
) -> str:
    rest = len(found) + len(others) - 1
    more = f", {rest} more" if rest else ""
    if found:
        name, was, is_now, by = found[0].cells()
        lines = [first_line(f"{name} {is_now}, was {was} ({by})", more)]
    else:
        lines = [first_line(others[0], more)]
    lines += ["", program(report), *_made(report, stored, place), *_surety(report, stored, now)]
    if found:
        lines += ["", *_table(found[:16])]
    if len(found) > 16:
        lines.append(f"  and {len(found) - 16} more")
    counters = explained([c.counter for c in found if c.counter])
    grown = growth(stored, now, counters or ["bytes"])
    if grown:
        lines += ["", *grown]
    lines += contributor_sections(report, _as_measured(report, counters[:1]), Limits(()))
    held = f"by more than {rel:.2%}" if rel else "at all"
    return "\n".join([*lines, "", f"Nothing may change {held}. If it should have: {UPDATE}"])


def _grown(report: Report, measured: Sequence[Measured], stored: Snapshot | None, place: SnapshotPlace) -> str:
    """What grew since the snapshot of a budget, as text."""
    if report.convention != "default":
        return ""
    if stored is None:
        return f"No snapshot to compare with. While the budget holds, this keeps one: {UPDATE}"
    now = snapshot(report, place.root)
    exceeded = [m.limit for m in measured if m.exceeded]
    lines = _made(report, stored, place)
    of_ops = [c for c in counters_changed(stored, now) if not c.counter]
    if any(limit.kind in ("ops", "forbid", "status") for limit in exceeded) and of_ops:
        lines += ["", *_table(of_ops[:10])]
    counters = explained([limit.counter for limit in exceeded])
    found = growth(stored, now, counters or ["flops", "bytes"])
    return "\n".join([*lines, "", *found] if found else lines)


def _made(report: Report, stored: Snapshot, place: SnapshotPlace) -> list[str]:
    """Where the snapshot is, and what made it, where that differs from what runs now."""
    lines = [f"snapshot: {place}"]
    for what, was, now in (
        ("jax", stored.get("jax"), report.jax_version),
        ("target", stored.get("target"), None if report.target is None else str(report.target)),
        ("backend", stored.get("backend"), report.backend),
        ("devices", stored.get("devices"), report.num_devices),
    ):
        if was != now:
            lines.append(f"  made with {what} {was}, now {now}: the compiler alone may be the cause")
    return lines


def _table(found: Sequence[NumberChange]) -> list[str]:
    rows = aligned([("", "snapshot", "now", "change"), *(c.cells() for c in found)], "<>>>")
    return [cut(row, room()) for row in rows]


def _surety(report: Report, stored: Snapshot, now: Snapshot) -> list[str]:
    """That a count was or is a lower bound, and how to settle it: what is not known may grow unseen."""
    was, is_now = stored["status"], now["status"]
    lines = [f"  status was {was}, now {is_now}"] if was != is_now else []
    if is_now == "lower bound":
        lines.append("  the count is a lower bound: what is not known may grow unseen")
        lines += [f"  {line}" for line in unknown_lines(report)]
    elif was == "lower bound":
        lines.append("  the snapshot is a lower bound: it may lack what is counted now")
    return lines


def _as_measured(report: Report, counters: list[str]) -> list[Measured]:
    return [Measured(Limit("counter", name, 0, ""), getattr(report, name)) for name in counters]


def _room(stored: Snapshot, now: Snapshot, counter: str, rel: float) -> float:
    was = stored["counters"][counter]
    return float(rel - abs(now["counters"][counter] - was) / was)


def _record(kind: str, report: Report, place: SnapshotPlace, measured: Sequence[Measured]) -> Record:
    numbers = KEPT_COUNTERS if report.convention == "default" else ("flops", "transcendentals", "bytes")
    return {
        "kind": kind,
        "file": str(place.file),
        "key": place.key,
        "program": report.name,
        "target": None if report.target is None else str(report.target),
        "backend": report.backend,
        "devices": report.num_devices,
        "jax": report.jax_version,
        "status": report.status,
        "counters": {name: getattr(report, name) for name in numbers},
        "measured": [
            {"name": m.limit.name, "headroom": m.headroom, "actual": m.shown}
            | {"limit": ("≥ " if m.limit.lower else "≤ ") + m.limit.shown}
            for m in measured
            if m.limit.kind != "status"
        ],
        "exceeded": False,
    }


def refuse_misspelt(fn: Any, keywords: dict[str, Any], known: Sequence[str] = KEYWORDS, what: str = "limit") -> None:
    """A keyword that neither `count` nor the function knows is a limit (or `what` else is `known`) misspelt."""
    ours = COUNT_KEYWORDS if callable(fn) else COUNT_KEYWORDS | TEXT_KEYWORDS
    unknown = [name for name in keywords if name not in ours]
    if not unknown:
        return
    try:
        parameters = inspect.signature(fn).parameters.values() if callable(fn) else ()
    except ValueError:
        return
    named = {p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    for name in unknown:
        # No array is a str: given to a function that takes anything, it was meant for us.
        if name not in named and (not takes_any or isinstance(keywords[name], str)):
            raise HloCountError(f"{name}=: {misspelt(name, known, what)} (nor is it an argument of the function)")
