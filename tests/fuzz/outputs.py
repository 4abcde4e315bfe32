"""Everything that a report is shown as."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from io import BytesIO, TextIOWrapper
from pathlib import Path
from tempfile import TemporaryDirectory

import diff_laws

import hlo_count as hc
from hlo_count.budgets.snapshot import snapshot
from hlo_count.console import write

KEYS = (
    *("opcode", "class", "dtype", "unit", "scope", "source", "function", "stack", "computation", "instruction"),
    *("collective", "memory_space"),
)


ENDINGS = (".html", ".speedscope.json", ".folded")


def _saved(report: hc.Report) -> None:
    """The page with its roofline, and what flame graphs are drawn of."""
    with TemporaryDirectory() as folder:
        for ending in ENDINGS:
            report.save(Path(folder, f"report{ending}"), device="tpu-v5e")


def _checked(report: hc.Report) -> None:
    with suppress(hc.BudgetExceeded):
        report.check(flops=0, bytes=0, peak_bytes=0)


def _written(report: hc.Report) -> None:
    """As a command writes it: to a terminal that has few signs."""
    with TextIOWrapper(BytesIO(), encoding="ascii") as terminal:
        problem = write(f"{report}\n{report.table('source')}", terminal)
        assert problem is None, problem


def _snapshot(report: hc.Report) -> None:
    json.dumps(snapshot(report, Path.cwd()))


OUTPUTS: dict[str, Callable[[hc.Report], object]] = {
    "table": str,
    "tables": lambda report: [report.table(key) for key in KEYS],
    "breakdowns": lambda report: [report.by(key) for key in KEYS],
    "JSON": hc.Report.to_json,
    "HTML": lambda report: report._repr_html_(),
    "pandas": hc.Report.to_pandas,
    "repr": repr,
    "bounds": lambda report: (report.at_most, report.compulsory_bytes, report.peak_bytes, report.intensity),
    "explanation": lambda report: str(report.explain(report.module.entry.root.name)),
    "files": _saved,
    "budgets": _checked,
    "snapshot": _snapshot,
    "a terminal": _written,
    "what-if": lambda report: str(hc.what_if(report, on=["h100-sxm", "tpu-v5e"])),
    "CSV": lambda report: report.to_pandas().to_csv(),
    "collectives": lambda report: [*map(str, report.collectives)],
    "reconciliation": lambda report: str(report.reconcile()),
    "roofline": lambda report: (str(report.roofline("h100-sxm")), str(report.roofline("tpu-v5e"))),
    "HLO text": lambda report: report.module.to_text(),
    "graphs": lambda report: (report.module.call_graph, [c.graph for c in report.module.computations.values()]),
}
"""By the name that a finding gives it."""


def outputs_of(report: hc.Report, other: hc.Report) -> dict[str, Callable[[], object]]:
    """Everything that is shown of a report, and of it beside another one."""
    return {name: partial(output, report) for name, output in OUTPUTS.items()} | {
        "laws of a diff": lambda: diff_laws.check(other, report),
        "diff": lambda: str(hc.diff(other, report)),
        "diff as Markdown": lambda: hc.diff(other, report).markdown(),
        "diff by reason": lambda: hc.diff(other, report).by("reason"),
        "diff as JSON": lambda: json.dumps(hc.diff(other, report).to_dict()),
    }
