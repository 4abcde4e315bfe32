"""Everything that a report is shown as."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import hlo_count as hc

KEYS = (
    *("opcode", "class", "dtype", "unit", "scope", "source", "function", "stack", "computation", "instruction"),
    *("collective", "memory_space"),
)


def _page(report: hc.Report) -> None:
    """The page that is saved, with its roofline."""
    with TemporaryDirectory() as folder:
        report.save(Path(folder, "page.html"), device="tpu-v5e")


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
    "page": _page,
    "what-if": lambda report: str(hc.what_if(report, on=["h100-sxm", "tpu-v5e"])),
    "CSV": lambda report: report.to_pandas().to_csv(),
    "collectives": lambda report: [*map(str, report.collectives)],
    "reconciliation": lambda report: str(report.reconcile()),
    "roofline": lambda report: (str(report.roofline("h100-sxm")), str(report.roofline("tpu-v5e"))),
    "HLO text": lambda report: report.module.to_text(),
    "graphs": lambda report: (report.module.call_graph, [c.graph for c in report.module.computations.values()]),
}
"""By the name that a finding gives it."""


def of_pair(one: hc.Report, other: hc.Report) -> dict[str, Callable[[], object]]:
    """What is shown of two reports."""
    return {
        "diff": lambda: str(hc.diff(one, other)),
        "diff as Markdown": lambda: hc.diff(one, other).markdown(),
        "diff by reason": lambda: hc.diff(one, other).by("reason"),
    }
