"""What keeps busy the resource that sets a bound."""

from __future__ import annotations

from pathlib import Path

from hlo_count.hlo.instruction import Instruction
from hlo_count.report.counts import Counts
from hlo_count.report.live_at_peak import maker
from hlo_count.roofline.device import Device
from hlo_count.roofline.resources import CALL, DCN, MATRIX, NETWORK, SPECIAL, VECTOR, longest
from hlo_count.roofline.roofline import Roofline
from hlo_count.visitors.compulsory import compulsory_parts

Part = tuple[Instruction, float, str]


def bound_parts(report: Counts, device: str | Path | Device | None) -> list[Part]:
    """(instruction, seconds, resource) of what needs the limiting resource; the seconds add up to the bound.

    For a unit the kernels that work on it, for a network those that send over it, for memory the arguments that must be
    read and the outputs that must be written. Where a bound is less than the sum of its parts (caches, branches that
    may not be taken), each has its share. The instruction of a bound that calling the program sets is the root.
    """
    roofline = report.roofline(device)
    limiting = longest(roofline.busy)
    if limiting is None or roofline.bound is None:
        return []
    weights: list[tuple[Instruction, float]]
    if limiting.resource == CALL:
        weights = [(report.module.entry.root, 1.0)]
    elif limiting.resource == NETWORK:
        weights = [(i, cost.network_bytes - cost.dcn_bytes) for i, _, cost in report.entries]
    elif limiting.resource == DCN:
        weights = [(i, cost.dcn_bytes) for i, _, cost in report.entries]
    elif limiting.resource in (MATRIX, VECTOR, SPECIAL):
        weights = [
            (kernel, float(times) * _on_unit(roofline, kernel, limiting.what, limiting.resource))
            for kernel, times, _ in roofline.workload.kernels
        ]
    else:
        weights = [*compulsory(report, whatever_the_data=True)]
    total = sum(weight for _, weight in weights)
    return [(i, roofline.bound * weight / total, limiting.what) for i, weight in weights if weight]


def compulsory(report: Counts, *, whatever_the_data: bool = False) -> list[tuple[Instruction, int]]:
    """The bytes that must be read of each argument, and written of each output by what makes it."""
    parts = compulsory_parts(report.walk, whatever_the_data=whatever_the_data)
    root = report.module.entry.root
    read = len(parts) - len(root.shape.leaves)
    written = [(maker(root, leaf)[0], size) for leaf, (_, size) in enumerate(parts[read:])]
    return [(i, size) for i, size in [*parts[:read], *written] if size]


def _on_unit(roofline: Roofline, kernel: Instruction, what: str, unit: str) -> float:
    """Seconds of a unit that a kernel needs; of the vector unit those of the dtype that takes longest, a pipe apart."""
    seconds = 0.0
    limits = roofline.limits
    for key, amount in roofline.workload.works.least(kernel, limits.fuses).items():
        rate = limits.rate(key)
        if rate.unit == unit and (unit != VECTOR or f"{rate.unit} {rate.dtype}" == what):
            seconds += amount / limits.ceiling(rate)
    return seconds
