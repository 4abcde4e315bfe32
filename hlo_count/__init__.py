"""hlo_count: what a compiled JAX program really does, counted on the HLO that the compiler leaves.

    import hlo_count as hc
    report = hc.count(train_step, params, batch)
    print(report)

Names load when they are used: importing the package imports neither jax nor networkx.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hlo_count.budgets.complexity import assert_complexity
    from hlo_count.compare.diff import Diff, diff
    from hlo_count.compare.passes import Passes, passes, read_dumps
    from hlo_count.errors import (
        BudgetExceeded,
        DeviceError,
        HloCountError,
        ParseError,
        TargetError,
        UnknownCostError,
    )
    from hlo_count.fleet.scan import scan
    from hlo_count.fleet.scanned import Scan
    from hlo_count.hlo import Computation, Instruction, Module, parse
    from hlo_count.job.job import Job
    from hlo_count.job.read_job import read_job
    from hlo_count.lowering import targets
    from hlo_count.measured.recording.measure import measure
    from hlo_count.measured.recording.track import track
    from hlo_count.measured.results.recorded_trace import Trace
    from hlo_count.measured.results.trace_reading import read_trace
    from hlo_count.report.counting import count, count_parameters
    from hlo_count.report.report import Report
    from hlo_count.roofline.calibrate import calibrate
    from hlo_count.roofline.catalog import device, devices
    from hlo_count.roofline.ridge import required_intensity
    from hlo_count.roofline.what_if import what_if
    from hlo_count.sizing.count_growth import Growth, growth
    from hlo_count.sizing.size import Size, size
    from hlo_count.visitors.cost import Cost
    from hlo_count.visitors.shipped_rules import custom_call, rule

__version__ = "0.1.0"

_HOMES = {
    "assert_complexity": "hlo_count.budgets.complexity",
    **dict.fromkeys(
        ("BudgetExceeded", "DeviceError", "HloCountError", "ParseError", "TargetError", "UnknownCostError"),
        "hlo_count.errors",
    ),
    **dict.fromkeys(("Diff", "diff"), "hlo_count.compare.diff"),
    **dict.fromkeys(("Passes", "passes", "read_dumps"), "hlo_count.compare.passes"),
    **dict.fromkeys(("Computation", "Instruction", "Module", "parse"), "hlo_count.hlo"),
    "Scan": "hlo_count.fleet.scanned",
    "scan": "hlo_count.fleet.scan",
    "Job": "hlo_count.job.job",
    "read_job": "hlo_count.job.read_job",
    "targets": "hlo_count.lowering",
    "measure": "hlo_count.measured.recording.measure",
    "track": "hlo_count.measured.recording.track",
    "Trace": "hlo_count.measured.results.recorded_trace",
    "read_trace": "hlo_count.measured.results.trace_reading",
    **dict.fromkeys(("count", "count_parameters"), "hlo_count.report.counting"),
    "Report": "hlo_count.report.report",
    "calibrate": "hlo_count.roofline.calibrate",
    "device": "hlo_count.roofline.catalog",
    "devices": "hlo_count.roofline.catalog",
    "required_intensity": "hlo_count.roofline.ridge",
    "what_if": "hlo_count.roofline.what_if",
    **dict.fromkeys(("Growth", "growth"), "hlo_count.sizing.count_growth"),
    **dict.fromkeys(("Size", "size"), "hlo_count.sizing.size"),
    "Cost": "hlo_count.visitors.cost",
    **dict.fromkeys(("custom_call", "rule"), "hlo_count.visitors.shipped_rules"),
}
"""Public name: the module that has it."""

__all__ = [
    "BudgetExceeded",
    "Computation",
    "Cost",
    "DeviceError",
    "Diff",
    "Growth",
    "HloCountError",
    "Instruction",
    "Job",
    "Module",
    "ParseError",
    "Passes",
    "Report",
    "Scan",
    "Size",
    "TargetError",
    "Trace",
    "UnknownCostError",
    "assert_complexity",
    "calibrate",
    "count",
    "count_parameters",
    "custom_call",
    "device",
    "devices",
    "diff",
    "growth",
    "measure",
    "parse",
    "passes",
    "read_dumps",
    "read_job",
    "read_trace",
    "required_intensity",
    "rule",
    "scan",
    "size",
    "targets",
    "track",
    "what_if",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'hlo_count' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
