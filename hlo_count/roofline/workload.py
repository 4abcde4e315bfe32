"""What a program has to do whatever the device, worked out once for all devices that it is put on."""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from hlo_count.hlo.computation import Computation
from hlo_count.hlo.depth import Task, finished
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import halved
from hlo_count.hlo.replica_groups import collective_kind
from hlo_count.hlo.slices import is_to_other_slices
from hlo_count.hlo.trip_counts import trip_count
from hlo_count.roofline import cpu_runtime, tpu_kernels
from hlo_count.roofline.routines import routines_of
from hlo_count.roofline.work_by_unit import Work, WorkKey, Works
from hlo_count.visitors.call_sites import Edge, branches_of
from hlo_count.visitors.compulsory import certain_bytes
from hlo_count.visitors.cost import Cost, Times
from hlo_count.visitors.walk import Walk

SENT_WORK: WorkKey = ("network", "", "")
SENT_ACROSS_WORK: WorkKey = ("dcn", "", "")
"""Bytes that a device must send, and to other slices, stand in the same map as the work of its units."""

_WAYS_OF_RUNNING: Mapping[str, Callable[[Instruction], Hashable]] = {
    "cpu": cpu_runtime.way_of_running,
    "tpu": tpu_kernels.way_of_running,
}


@dataclass(frozen=True, slots=True)
class Step:
    """What the schedule of a computation has next: a kernel, a call, or a half of an asynchronous pair."""

    instruction: Instruction
    kernel: Instruction | None = None
    """The first kernel that takes as long, where it is one."""
    calls: tuple[Edge, ...] = ()
    sends: bool = False
    """Whether what it calls uses the network."""
    half: str = ""
    """"start", "update" or "done" of an asynchronous pair."""
    started: Instruction | None = None
    """The half before that an update or a done goes on from."""


class Workload:
    """The kernels of a program, what each costs and has to compute, and which are alike."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self.works = Works(walk)
        self._costs: dict[Instruction, Cost] = {}
        self._routines: dict[Instruction, list[tuple[Instruction, str, int]]] = {}
        self._schedules: dict[tuple[Computation, str], list[Step]] = {}
        self._alike: dict[tuple[Instruction, str], Instruction] = {}
        self._first: dict[Hashable, Instruction] = {}
        self._least: dict[frozenset[str], LeastWork] = {}
        self._counted: dict[tuple[Instruction, frozenset[str]], Work] = {}
        self._sent: dict[Instruction, Work] = {}

    @cached_property
    def certain_bytes(self) -> int:
        """Bytes of main memory that must move whatever the data are."""
        return certain_bytes(self.walk)

    @cached_property
    def kernels(self) -> list[tuple[Instruction, Times, Cost]]:
        """The kernels that run, how often, and what one run costs."""
        return list(self.walk.kernels())

    @cached_property
    def left_of_products(self) -> dict[float, list[str]]:
        """The products of which not all must be computed, by the part that must."""
        found: dict[float, list[str]] = {}
        for instruction, share in reversed(self.works.needed.shares.items()):
            if any(key[-1] == "matrix" for key in self.walk.cost_of(instruction, False).amounts):
                found.setdefault(share, []).append(instruction.name)
        return dict(sorted(found.items()))

    def cost(self, kernel: Instruction) -> Cost:
        """One run of a kernel, a fusion with its body."""
        found = self._costs.get(kernel)
        if found is None:
            found = self.walk.cost_of(kernel, True)
            if kernel.opcode == "fusion":
                callee = kernel.callee("calls")
                if callee is not None:
                    found += self.walk.total_of(callee, kernels=False)
            self._costs[kernel] = found
        return found

    def routines(self, kernel: Instruction) -> list[tuple[Instruction, str, int]]:
        """The instructions of a kernel that are a routine's, with its name and how much work each is."""
        found = self._routines.get(kernel)
        if found is None:
            found = self._routines[kernel] = list(routines_of(self.walk, kernel))
        return found

    def counted(self, kernel: Instruction, fused: frozenset[str], leaving_out: Container[Instruction] = ()) -> Work:
        """All that was counted of one run of a kernel but for the instructions `leaving_out`, where the dtypes `fused`
        multiply and add in one slot."""
        if leaving_out:
            return self.works.counted(kernel, fused.__contains__, leaving_out=leaving_out)
        found = self._counted.get((kernel, fused))
        if found is None:
            found = self._counted[kernel, fused] = self.works.counted(kernel, fused.__contains__)
        return found

    def sent(self, kernel: Instruction) -> Work:
        """Bytes that one run of a kernel has to send. An all-reduce sends its operand twice in a ring, once where
        switches add up for it."""
        found = self._sent.get(kernel)
        if found is None:
            found = self._sent[kernel] = self._sent_by(kernel) if self.cost(kernel).network_bytes else {}
        return found

    def _sent_by(self, kernel: Instruction) -> Work:
        sent: Work = {}
        for instruction, cost, _, _ in self.works.operations(kernel):
            by_code = self.walk.kernel_of(instruction)
            own = cost if by_code is None else by_code.count.least
            for key, amount in ((SENT_WORK, own.network_bytes - own.dcn_bytes), (SENT_ACROSS_WORK, own.dcn_bytes)):
                if amount and (collective_kind(instruction) or "").startswith("all-reduce"):
                    amount = min(amount, sum(operand.shape.bytes for operand in instruction.operands))
                if amount:
                    sent[key] = sent.get(key, 0.0) + amount
        return sent

    def least(self, fused: frozenset[str]) -> LeastWork:
        """The work that nothing can leave out, where the dtypes `fused` multiply and add in one slot."""
        found = self._least.get(fused)
        if found is None:
            found = self._least[fused] = LeastWork(self, fused)
        return found

    def alike(self, kernel: Instruction, backend: str) -> Instruction:
        """The first kernel of the same computation that takes any device of a backend as long: as much work of every
        kind, and run in the same way. What is sent may go other ways, so that a collective is like no other."""
        found = self._alike.get((kernel, backend))
        if found is None:
            key: Hashable
            if backend in _WAYS_OF_RUNNING:
                key = self.alike(kernel, ""), backend, _WAYS_OF_RUNNING[backend](kernel)
            elif self.cost(kernel).network_bytes:
                key = kernel
            else:
                routines = tuple(
                    (name, amount, *self.works.unpaired(instruction).items())
                    for instruction, name, amount in self.routines(kernel)
                )
                amounts, work = self.cost(kernel).amounts.items(), self.works.unpaired(kernel).items()
                key = kernel.computation, tuple(amounts), tuple(work), routines
            found = self._alike[kernel, backend] = self._first.setdefault(key, kernel)
        return found

    def schedule(self, computation: Computation, backend: str) -> list[Step]:
        """The instructions of a computation that take time or others wait for, in order."""
        found = self._schedules.get((computation, backend))
        if found is None:
            steps = self.schedule(computation, "") if backend else self._steps(computation)
            found = self._schedules[computation, backend] = [
                replace(step, kernel=self.alike(step.instruction, backend)) if step.kernel is not None else step
                for step in steps
            ]
        return found

    def _steps(self, computation: Computation) -> list[Step]:
        calls = dict(self.walk.edges(computation))
        steps = (self._step(instruction, calls) for instruction in computation.instructions)
        return [step for step in steps if step is not None]

    def _step(self, instruction: Instruction, calls: dict[Instruction, list[Edge]]) -> Step | None:
        opcode = instruction.opcode
        wrapped, half = halved(opcode)
        if half in ("update", "done"):
            started = instruction.operands[0] if instruction.operands else None
            return Step(instruction, half=half, started=started)
        if wrapped == "call":
            half = ""
        if opcode in ("send", "recv") and is_to_other_slices(instruction):
            half = "start"
        if instruction in calls and opcode != "fusion":
            edges = tuple(calls[instruction])
            sends = any(self.walk.total_of(edge.callee, kernels=True).network_bytes for edge in edges)
            return Step(instruction, None, edges, sends, half)
        if not half and not self.cost(instruction):
            return None
        return Step(instruction, instruction, half=half)


