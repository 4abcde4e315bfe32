"""What one instruction costs: operations by the rule of its opcode, bytes sent, and of a kernel its memory traffic."""

from __future__ import annotations

from functools import lru_cache

from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.hlo.opcodes import (
    COLLECTIVE_STARTS,
    COLLECTIVES,
    COMPUTING,
    FREE,
    LOOKS_AROUND,
    MOVEMENT,
    RUNNING,
    async_sugar,
    halved,
)
from hlo_count.hlo.replica_groups import largest_device
from hlo_count.hlo.shapes import Shape
from hlo_count.hlo.stage import SHARD_MAPS
from hlo_count.visitors import shipped_rules  # noqa: F401  so that there are any
from hlo_count.visitors.cost import OP_COUNTERS, ZERO, Cost, Key, Status, weakest
from hlo_count.visitors.custom_calls import custom_call_cost
from hlo_count.visitors.elementwise import elementwise_cost
from hlo_count.visitors.given_costs import settled_cost
from hlo_count.visitors.memory_spaces import space_name
from hlo_count.visitors.network import collective, continues_collective
from hlo_count.visitors.registry import Body, Explained, KernelCost, UnknownCostOf, foreign_opcodes, rule_of
from hlo_count.visitors.settings import Settings
from hlo_count.visitors.traffic import traffic, unwrapped
from hlo_count.visitors.unknowns import Unknown, settled_by, signature, unknown_of

SILENT = MOVEMENT - {"copy-start"}
"""Opcodes without operations and without network traffic: inside a fusion they cost nothing at all."""
_Content = int | tuple[object, ...]
_SENDS = COLLECTIVES | COLLECTIVE_STARTS | {"send"}


