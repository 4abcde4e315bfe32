"""The walk: each computation is counted once, and multiplied by how often it runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from hlo_count.errors import HloCountError
from hlo_count.hlo.computation import Computation
from hlo_count.hlo.garbage import no_garbage_collection
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.hlo.opcodes import COLLECTIVE_STARTS, COLLECTIVES, MOVEMENT, OPCODES, async_sugar, having
from hlo_count.hlo.printed import Kinds
from hlo_count.hlo.replica_groups import largest_device
from hlo_count.hlo.shapes import Shape
from hlo_count.hlo.stage import SHARD_MAPS
from hlo_count.hlo.trip_counts import trip_count
from hlo_count.visitors import applied, contractions, elementwise, formulas, movement, special  # noqa: F401  the list of rules
from hlo_count.visitors.alike import Alike, how_many, rows_of
from hlo_count.visitors.cost import OP_COUNTERS, ZERO, Cost, Key, Status, weakest
from hlo_count.visitors.custom_calls import custom_call_cost
from hlo_count.visitors.elementwise import COMPUTING, elementwise_cost
from hlo_count.visitors.memory_spaces import space_name
from hlo_count.visitors.network import continues_collective, network_bytes
from hlo_count.visitors.raising import raises
from hlo_count.visitors.registry import Explained, KernelCost, UnknownCostOf, has_foreign_rules, rule_of
from hlo_count.visitors.settings import Settings
from hlo_count.visitors.traffic import FREE, traffic, unwrapped
from hlo_count.visitors.unknowns import Unknown, settled_by, signature, unknown_of

Times = int | Fraction

_SILENT = MOVEMENT - {"copy-start"}
"""Opcodes without operations and without network traffic: inside a fusion they cost nothing at all."""
_ALIKE = COMPUTING | _SILENT
"""Opcodes whose cost inside a fusion follows from the opcode and the shape."""
_SENDS = COLLECTIVES | COLLECTIVE_STARTS | {"send"}
_CALLS = having("runs")
_MOST_CALLS = 100
"""Calls inside calls that are followed: programs have a dozen, and Python's stack has an end."""
_CALL_NOTHING = OPCODES.keys() - _CALLS


@dataclass(frozen=True, slots=True)
class Edge:
    """A call site that executes: how often a call runs the callee, and whether its instructions are kernels."""

    callee: Computation
    times: Times
    kernels: bool


