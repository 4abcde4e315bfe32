"""A job as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from hlo_count.errors import HloCountError
from hlo_count.harmless import printable
from hlo_count.job.job_rows import JobRow, Retrace, UnknownGroup
from hlo_count.job.module_counts import EVERYTHING_ELSE, KEYS
from hlo_count.job.signature import Changed
from hlo_count.layout import SHORTEST_NAME, cut, joined, number_of, tabular, width, wrapped
from hlo_count.report.units import amount, column, percent
from hlo_count.visitors.cost import FLOP_PER_FMA, Cost

if TYPE_CHECKING:
    from hlo_count.job.job import Job

_RETRACES, _CHANGES, _PROBLEMS = 5, 3, 5
_UNNAMED = ("(no source)", "(no scope)", EVERYTHING_ELSE)


def render(job: Job, by: str | None, limit: int) -> str:
    """Totals, modules, retraces, contributors, unknowns, what could not be read."""
    if limit < 1:
        raise HloCountError(f"rows={limit}: a table has at least one row")
    counted = [row for row in job.rows if row.counts is not None]
    parts = [*_header(job, counted), "", _totals(job, counted)] if counted else [*_header(job, counted)]
    if counted:
        parts += ["", modules_table(counted, job.total, limit)]
        parts += _retraces(job.retraces)
        parts += ["", _contributors(job, by, limit)]
    parts += _unknowns(job.unknowns)
    parts += _problems(job.problems)
    if job.passed_over:
        parts += ["", f"{number_of(job.passed_over, 'other file')} passed over"]
    return printable("\n".join(parts))


def _header(job: Job, counted: Sequence[JobRow]) -> list[str]:
    names, modules = {row.name for row in job.compiles}, len(job.compiles)
    of_names = f" of {number_of(len(names), 'name')}" if len(names) != modules else ""
    backends = sorted({row.counts.backend for row in counted if row.counts is not None} - {"unknown"})
    return joined(
        [
            str(job.path),
            f"{number_of(modules, 'module')}{of_names}",
            *(backend.upper() for backend in backends),
            "one run of each",
            f"1 FMA = {FLOP_PER_FMA} FLOP",
        ]
    )


def _totals(job: Job, counted: Sequence[JobRow]) -> str:
    total = job.total
    rows: list[tuple[str, str, str, str]] = [("FLOP", amount(total.flops), total.status, "")]
    for name, value in (("transcendentals", total.transcendentals), ("integer ops", total.int_ops)):
        if value:
            rows.append((name, amount(value), total.status, ""))
    moved = f"read {amount(total.bytes_read, 'B')}, written {amount(total.bytes_written, 'B')}"
    rows.append(("bytes", amount(total.bytes, "B"), total.status, moved))
    if total.network_bytes:
        rows.append(("network", amount(total.network_bytes, "B"), total.status, ""))
    most = max(counted, key=_peak)
    assert most.counts is not None
    xla = "" if most.xla_peak_bytes is None else f", XLA's own {_size(most.xla_peak_bytes)}"
    rows.append(("largest peak", _size(_peak(most)), _unless_exact(most.counts.peak_status), f"{most.label}{xla}"))
    return tabular(rows, align=("right", "right", "left", "left"))


def modules_table(rows: Sequence[JobRow], total: Cost, limit: int) -> str:
    """A row a module, and one for those that are left out."""
    shown, rest = (rows, ()) if len(rows) <= limit + 1 else (rows[:limit], rows[limit:])
    costs = [row.counts.total for row in shown if row.counts is not None]
    costs += [Cost.sum(row.counts.total for row in rest if row.counts is not None)] if rest else []
    columns: dict[str, list[str]] = {"module": []}
    columns["FLOP"] = column([cost.flops for cost in costs])
    columns["%"] = [percent(cost.flops, total.flops) for cost in costs]
    if any(row.before is not None for row in shown):
        befores = [None if row.before is None else row.before.flops for row in shown]
        columns["unoptimized"] = column([*befores, *([None] if rest else [])])
    columns["bytes"] = column([cost.bytes for cost in costs], "B")
    columns["% "] = [percent(cost.bytes, total.bytes) for cost in costs]
    nothing = [None] if rest else []
    peaks, theirs = [*map(_peak, shown), *nothing], [*(row.xla_peak_bytes for row in shown), *nothing]
    both = column([*peaks, *theirs], "B", binary=True)  # in one unit, to be compared
    columns["peak"] = both[: len(peaks)]
    if any(value is not None for value in theirs):
        columns["XLA's"] = both[len(peaks) :]
    statuses = [cost.status for cost in costs]
    align = ["left", *["right"] * (len(columns) - 1)]
    if set(statuses) != {"exact"}:
        columns["status"] = list(statuses)
        align.append("left")
    room = width() - sum(max(len(name) + 2, *map(len, cells)) + 2 for name, cells in columns.items() if cells)
    labels = [*(row.label for row in shown), *([f"{len(rest)} more"] if rest else [])]
    columns["module"] = [cut(label, max(SHORTEST_NAME, room), "middle") for label in labels]
    return tabular(zip(*columns.values(), strict=True), tuple(columns), align)


def _retraces(found: Sequence[Retrace]) -> list[str]:
    if not found:
        return []
    again = sum(len(each.compiles) - 1 for each in found)
    lines = ["", f"{again} compiled again:"]
    for each in found[:_RETRACES]:
        lines.append(f"  {each.name}, {len(each.compiles)} times")
        pairs = zip(each.compiles, each.compiles[1:], each.changes, strict=False)
        for one, other, changed in list(pairs)[:_CHANGES]:
            text = f"{_short(one)} -> {_short(other)}: {changes_text(changed)}"
            lines += wrapped(text, first="    ", others="      ", hyphens=False)
        if len(each.changes) > _CHANGES:
            lines.append(f"    and {len(each.changes) - _CHANGES} more")
    if len(found) > _RETRACES:
        lines.append(f"  and {len(found) - _RETRACES} more names: to_dict() and --json have them all")
    return lines


def changes_text(changed: Sequence[Changed]) -> str:
    """`shapes: x f32[32,16] -> f32[20,16]; constants: …`."""
    if not changed:
        return "cannot be compared: one of them cannot be read"
    return "; ".join(each.what if each.kind == "nothing" else f"{each.kind}: {each.what}" for each in changed)


def _short(row: JobRow) -> str:
    """`module_0008` of `module_0008.jit_train_step`."""
    return row.label.removesuffix(f".{row.name}")


def _contributors(job: Job, by: str | None, limit: int) -> str:
    """The largest over all modules, by `by` or by the first key that names most of it."""
    key = by or next((key for key in KEYS if _named(job.by(key), job.total)), KEYS[-1])
    costs = job.by(key)
    return contributors_table(key, costs, job.total, limit)


def contributors_table(key: str, costs: Mapping[str, Cost], total: Cost, limit: int) -> str:
    """The largest of `costs`, and one row for the others."""
    named = [name for name in costs if name != EVERYTHING_ELSE]
    shown = named if len(named) <= limit else named[:limit]
    rest = Cost.sum(cost for name, cost in costs.items() if name not in shown)
    rows = [*((name, costs[name]) for name in shown), *([("everything else", rest)] if rest else [])]
    if not rows:
        return "\n".join(wrapped("nothing to count: the modules do no operations and move no bytes"))
    return tabular(
        zip(
            [cut(name, 56, "start") for name, _ in rows],
            column([cost.flops for _, cost in rows]),
            [percent(cost.flops, total.flops) for _, cost in rows],
            column([cost.bytes for _, cost in rows], "B"),
            [percent(cost.bytes, total.bytes) for _, cost in rows],
            strict=True,
        ),
        (key, "FLOP", "%", "bytes", "% "),
        ("left", *["right"] * 4),
    )


def _named(costs: Mapping[str, Cost], total: Cost) -> bool:
    """Whether names stand for at least half of it."""
    known = Cost.sum(cost for name, cost in costs.items() if name not in _UNNAMED)
    return 2 * known.flops >= total.flops and 2 * known.bytes >= total.bytes


def _unknowns(groups: Sequence[UnknownGroup]) -> list[str]:
    if not groups:
        return []
    lines = ["", f"{sum(group.instructions for group in groups):,} unknown or estimated:"]
    for group in groups[:_PROBLEMS]:
        where = group.labels[0] + (f" and {len(group.labels) - 1} more" if len(group.labels) > 1 else "")
        text = f"{group.instructions:,} {group.what} of {where}: {group.reason}. {group.kinds[0].settle}"
        lines += wrapped(text, first="  ", others="    ", hyphens=False)
    if len(groups) > _PROBLEMS:
        lines.append(f"  and {len(groups) - _PROBLEMS} more kinds: to_dict() and --json have them all")
    return lines


def _problems(rows: Sequence[JobRow]) -> list[str]:
    if not rows:
        return []
    return ["", f"{len(rows)} cannot be read:", *_first_lines(rows)]


def _first_lines(rows: Sequence[JobRow]) -> Iterator[str]:
    for row in rows[:_PROBLEMS]:
        yield from wrapped(f"{row.label}: {row.problem.splitlines()[0]}", first="  ", others="    ")
    if len(rows) > _PROBLEMS:
        yield f"  and {len(rows) - _PROBLEMS} more"


def _peak(row: JobRow) -> int:
    return row.counts.peak_bytes if row.counts is not None else 0


def _size(value: int) -> str:
    return amount(value, "B", binary=True)


def _unless_exact(status: str) -> str:
    return "" if status == "exact" else status
