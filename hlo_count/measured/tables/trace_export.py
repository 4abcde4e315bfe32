"""A trace as plain data, and as a table of pandas."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hlo_count.errors import HloCountError
from hlo_count.harmless import spreadsheet_cell
from hlo_count.measured.programs.program_times import PICO, MeasuredRow, ProgramTimes
from hlo_count.measured.programs.time_parts import time_parts
from hlo_count.report.export import to_dict

if TYPE_CHECKING:
    from hlo_count.measured.results.recorded_trace import Trace


def trace_dict(trace: Trace) -> dict[str, Any]:
    return {
        "path": str(trace.path),
        "hosts": trace.hosts,
        "jax_version": trace.jax_version,
        "device": None if trace.device is None else trace.device.name,
        "seconds": trace.seconds,
        "idle_s": trace.idle,
        "programs": [program_dict(program) for program in trace.programs],
        "unattributed": {
            name: {"number": kernel.number, "seconds": kernel.picoseconds * PICO, "in_graph": kernel.in_graph}
            for name, kernel in trace.unattributed.items()
        },
        "transfers": {
            way: {"number": copies.number, "seconds": copies.picoseconds * PICO, "bytes": copies.bytes}
            for way, copies in trace.transfers.items()
        },
        "idle_causes_s": trace.idle_causes,
        "problems": trace.problems,
    }


def program_dict(program: ProgramTimes) -> dict[str, Any]:
    limits = program.limits
    return {
        "name": program.name,
        "backend": program.backend,
        "devices": program.devices,
        "runs": program.runs,
        "seconds": program.seconds,
        "starts_s": program.starts,
        "idle_s": program.idle,
        "share": program.share,
        "flops_per_s": program.flops_per_s,
        "bytes_per_s": program.bytes_per_s,
        "bound_s": program.bound,
        "estimate_s": None if isinstance(limits, str) else limits.estimate,
        "hfu": None if isinstance(limits, str) or not program.typical else program.hfu(),
        "exposed_communication_s": program.exposed_communication,
        "hidden_communication_s": program.hidden_communication,
        "trip_counts": {name: float(trips) for name, trips in program.courses.trip_counts.items()},
        "branches": {name: [float(weight) for weight in each] for name, each in program.courses.branches.items()},
        "problems": program.courses.problems,
        "notes": program.notes,
        "parts": [asdict(part) for part in time_parts(program)],
        "rows": [row_dict(row) for row in program.rows],
        "report": None if program.report is None else to_dict(program.report),
    }


def row_dict(row: MeasuredRow) -> dict[str, Any]:
    return {
        **asdict(row),
        "runs": float(row.runs),
        "flops_per_s": row.flops_per_s,
        "bytes_per_s": row.bytes_per_s,
        "times_bound": row.times_bound,
    }


def trace_frame(trace: Trace) -> Any:
    try:
        import pandas as pd
    except ImportError:
        raise HloCountError('to_pandas needs pandas: pip install "hlo-count[pandas]"') from None
    rows = [{"program": program.name, **row_dict(row)} for program in trace.programs for row in program.rows]
    for row in rows:
        for name in ("program", "name", "source", "scope"):
            row[name] = spreadsheet_cell(row[name])
    return pd.DataFrame(rows)