class LeastWork:
    """The least work of a program's kernels and computations on the devices that fuse the same dtypes."""

    def __init__(self, workload: Workload, fused: frozenset[str]) -> None:
        self.walk = workload.walk
        self._workload = workload
        self._works = workload.works
        self._fused = fused
        self._kernels: dict[Instruction, Work] = {}
        self._computations: dict[Computation, Work] = {}

    def of_kernel(self, kernel: Instruction) -> Work:
        """One run of a kernel."""
        found = self._kernels.get(kernel)
        if found is None:
            found = self._works.least(kernel, self._fused.__contains__) | self._workload.sent(kernel)
            self._kernels[kernel] = found
        return found

    def of(self, computation: Computation) -> Work:
        """One run of a computation, with what it calls."""
        return finished(self._of(computation))

    def add_called(self, call: Instruction, into: Work) -> None:
        """Add one run of what a call, a loop or a conditional runs."""
        finished(self._add_called(call, dict(self.walk.edges(call.computation)).get(call, []), into))

    def _of(self, computation: Computation) -> Task[Work]:
        known = self._computations.get(computation)
        if known is not None:
            return known
        found = self._computations[computation] = {}
        calls = dict(self.walk.edges(computation))
        for instruction in computation.instructions:
            if instruction in calls and instruction.opcode != "fusion":
                yield from self._add_called(instruction, calls[instruction], found)
            else:
                weighted_sum(found, self.of_kernel(instruction), 1.0)
        return found

    def _add_called(self, call: Instruction, edges: list[Edge], into: Work) -> Task[None]:
        if call.opcode == "while":
            yield from self._loop(call, into)
        elif call.opcode == "conditional":
            yield from self._conditional(call, into)
        else:
            for edge in edges:
                weighted_sum(into, (yield self._of(edge.callee)), float(edge.times))

    def _loop(self, loop: Instruction, into: Work) -> Task[None]:
        trips = self.walk.settings.trip_count(loop)
        if trips is None:
            found = trip_count(loop)
            trips = found.at_least if found.n is None else found.n
        for role, times in (("body", trips), ("condition", trips + 1)):
            callee = loop.callee(role)
            if callee is not None:
                weighted_sum(into, (yield self._of(callee)), float(times))

    def _conditional(self, conditional: Instruction, into: Work) -> Task[None]:
        branches: list[Work] = []
        for branch in branches_of(conditional):
            branches.append((yield self._of(branch)))
        weights = self.walk.settings.weights(conditional, len(branches))
        if weights is not None:
            for work, weight in zip(branches, weights, strict=True):
                weighted_sum(into, work, float(weight))
        elif branches:
            weighted_sum(into, {key: min(b.get(key, 0.0) for b in branches) for key in branches[0]}, 1.0)


def weighted_sum(into: Work, work: Work, times: float) -> None:
    """into += times * work."""
    if times:
        for key, amount in work.items():
            into[key] = into.get(key, 0.0) + times * amount
