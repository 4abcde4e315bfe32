"""A size drawn with matplotlib (the extra `plot`): a bar a target, split by what it waits for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hlo_count.harmless import plot_label
from hlo_count.roofline.plot import DARK, DPI, GREY, LIGHT, new_figure
from hlo_count.roofline.roofline_table import seconds
from hlo_count.sizing.size_rows import SizeRow

_COLOURS = ("#4a7db3", "#b3241c", "#d9a441", "#5f8f5b", "#8a6fa8", "#7a7a7a")
"""Of the largest limits over all targets, and of all others."""
_OTHERS = "others"


def plot(name: str, rows: Sequence[SizeRow], path: Path) -> Path:
    """Draw into `path`, whose suffix is .png, .svg or .pdf; returns it."""
    shown = [row for row in rows if row.estimate is not None]
    with new_figure(path, (10.5, 1.6 + 0.45 * max(2, len(shown))), DPI) as figure:
        draw(figure.add_subplot(), name, shown)
    return path


def draw(axes: Any, name: str, rows: Sequence[SizeRow]) -> None:
    """Draw onto matplotlib axes, the least estimate on top."""
    if not rows:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no target has an estimate: nothing to draw", ha="center", transform=axes.transAxes)
        return
    totals: dict[str, float] = {}
    for row in rows:
        for limit, taken in row.limits.items():
            totals[limit] = totals.get(limit, 0.0) + taken
    largest = sorted(totals, key=lambda limit: -totals[limit])[: len(_COLOURS) - 1]
    unit, word = _unit(max(row.estimate or 0.0 for row in rows))
    places = range(len(rows))
    left = [0.0] * len(rows)
    for limit, colour in zip([*largest, _OTHERS], _COLOURS, strict=False):
        lengths = [_seconds_of(row, limit, largest) / unit for row in rows]
        if any(lengths):
            label = plot_label(limit)
            bar = {"height": 0.6, "color": colour, "edgecolor": "white", "linewidth": 0.5}
            axes.barh(places, lengths, left=left, label=label, **bar)
        left = [a + b for a, b in zip(left, lengths, strict=True)]
    for word_for, style, values in (
        ("bound", "-", [row.bound for row in rows]),
        ("estimate, where\nsome runs behind", ":", [row.estimate if row.hidden else None for row in rows]),
    ):
        label = word_for
        for place, value in zip(places, values, strict=True):
            if value is not None:
                at = [value / unit] * 2
                axes.plot(at, [place - 0.38, place + 0.38], color=DARK, linewidth=2, linestyle=style, label=label)
                label = ""  # once in the legend
    for place, row, end in zip(places, rows, left, strict=True):
        axes.annotate(_said(row), (end, place), (6, 0), textcoords="offset points", va="center", fontsize=8, color=DARK)
    axes.set_yticks(places, [plot_label(_target(row)) for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, max(left) * 1.3)
    axes.set_xlabel(f"estimated {word} of one execution")
    axes.set_title(plot_label(f"{name}: where the time goes, target by target"), fontsize=10, loc="left")
    axes.grid(True, axis="x", color=LIGHT, linewidth=0.4)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["left"].set_color(GREY)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _seconds_of(row: SizeRow, limit: str, largest: Sequence[str]) -> float:
    if limit != _OTHERS:
        return row.limits.get(limit, 0.0)
    return sum(taken for name, taken in row.limits.items() if name not in largest)


def _target(row: SizeRow) -> str:
    return row.target if row.num_devices == 1 else f"{row.target} ({row.num_devices} devices)"


def _said(row: SizeRow) -> str:
    fits = {True: "fits", False: "does not fit", None: "memory not known"}[row.fits]
    return f"{seconds(row.estimate or 0.0)}, {fits}"


def _unit(most: float) -> tuple[float, str]:
    units = ((1.0, "seconds"), (1e-3, "milliseconds"), (1e-6, "microseconds"))
    return next(((size, word) for size, word in units if most >= size), (1e-9, "nanoseconds"))
