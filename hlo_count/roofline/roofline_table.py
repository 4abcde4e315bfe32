"""Rooflines as text."""

from __future__ import annotations

from collections.abc import Sequence

from hlo_count.harmless import printable
from hlo_count.layout import SHORTEST_NAME, cut, joined, number_of, tabular, width, wrapped
from hlo_count.roofline.time_rows import KernelRow, RooflineAnswer, WhatIfRow

ROWS = 12
TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
AMOUNTS = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def render_roofline(answer: RooflineAnswer) -> str:
    """The answer, the resources, the largest kernels, and what it all assumes."""
    on = number_of(answer.num_devices, "device") + (", each" if answer.num_devices > 1 else "")
    lines = [*joined([answer.program, answer.device, on, "1 FMA = 2 FLOP"]), ""]
    if answer.compiled_for:
        lines = [*another_compilers(answer.compiled_for, answer.device), "", *lines]
    if answer.bound is None:
        lines += _answer("   bound", "withheld", "not partitioned: what one device does is not known")
    else:
        weak = ", a lower bound of itself" if answer.is_lower_bound else ""
        label = "as it is" if answer.compiled_for else "   bound"
        lines += _answer(label, seconds(answer.bound), f"limited by {answer.bottleneck}{weak}")
    calling = f", {seconds(answer.calling)} for calling it and waking threads" if answer.calling else ""
    how = "kernel after kernel" if answer.shares == 1 else f"1/{answer.shares} of it, kernel after kernel"
    lines += _answer("estimate", seconds(answer.estimate), f"{how}{calling}")
    if answer.compiler_estimate is not None:
        carry, kernels = answer.compiler_estimate_kernels, len(answer.rows)
        of = "" if carry == kernels else f", of {carry} of {kernels} kernels"
        cycles = "of the estimate: its estimated_cycles" if answer.own_cycles else "its estimated_cycles"
        lines += _answer("compiler", seconds(answer.compiler_estimate), f"{cycles} over the clock{of}")
    shown = [f"{what} {seconds(least)}" for what, least in answer.least if least]
    if shown:
        lines += ["", *wrapped(" · ".join(shown), first="at least  ", others=10 * " ")]
    if answer.rows:
        lines += ["", kernel_table(answer.rows, with_compiler=not answer.own_cycles)]
    if answer.notes:
        lines.append("")
    lines += [line for note in answer.notes for line in wrapped(note, first="- ")]
    return printable("\n".join(lines))


def _answer(label: str, value: str, text: str) -> list[str]:
    return wrapped(text, first=f"{label}  {value:>9}   ", others=22 * " ")


def kernel_table(rows: Sequence[KernelRow], most: int = ROWS, *, with_compiler: bool = True) -> str:
    """The largest kernels, and one line for all others, so that a column adds up; with what the compiler wrote down
    where that is not the estimate."""
    head, rest = rows[:most], rows[most:]
    has_compiler = with_compiler and any(row.compiler_estimate is not None for row in rows)
    every = [*head, *([_everything_else(rest)] if rest else [])]
    columns = {"runs": [f"{row.runs:,.6g}" if row.runs else "" for row in every]}
    if any(row.bound is not None for row in every):
        columns["bound"] = scaled_column([row.bound for row in every], TIMES)
    columns["estimate"] = scaled_column([row.estimate for row in every], TIMES)
    if has_compiler:
        columns["compiler"] = scaled_column([row.compiler_estimate for row in every], TIMES)
    columns["FLOP"] = scaled_column([row.flops for row in every], AMOUNTS)
    columns["bytes"] = scaled_column([row.bytes for row in every], AMOUNTS)
    columns["FLOP/B"] = [f"{row.intensity:.3g}" if row.flops and row.bytes else "" for row in every]
    columns["limit"] = [row.limit.removesuffix(" bandwidth").removesuffix(" overhead") for row in every]
    taken = sum(2 + max(len(name) + 2, *map(len, cells)) for name, cells in columns.items())  # tabulate pads heads
    columns = {"kernel": [cut(row.name, max(SHORTEST_NAME, width() - taken), "middle") for row in every], **columns}
    align = ["left", *["right"] * (len(columns) - 2), "left"]
    return tabular(zip(*columns.values(), strict=True), list(columns), align)


def _everything_else(rows: Sequence[KernelRow]) -> KernelRow:
    bounds = [row.bound for row in rows if row.bound is not None]
    estimates = [row.compiler_estimate for row in rows if row.compiler_estimate is not None]
    return KernelRow(
        name=f"everything else ({len(rows)})",
        opcode="",
        source="",
        op_name="",
        runs=0,
        bound=sum(bounds) if bounds else None,
        estimate=sum(row.estimate for row in rows),
        limit="",
        flops=sum(row.flops for row in rows),
        bytes=sum(row.bytes for row in rows),
        compiler_estimate=sum(estimates) if estimates else None,
    )


def what_if_table(rows: Sequence[WhatIfRow]) -> str:
    """One program on many devices; a device whose profile lacks a figure says which."""
    known = [row for row in rows if row.estimate is not None]
    others = [row for row in known if row.compiled_for]
    cells = list(
        zip(
            [row.device for row in known],
            scaled_column([row.bound for row in known], TIMES),
            scaled_column([row.estimate for row in known], TIMES),
            [row.bottleneck for row in known],
            strict=True,
        )
    )
    first = "as it is" if others and len(others) == len(known) else "bound"
    lines = [tabular(cells, ("device", first, "estimate", "limited by"), ("left", "right", "right", "left"))]
    if others:
        names = others[0].device if len(others) == 1 else f"the {len(others)} of other kinds"
        lines = [*another_compilers(others[0].compiled_for, names), "", *lines]
    lines += [line for row in rows if row.estimate is None for line in wrapped(f"{row.device}: {row.problem}")]
    return printable("\n".join(lines))


def another_compilers(compiled_for: str, device: str) -> list[str]:
    """What must be known first of times on a device of another kind than that which a program was compiled for."""
    on = device if " " not in device else "…"
    return wrapped(
        f"Compiled for {compiled_for.upper()}: on {device} an estimate of another compiler's program, and no bound. "
        f'Its own: `hlo-count size … --on {on}`, hc.size(fn, …, on=["{on}"])'
    )


def seconds(value: float) -> str:
    """`87.2 µs`: three significant digits."""
    return _scaled(value, *_scale([value], TIMES))


def seconds_column(values: Sequence[float | None]) -> list[str]:
    """Seconds in one unit, that of the largest; None is empty."""
    return scaled_column(values, TIMES)


def scaled_column(values: Sequence[float | None], units: Sequence[tuple[float, str]]) -> list[str]:
    """Values in one unit, that of the largest, so that they can be compared down a column."""
    size, unit = _scale([value for value in values if value is not None], units)
    return ["" if value is None else _scaled(value, size, unit) for value in values]


def _scale(values: Sequence[float], units: Sequence[tuple[float, str]]) -> tuple[float, str]:
    most = max(values, default=0.0)
    return next(((size, unit) for size, unit in units if most >= size), units[-1])


def _scaled(value: float, size: float, unit: str) -> str:
    if not value:
        return "0"
    scaled = value / size
    if scaled < 0.001:
        return f"<0.001 {unit}"
    places = 3 if scaled < 1 else 2 if scaled < 10 else 1 if scaled < 1000 else 0
    return f"{scaled:.{places}f} {unit}".rstrip()
