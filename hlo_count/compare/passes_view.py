"""The passes of a compile as a table and as a plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hlo_count.compare.pass_states import PassStates
from hlo_count.compare.signed_numbers import scale, signed, two_digits
from hlo_count.harmless import harmless, plot_label, printable
from hlo_count.layout import cut, joined, tabular, wrapped
from hlo_count.report.units import amount
from hlo_count.roofline.plot import new_figure

_WIDEST = 36


def render(found: PassStates) -> str:
    """One row a pass; the last is the sum, which is the whole difference."""
    rows = found.rows
    first, last = found.states[0], found.states[-1]
    head = [*joined([found.module, f"{len(rows)} of {len(found.states) - 1} dumped passes changed something"]), ""]
    columns: dict[str, list[str]] = {
        "#": [*(str(row.index) for row in rows), ""],
        "pass": [*(cut(row.name, _WIDEST) for row in rows), "all passes"],
        "pipeline": [*(cut(row.pipeline, 18) for row in rows), ""],
    }
    changes = [*(row.change for row in rows), found.after - found.before]
    for counter, heading, unit in (("flops", "FLOP", ""), ("bytes", "bytes", "B")):
        values = [getattr(change, counter) for change in changes]
        size, prefix = scale(values)
        columns[f"{heading} {prefix}{unit}".rstrip()] = [signed(two_digits(value, size)) for value in values]
    instructions = [*(row.instructions for row in rows), (first.instructions[1], last.instructions[1])]
    fusions = [*(row.fusions for row in rows), (first.fusions[1], last.fusions[1])]
    columns["instr."] = [signed(str(after - before)) for before, after in instructions]
    columns["fusions"] = [signed(str(after - before)) for before, after in fusions]
    align = ("right", "left", "left", "right", "right", "right", "right")
    text = tabular([list(columns), *zip(*columns.values(), strict=True)], align=align)
    ends = [
        "",
        f"FLOP {amount(found.before.flops)} -> {amount(found.after.flops)}, "
        f"bytes {amount(found.before.bytes, 'B')} -> {amount(found.after.bytes, 'B')}",
    ]
    if found.partitioned is not None:
        at = f"#{found.partitioned.index} {found.partitioned.name}"
        ends += wrapped(f"partitioned at {at}: before it the counts are of all devices together, from it on of one")
    elif last.stage == "unpartitioned":
        ends += wrapped("not partitioned yet: the counts are of all devices together")
    statuses = {row.after.status for row in found.states} - {"exact"}
    if statuses:
        ends += wrapped(f"some of these counts are no more than {' or '.join(sorted(statuses))}s")
    if found.skipped:
        ends.append("skipped, cannot be read:")
        ends += [f"  {harmless(path.name)}" for path in found.skipped]
    return printable("\n".join([*head, text, *ends]))


def plot(found: PassStates, path: str | Path | None) -> Any:
    """FLOP and bytes after each pass, one above the other; the largest changes carry the names of their passes."""
    with new_figure(None if path is None else Path(path), (10, 6), 150) as figure:
        panels = figure.subplots(2, 1, sharex=True)
        numbers = [row.index for row in found.states]
        for axes, counter, unit in zip(panels, ("flops", "bytes"), ("FLOP", "bytes"), strict=True):
            values = [getattr(row.after, counter) for row in found.states]
            axes.step(numbers, values, where="post", color="#3366aa")
            axes.fill_between(numbers, values, step="post", alpha=0.15, color="#3366aa")
            axes.set_ylim(0, 1.4 * max(values) or 1)  # room for the names
            axes.set_ylabel(unit)
            axes.spines[["top", "right"]].set_visible(False)
            axes.yaxis.set_major_formatter(lambda value, _: _tick(value))
            _name_largest(axes, found, counter)
        panels[-1].set_xlabel("dumped state, in the order of the compile")
        panels[0].set_title(plot_label(found.module))
    return figure


def _name_largest(axes: Any, found: PassStates, counter: str) -> None:
    """The four largest changes by name, on lines of their own; those that could not be seen have none."""
    top = axes.get_ylim()[1]
    largest = sorted(found.rows, key=lambda row: -abs(getattr(row.change, counter)))[:4]
    seen = [row for row in largest if abs(getattr(row.change, counter)) > 0.003 * top]
    for at, row in enumerate(sorted(seen, key=lambda row: row.index)):
        right = row.index > 0.6 * len(found.states)
        axes.annotate(
            f" {plot_label(row.name)} {signed(amount(getattr(row.change, counter)))} ",
            xy=(row.index, max(getattr(row.before, counter), getattr(row.after, counter))),
            xytext=(row.index, top * (0.78 + 0.06 * at)),
            ha="right" if right else "left",
            fontsize=8,
            arrowprops={"arrowstyle": "-", "color": "#999999", "linewidth": 0.6},
        )


def _tick(value: float) -> str:
    size, prefix = scale([int(value)])
    return f"{value / size:g} {prefix}".rstrip()