class InstructionCosts:
    """The instructions of one module, one execution each, without what they call; what is not known of one goes to
    `unknowns`. `body` gives the operations of a computation that is applied to elements, once."""

    def __init__(
        self, module: Module, backend: str, settings: Settings, body: Body, unknowns: dict[Instruction, Unknown]
    ) -> None:
        self._module = module
        self._settings = settings
        self._backend = backend
        self._body = body
        self._unknowns = unknowns
        self._kernels: dict[_Content, Cost] = {}
        self.by_code: dict[Instruction, KernelCost] = {}
        """Custom calls whose own code tells what they cost."""
        self.foreign = foreign_opcodes()
        """Opcodes with a rule of the user's own, which holds before what is known of their kind."""
        self.looks_at_names = bool(self.foreign or settings.costs)
        """Whether instructions that differ in names and metadata alone may differ in cost."""
        self.has_unbounded = "?" in module.text and _has_unbounded(module)
        """Whether any array has a dimension `?`, of any size."""
        self.asks_each = self.has_unbounded or not self.foreign.isdisjoint(COMPUTING | SILENT)
        """Whether operations are asked of each instruction, those of one opcode and shape not taken together."""

    def of(self, instruction: Instruction, kernel: bool) -> Cost:
        """Operations, bytes sent, and where it is a kernel its memory traffic."""
        content = self._content(instruction) if kernel else None
        if content is None:
            return self._worked_out(instruction, kernel)
        found = self._kernels.get(content)
        if found is None:
            found = self._worked_out(instruction, kernel)
            if found.status == "exact":  # what is not known has a place
                self._kernels[content] = found
        return found

    def _content(self, instruction: Instruction) -> _Content | None:
        """All that a kernel's cost follows from; None where it may follow from more."""
        opcode = instruction.opcode
        if opcode != "fusion" and (self.looks_at_names or not _says_all(opcode)):
            return None
        first = instruction.computation.twin
        contents = first.printed.contents if first.is_printed else ()
        if contents:
            content = contents[instruction.index]
            return (content, _repeated(instruction)) if content in self._module.taking_alike else content
        said: object = instruction.attribute_text
        if opcode == "fusion":
            callee = instruction.callee("calls")
            said = None if callee is None else callee.twin
        shapes = tuple([id(operand.shape) for operand in instruction.operands])
        return (opcode, said, id(instruction.shape), shapes, _repeated(instruction))

    def _worked_out(self, instruction: Instruction, kernel: bool) -> Cost:
        opcode = instruction.opcode
        if self.has_unbounded and opcode not in _NO_SIZE and _is_unbounded(instruction):
            return self._unknown(
                instruction,
                "works on an array with a dimension `?`, which may have any size",
                "count a module with that dimension's size, or its bound as in f32[<=1024]",
            )
        if opcode in self.foreign:
            cost = self._ops(instruction)
        elif opcode in COMPUTING:
            cost = elementwise_of_shape(opcode, instruction.shape)
        elif opcode in SILENT:
            cost = ZERO
        else:
            cost = self._ops(instruction)
        if not kernel and _has_bytes(cost):  # a fusion moves data at its boundary only
            cost = cost.only(*OP_COUNTERS, "network_bytes")
        if not kernel or opcode in FREE or _has_bytes(cost) or isinstance(cost, KernelCost):
            return cost
        amounts: dict[Key, int] = dict(cost.amounts)
        status = self._add_traffic(amounts, instruction)
        return Cost(amounts, weakest(cost.status, status))

    def _add_traffic(self, amounts: dict[Key, int], instruction: Instruction) -> Status:
        status: Status = "exact"
        for counter, accesses in zip(("bytes_read", "bytes_written"), traffic(instruction, self._backend), strict=True):
            for number, size, _ in accesses:
                space = space_name(self._backend, number)
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
        if opcode in RUNNING:
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
                return self._stated(instruction, self._custom_call(instruction))
            found = rule_of(opcode, self._backend)
            if found is None:
                raise UnknownCostOf(
                    f"is a {opcode}, which has no rule",
                    f'@hlo_count.rule("{opcode}") on a function that gives its Cost',
                )
            cost = found(instruction, self._body)
            if cost.status != "exact" and not instruction.called:  # what is called gives its own reasons
                self._stated(instruction, cost)
            return cost + self._network(instruction) if opcode in _SENDS else cost
        except UnknownCostOf as unknown:
            return self._unknown(instruction, unknown.reason, unknown.remedy)
        except (KeyError, IndexError, ValueError) as problem:
            return self._unknown(
                instruction, f"could not be read ({type(problem).__name__}: {problem})", "check the text at this line"
            )

    def _custom_call(self, instruction: Instruction) -> Cost:
        given = self._settings.cost(instruction)
        if given is None:
            return custom_call_cost(instruction)
        try:
            found = custom_call_cost(instruction)
        except UnknownCostOf:  # which is what the user settles
            found = None
        return settled_cost(instruction, given, found, self._backend)

    def _stated(self, instruction: Instruction, cost: Cost) -> Cost:
        """A cost, its reason kept where it is not exact."""
        if isinstance(cost, KernelCost):
            self.by_code[instruction] = cost
        if isinstance(cost, Explained) and cost.status != "exact":
            self._unknown(instruction, cost.reason, "", cost.status, _asked(cost))
        elif cost.status != "exact":
            reason = f"is counted by a formula of yours, which says that it is {_ARTICLES[cost.status]} {cost.status}"
            remedy = 'a formula that gives a Cost of status "exact"'
            self._unknown(instruction, reason, remedy, cost.status)
        return cost

    def _network(self, instruction: Instruction) -> Cost:
        beyond, there = largest_device(instruction), self._module.num_devices
        if beyond >= there:
            self._unknown(
                instruction,
                f"takes part with device {beyond}, but the header has {there} device{'s' if there != 1 else ''}",
                "count a module whose header has its num_partitions and replica_count",
            )
        found = collective(instruction)
        if found is None:
            return ZERO
        if found.bytes_sent is None and found.kind.isupper():
            reason = f"sends to other slices in a way that is not known, {found.kind}"
            return self._unknown(instruction, reason, "report the type of transfer")
        if found.bytes_sent is None:
            return self._unknown(
                instruction, "does not tell how many devices take part", "count a module that has its replica_groups"
            )
        cost = Cost.network(found.bytes_sent - found.dcn_bytes, found.dcn_bytes)
        return cost if beyond < there else Cost(cost.amounts, "lower bound")

    def _async(self, instruction: Instruction, wrapped: str, half: str) -> Cost:
        """A sugared pair counts at its start, as what it wraps."""
        if half != "start" or wrapped in RUNNING:
            return ZERO
        inner = unwrapped(instruction)
        if inner is None:
            return self._unknown(
                instruction, "does not show the result of what it starts", "check the text at this line"
            )
        return self._ops(inner)

    def _unknown(
        self, instruction: Instruction, reason: str, remedy: str, status: Status = "lower bound", asked: str = "FLOP"
    ) -> Cost:
        """Without a remedy, a custom call is settled by what is `asked` for in `costs`, anything else by a rule."""
        here = instruction.computation.by_name.get(instruction.name, instruction)
        if here not in self._unknowns:
            if "shape" not in reason:
                reason = f"{reason}: {signature(instruction)}"
            if remedy or instruction.opcode != "custom-call":
                self._unknowns[here] = unknown_of(here, reason, remedy or "register a rule for it", status)
            else:
                self._unknowns[here] = settled_by(here, reason, "costs", asked, status)
        return Cost({}, status)


