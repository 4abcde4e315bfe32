"""What calls what: how often loops run, which branches are taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache

from hlo_count.errors import HloCountError
from hlo_count.hlo.computation import Computation
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import RUNNING, async_sugar
from hlo_count.hlo.trip_counts import trip_count
from hlo_count.visitors.cost import Cost, Times
from hlo_count.visitors.raising import raises
from hlo_count.visitors.settings import Settings
from hlo_count.visitors.unknowns import Unknown, settled_by

"""Opcodes that run what they call as a caller does."""


@lru_cache(maxsize=1024)
def _run_as(opcode: str) -> str:
    """Which of `RUNNING` an opcode is, or starts; "" for none."""
    sugar = async_sugar(opcode)
    ran = sugar[0] if sugar is not None and sugar[1] == "start" else opcode
    return ran if ran in RUNNING else ""


def runs_kernels(caller: Instruction) -> bool:
    """Whether what it calls is made of kernels: no body of a fusion, nothing that is applied to elements."""
    opcode = (async_sugar(caller.opcode) or (caller.opcode,))[0]
    return opcode in RUNNING and opcode != "fusion"


def kernels_below(computation: Computation) -> list[Computation]:
    """All that a computation may call whose instructions are kernels, be it settled or not."""
    if not computation.module.callees[computation]:
        return []
    return [callee for i in computation.instructions if runs_kernels(i) for _, callee in i.called]


@dataclass(frozen=True, slots=True)
class Edge:
    """A call site that executes: how often a call runs the callee, and whether its instructions are kernels."""

    callee: Computation
    times: Times
    kernels: bool


class CallSites:
    """The call sites of a module, each worked out once; what is not known of one goes to `unknowns`.

    `cost_of` tells what one run of a branch costs, where the dearest counts.
    """

    def __init__(
        self, settings: Settings, cost_of: Callable[[Computation], Cost], unknowns: dict[Instruction, Unknown]
    ) -> None:
        self._settings = settings
        self._cost_of = cost_of
        self._unknowns = unknowns
        self.settled: dict[Instruction, Unknown] = {}
        """Conditionals that were settled without being asked: as raising no error."""
        self._edges: dict[Computation, list[tuple[Instruction, list[Edge]]]] = {}
        self._runs: dict[Computation, Sequence[Edge]] = {}
        self._ways_of: dict[Computation, Set[str]] = {}

    def runs(self, computation: Computation) -> Sequence[Edge]:
        """What a computation runs, in the order of the text."""
        found = self._runs.get(computation)
        if found is None:
            if computation.is_printed and self._ways(computation) <= {"fusion"}:  # no instruction has to be made
                callees = computation.module.computations
                calls = [call for call in computation.calls if call.role == "calls" and _run_as(call.opcode)]
                found = [Edge(callees[call.name], 1, False) for call in calls] or ()
            else:
                found = [edge for _, edges in self.edges(computation) for edge in edges]
            self._runs[computation] = found
        return found

    def edges(self, computation: Computation) -> list[tuple[Instruction, list[Edge]]]:
        """The call sites of a computation that execute, with what each runs."""
        found = self._edges.get(computation)
        if found is None:
            found = self._edges[computation] = []
            if not self._ways(computation):
                return found
            for instruction in computation.instructions:
                opcode = _run_as(instruction.opcode)
                edges = self._edges_of(instruction, opcode) if opcode else ()
                if edges:
                    found.append((instruction, edges))
        return found

    def _ways(self, computation: Computation) -> Set[str]:
        """Those of `RUNNING` that occur in a computation, or starts of them."""
        twin = computation.twin
        found = self._ways_of.get(twin)
        if found is None:
            found = self._ways_of[twin] = {way for opcode in twin.opcodes if (way := _run_as(opcode))}
        return found

    def _edges_of(self, instruction: Instruction, opcode: str) -> list[Edge]:
        if opcode == "while":
            return self._loop(instruction)
        if opcode == "conditional":
            return self._conditional(instruction)
        kernels = opcode != "fusion"
        return [Edge(callee, 1, kernels) for role, callee in instruction.called if role in ("calls", "to_apply")][:1]

    def _loop(self, loop: Instruction) -> list[Edge]:
        body, condition = loop.callee("body"), loop.callee("condition")
        if body is None or condition is None:
            raise HloCountError(f"{loop.name} names no body and condition; is the text complete?")
        trips = self._settings.trip_count(loop)
        if trips is None:
            found = trip_count(loop)
            trips = found.n
            if trips is None:
                reason = f"runs an unknown number of times, counted once ({found.reason})"
                self._unknowns.setdefault(loop, settled_by(loop, reason, "trip_counts", "n"))
                trips = 1
        return [Edge(body, trips, True), Edge(condition, trips + 1, True)]

    def _conditional(self, conditional: Instruction) -> list[Edge]:
        branches = branches_of(conditional)
        weights = self._settings.weights(conditional, len(branches))
        if weights is not None:
            return [
                Edge(b, w if w.denominator > 1 else int(w), True) for b, w in zip(branches, weights, strict=True) if w
            ]
        candidates = self.branches_left(conditional)
        costs = {n: self._cost_of(branches[n]) for n in candidates}
        chosen = max(candidates, key=lambda n: (costs[n].flops, costs[n].bytes))
        if any(cost != costs[chosen] for cost in costs.values()):
            reason = (
                f"takes one of {len(costs)} branches, counted as branch {chosen}, the most expensive; an index or "
                f"probabilities settle it"
            )
            self._unknowns.setdefault(conditional, settled_by(conditional, reason, "branches", str(chosen), "estimate"))
        return [Edge(branches[chosen], 1, True)]

    def branches_left(self, conditional: Instruction) -> list[int]:
        """The branches that it may take, by index: not those that only raise an error, where others do not."""
        ways = [raises(branch) for branch in branches_of(conditional)]
        left = [n for n, way in enumerate(ways) if not way]
        if not left or len(left) == len(ways):
            return list(range(len(ways)))
        raising = next(n for n, way in enumerate(ways) if way)
        reason = f"raises an error in branch {raising}, which only {ways[raising]}: counted as not raising"
        self.settled.setdefault(conditional, settled_by(conditional, reason, "branches", str(raising), "exact"))
        return left


def branches_of(conditional: Instruction) -> list[Computation]:
    """The branches by index: of a predicate 0 is false and 1 is true, whichever way the text lists them."""
    by_role = dict(conditional.called)
    if "true_computation" in by_role and "false_computation" in by_role:
        branches = [by_role["false_computation"], by_role["true_computation"]]
    else:
        branches = [callee for role, callee in conditional.called if role == "branch_computations"]
    if not branches or len(conditional.operands) != len(branches) + 1:
        raise HloCountError(f"{conditional.place}: {conditional.name} names no branch for each of its operands")
    return branches