class Walk:
    """Counts one module. `total` is the cost of one execution of its entry on one device."""

    def __init__(self, module: Module, backend: str, settings: Settings | None = None) -> None:
        self.module = module
        self.backend = backend
        self.settings = settings or Settings()
        self.settings.check(module)
        if module.call_depth > _MOST_CALLS:
            raise HloCountError(f"{module.name}: its calls nest more than {_MOST_CALLS} deep")
        self._has_unbounded = "?" in module.text and any(
            shape.is_unbounded for c in module.computations.values() for _, shape, _ in c.kinds
        )
        self._unknowns: dict[Instruction, Unknown] = {}
        self._settled_here: dict[Instruction, Unknown] = {}
        self._totals: dict[tuple[Computation, bool], Cost] = {}
        self._own: dict[tuple[Computation, bool], Cost] = {}
        self._edges: dict[Computation, list[tuple[Instruction, list[Edge]]]] = {}
        self._bodies: dict[Computation, Cost] = {}
        self._kernel_costs: dict[Computation, list[tuple[Instruction, Cost]]] = {}
        self._special: dict[Computation, dict[int, Cost]] = {}
        self._kernels: dict[Instruction, KernelCost] = {}
        self._by_kind = _KindCosts(module.kinds)
        self._foreign = has_foreign_rules()

    @cached_property
    def total(self) -> Cost:
        """The sum over the computations of what each costs times how often it runs."""
        with no_garbage_collection():
            if any(isinstance(times, Fraction) for times in self.runs.values()):
                return Cost.sum(cost for _, _, cost in self.executed())  # rounded up once for each instruction
            return Cost.sum(self.own_cost(*key) * times for key, times in self.runs.items())

    @cached_property
    def runs(self) -> dict[tuple[Computation, bool], Times]:
        """How often each computation runs, callers first; the flag says whether its instructions are kernels."""
        order: list[tuple[Computation, bool]] = []
        seen: set[tuple[Computation, bool]] = set()

        def visit(node: tuple[Computation, bool]) -> None:
            seen.add(node)
            for _, edges in self.edges(node[0]):
                for edge in edges:
                    callee = (edge.callee, node[1] and edge.kernels)
                    if callee not in seen:
                        visit(callee)
            order.append(node)

        start = (self.module.entry, True)
        visit(start)
        runs: dict[tuple[Computation, bool], Times] = dict.fromkeys(reversed(order), 0)
        runs[start] = 1
        for node in list(runs):
            for _, edges in self.edges(node[0]):
                for edge in edges:
                    runs[(edge.callee, node[1] and edge.kernels)] += runs[node] * edge.times
        return runs

    @property
    def status(self) -> Status:
        return self.total.status

    @property
    def unknowns(self) -> list[Unknown]:
        """What was not known in the computations that run, in the order of the walk."""
        return self._that_run(self._unknowns)

    @property
    def settled(self) -> list[Unknown]:
        """Conditionals of the computations that run which were settled without being asked: as raising no error."""
        return self._that_run(self._settled_here)

    def _that_run(self, found: dict[Instruction, Unknown]) -> list[Unknown]:
        self.total  # noqa: B018  the walk finds them
        running = {computation for (computation, _), times in self.runs.items() if times}
        bodies = list(self._bodies)
        while bodies:
            computation = bodies.pop()
            if computation not in running:
                running.add(computation)
                bodies += [edge.callee for _, edges in self.edges(computation) for edge in edges if edge.times]
        return [unknown for i, unknown in found.items() if i.computation in running]

    def executed(self) -> Iterator[tuple[Instruction, Times, Cost]]:
        """Every instruction that costs anything, how often it runs, and what all its runs cost together."""
        for (computation, kernels), times in self.runs.items():
            if times:
                for instruction, cost in self.costs_of(computation, kernels):
                    if cost:
                        yield instruction, times, cost * times

    def rows(self) -> Iterator[tuple[Instruction | Alike, Times, Cost]]:
        """As `executed`, but what is alike in a fused body is one row, and its cost that of all together."""
        for (computation, kernels), times in self.runs.items():
            if times:
                for each, cost in self._rows_of(computation, kernels):
                    yield each, times, cost * times * how_many(each)

    def _rows_of(self, computation: Computation, kernels: bool) -> Iterable[tuple[Instruction | Alike, Cost]]:
        """What costs anything in a computation, with the cost of one run of one instruction."""
        if kernels or self._has_unbounded or not computation.is_printed:
            return [(i, cost) for i, cost in self.costs_of(computation, kernels) if cost]
        return rows_of(computation, self._by_kind, self._special_costs(computation))

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

    def kernel_of(self, instruction: Instruction) -> KernelCost | None:
        """What the code of a custom call tells of it; None where there is none that could be read."""
        if instruction not in self._kernels and instruction.opcode == "custom-call":
            self.cost_of(instruction, False)
        return self._kernels.get(instruction)

    def is_unknown(self, instruction: Instruction) -> bool:
        """Whether something of what it does is not counted."""
        found = self._unknowns.get(instruction)
        return found is not None and found.status == "lower bound"

    # What one instruction costs

    def cost_of(self, instruction: Instruction, kernel: bool) -> Cost:
        """Its own cost, once: operations, bytes sent, and where it is a kernel its memory traffic."""
        opcode = instruction.opcode
        if self._has_unbounded and opcode not in _NO_SIZE and _is_unbounded(instruction):
            return self._unknown(
                instruction,
                "works on an array with a dimension `?`, which may have any size",
                "count a module with that dimension's size, or its bound as in f32[<=1024]",
            )
        if opcode in COMPUTING:
            cost = _elementwise(opcode, instruction.shape)
        elif opcode in _SILENT:
            cost = ZERO
        else:
            cost = self._ops(instruction)
        if not kernel and _has_bytes(cost):  # a fusion moves data at its boundary only
            cost = cost.only(*OP_COUNTERS, "network_bytes")
        if not kernel or opcode in FREE or _has_bytes(cost) or isinstance(cost, KernelCost):
            return self._settled(cost, instruction, opcode)
        amounts: dict[Key, int] = dict(cost.amounts)
        status = self._add_traffic(amounts, instruction)
        return self._settled(Cost(amounts, weakest(cost.status, status)), instruction, opcode)

    def _settled(self, cost: Cost, instruction: Instruction, opcode: str) -> Cost:
        """A loop or conditional whose course is not known has no cost of its own, but says so."""
        if opcode not in ("while", "conditional"):
            return cost
        self.edges(instruction.computation)
        found = self._unknowns.get(instruction)
        return cost if found is None else Cost(cost.amounts, weakest(cost.status, found.status))

    def _add_traffic(self, amounts: dict[Key, int], instruction: Instruction) -> Status:
        status: Status = "exact"
        for counter, accesses in zip(("bytes_read", "bytes_written"), traffic(instruction, self.backend), strict=True):
            for number, size in accesses:
                space = space_name(self.backend, number)
                if space is None:
                    self._unknown(
                        instruction,
                        f"uses memory space S({number}), which is not known to be main memory or on chip",
                        "say which backend the text is for, or report the space",
                    )
                    status = "lower bound"
                    continue
                key = (counter, space)
                amounts[key] = amounts.get(key, 0) + size
        return status

    def _ops(self, instruction: Instruction) -> Cost:
        opcode = instruction.opcode
        if opcode in _CALLS:
            return ZERO
        if opcode == "custom-call" and _enters_shard_map(instruction):
            return self._unknown(
                instruction,
                "begins a shard_map in a text that is not partitioned: what is inside counts for one device",
                "count the program after the partitioner",
            )
        sugar = async_sugar(opcode)
        if sugar is not None:
            return self._async(instruction, *sugar)
        if opcode in _SENDS and continues_collective(instruction):
            return ZERO  # TPU prints one asynchronous collective several times; it counts where it begins
        try:
            if opcode == "custom-call":
                return self._stated(instruction, custom_call_cost(instruction))
            found = rule_of(opcode, self.backend)
            if found is None:
                raise UnknownCostOf(
                    f"is a {opcode}, which has no rule",
                    f'@hlo_count.rule("{opcode}") on a function that gives its Cost',
                )
            cost = found(instruction, self.body)
            if cost.status != "exact" and not instruction.called:  # what is called gives its own reasons
                self._stated(instruction, cost)
            return cost + self._network(instruction) if opcode in _SENDS else cost
        except UnknownCostOf as unknown:
            remedy = unknown.remedy or "register a rule for it"
            return self._unknown(instruction, unknown.reason, remedy)
        except (KeyError, IndexError, ValueError) as problem:
            return self._unknown(
                instruction, f"could not be read ({type(problem).__name__}: {problem})", "check the text at this line"
            )

    def _stated(self, instruction: Instruction, cost: Cost) -> Cost:
        """A cost, its reason kept where it is not exact."""
        if isinstance(cost, KernelCost):
            self._kernels[instruction] = cost
        if isinstance(cost, Explained) and cost.status != "exact":
            self._unknown(instruction, cost.reason, cost.remedy, cost.status)
        elif cost.status != "exact":
            reason = f"is counted by a formula of yours, which says that it is {_ARTICLES[cost.status]} {cost.status}"
            self._unknown(instruction, reason, 'a formula that gives a Cost of status "exact"', cost.status)
        return cost

    def _network(self, instruction: Instruction) -> Cost:
        beyond, there = largest_device(instruction), self.module.num_devices
        if beyond >= there:
            self._unknown(
                instruction,
                f"takes part with device {beyond}, but the header has {there} device{'s' if there != 1 else ''}",
                "count a module whose header has its num_partitions and replica_count",
            )
        sent = network_bytes(instruction)
        if sent is None:
            return self._unknown(
                instruction, "does not tell how many devices take part", "count a module that has its replica_groups"
            )
        return Cost({("network_bytes",): sent}, "exact" if beyond < there else "lower bound")

    def _async(self, instruction: Instruction, wrapped: str, half: str) -> Cost:
        """A sugared pair counts at its start, as what it wraps."""
        if half != "start" or wrapped in _CALLS:
            return ZERO
        inner = unwrapped(instruction)
        if inner is None:
            return self._unknown(
                instruction, "does not show the result of what it starts", "check the text at this line"
            )
        return self._ops(inner)

    def _unknown(self, instruction: Instruction, reason: str, remedy: str, status: Status = "lower bound") -> Cost:
        here = instruction.computation.by_name.get(instruction.name, instruction)
        if here not in self._unknowns:
            if "shape" not in reason:
                reason = f"{reason}: {signature(instruction)}"
            self._unknowns[here] = unknown_of(here, reason, remedy, status)
        return Cost({}, status)

    # What computations cost

    def body(self, computation: Computation | None) -> Cost:
        """Operations of a computation that is applied to elements, once."""
        if computation is None:
            raise UnknownCostOf("names no computation to apply")
        found = self._bodies.get(computation)
        if found is None:
            self._bodies[computation] = ZERO  # a text that calls itself ends here
            found = self._bodies[computation] = self.total_of(computation, kernels=False)
        return found

    def total_of(self, computation: Computation, *, kernels: bool) -> Cost:
        """One run of a computation, what it calls included."""
        key = (computation, kernels)
        found = self._totals.get(key)
        if found is None:
            parts = [self.own_cost(computation, kernels)]
            for _, edges in self.edges(computation):
                parts += [self.total_of(e.callee, kernels=kernels and e.kernels) * e.times for e in edges]
            found = self._totals[key] = Cost.sum(parts)
        return found

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
        return ((i, self.cost_of(i, False)) for i in computation.instructions)

    def _costs_of_kernels(self, computation: Computation) -> list[tuple[Instruction, Cost]]:
        """The instructions of a computation that may run as kernels, each with its own cost: worked out once."""
        found = self._kernel_costs.get(computation)
        if found is None:
            found = self._kernel_costs[computation] = [
                (i, self.cost_of(i, True)) for i in computation.instructions if i.opcode not in _KERNEL_FREE
            ]
        return found

    def _own_operations(self, computation: Computation) -> Cost:
        """The hot path: a fused computation, its elementwise instructions of one shape taken together."""
        if self._has_unbounded:
            return Cost.sum(self.cost_of(i, False) for i in computation.instructions)
        parts = [
            _elementwise(opcode, shape) * number for opcode, shape, number in computation.kinds if opcode in COMPUTING
        ]
        return Cost.sum([*parts, *self._special_costs(computation).values()])

    def _special_costs(self, computation: Computation) -> dict[int, Cost]:
        """Of a fused computation, what costs anything for more reasons than its opcode and shape, by position.

        Bodies that differ in names and metadata alone share it, unless something is not known: that has a place.
        """
        found = self._special.get(computation)
        if found is None:
            if computation.opcodes <= _ALIKE:
                found = {}
            elif (
                not self._foreign
                and (twin := computation.twin) is not computation
                and all(cost.status == "exact" for cost in self._special_costs(twin).values())
            ):
                found = self._special[twin]
            else:
                costs = {i.index: self.cost_of(i, False) for i in computation.instructions if i.opcode not in _ALIKE}
                found = {index: cost for index, cost in costs.items() if cost}
            self._special[computation] = found
        return found

    # What calls what

    def edges(self, computation: Computation) -> list[tuple[Instruction, list[Edge]]]:
        """The call sites of a computation that execute, with what each runs."""
        found = self._edges.get(computation)
        if found is None:
            found = self._edges[computation] = []
            if computation.opcodes <= _CALL_NOTHING:
                return found
            for instruction in computation.instructions:
                opcode = instruction.opcode
                if opcode not in _CALLS:
                    sugar = async_sugar(opcode)
                    if sugar is None or sugar[1] != "start" or sugar[0] not in _CALLS:
                        continue
                    opcode = sugar[0]
                edges = self._edges_of(instruction, opcode)
                if edges:
                    found.append((instruction, edges))
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
        trips = self.settings.trip_count(loop)
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
        weights = self.settings.weights(conditional, len(branches))
        if weights is not None:
            return [
                Edge(b, w if w.denominator > 1 else int(w), True) for b, w in zip(branches, weights, strict=True) if w
            ]
        candidates = self.branches_left(conditional)
        costs = {n: self.total_of(branches[n], kernels=True) for n in candidates}
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
        self._settled_here.setdefault(conditional, settled_by(conditional, reason, "branches", str(raising), "exact"))
        return left


