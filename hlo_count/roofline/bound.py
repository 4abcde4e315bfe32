"""The bound: no schedule of the program on the device can be faster.

It is the largest, over the resources of the device, of the least work over the peak. What is certain is
counted and nothing else: a conditional whose branch is not settled costs the least of its branches in
every resource, a loop of unknown length runs the trips that are certain, values inside a fusion cost what
is asked of them, and memory moves the bytes that are certain whatever the data, less what caches may keep.
"""

from __future__ import annotations

from functools import cached_property

from hlo_count.hlo.computation import Computation
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.trip_counts import trip_count
from hlo_count.roofline.limits import CALL, Busy, Limits, longest, weighted_sum
from hlo_count.roofline.work import Work, WorkKey, least_work
from hlo_count.visitors.walk import Walk, branches_of

SENT: WorkKey = ("network", "", "")
"""Bytes that a device must send stand in the same map as the work of its units."""


CERTAIN_OF_CALL = 0.7
"""The part of the measured call overhead that any program takes: one without arguments took 0.75 to 0.85 of what one
with an argument does, and a processor that is otherwise idle runs faster than one that calibrates."""


class Bound:
    """The least that one execution of a program takes on one device."""

    def __init__(self, walk: Walk, limits: Limits, certain_bytes: int) -> None:
        self.walk = walk
        self.limits = limits
        self.certain_bytes = certain_bytes
        self._kernels: dict[Instruction, Work] = {}
        self._computations: dict[Computation, Work] = {}

    @cached_property
    def busy(self) -> list[Busy]:
        """Every resource that is needed, and for how long at least."""
        entry = self.walk.module.entry
        read = self.certain_bytes - entry.root.shape.bytes  # at least: not all of the result need be written
        found = [*self._units(self._least(entry)), *self.limits.levels(self.certain_bytes, read)]
        overhead = self.limits.device.call_overhead
        if overhead is not None:
            found.append(Busy(CALL, CERTAIN_OF_CALL * overhead.value, "calling it at all"))
        return found

    @property
    def seconds(self) -> float:
        """The largest of them; 0 for a program that does nothing, on a device whose call overhead is not
        known."""
        found = longest(self.busy)
        return 0.0 if found is None else found.seconds

    def of_kernel(self, kernel: Instruction, moved: int) -> list[Busy]:
        """The same for one run of one kernel that moves `moved` bytes of main memory over its boundary."""
        return [*self._units(self._kernel(kernel)), *self.limits.levels(moved)]

    def _units(self, work: Work) -> list[Busy]:
        units = {key: amount for key, amount in work.items() if key != SENT}
        return [*self.limits.units(units), *self.limits.network(work.get(SENT, 0.0))]

    def _kernel(self, kernel: Instruction) -> Work:
        found = self._kernels.get(kernel)
        if found is None:
            found = self._kernels[kernel] = least_work(self.walk, kernel, self.limits.fuses)
            sent = self._sent(kernel)
            if sent:
                found[SENT] = sent
        return found

    def _sent(self, kernel: Instruction) -> float:
        """Bytes to send. An all-reduce sends its operand twice in a ring, once where switches add up for
        it."""
        callee = kernel.callee("calls") if kernel.opcode == "fusion" else None
        inside = [kernel] if callee is None else [kernel, *callee.instructions]
        sent = 0
        for instruction in inside:
            own = self.walk.cost_of(instruction, False).network_bytes
            if own and instruction.opcode.startswith("all-reduce"):
                own = min(own, sum(operand.shape.bytes for operand in instruction.operands))
            sent += own
        return sent

    def _least(self, computation: Computation) -> Work:
        found = self._computations.get(computation)
        if found is None:
            found = self._computations[computation] = {}
            calls = dict(self.walk.edges(computation))
            for instruction in computation.instructions:
                if instruction.opcode == "while":
                    self._loop(instruction, found)
                elif instruction.opcode == "conditional":
                    self._conditional(instruction, found)
                elif instruction in calls and instruction.opcode != "fusion":
                    for edge in calls[instruction]:
                        weighted_sum(found, self._least(edge.callee), float(edge.times))
                else:
                    weighted_sum(found, self._kernel(instruction), 1.0)
        return found

    def _loop(self, loop: Instruction, into: Work) -> None:
        trips = self.walk.settings.trip_count(loop)
        if trips is None:
            found = trip_count(loop)
            trips = found.at_least if found.n is None else found.n
        for role, times in (("body", trips), ("condition", trips + 1)):
            callee = loop.callee(role)
            if callee is not None:
                weighted_sum(into, self._least(callee), times)

    def _conditional(self, conditional: Instruction, into: Work) -> None:
        branches = [self._least(branch) for branch in branches_of(conditional)]
        weights = self.walk.settings.weights(conditional, len(branches))
        if weights is not None:
            for branch, weight in zip(branches, weights, strict=True):
                weighted_sum(into, branch, float(weight))
        elif branches:
            weighted_sum(into, {key: min(b.get(key, 0.0) for b in branches) for key in branches[0]}, 1.0)