def _repeated(instruction: Instruction) -> tuple[int, ...]:
    """Which operands are the same value; () where none are."""
    operands = instruction.operands
    if len(set(operands)) == len(operands):
        return ()
    return tuple(map({operand: n for n, operand in enumerate(operands)}.__getitem__, operands))


def _asked(cost: Explained) -> str:
    """What settles a call: its FLOP where what it moves is certain, else both."""
    if isinstance(cost, KernelCost) and not cost.count.tells_traffic:
        return '{"flops": FLOP, "bytes_read": B, "bytes_written": B}'
    return "FLOP"


@lru_cache(maxsize=1024)
def _says_all(opcode: str) -> bool:
    """Whether a kernel's cost follows from its shape and attributes, its operands' shapes, and which are the same."""
    return opcode not in LOOKS_AROUND and halved(opcode)[0] not in LOOKS_AROUND


def elementwise_of_shape(opcode: str, shape: Shape) -> Cost:
    """That of the array, also where it lies in a buffer: `b(f32[8])`."""
    leaf = shape if shape.is_array else shape.first_leaf
    return ZERO if leaf is None else elementwise_cost(opcode, leaf.dtype, leaf.size)


def _has_unbounded(module: Module) -> bool:
    scanned = (shape for c in module.computations.values() if not c.is_printed for _, shape, _ in c.kinds)
    return any(shape.is_unbounded for shapes in ((s for _, s in module.kinds.values()), scanned) for shape in shapes)


_ARTICLES = {"estimate": "an", "lower bound": "a"}


def _is_unbounded(instruction: Instruction) -> bool:
    return instruction.shape.is_unbounded or any(operand.shape.is_unbounded for operand in instruction.operands)


def _has_bytes(cost: Cost) -> bool:
    """Whether a formula gave bytes itself."""
    return any(key[0].startswith("bytes") for key in cost.amounts)


_NO_SIZE = FREE - {"constant"} | RUNNING
"""Opcodes that cost nothing whatever the size of what they name, or what they call."""


def _enters_shard_map(instruction: Instruction) -> bool:
    """Whether it stands, in a text of all devices, where the shapes become those of one."""
    if instruction.computation.module.stage != "unpartitioned":
        return False
    return (instruction.attribute("custom_call_target") or "").strip('"') in SHARD_MAPS
