"""A comparison as text, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from hlo_count.compare.change_rows import ChangeRow
from hlo_count.compare.comparison import Comparison
from hlo_count.compare.signed_numbers import scale, signed, two_digits
from hlo_count.harmless import harmless_lines, markdown_prose, printable
from hlo_count.layout import Style, cut, tabular, width, wrapped
from hlo_count.report.units import change_percent, column
from hlo_count.visitors.cost import Cost

_TOTALS = {
    "flops": ("FLOP", ""),
    "transcendentals": ("transcendentals", ""),
    "int_ops": ("integer ops", ""),
    "other_ops": ("other ops", ""),
    "bytes": ("bytes", "B"),
    "network_bytes": ("network", "B"),
    "peak_bytes": ("peak memory", "B"),
}
_COLUMNS = ("flops", "bytes", "network_bytes", "transcendentals", "int_ops", "other_ops")
"""Counters in the order in which a table shows them; a table has room for two."""


def render(diff: Comparison, keys: Sequence[str], depth: int, limit: int) -> str:
    """Header, totals, rows by each key, notes."""
    parts = [_header(diff), "", _totals(diff)]
    if not diff:
        parts += ["", "nothing differs"]
    for key in keys if diff else ():
        rows = [row for row in diff.by(key, depth=depth) if row.reason and row.change.amounts]
        if rows:
            parts += ["", _table(key, _limited(rows, limit))]
    notes = [line for note in diff.notes for line in wrapped(note)]
    return printable("\n".join([*parts, *(["", *notes] if notes else [])]))


def render_markdown(diff: Comparison, limit: int) -> str:
    """The same as tables of Markdown: totals, reasons, scopes."""
    parts = [f"**{markdown_prose(_header(diff))}**", "", _totals(diff, "github")]
    for key in ("reason", "scope") if diff else ():
        rows = [row for row in diff.by(key) if row.reason and row.change.amounts]
        if rows:
            parts += ["", _table(key, _limited(rows, limit), "github")]
    if not diff:
        parts += ["", "Nothing differs."]
    return harmless_lines("\n".join([*parts, *(f"\n{markdown_prose(note)}" for note in diff.notes)]))


def _header(diff: Comparison) -> str:
    one, other = diff.before, diff.after
    backends = list(dict.fromkeys(report.target or report.backend.upper() for report in (one, other)))
    if diff.optimization:
        text = f"{other.name} · before and after optimization · {' -> '.join(backends)}"
    else:
        names = f"{one.name} -> {other.name}" if one.name != other.name else f"{one.name}, before -> after"
        text = f"{names} · {' -> '.join(backends)}"
    return cut(text, width(), "middle")


def _totals(diff: Comparison, style: Style = "plain") -> str:
    rows = []
    for name in (name for name in _TOTALS if name in diff.counters):
        label, unit = _TOTALS[name]
        one, other = getattr(diff.before, name), getattr(diff.after, name)
        if one or other:
            values = column([one, other, other - one], unit, binary=name == "peak_bytes")
            rows.append((label, values[0], values[1], signed(values[2]), change_percent(one, other)))
    align = ("right", "right", "right", "right", "right")
    headers = ("", "before", "after", "change", "%")
    return tabular(rows, headers, align, style) if rows else "no counts"


def _table(key: str, rows: list[ChangeRow], style: Style = "plain") -> str:
    shown = [name for name in _COLUMNS if any(getattr(row.change, name) for row in rows)][:2] or ["bytes"]
    columns: dict[str, list[str]] = {key: []}
    for name in shown:
        label, unit = _TOTALS[name]
        sizes = [(getattr(r.before, name), getattr(r.after, name), getattr(r.change, name)) for r in rows]
        unit_of = scale([value for size in sizes for value in size])
        heading = f"{label} {unit_of[1]}{unit}".rstrip()
        blank = " " * len(columns)  # tabulate wants the names of columns to differ
        columns[heading + blank] = [two_digits(size[0], unit_of[0]) for size in sizes]
        columns["after" + blank] = [two_digits(size[1], unit_of[0]) for size in sizes]
        columns["change" + blank] = [signed(two_digits(size[2], unit_of[0])) for size in sizes]
    align = ["left", *["right"] * (len(columns) - 1)]
    taken = sum(max(len(heading.strip()), *map(len, cells)) + 2 for heading, cells in columns.items() if cells)
    room = width() - taken if style == "plain" else 10**6
    reasons = [row.reason for row in rows] if key != "reason" else []
    wide = max(map(len, [*reasons, "reason"])) if reasons else 0
    widest = max(len(_short(row.name, key)) for row in rows)
    for_reasons = min(wide, max(room // 2, room - 2 - widest)) if reasons else 0
    for_names = room - for_reasons - (2 if reasons else 0)
    columns[key] = [cut(_short(row.name, key), max(for_names, 12), "middle") for row in rows]
    if reasons:
        columns["reason"] = [_whole_words(reason, for_reasons) for reason in reasons]
        align.append("left")
    headers = [heading.strip() for heading in columns]
    cells = list(zip(*columns.values(), strict=True))
    if style == "plain":  # tabulate pads what it knows to be headers
        return tabular([headers, *cells], align=align)
    return tabular(cells, headers, align, style)


def _limited(rows: list[ChangeRow], limit: int) -> list[ChangeRow]:
    """The largest, and one row for all the others."""
    if len(rows) <= limit + 1:
        return rows
    rest = rows[limit:]
    before, after = Cost.sum(row.before for row in rest), Cost.sum(row.after for row in rest)
    return [*rows[:limit], ChangeRow(f"everything else ({len(rest)})", before, after, "")]


def _short(name: str, key: str) -> str:
    """A source by its last folder and file."""
    return "/".join(name.split("/")[-2:]) if key == "source" else name


def _whole_words(text: str, room: int) -> str:
    """As many reasons as there is room for."""
    if len(text) <= room:
        return text
    kept = text[: room - 2].rpartition(",")[0] or text[: room - 3]
    return f"{kept}, …"
