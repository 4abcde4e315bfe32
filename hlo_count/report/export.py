"""A report as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.harmless import spreadsheet_cell
from hlo_count.report.collectives import collective_dict
from hlo_count.report.counts import Counts
from hlo_count.visitors.cost import OP_COUNTERS, Cost
from hlo_count.visitors.unknowns import Settlement

EXPORTED_COUNTERS = (*OP_COUNTERS, "bytes", "bytes_read", "bytes_written", "network_bytes", "dcn_bytes")
REPORT_FORMAT = 1
"""Version of the JSON document."""


def cost_dict(cost: Cost) -> dict[str, Any]:
    """The counters of a Cost with its status."""
    return {name: getattr(cost, name) for name in EXPORTED_COUNTERS} | {"status": cost.status}


def to_dict(report: Counts, by: str | Sequence[str] | None = None, depth: int = 2) -> dict[str, Any]:
    data: dict[str, Any] = {
        "format": REPORT_FORMAT,
        "name": report.name,
        "backend": report.backend,
        "target": report.target,
        "num_devices": report.num_devices,
        "num_slices": report.module.num_slices,
        "mesh": dict(report.mesh),
        "jax_version": report.jax_version,
        "convention": report.convention,
        "stage": report.stage,
        "status": report.status,
        "bytes_status": report.bytes_status,
        **{name: getattr(report, name) for name in EXPORTED_COUNTERS},
        "intensity": report.intensity if isfinite(report.intensity) else None,
        "parameters": report.parameters,
        "argument_bytes": report.argument_bytes,
        "output_bytes": report.output_bytes,
        "notes": list(report.notes),
        "at_most": cost_dict(report.at_most) if report.at_most is not None else None,
        "unknowns": [asdict(unknown) for unknown in report.unknowns],
        "settlements": [_settlement_dict(group) for group in report.settlements],
        "settled": [_settlement_dict(group) for group in report.settled],
    }
    if report.convention == "default":
        data["padding_flops"] = report.padding_flops
        data["compulsory_bytes"] = report.compulsory_bytes
        data["peak_bytes"] = report.peak_bytes
        data["peak_status"] = report.peak.status
        data["compiler_peak_bytes"] = report.compiler_peak_bytes
        data["operations"] = [
            {"counter": key[0], "class": key[1], "dtype": key[2], "unit": key[3], "amount": amount}
            for key, amount in sorted(report.total.amounts.items())
            if key[0] in OP_COUNTERS
        ]
        data["collectives"] = [collective_dict(row) for row in report.collectives]
        data["all_devices"] = {
            **cost_dict(report.devices.total),
            "imbalance": {name: report.devices.imbalance(name) for name in EXPORTED_COUNTERS},
        }
        data["by"] = {
            key: {name: cost_dict(cost) for name, cost in report.by(key).items()}
            for key in ("class", "opcode", "dtype", "scope", "source", "function", "collective", "memory_space")
        }
    if by is not None:
        keys = (by,) if isinstance(by, str) else tuple(by)
        groups = report.groups(keys, depth)
        data["rows"] = {"by": list(keys), "rows": [{"names": list(g), **cost_dict(cost)} for g, cost in groups.items()]}
    return data


def _settlement_dict(group: Settlement) -> dict[str, Any]:
    """Unknowns that are settled together, by name, and how; `flags` are those of the command line."""
    first = group.unknowns[0]
    return {
        "instructions": [unknown.instruction for unknown in group.unknowns],
        "what": first.what,
        "source": first.source,
        "reason": first.reason,
        "status": first.status,
        "call": group.call,
        "flags": group.flags,
    }


def to_pandas(report: Counts, key: str, depth: int) -> Any:
    try:
        import pandas as pd
    except ImportError:
        raise HloCountError('to_pandas needs pandas: pip install "hlo-count[pandas]"') from None
    groups = report.by(key, depth=depth)
    rows = [cost_dict(cost) for cost in groups.values()]
    return pd.DataFrame(
        rows, index=pd.Index(map(spreadsheet_cell, groups), name=key), columns=[*EXPORTED_COUNTERS, "status"]
    )
