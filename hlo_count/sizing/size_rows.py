"""What a program takes on one target: the row of a size."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hlo_count.errors import DeviceError
from hlo_count.report.report import Report
from hlo_count.roofline.catalog import device as find_device
from hlo_count.visitors.cost import Status

HOUR = 3600.0
MILLION = 10**6
_NO_ROOM = "RESOURCE_EXHAUSTED"
"""What XLA's compilers say of a program that the device's memory does not hold."""
ROUNDING = 1e-9
"""Sums of the same numbers in another order differ by less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extrapolated:
    """What of a Report is known of a program that nobody compiled, per device; None where it grows as no polynomial."""

    name: str
    at: str
    """Its sizes."""
    num_devices: int
    status: Status
    flops: int | None
    bytes: int | None
    network_bytes: int | None
    peak_bytes: int | None
    notes: list[str]
    unknowns: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRow:
    """One target. Times are seconds of one execution; amounts are those of one device, unless they say otherwise.

    What is not known is None; a target that failed has no report, and `problem` says why.
    """

    target: str
    report: Report | Extrapolated | None = field(default=None, repr=False)
    device: str | None = None
    """The device's profile."""
    bound: float | None = None
    estimate: float | None = None
    limits: dict[str, float] = field(default_factory=dict)
    """What limits the kernels, and the seconds of those that it does, largest first; with what runs behind others."""
    hfu: float | None = None
    """Hardware FLOP utilization at the estimate: a part of 1."""
    memory_bytes: float | None = None
    """What the device's main memory holds."""
    price_per_hour: float | None = None
    """Of one device, in the user's currency."""
    tokens: int | None = None
    """Tokens that one execution works on, on all devices together."""
    problem: str = ""

    @property
    def num_devices(self) -> int | None:
        return None if self.report is None else self.report.num_devices

    @property
    def flops(self) -> int | None:
        return None if self.report is None else self.report.flops

    @property
    def bytes(self) -> int | None:
        return None if self.report is None else self.report.bytes

    @property
    def network_bytes(self) -> int | None:
        return None if self.report is None else self.report.network_bytes

    @property
    def peak_bytes(self) -> int | None:
        return None if self.report is None else self.report.peak_bytes

    @property
    def step_flops(self) -> int | None:
        """FLOP of one execution on all devices together."""
        return None if self.flops is None or self.num_devices is None else self.flops * self.num_devices

    @property
    def limited_by(self) -> str | None:
        """What most of the time is spent on: "memory bandwidth", "matrix bf16", "launch overhead" ..."""
        return next(iter(self.limits), None)

    @property
    def hidden(self) -> float:
        """Seconds of `limits` that run behind other kernels and do not add to the estimate: copies and collectives."""
        over = sum(self.limits.values()) - (self.estimate or 0.0)
        return over if self.estimate and over > ROUNDING * self.estimate else 0.0

    @property
    def fits(self) -> bool | None:
        """Whether peak memory is at most what the device has, also False where the compiler finds no room for the
        program; None where neither is known."""
        if self.report is None and _NO_ROOM in self.problem:
            return False
        return None if self.spare_bytes is None else self.spare_bytes >= 0

    @property
    def spare_bytes(self) -> float | None:
        """Memory that is left at the peak; negative by as much as it does not fit."""
        if self.peak_bytes is None or self.memory_bytes is None:
            return None
        return self.memory_bytes - self.peak_bytes

    @property
    def cost(self) -> float | None:
        """What one execution costs on all devices, in the currency of the price: price x devices x estimate."""
        if self.price_per_hour is None or self.estimate is None or self.num_devices is None:
            return None
        return self.price_per_hour * self.num_devices * self.estimate / HOUR

    @property
    def cost_per_million_tokens(self) -> float | None:
        return None if self.cost is None or not self.tokens else self.cost / self.tokens * MILLION

    def to_dict(self) -> dict[str, Any]:
        """All but the report as plain data."""
        names = (
            "target", "device", "num_devices", "bound", "estimate", "limited_by", "limits", "hidden", "flops", "bytes",
            "network_bytes", "step_flops", "hfu", "peak_bytes", "memory_bytes", "fits", "spare_bytes", "price_per_hour",
            "cost", "tokens", "cost_per_million_tokens", "problem",
        )  # fmt: skip
        status = None if self.report is None else str(self.report.status)
        return {name: getattr(self, name) for name in names} | {"status": status}


def size_row(target: str, report: Report, *, price_per_hour: float | None = None, tokens: int | None = None) -> SizeRow:
    """The row of a program that was compiled for a target. A figure that its device's profile lacks is the problem."""
    given: dict[str, Any] = {
        "target": target, "report": report, "price_per_hour": price_per_hour, "tokens": tokens
    }  # fmt: skip
    try:
        device = find_device(report.target or target)
        given["device"] = device.name
        given["memory_bytes"] = device.main_memory.size_bytes
        if price_per_hour is None:
            given["price_per_hour"] = device.price_per_hour
        roofline = report.roofline(device)
        taken: dict[str, float] = {}
        for row in roofline.rows:
            taken[row.limit] = taken.get(row.limit, 0.0) + row.estimate
        if roofline.calling:
            taken["calling the program"] = roofline.calling
        limits = {name: taken[name] for name in sorted(taken, key=lambda name: -taken[name]) if name}
        estimate = roofline.estimate
        given.update(bound=roofline.bound, estimate=estimate, limits=limits)
        given["hfu"] = roofline.hfu(estimate) if estimate else None
    except DeviceError as problem:
        given["problem"] = str(problem)
    return SizeRow(**given)
