"""The message of a budget that was exceeded: for a terminal and for a log without colours, 90 columns wide."""

from __future__ import annotations

from collections.abc import Sequence

from hlo_count.errors import BudgetExceeded
from hlo_count.layout import aligned, cut, width, wrapped
from hlo_count.report.contributors import Contributor, amount_text, contributors, short_source
from hlo_count.report.counts import Counts
from hlo_count.report.limits import Limits, Measured, limits_of, measured_limits


def room() -> int:
    """Columns of a line: what pytest puts before each comes on top."""
    return min(90, width())


HEADLINE = 100 - len("E       hlo_count.errors.BudgetExceeded: ")
"""The first line shares its own with the name of the error."""
_SHOWN = 5


def check(report: Counts, **limits: object) -> None:
    """Raise BudgetExceeded if the report passes one of the limits (see `limits_of`)."""
    wanted = limits_of(**limits)
    measured = measured_limits(report, wanted)
    if any(m.exceeded for m in measured):
        raise BudgetExceeded(message(report, measured, wanted))


def message(report: Counts, measured: Sequence[Measured], limits: Limits, grown: str = "") -> str:
    """What was exceeded and by how much, what grew, and the largest contributors to each."""
    exceeded = [m for m in measured if m.exceeded]
    parts = [headline(exceeded), "", program(report), "", verdicts(exceeded)]
    if grown:
        parts += ["", grown]
    if any(m.limit.kind == "status" for m in exceeded):
        head = "not known, so that the true cost may be larger (or pass allow_lower_bound=True)"
        parts += ["", *wrapped(head, room()), *unknown_lines(report)]
    return "\n".join([*parts, *contributor_sections(report, exceeded, limits)])


def contributor_sections(report: Counts, measured: Sequence[Measured], limits: Limits) -> list[str]:
    """The largest contributors to what each limit is on, each section after an empty line."""
    lines: list[str] = []
    for m in measured:
        found = contributors(report, m, limits)
        if found:
            lines += ["", _section(m), *contributor_lines(m, found)]
    return lines


def headline(exceeded: Sequence[Measured]) -> str:
    """The worst in a few words: what pytest's summary shows."""
    first = exceeded[0]
    more = f", {len(exceeded) - 1} more" if len(exceeded) > 1 else ""
    if first.limit.kind == "status":
        return first_line(f"the count is a lower bound: {first.shown}", more)
    if first.limit.kind == "forbid":
        return first_line(f"forbidden {first.limit.counter}: {first.actual} in the program", more)
    side = "below" if first.limit.lower else "over"
    return first_line(f"{first.limit.name} {first.shown} is {side} {first.limit.shown} ({first.excess})", more)


def first_line(text: str, more: str = "") -> str:
    """The text and how many more there are, short enough for what pytest puts before it."""
    return cut(text, HEADLINE - len(more)) + more


def program(report: Counts) -> str:
    """Which program was counted, compiled for what, by which jax."""
    backend = "backend not known" if report.backend == "unknown" else report.backend.upper()
    parts = [report.name, str(report.target or backend)]
    if report.num_devices != 1:
        parts.append(f"one of {report.num_devices} devices")
    parts.append(f"jax {report.jax_version}" if report.jax_version else "from text")
    return cut(" · ".join(parts), room())


def verdicts(measured: Sequence[Measured]) -> str:
    """Actual, limit and excess, a line a limit."""
    rows = [("", "actual", "limit", "excess")]
    rows += [(m.limit.name, m.shown, ("≥ " if m.limit.lower else "≤ ") + m.limit.shown, m.excess) for m in measured]
    return "\n".join(cut(line, room()) for line in aligned(rows, "<>>>"))


def contributor_lines(measured: Measured, found: list[Contributor]) -> list[str]:
    """The largest, and one line for everything else."""
    total = sum(c.amount for c in found)
    shown, rest = found[:_SHOWN], found[_SHOWN:]
    cells = [(amount_text(measured, c.amount), f"{100 * c.amount / total:.1f} %", short_place(c.source)) for c in shown]
    lines = []
    for line, c in zip(aligned(cells, ">><"), shown, strict=True):
        lines.append(cut(f"{line}  {c.code or c.what}", room()))
        if c.code:
            lines.append(cut(f"      {c.what}", room()))
    if rest:
        lines.append(f"  everything else ({len(rest)} lines): {amount_text(measured, sum(c.amount for c in rest))}")
    return lines


def short_place(source: str) -> str:
    """A `file:line` that fits a column."""
    return cut(short_source(source), 36, "start")


def _section(m: Measured) -> str:
    if m.limit.kind in ("ops", "forbid"):
        return f"instructions that match {m.limit.counter}, by source line"
    what = {"peak_bytes": "what is in memory at the peak", "bound": "what sets the bound"}
    of = "bytes" if m.limit.counter == "intensity" else m.limit.counter
    return what.get(m.limit.counter, f"largest contributors to {of}") + ", by source line"


def unknown_lines(report: Counts) -> list[str]:
    """What was not known, and how to settle it."""
    lines = []
    groups = [group for group in report.settlements if group.unknowns[0].status == "lower bound"]
    for group in groups[:_SHOWN]:
        first, more = group.unknowns[0], len(group.unknowns) - 1
        place = f" ({short_source(first.source)})" if first.source else ""
        others = f" and {more} more" if more else ""
        lines.append(cut(f"  {first.instruction}{place}{others} {first.reason}", room()))
        settle = "    settle them: " if more else "    settle it: "
        head, *rest = group.call_lines(room() - len(settle))
        lines += [
            settle + head if group.can_be_pasted else cut(settle + head, room()),
            *(len(settle) * " " + each for each in rest),
        ]
    return lines
