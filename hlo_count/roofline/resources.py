"""How long each resource of a device takes for some work: amounts over ceilings, or over what is
sustained."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from hlo_count.errors import DeviceError
from hlo_count.hlo.dtypes import DTYPES
from hlo_count.roofline.device import Device, Figure, Rate
from hlo_count.roofline.fallback import figure_key
from hlo_count.roofline.work_by_unit import Work, WorkKey

MATRIX, VECTOR, SPECIAL, NETWORK, DCN, CALL = "matrix", "vector", "special", "network", "dcn", "call"
"""Resources; a memory level is one under its own name."""

HEADROOM = 1.1
"""How much faster than the fastest sample of its calibration a machine may turn out to be, for a bound:
another hour, another size, code without the few instructions that keep a compiler from shortening a
calibration's program."""


@dataclass(frozen=True, slots=True)
class Busy:
    """One resource at work: for how long, and what takes most of that, in words."""

    resource: str
    seconds: float
    what: str


class Ceilings:
    """The rates of one device, looked up once; `notes` collects what had to run elsewhere or is not sure."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.notes: dict[str, None] = {}
        self._rates: dict[WorkKey, Rate] = {}
        self._fuses: dict[str, bool] = {}
        self._headroom = HEADROOM if device.calibration else 1.0

    def fuses(self, dtype: str) -> bool:
        """Whether the vector unit multiplies and adds in one slot in `dtype`, or in the type that runs it."""
        found = self._fuses.get(dtype)
        if found is None:
            try:
                run_as = self.device.peak(dtype, "vector").dtype
            except DeviceError:
                run_as = figure_key(dtype)  # the error comes where a rate is needed
            found = self._fuses[dtype] = "fma" in self.device.vector.get(run_as, {})
        return found

    @cached_property
    def fused(self) -> frozenset[str]:
        """The dtypes of which it does so."""
        return frozenset(dtype for dtype in DTYPES if self.fuses(dtype))

    def rate(self, key: WorkKey) -> Rate:
        """Operations per second. Raises DeviceError where the profile has no figure that could run it."""
        found = self._rates.get(key)
        if found is None:
            unit, dtype, how = key
            if unit == MATRIX:
                found = self.device.peak(dtype, MATRIX, precision=how)
            elif unit == VECTOR and how == "fma":
                found = self.device.peak(dtype, VECTOR)
            elif unit == VECTOR:
                found = self.device.peak(dtype, VECTOR, op=None if how == "add" else how, fma=False)
            else:
                found = self.device.peak(dtype, SPECIAL, op=how, fma=False)
            self._rates[key] = found
            if found.note:
                self.notes.setdefault(found.note)
        return found

    def ceiling(self, figure: Figure | Rate) -> float:
        """The most that a figure allows: a datasheet's peak, or what was measured with some headroom."""
        return figure.value * self._headroom

    def units(self, work: Work, *, typical: bool = False) -> list[Busy]:
        """Seconds of each unit for `work`, at its ceiling or as is typical.

        Dtypes add up where they share a unit. At the ceiling the vector unit's do not: a GPU has pipes of their own for
        integers and f64, which may run beside those of f32.
        """
        parts: dict[str, dict[str, float]] = {}
        for key, amount in work.items():
            rate = self.rate(key)
            seconds = amount / (rate.typical if typical else self.ceiling(rate))
            unit = parts.setdefault(rate.unit, {})
            unit[rate.dtype] = unit.get(rate.dtype, 0.0) + seconds
        found = []
        for unit_name, by_dtype in parts.items():
            apart = unit_name == VECTOR and not typical
            seconds = max(by_dtype.values()) if apart else sum(by_dtype.values())
            found.append(Busy(unit_name, seconds, f"{unit_name} {max(by_dtype, key=by_dtype.__getitem__)}"))
        return found

    def levels(self, moved: float, read: float = 0) -> list[Busy]:
        """The least seconds of each memory level for a program that must move `moved` bytes, and read `read`
        of them.

        What the levels nearer to the units hold need not come from further away: their capacity once for
        what they kept from the run before, and once for what they have not written back at the end.
        """
        found = []
        nearer = 0.0
        for level in self.device.memory:
            main = level is self.device.main_memory
            left = moved - 2 * nearer
            if left > 0 and (main or level.kind == "cache"):
                if level.bandwidth is not None:
                    least = left / self.ceiling(level.bandwidth)
                    if level.read is not None:
                        least = max(least, (read - nearer) / self.ceiling(level.read))
                    found.append(Busy(level.name, least, f"{'memory' if main else level.name} bandwidth"))
                elif main:
                    self.device.bandwidth()  # raises, naming the figure
            if level.kind == "cache":
                nearer += level.size_bytes or float("inf")  # of a cache of unknown size nothing is certain
        return found

    def reachable(self, beyond: int) -> int:
        """Bytes that leave the domain of the links: 0, with a note, where the profile has no network between."""
        network = self.device.network
        if beyond and self.device.dcn is None and network is not None:
            self.notes.setdefault(
                f"collectives among more devices than {network.name} joins ({network.domain}) take longer than "
                f"estimated: the profile states no network between them; add dcn.bandwidth to a profile"
            )
            return 0
        return beyond

    def network(
        self, sent: float, across_slices: float, *, typical: bool = False, part_of_links: float = 1.0
    ) -> list[Busy]:
        """Seconds to send bytes over all links of the device, or a part of them, and to other slices or domains.

        Raises DeviceError where the profile has no such network.
        """
        found = []
        for resource, amount, net in ((NETWORK, sent, self.device.network), (DCN, across_slices, self.device.dcn)):
            if not amount:
                continue
            if net is None:
                where = " to other slices" if resource == DCN else ""
                raise DeviceError(
                    f"{self.device.name}: the program sends {amount:,.0f} bytes{where} and the profile has no "
                    f"{resource}; add {resource}.bandwidth to a profile"
                )
            rate = net.bandwidth.typical if typical else self.ceiling(net.bandwidth)
            rate *= part_of_links if resource == NETWORK else 1.0
            latency = net.latency.typical if typical and net.latency is not None else 0.0
            found.append(Busy(resource, amount / rate + latency, f"network ({net.name})"))
        return found


def longest(busy: list[Busy]) -> Busy | None:
    """The resource that takes longest; None where nothing takes any time."""
    return max((b for b in busy if b.seconds > 0), key=lambda b: b.seconds, default=None)
