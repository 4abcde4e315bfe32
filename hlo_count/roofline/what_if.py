"""What if: one program on every device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from hlo_count.errors import DeviceError
from hlo_count.hlo.making_sense import making_sense_of
from hlo_count.roofline.catalog import device, devices
from hlo_count.roofline.device import Device
from hlo_count.roofline.roofline import Roofline
from hlo_count.roofline.roofline_table import what_if_table
from hlo_count.roofline.time_rows import WhatIfRow
from hlo_count.roofline.workload import Workload
from hlo_count.text_page import TextPage
from hlo_count.visitors.walk import Walk


class HasWalk(Protocol):
    """What of a Report a roofline needs."""

    @property
    def walk(self) -> Walk: ...

    @property
    def target(self) -> str | None: ...


class WhatIf(TextPage, list[WhatIfRow]):
    """A program on every device, that with the least estimate first; prints as a table."""

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, for JSON; None where a profile does not tell, and in `problem` why."""
        return {
            "devices": [
                {
                    "device": row.device,
                    "bound_s": row.bound,
                    "estimate_s": row.estimate,
                    "bottleneck": row.bottleneck,
                    "compiled_for": row.compiled_for,
                    "problem": row.problem,
                }
                for row in self
            ]
        }

    def __str__(self) -> str:
        return what_if_table(self)

    __repr__ = __str__


def what_if(report: HasWalk, on: Sequence[str | Path | Device] | None = None) -> WhatIf:
    """The bound and the estimate of a report's program on every device profile, or on those given, by name or file.

    The program is as it was compiled: a compiler for another device would fuse and tile otherwise, and `size` compiles
    for each. Raises DeviceError for a name that is none.
    """
    found = _each(report, devices() if on is None else [device(each) for each in on])
    return WhatIf(sorted(found, key=_by_estimate))


def _each(report: HasWalk, on: Sequence[Device]) -> Iterator[WhatIfRow]:
    workload = Workload(report.walk)
    made_for = device(report.target).name if report.target and report.walk.backend == "tpu" else None
    for each in on:
        try:
            with making_sense_of(report.walk.module):
                one = Roofline(report.walk, each, workload=workload, own_cycles=each.name == made_for)
        except DeviceError as problem:
            yield WhatIfRow(device=each.name, problem=str(problem))
        else:
            yield WhatIfRow(
                device=each.name,
                bound=one.bound,
                estimate=one.estimate,
                bottleneck=one.bottleneck,
                compiled_for=one.compiled_for,
            )


def _by_estimate(row: WhatIfRow) -> tuple[bool, float, str]:
    return (row.estimate is None, row.estimate or 0.0, row.device)