_ARTICLES = {"estimate": "an", "lower bound": "a"}


def _elementwise(opcode: str, shape: Shape) -> Cost:
    """That of the array, also where it lies in a buffer: `b(f32[8])`."""
    leaf = shape if shape.is_array else shape.first_leaf
    return ZERO if leaf is None else elementwise_cost(opcode, leaf.dtype, leaf.size)


class _KindCosts(dict[str, Cost]):
    """The cost of an elementwise instruction by its kind, `f32[8]{0} add`; that of other kinds is not told by it: 0."""

    def __init__(self, kinds: Kinds) -> None:
        super().__init__()
        self._kinds = kinds

    def __missing__(self, text: str) -> Cost:
        opcode, shape = self._kinds[text]
        found = self[text] = _elementwise(opcode, shape) if opcode in COMPUTING else ZERO
        return found


def _is_unbounded(instruction: Instruction) -> bool:
    return instruction.shape.is_unbounded or any(operand.shape.is_unbounded for operand in instruction.operands)


def _has_bytes(cost: Cost) -> bool:
    """Whether a formula gave bytes itself."""
    return any(key[0].startswith("bytes") for key in cost.amounts)


_NO_SIZE = FREE - {"constant"} | _CALLS
"""Opcodes that cost nothing whatever the size of what they name, or what they call."""
_KERNEL_FREE = FREE & _SILENT
"""Opcodes that cost nothing at all, as kernels or fused."""


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


def _enters_shard_map(instruction: Instruction) -> bool:
    """Whether it stands, in a text of all devices, where the shapes become those of one."""
    if instruction.computation.module.stage != "unpartitioned":
        return False
    return (instruction.attribute("custom_call_target") or "").strip('"') in SHARD_MAPS
