"""Two runs beside each other, as text and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hlo_count.compare.signed_numbers import scale, signed, two_digits
from hlo_count.errors import HloCountError
from hlo_count.harmless import harmless_lines, markdown_prose, printable
from hlo_count.layout import Style, cut, joined, tabular, wrapped
from hlo_count.report.units import change_percent, column
from hlo_count.visitors.cost import Cost

if TYPE_CHECKING:
    from hlo_count.job.job_diff import JobDiff, ModulePair

_CHANGES = 8


def render(diff: JobDiff, limit: int, style: Style = "plain") -> str:
    """Header, totals, a row a module that differs, and what each was compiled for otherwise."""
    if limit < 1:
        raise HloCountError(f"rows={limit}: a table has at least one row")
    kinds = [pair.what for pair in diff.pairs]
    counted = [f"{kinds.count(what)} {what}" for what in ("same", "changed", "new", "gone", "cannot be read")]
    head = [f"{diff.before_path} -> {diff.after_path}", *(text for text in counted if not text.startswith("0 "))]
    title = "\n".join(joined(head)) if style == "plain" else f"**{markdown_prose(' · '.join(head))}**"
    parts = [title, "", _totals(diff.before, diff.after, style), ""]
    parts += [_table(diff.rows, limit, style), *_changes(diff.rows, style)] if diff else ["nothing differs"]
    text = "\n".join(parts)
    return printable(text) if style == "plain" else harmless_lines(text)


def _totals(before: Cost, after: Cost, style: Style) -> str:
    rows = []
    for label, counter, unit in (("FLOP", "flops", ""), ("bytes", "bytes", "B"), ("network", "network_bytes", "B")):
        one, other = getattr(before, counter), getattr(after, counter)
        if one or other:
            values = column([one, other, other - one], unit)
            rows.append((label, values[0], values[1], signed(values[2]), change_percent(one, other)))
    headers, align = ("all modules", "before", "after", "change", "%"), ("left", *["right"] * 4)
    return tabular(rows, headers, align, style) if rows else "no counts"


def _table(pairs: Sequence[ModulePair], limit: int, style: Style) -> str:
    shown, rest = (pairs, ()) if len(pairs) <= limit + 1 else (pairs[:limit], pairs[limit:])
    changes = [pair.change for pair in shown] + ([Cost.sum(pair.change for pair in rest)] if rest else [])
    columns = {
        "module": [*(cut(_label(pair), 44, "middle") for pair in shown), *([f"{len(rest)} more"] if rest else [])],
        "": [*(pair.what for pair in shown), *([""] if rest else [])],
    }
    for label, counter, unit in (("FLOP", "flops", ""), ("bytes", "bytes", "B")):
        values = [getattr(change, counter) for change in changes]
        size, prefix = scale(values)
        columns[f"{label} {prefix}{unit}".rstrip()] = [signed(two_digits(value, size)) for value in values]
    align = ("left", "left", "right", "right")
    return tabular(zip(*columns.values(), strict=True), tuple(columns), align, style)


def _label(pair: ModulePair) -> str:
    row = pair.after or pair.before
    assert row is not None
    return row.label


def _changes(pairs: Sequence[ModulePair], style: Style) -> list[str]:
    changed = [pair for pair in pairs if pair.changed]
    lines = [""] if changed else []
    for pair in changed[:_CHANGES]:
        text = f"{_label(pair)}: {'; '.join(f'{each.kind}: {each.what}' for each in pair.changed)}"
        if style == "plain":
            lines += wrapped(text, others="  ", hyphens=False)
        else:
            lines.append(f"- {markdown_prose(text)}")
    more = len(changed) - _CHANGES
    return lines + ([f"and {more} more: to_dict() and --json have them all"] if more > 0 else [])
