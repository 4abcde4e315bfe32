"""The walk: each computation is counted once, and multiplied by how often it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import cached_property

from hlo_count.errors import HloCountError
from hlo_count.hlo.computation import Computation
from hlo_count.hlo.depth import post_order
from hlo_count.hlo.garbage import no_garbage_collection
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.hlo.opcodes import COMPUTING, FREE
from hlo_count.hlo.printed import DistinctLines
from hlo_count.visitors.alike import Entry, Rows
from hlo_count.visitors.call_sites import CallSites, Edge, runs_kernels
from hlo_count.visitors.cost import ZERO, Cost, Status, Times, weakest
from hlo_count.visitors.instruction_costs import SILENT, InstructionCosts, elementwise_of_shape
from hlo_count.visitors.registry import KernelCost, UnknownCostOf
from hlo_count.visitors.settings import Settings
from hlo_count.visitors.unknowns import Unknown, unknown_of

_ALIKE = COMPUTING | SILENT
"""Opcodes whose cost inside a fusion follows from the opcode and the shape."""
_KERNEL_FREE = FREE & SILENT
"""Opcodes that cost nothing at all, as kernels or fused."""
_NOTHING: dict[int, Cost] = {}
MOST = 10**4000
"""The largest count: loops in loops make it as many digits longer as their text has. Python writes 4,300."""
MOST_DRAWN = 10**300
"""The largest of which there are times and drawings: those are floats, which end at 1.8e308."""
_Node = tuple[Computation, bool]
"""A computation, and whether its instructions are kernels."""


class Walk:
    """Counts one module. `total` is the cost of one execution of its entry on one device."""

    def __init__(self, module: Module, backend: str, settings: Settings | None = None) -> None:
        self.module = module
        self.backend = backend
        self.settings = settings or Settings()
        self.settings.check(module)
        self._unknowns: dict[Instruction, Unknown] = {}
        self._costs = InstructionCosts(module, backend, self.settings, self.body, self._unknowns)
        self._sites = CallSites(self.settings, lambda branch: self.total_of(branch, kernels=True), self._unknowns)
        self._totals: dict[_Node, Cost] = {}
        self._own: dict[_Node, Cost] = {}
        self._bodies: dict[Computation, Cost] = {}
        self._kernel_costs: dict[Computation, list[tuple[Instruction, Cost]]] = {}
        self._special: dict[Computation, dict[int, Cost]] = {}
        self._are_their_own: dict[Computation, bool] = {}
        self._by_line = _LineCosts(module.distinct_lines)

    def edges(self, computation: Computation) -> list[tuple[Instruction, list[Edge]]]:
        """The call sites of a computation that execute, with what each runs."""
        return self._sites.edges(computation)

    def branches_left(self, conditional: Instruction) -> list[int]:
        """The branches that it may take, by index: not those that only raise an error, where others do not."""
        return self._sites.branches_left(conditional)

    @cached_property
    def total(self) -> Cost:
        """The sum over the computations of what each costs times how often it runs."""
        with no_garbage_collection():
            if any(type(times) is Fraction for times in self.runs.values()):
                found = Cost.sum(cost for _, _, cost in self.executed())  # rounded up once for each instruction
            else:
                together: dict[_Node, int] = {}
                for (computation, kernels), times in self.runs.items():
                    node = computation if kernels else self._costs_as(computation), kernels
                    together[node] = together.get(node, 0) + int(times)
                found = Cost.weighted((self.own_cost(*node), times) for node, times in together.items())
            self._check_counts(*found.amounts.values())
            return Cost(found.amounts, "lower bound") if self.module.contradictions else found

    @cached_property
    def runs(self) -> dict[_Node, Times]:
        """How often each computation runs, callers first; the flag says whether its instructions are kernels."""
        start = (self.module.entry, True)
        order = post_order(start, self._executed_below)
        runs: dict[_Node, Times] = dict.fromkeys(reversed(order), 0)
        runs[start] = 1
        for node in list(runs):
            times = runs[node]
            for edge in self._sites.runs(node[0]):
                runs[(edge.callee, node[1] and edge.kernels)] += times * edge.times
            self._check_counts(times)
        return runs

    @cached_property
    def is_beyond_drawing(self) -> bool:
        """Whether a count, or how often something runs, is larger than what has a time or a place in a drawing."""
        return any(number > MOST_DRAWN for number in (*self.total.amounts.values(), *self.runs.values()))

    @property
    def status(self) -> Status:
        return self.total.status

    @property
    def unknowns(self) -> list[Unknown]:
        """What was not known in the computations that run, in the order of the walk, after what cannot be."""
        remedy = "give the text as XLA printed it: XLA's verifier refuses this one"
        cannot_be = [
            unknown_of(computation.instructions[index], problem, remedy)
            for computation, index, problem in self.module.contradictions
        ]
        return [*cannot_be, *self._that_run(self._unknowns)]

    @property
    def settled(self) -> list[Unknown]:
        """Conditionals of the computations that run which were settled without being asked: as raising no error."""
        return self._that_run(self._sites.settled)

    def _that_run(self, found: dict[Instruction, Unknown]) -> list[Unknown]:
        self.total  # noqa: B018  the walk finds them
        running = {computation for (computation, _), times in self.runs.items() if times}
        bodies = list(self._bodies)
        while bodies:
            computation = bodies.pop()
            if computation not in running:
                running.add(computation)
                bodies += [edge.callee for edge in self._sites.runs(computation) if edge.times]
        return [unknown for i, unknown in found.items() if i.computation in running]

    def executed(self) -> Iterator[tuple[Instruction, Times, Cost]]:
        """Every instruction that costs anything, how often it runs, and what all its runs cost together."""
        for (computation, kernels), times in self.runs.items():
            if times:
                for instruction, cost in self.costs_of(computation, kernels):
                    if cost:
                        yield instruction, times, cost * times

    def rows(self) -> Iterator[Entry]:
        """As `executed`, but what is alike in fused bodies is one row, and its cost that of all together."""
        rows = Rows(self._by_line)
        for (computation, kernels), times in self.runs.items():
            if not times:
                continue
            if kernels or self._costs.has_unbounded or not computation.is_printed:
                for instruction, cost in self.costs_of(computation, kernels):
                    if cost:
                        rows.add(instruction, times, cost)
            else:
                rows.add_body(computation, times, self._special_costs(computation))
        return iter(rows)

    def kernels(self) -> Iterator[tuple[Instruction, Times, Cost]]:
        """What the device runs as kernels: instructions outside fusions that cost anything, fusions with bodies.

        Gives how often it runs and what *one* run costs.
        """
        for (computation, is_kernel), times in self.runs.items():
            if not times or not is_kernel:
                continue
            inside = dict(self.edges(computation))
            for instruction, cost in self._costs_of_kernels(computation):
                for edge in inside.get(instruction, ()):
                    if not edge.kernels:
                        cost += self.total_of(edge.callee, kernels=False) * edge.times
                if cost:
                    yield instruction, times, cost

    def cost_of(self, instruction: Instruction, kernel: bool) -> Cost:
        """Its own cost, once: operations, bytes sent, and where it is a kernel its memory traffic."""
        cost = self._costs.of(instruction, kernel)
        if instruction.opcode not in ("while", "conditional"):
            return cost
        # A loop or conditional whose course is not known has no cost of its own, but says so.
        self.edges(instruction.computation)
        found = self._unknowns.get(instruction)
        return cost if found is None else Cost(cost.amounts, weakest(cost.status, found.status))

    def kernel_of(self, instruction: Instruction) -> KernelCost | None:
        """What the code of a custom call tells of it; None where there is none that could be read."""
        if instruction not in self._costs.by_code and instruction.opcode == "custom-call":
            self.cost_of(instruction, False)
        return self._costs.by_code.get(instruction)

    def counted_as(self, computation: Computation) -> Computation:
        """The first computation whose instructions cost what those of this one do, often itself: its twin, unless costs
        may follow from names."""
        return computation if self._costs.looks_at_names else computation.twin

    def is_unknown(self, instruction: Instruction) -> bool:
        """Whether something of what it does is not counted."""
        found = self._unknowns.get(instruction)
        return found is not None and found.status == "lower bound"

    # What computations cost

    def body(self, computation: Computation | None) -> Cost:
        """Operations of a computation that is applied to elements, once."""
        if computation is None:
            raise UnknownCostOf("names no computation to apply")
        found = self._bodies.get(computation)
        if found is None:
            found = self._bodies[computation] = self.total_of(computation, kernels=False)
        return found

    def total_of(self, computation: Computation, *, kernels: bool) -> Cost:
        """One run of a computation, what it calls included."""
        key = (computation, kernels)
        if key not in self._totals:
            for node in post_order(key, self.below, self._totals):
                self._totals[node] = self._total(*node)
        return self._totals[key]

    def _total(self, computation: Computation, kernels: bool) -> Cost:
        """The same, once all that it may call is known."""
        found = self.own_cost(computation, kernels)
        edges = self._sites.runs(computation)
        if edges:
            called = (self._totals[(e.callee, kernels and e.kernels)] * e.times for e in edges)
            found = Cost.sum([found, *called])
            self._check_counts(*found.amounts.values())
        return found

    def _check_counts(self, *numbers: Times) -> None:
        if any(number.numerator > MOST or number.denominator > MOST for number in numbers):
            raise HloCountError(
                f"{self.module.name}: what its loops and calls run goes beyond a count of 10^{len(str(MOST)) - 1}"
            )

    def below(self, node: _Node) -> list[_Node]:
        """All that a computation may call or apply, settled or not."""
        computation, kernels = node
        if not kernels:
            return [(callee, False) for callee in self.module.callees[computation]]
        if not self.module.callees[computation]:
            return []
        return [(callee, runs_kernels(i)) for i in computation.instructions for _, callee in i.called]

    def _executed_below(self, node: _Node) -> list[_Node]:
        return [(e.callee, node[1] and e.kernels) for e in self._sites.runs(node[0])]

    @property
    def foreign(self) -> frozenset[str]:
        """Opcodes with a rule of the user's own."""
        return self._costs.foreign

    def own_cost(self, computation: Computation, kernels: bool) -> Cost:
        """The instructions of a computation, once each, without what they call."""
        key = (computation, kernels)
        found = self._own.get(key)
        if found is None:
            if kernels:
                found = Cost.sum(cost for _, cost in self._costs_of_kernels(computation))
            else:
                found = self._own_operations(computation)
            self._own[key] = found
        return found

    def costs_of(self, computation: Computation, kernels: bool) -> Iterable[tuple[Instruction, Cost]]:
        """The instructions of a computation that may cost anything, each with the cost of one run."""
        if kernels:
            return self._costs_of_kernels(computation)
        costs = self.costs_by_position(computation)
        if costs is None:
            return ((i, self.cost_of(i, False)) for i in computation.instructions)
        return zip(computation.instructions, costs, strict=True)

    def costs_by_position(self, computation: Computation) -> list[Cost] | None:
        """What the instructions of a fused computation cost, without making them; None where each has to be asked."""
        if self._costs.has_unbounded or not computation.is_printed:
            return None
        by_line, special = self._by_line, self._special_costs(computation)
        return [by_line[line] or special.get(at, ZERO) for at, line in enumerate(computation.printed.numbers)]

    def _costs_of_kernels(self, computation: Computation) -> list[tuple[Instruction, Cost]]:
        """The instructions of a computation that may run as kernels, each with its own cost: worked out once."""
        found = self._kernel_costs.get(computation)
        if found is None:
            free = _KERNEL_FREE - self.foreign
            found = self._kernel_costs[computation] = [
                (i, self.cost_of(i, True)) for i in computation.instructions if i.opcode not in free
            ]
        return found

    def _own_operations(self, computation: Computation) -> Cost:
        """The hot path: a fused computation, its elementwise instructions of one shape taken together."""
        if self._costs.asks_each:
            return Cost.sum(self.cost_of(i, False) for i in computation.instructions)
        first = self._costs_as(computation)
        if first is not computation:
            return self.own_cost(first, False)
        special = Cost.sum(self._special_costs(computation).values())
        if computation.is_printed:
            lines = Counter(computation.printed.numbers).items()
            own = Cost.weighted((self._by_line[line], number) for line, number in lines)
        else:
            kinds = [kind for kind in computation.kinds if kind[0] in COMPUTING]
            own = Cost.weighted((elementwise_of_shape(opcode, shape), number) for opcode, shape, number in kinds)
        return own + special if special else own

    def _costs_as(self, computation: Computation) -> Computation:
        """The first fused computation that costs the same, often itself.

        Bodies that differ in names and metadata alone do, unless something is not known: that has a place.
        """
        twin = computation.twin
        if twin is computation or self._costs.has_unbounded or self._is_its_own(twin):
            return computation
        return twin

    def _is_its_own(self, computation: Computation) -> bool:
        """Whether what a fused computation costs may hold of it alone, and of none that says the same."""
        found = self._are_their_own.get(computation)
        if found is None:
            special = self._special_costs(computation)
            unknown = any(cost.status != "exact" for cost in special.values())
            found = unknown or (self._costs.looks_at_names and special is not _NOTHING)
            self._are_their_own[computation] = found
        return found

    def _special_costs(self, computation: Computation) -> dict[int, Cost]:
        """Of a fused computation, what costs anything for more reasons than its opcode and shape, by position; that of
        bodies that cost the same is one object."""
        first = self._costs_as(computation)
        found = self._special.get(first)
        if found is None:
            if first.opcodes <= _ALIKE:
                found = _NOTHING
            else:
                costs = {i.index: self.cost_of(i, False) for i in first.instructions if i.opcode not in _ALIKE}
                found = {index: cost for index, cost in costs.items() if cost}
            self._special[first] = found
        return found


class _LineCosts(dict[int, Cost]):
    """The cost of an elementwise instruction by its line; that of others does not follow from it alone: 0."""

    def __init__(self, lines: DistinctLines) -> None:
        super().__init__()
        self._lines = lines

    def __missing__(self, number: int) -> Cost:
        opcode, shape = self._lines.kinds[number]
        found = self[number] = elementwise_of_shape(opcode, shape) if opcode in COMPUTING else ZERO
        return found
