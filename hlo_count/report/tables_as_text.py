"""A report for other people's tools: Markdown for a comment or a wiki, CSV for a spreadsheet."""

from __future__ import annotations

import csv
import io
from fractions import Fraction

from hlo_count.harmless import markdown_prose, spreadsheet_cell
from hlo_count.layout import tabular
from hlo_count.report.export import EXPORTED_COUNTERS, cost_dict
from hlo_count.report.html import contributor_cells
from hlo_count.report.table import header, totals_rows, unknowns_text
from hlo_count.report.weights import Weights


def markdown(weights: Weights) -> str:
    """Header, totals, contributors and unknowns in GitHub's Markdown."""
    report = weights.report
    parts = [
        f"**{markdown_prose(' '.join(header(report).split()))}**",
        tabular(totals_rows(report), ("counter", "amount", "status", " "), ("left", "right", "left", "left"), "github"),
    ]
    found = contributor_cells(report)
    if found is not None:
        headers, cells = found
        align = ["left", *("left" if name == "source" else "right" for name in headers[1:])]
        parts.append(tabular(cells, headers, align, "github"))
    parts += [markdown_prose(note) for note in report.notes]
    parts += [f"- {markdown_prose(line.strip())}" for line in unknowns_text(report).splitlines()]
    return "\n\n".join(parts) + "\n"


def comma_separated(weights: Weights) -> str:
    """A row an instruction that costs anything, all its runs together; seconds of the estimate where there are any."""
    report = weights.report
    seconds = {} if weights.roofline is None else {kernel: row.estimate for kernel, row in weights.roofline.kernels}
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(["instruction", "opcode", "scope", "source", "runs", *EXPORTED_COUNTERS, "status", "estimate_s"])
    for instruction, times, cost in report.entries:
        place = report.places.of(instruction) or ""
        texts = (instruction.name, instruction.opcode, "/".join(report.scopes.of(instruction)), place)
        runs = float(times) if isinstance(times, Fraction) else times
        estimate = seconds.get(instruction, "")
        table.writerow([*map(spreadsheet_cell, texts), runs, *cost_dict(cost).values(), estimate])
    return stream.getvalue()
