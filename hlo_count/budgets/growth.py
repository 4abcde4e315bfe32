"""What changed between two snapshots: what is beyond a tolerance, and the lines and scopes behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from hlo_count.budgets.snapshot import EXPLAINED, KEPT_COUNTERS, Snapshot
from hlo_count.layout import aligned, cut
from hlo_count.report.exceeded import room, short_place
from hlo_count.report.limits import show_counter
from hlo_count.report.units import change_percent

_ORDER = (
    "flops",
    "network_bytes",
    "peak_bytes",
    "bytes",
    *(c for c in KEPT_COUNTERS if c not in ("flops", "network_bytes", "peak_bytes", "bytes")),
)
"""What a reader wants to know first."""

_ROWS = 4
_SECTIONS = 3


@dataclass(frozen=True, slots=True)
class NumberChange:
    """One number of a snapshot that changed. `counter` says in what it is counted, "" for instructions."""

    name: str
    counter: str
    before: int
    after: int

    @property
    def grew(self) -> bool:
        return self.after > self.before

    @property
    def relative(self) -> str:
        """`+15.0 %`; the amount where there was none before, or where the percentage would round to none."""
        by = self.after - self.before
        if self.before and abs(by) >= Fraction(5, 10_000) * abs(self.before):
            return f"{change_percent(self.before, self.after)} %"
        return signed(self.counter, by)

    def cells(self) -> tuple[str, str, str, str]:
        return self.name, shown(self.counter, self.before), shown(self.counter, self.after), self.relative


def counters_changed(before: Snapshot, after: Snapshot, *, rel: float = 0.0, ops: bool = True) -> list[NumberChange]:
    """The counters, collectives and (with `ops`) op counts that differ by more than `rel` of what they were.

    Operations of another class or dtype, in a total that stays, are a difference too. Growth comes first.
    """
    found = [NumberChange(name, name, before["counters"][name], after["counters"][name]) for name in _ORDER]
    found += _shifts(before, after, rel)
    for name in sorted({*before["collectives"], *after["collectives"]}):
        was, now = before["collectives"].get(name, {}), after["collectives"].get(name, {})
        found.append(NumberChange(name, "", was.get("ops", 0), now.get("ops", 0)))
        found.append(
            NumberChange(f"{name} sent", "network_bytes", was.get("network_bytes", 0), now.get("network_bytes", 0))
        )
    if ops:
        for name in sorted({*before["ops"], *after["ops"]}):
            found.append(NumberChange(f"ops {name}", "", before["ops"].get(name, 0), after["ops"].get(name, 0)))
    beyond = [c for c in found if abs(c.after - c.before) > rel * c.before]
    return sorted(beyond, key=lambda c: not c.grew)


def _shifts(before: Snapshot, after: Snapshot, rel: float) -> list[NumberChange]:
    """Operations that became others, such as a matmul of f32 one of f64, by more than `rel` of their counter."""
    found = []
    for name, (was, now) in _by_name(before, after, "operations", None):
        counter, _, kind = name.partition(" ")
        total = before["counters"][counter]
        if abs(after["counters"][counter] - total) <= rel * total < abs(now - was):
            found.append(NumberChange(f"{counter} of {kind}", counter, was, now))
    return found


def growth(before: Snapshot, after: Snapshot, counters: Iterable[str]) -> list[str]:
    """The source lines, scopes and kinds of operation whose amounts of each counter changed most, as lines of text.

    What shrank is told where nothing grew.
    """
    wanted = list(counters)
    grown = [c for c in wanted if after["counters"][c] > before["counters"][c]]
    sections = [_section(before, after, c, bool(grown)) for c in grown or wanted]
    lines: list[str] = []
    for section in [s for s in sections if s][:_SECTIONS]:
        lines += ["", *section] if lines else section
    return lines


def explained(counters: Iterable[str]) -> list[str]:
    """Those counters that a snapshot keeps by line, those that it does not by the one that holds them."""
    stands_for = {"bytes_read": "bytes", "bytes_written": "bytes", "intensity": "bytes", "bound": "bytes"}
    return [c for c in dict.fromkeys(stands_for.get(c, c) for c in counters) if c in EXPLAINED]


def shown(counter: str, value: int) -> str:
    """An amount of a counter in its unit; a number of instructions without."""
    return show_counter(counter, value) if counter else str(value)


def signed(counter: str, value: int) -> str:
    return ("-" if value < 0 else "+") + shown(counter, abs(value))


def _section(before: Snapshot, after: Snapshot, counter: str, grown: bool) -> list[str]:
    lines: list[str] = []
    by_line = _by_line(before, after, counter)
    groups = {
        "by source line": [(short_place(source), code, *amounts) for (source, code), amounts in by_line.items()],
        "by scope": [(cut(name, 60, "start"), "", *a) for name, a in _by_name(before, after, "scopes", counter)],
        "by operation": [
            (name.partition(" ")[2], "", was, now)
            for name, (was, now) in _by_name(before, after, "operations", None)
            if name.startswith(f"{counter} ")
        ],
    }
    verb = "grew" if grown else "shrank"
    for title, rows in groups.items():
        moved = [row for row in rows if (row[3] > row[2] if grown else row[3] < row[2])]
        moved.sort(key=lambda row: -abs(row[3] - row[2]))
        if not moved:
            continue
        lines.append(f"{verb} against the snapshot: {counter}, {title}")
        cells = [
            (signed(counter, now - was), "new" if not was else f"was {shown(counter, was)}", name)
            for name, _, was, now in moved[:_ROWS]
        ]
        for line, (_, code, *_) in zip(aligned(cells, "><<"), moved, strict=False):
            lines.append(cut(f"{line}  {code}".rstrip(), room()))
    return lines


def _by_line(before: Snapshot, after: Snapshot, counter: str) -> dict[tuple[str, str], tuple[int, int]]:
    """Amounts before and after of each line. A line is known by its file and text, wherever it has moved to."""
    found: dict[tuple[str, str], list[int]] = {}
    where: dict[tuple[str, str], tuple[str, str]] = {}
    for side, data in enumerate((before, after)):
        for source, row in data["sources"].items():
            code = row.get("code", "")
            key = (source.rpartition(":")[0], code) if code else (source, "")
            found.setdefault(key, [0, 0])[side] += row.get(counter, 0)
            where[key] = (source, code)
    return {where[key]: (was, now) for key, (was, now) in found.items()}


def _by_name(before: Snapshot, after: Snapshot, part: str, counter: str | None) -> list[tuple[str, tuple[int, int]]]:
    def amounts(data: Snapshot) -> Mapping[str, int]:
        rows = data[part].items()
        return {name: row if counter is None else row.get(counter, 0) for name, row in rows}

    was, now = amounts(before), amounts(after)
    return [(name, (was.get(name, 0), now.get(name, 0))) for name in dict.fromkeys((*was, *now))]
