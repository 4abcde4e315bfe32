"""One program for several targets, side by side; where their matmuls differ, which ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from hlo_count.report.table import WIDTH, unknowns_text
from hlo_count.report.units import amount, column

if TYPE_CHECKING:
    from hlo_count.report.report import Report

_CONTRACTIONS = ("matmul", "convolution")


def targets_table(reports: Mapping[str, Report]) -> str:
    """A row a target: matmul and other FLOP, bytes, intensity, network, peak memory, status."""
    rows = list(reports.values())
    matmul = [_contraction_flops(report) for report in rows]
    columns = {
        "target": list(reports),
        "devices": [str(report.num_devices) for report in rows],
        "matmul FLOP": [f"{n:,}" for n in matmul],
        "other": column([report.flops - n for report, n in zip(rows, matmul, strict=True)]),
        "bytes": column([report.bytes for report in rows], "B"),
        "FLOP/B": [f"{report.intensity:.1f}" if report.bytes else "" for report in rows],
        "sent": column([report.network_bytes for report in rows], "B"),
        "peak memory": [amount(report.peak_bytes, "B", binary=True) for report in rows],
        "status": [report.status for report in rows],
    }
    if not any(report.network_bytes for report in rows):
        del columns["sent"]
    align = ["left", *["right"] * (len(columns) - 2), "left"]
    parts = [f"{rows[0].name}: counts are for one device", ""]
    parts.append(tabulate(columns, headers="keys", tablefmt="plain", colalign=align, disable_numparse=True))
    parts += ["", differences(reports)]
    for name, report in reports.items():
        unknown = unknowns_text(report)
        if unknown:
            parts += ["", f"{name}: {unknown}"]
    return "\n".join(line.rstrip() for part in parts for line in part.splitlines() or [""])


def differences(reports: Mapping[str, Report]) -> str:
    """Whether the matmul flops agree to the operation; where they do not, by op_name, against the first target."""
    first, *others = reports
    expected = _by_op_name(reports[first])
    lines: list[str] = []
    for name in others:
        if reports[name].num_devices != reports[first].num_devices:
            continue
        found = _by_op_name(reports[name])
        changed = {op: (expected.get(op, 0), found.get(op, 0)) for op in {*expected, *found}}
        changed = {op: pair for op, pair in changed.items() if pair[0] != pair[1]}
        if not changed or sum(expected.values()) == sum(found.values()):
            continue
        lines.append(f"{name} differs from {first} by {sum(found.values()) - sum(expected.values()):+,} matmul FLOP:")
        ranked = sorted(changed.items(), key=lambda item: -abs(item[1][1] - item[1][0]))
        lines += [f"  {op or '(no op_name)'}: {before:,} -> {after:,}"[:WIDTH] for op, (before, after) in ranked[:6]]
    return "\n".join(lines) if lines else "matmul FLOP agree to the operation"


def _contraction_flops(report: Report) -> int:
    classes = report.total.split(1, ("flops", "int_ops"))
    return sum(classes[name].flops + classes[name].int_ops for name in _CONTRACTIONS if name in classes)


def _by_op_name(report: Report) -> dict[str, int]:
    found: dict[str, int] = {}
    for instruction, _, cost in report.entries:
        flops = sum(n for key, n in cost.amounts.items() if key[0] in ("flops", "int_ops") and key[1] in _CONTRACTIONS)
        if flops:
            name = instruction.metadata.op_name
            found[name] = found.get(name, 0) + flops
    return found


def targets_dict(reports: Mapping[str, Report]) -> dict[str, Any]:
    return {name: report.to_dict() for name, report in reports.items()}
