"""Everything that a report is shown as."""

from __future__ import annotations

from collections.abc import Callable

import hlo_count as hc

OUTPUTS: dict[str, Callable[[hc.Report], object]] = {
    "table": str,
    "table by opcode": lambda report: report.table("opcode"),
    "table by scope": lambda report: report.table("scope"),
    "table by source": lambda report: report.table("source"),
    "table by computation": lambda report: report.table("computation"),
    "table by instruction": lambda report: report.table("instruction"),
    "JSON": hc.Report.to_json,
    "HTML": lambda report: report._repr_html_(),
    "pandas": hc.Report.to_pandas,
    "repr": repr,
    "bounds": lambda report: (report.at_most, report.compulsory_bytes, report.peak_bytes, report.intensity),
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
