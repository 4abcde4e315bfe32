"""A size as text."""

from __future__ import annotations

from collections.abc import Sequence

from hlo_count.harmless import printable
from hlo_count.layout import cut, joined, tabular, width, wrapped
from hlo_count.report.units import amount, column
from hlo_count.roofline.roofline_table import seconds, seconds_column
from hlo_count.sizing.size_rows import Extrapolated, SizeRow

_GIGA = 10**9
_LEAST = 0.5
"""Percent that is worth a word."""


def table(name: str, rows: Sequence[SizeRow]) -> str:
    """A row a target; under it what does not fit, what each target waits for, and what could not be said."""
    counted = [row for row in rows if row.report is not None]
    failed = [row for row in rows if row.report is None]
    several = any((row.num_devices or 1) > 1 for row in counted)
    beyond = next((row.report.at for row in counted if isinstance(row.report, Extrapolated)), None)
    how = "compiled for each target" if beyond is None else f"extrapolated to {beyond}"
    per = f"per device{' and execution' if several else ', one execution'}"
    lines = [*joined([name, how, per]), ""]
    longest = max(len(row.target) for row in rows)
    lines += _cells(counted, longest).splitlines()
    lines += [cut(f"{row.target:<{longest}}  {_without_target(row)}", width()) for row in failed]
    below = [line for row in counted for line in _sentences(row)]
    return printable("\n".join([*lines, *([""] if below else []), *below]))


def _cells(rows: Sequence[SizeRow], longest: int) -> str:
    both = seconds_column(
        [*(row.estimate for row in rows), *(row.bound for row in rows)]
    )  # in one unit, to be compared
    columns: dict[str, list[str]] = {
        "target": [f"{row.target:<{longest}}" for row in rows],
        "devices": [str(row.num_devices) for row in rows],
        "estimate": both[: len(rows)],
        "bound": both[len(rows) :],
        "mostly": [_mostly(row) for row in rows],
        "FLOP": column([row.flops for row in rows]),
        "bytes": column([row.bytes for row in rows], "B"),
        "sent": column([row.network_bytes for row in rows], "B"),
        "HFU": ["" if row.hfu is None else f"{100 * row.hfu:.1f} %" for row in rows],
        "peak memory": [_memory(row) for row in rows],
        "cost": ["" if row.cost is None else f"{row.cost:.3g}" for row in rows],
        "per M tokens": [
            "" if row.cost_per_million_tokens is None else f"{row.cost_per_million_tokens:.3g}" for row in rows
        ],
    }
    if all(row.num_devices == 1 for row in rows):
        del columns["devices"]
    for name, has_some in (
        ("sent", any(row.network_bytes for row in rows)),
        ("cost", any(row.cost is not None for row in rows)),
        ("per M tokens", any(row.cost_per_million_tokens is not None for row in rows)),
    ):
        if not has_some:
            del columns[name]
    align = ["left" if name in ("target", "mostly") else "right" for name in columns]
    return tabular(zip(*columns.values(), strict=True), tuple(columns), align)


def _mostly(row: SizeRow) -> str:
    return "" if row.limited_by is None else row.limited_by.removesuffix(" bandwidth").removesuffix(" overhead")


def _memory(row: SizeRow) -> str:
    """`12.3 of 16 GB`, both in one unit."""
    if row.peak_bytes is None:
        return ""
    if row.memory_bytes is None:
        return amount(row.peak_bytes, "B")
    peak = row.peak_bytes / _GIGA
    shown = f"{peak:.3g}" if peak >= 0.01 or not peak else "<0.01"
    return f"{shown} of {row.memory_bytes / _GIGA:.3g} GB{'' if row.fits else ' !'}"


def _without_target(row: SizeRow) -> str:
    return " ".join(row.problem.split()).replace(f" for {row.target}:", ":")


def _sentences(row: SizeRow) -> list[str]:
    said = []
    if row.fits is False and row.spare_bytes is not None and row.memory_bytes:
        over = -row.spare_bytes
        said.append(f"does not fit: {amount(over, 'B')} too much ({100 * over / row.memory_bytes:.0f} % over)")
    if row.estimate and row.limits:
        shares = {what: 100 * taken / sum(row.limits.values()) for what, taken in row.limits.items()}
        parts = [f"{what} {share:.0f} %" for what, share in shares.items() if share >= _LEAST]
        more = ", …" if len(parts) > 4 else ""
        behind = f"; {seconds(row.hidden)} of it behind other work" if row.hidden else ""
        said.append(f"{', '.join(parts[:4])}{more}{behind}")
    if row.problem:
        said.append(row.problem)
    if row.report is not None:
        said += row.report.notes
        if row.report.unknowns:
            number = len(row.report.unknowns)
            more = f", and {number - 1} more" if number > 1 else ""
            said.append(f"a {row.report.status}: {row.report.unknowns[0]}{more}")
    return [line for sentence in said for line in wrapped(sentence, first=f"{row.target}: ")]
