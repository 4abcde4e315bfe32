"""The bound: no schedule of the program on the device can be faster.

It is the largest, over the resources of the device, of the least work over the peak. What is certain is
counted and nothing else: a conditional whose branch is not settled costs the least of its branches in
every resource, a loop of unknown length runs the trips that are certain, values inside a fusion cost what
is asked of them, and memory moves the bytes that are certain whatever the data, less what caches may keep.
"""

from __future__ import annotations

from functools import cached_property

from hlo_count.hlo.instruction import Instruction
from hlo_count.roofline.resources import CALL, Busy, Ceilings, longest
from hlo_count.roofline.work_by_unit import Work
from hlo_count.roofline.workload import SENT_ACROSS_WORK, SENT_WORK, Workload

CERTAIN_OF_CALL = 0.7
"""The part of the measured call overhead that any program takes: one without arguments took 0.75 to 0.85 of what one
with an argument does, and a processor that is otherwise idle runs faster than one that calibrates."""


class Bound:
    """The least that one execution of a program takes on one device."""

    def __init__(self, workload: Workload, limits: Ceilings) -> None:
        self.walk = workload.walk
        self.limits = limits
        self.certain_bytes = workload.certain_bytes
        self._least = workload.least(limits.fused)

    @cached_property
    def busy(self) -> list[Busy]:
        """Every resource that is needed, and for how long at least."""
        entry = self.walk.module.entry
        read = self.certain_bytes - entry.root.shape.bytes  # at least: not all of the result need be written
        found = busy_with(self.limits, self._least.of(entry), self.certain_bytes, read)
        overhead = self.limits.device.call_overhead
        if overhead is not None:
            found.append(Busy(CALL, CERTAIN_OF_CALL * overhead.value, "calling it at all"))
        return found

    @cached_property
    def seconds(self) -> float:
        """The largest of them; 0 for a program that does nothing, on a device whose call overhead is not
        known."""
        found = longest(self.busy)
        return 0.0 if found is None else found.seconds

    def of_kernel(self, kernel: Instruction, moved: int) -> list[Busy]:
        """The same for one run of one kernel that moves `moved` bytes of main memory over its boundary."""
        return busy_with(self.limits, self._least.of_kernel(kernel), moved)

    def of_call(self, call: Instruction) -> float:
        """Seconds of one run of what it calls, by operations alone: values may stay in registers throughout."""
        work: Work = {}
        self._least.add_called(call, work)
        found = longest(busy_with(self.limits, work, 0))
        return 0.0 if found is None else found.seconds


def busy_with(limits: Ceilings, work: Work, moved: int, read: int = 0) -> list[Busy]:
    """The resources of a device for the least work of its units and bytes that main memory must move and read."""
    units = {key: amount for key, amount in work.items() if key not in (SENT_WORK, SENT_ACROSS_WORK)}
    sent = limits.network(work.get(SENT_WORK, 0.0), work.get(SENT_ACROSS_WORK, 0.0))
    return [*limits.units(units), *sent, *limits.levels(moved, read)]
