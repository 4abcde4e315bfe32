"""The walk: what XLA says of an instruction with all that it calls, of a computation, of a module."""

from __future__ import annotations

from hlo_count.errors import HloCountError
from hlo_count.hlo import Computation, Instruction, Module
from hlo_count.hlo.depth import post_order
from hlo_count.hlo.opcodes import async_sugar
from hlo_count.visitors.xla.float32 import f32, f32_of_int, int64
from hlo_count.visitors.xla.fusion import fusion_bytes
from hlo_count.visitors.xla.order import visit_order
from hlo_count.visitors.xla.rules import (
    BY_SHAPES,
    XlaCost,
    applications,
    cost_of,
    default_bytes,
    gather_bytes,
    scatter_bytes,
    window_size,
)
from hlo_count.visitors.xla.sizes import elements


class XlaAnalysis:
    """Figures of the instructions and computations of a module, each computation walked once.

    A computation costs the same wherever it is called from: XLA's analysis takes a loop for one pass
    through its body and its condition. Those that say the same, names and metadata aside, are walked once.
    """

    def __init__(self) -> None:
        self._totals: dict[Computation, XlaCost] = {}
        self._by_shapes: dict[tuple[object, ...], XlaCost] = {}
        self._read: dict[Instruction, int] = {}

    def computation(self, computation: Computation) -> XlaCost:
        """The sum over its instructions, in float32 and in XLA's order."""
        computation = computation.twin
        if computation not in self._totals:
            for each in post_order(computation, _callees, self._totals):
                self._totals[each] = self._summed(each)
        return self._totals[computation]

    def _summed(self, computation: Computation) -> XlaCost:
        flops = transcendentals = moved = 0.0
        for instruction in visit_order(computation):
            cost = self.instruction(instruction)
            if cost.flops:
                flops = f32(flops + cost.flops)
            if cost.transcendentals:
                transcendentals = f32(transcendentals + cost.transcendentals)
            if cost.bytes:
                moved = f32(moved + cost.bytes)
        return XlaCost(flops, transcendentals, moved)

    def instruction(self, instruction: Instruction) -> XlaCost:
        """One instruction, what it calls included. Raises HloCountError where its text lacks an attribute."""
        try:
            return self._instruction(instruction)
        except (KeyError, IndexError, ValueError) as problem:
            raise HloCountError(
                f"{_place(instruction)} is a {instruction.opcode} without all that XLA's cost of one needs "
                f"({problem!r}); is the text complete?"
            ) from problem

    def _instruction(self, instruction: Instruction) -> XlaCost:
        match instruction.opcode:
            case "fusion":
                return self._fusion(instruction)
            case "call":
                return self.computation(_callee(instruction, "to_apply"))
            case "async-start":
                return self.computation(_callee(instruction, "calls"))
            case "while":
                body = self.computation(_callee(instruction, "body"))
                return _sum(body, self.computation(_callee(instruction, "condition")))
            case "conditional":
                return self._conditional(instruction)
            case "map" | "reduce" | "reduce-window" | "scan" | "scatter":
                return self._applied(instruction)
            case "select-and-scatter":
                return self._select_and_scatter(instruction)
            case opcode:
                sugar = async_sugar(opcode)
                if sugar is not None and sugar[1] == "start":
                    return self.computation(_wrapped(instruction, sugar[0]))
                return cost_of(instruction) if opcode not in BY_SHAPES else self._of_shapes(instruction)

    def _of_shapes(self, instruction: Instruction) -> XlaCost:
        """What follows from the shapes of an instruction and its operands, and which of these are constants."""
        operands = [(id(operand.shape), operand.opcode == "constant") for operand in instruction.operands]
        key = (instruction.opcode, id(instruction.shape), *operands)
        found = self._by_shapes.get(key)
        if found is None:
            found = self._by_shapes[key] = cost_of(instruction)
        return found

    def _fusion(self, fusion: Instruction) -> XlaCost:
        """The body's arithmetic, and the bytes that cross the border of the fusion."""
        body = _callee(fusion, "calls").twin
        if fusion.attribute("kind") == "kCustom":
            for instruction in body.instructions:
                if instruction.opcode == "gather":
                    return gather_bytes(instruction)
                if instruction.opcode == "scatter":
                    return self._applied(instruction)
        inside = self.computation(body)
        return XlaCost(inside.flops, inside.transcendentals, fusion_bytes(fusion, body, self._read))

    def _conditional(self, conditional: Instruction) -> XlaCost:
        """The larger of each figure over the branches, where a later branch's 0 replaces nothing, not -1."""
        # The branch of a true predicate comes first, whichever way the text lists the two.
        called = sorted(conditional.called, key=lambda pair: pair[0] == "false_computation")
        first, *rest = [self.computation(computation) for _, computation in called]
        flops, transcendentals, moved = first.flops, first.transcendentals, first.bytes
        for cost in rest:
            flops = max(flops, cost.flops) if cost.flops else flops
            transcendentals = max(transcendentals, cost.transcendentals)
            moved = max(moved, cost.bytes) if cost.bytes else moved
        return XlaCost(flops, transcendentals, moved)

    def _applied(self, instruction: Instruction) -> XlaCost:
        """Its `to_apply` so many times: arithmetic only, its bytes are those of registers."""
        scatters = instruction.opcode == "scatter"
        moved = scatter_bytes(instruction) if scatters else default_bytes(instruction)
        inside = self.computation(_callee(instruction, "to_apply"))
        times = f32_of_int(applications(instruction))
        return XlaCost(f32(inside.flops * times), f32(inside.transcendentals * times), moved)

    def _select_and_scatter(self, instruction: Instruction) -> XlaCost:
        """For each element of the source, window - 1 selections and one scatter."""
        count = elements(instruction.operands[1].shape)
        selections = f32_of_int(int64(count * (window_size(instruction) - 1)))
        select = self.computation(_callee(instruction, "select"))
        scatter = self.computation(_callee(instruction, "scatter"))
        times = f32_of_int(count)
        return XlaCost(
            f32(f32(select.flops * selections) + f32(scatter.flops * times)),
            f32(f32(select.transcendentals * selections) + f32(scatter.transcendentals * times)),
            default_bytes(instruction),
        )


def xla_cost(module: Module) -> XlaCost:
    """What `HloCostAnalysis` of jaxlib 0.10.2 says of a module, bit for bit: FLOP, transcendentals, bytes.

    Raises HloCountError where an instruction lacks an attribute, or names a computation that is not there.
    """
    return XlaAnalysis().computation(module.entry)


def xla_costs(computation: Computation) -> list[tuple[Instruction, XlaCost]]:
    """Its instructions with what XLA counts for each, in the order in which XLA adds them up."""
    analysis = XlaAnalysis()
    return [(instruction, analysis.instruction(instruction)) for instruction in visit_order(computation)]


def xla_instruction_cost(instruction: Instruction) -> XlaCost:
    """What XLA counts for one instruction: a fusion, a call or a loop with all that it calls."""
    return XlaAnalysis().instruction(instruction)


def _callees(computation: Computation) -> list[Computation]:
    return [callee.twin for callee in computation.module.callees.get(computation, ())]


def _sum(one: XlaCost, other: XlaCost) -> XlaCost:
    return XlaCost(
        f32(one.flops + other.flops),
        f32(one.transcendentals + other.transcendentals),
        f32(one.bytes + other.bytes),
    )


def _callee(instruction: Instruction, role: str) -> Computation:
    callee = instruction.callee(role)
    if callee is None:
        place = _place(instruction)
        raise HloCountError(f"{place} is a {instruction.opcode} without {role}=; is the text complete?")
    return callee


def _place(instruction: Instruction) -> str:
    filename = instruction.computation.module.filename or "the HLO text"
    return f"{filename}:{instruction.line}: {instruction.name}"


def _wrapped(start: Instruction, opcode: str) -> Computation:
    """What a sugared name such as `slice-start` stands for; the start's tuple has its shapes."""
    computation = Computation(start.computation.module, f"{start.name}.wrapped")
    operands, result = start.shape.elements[:2]
    parameters = [
        Instruction(computation, n, f"p{n}", "parameter", shape, str(n), "")
        for n, shape in enumerate(operands.elements)
    ]
    names = ", ".join(f"%{parameter.name}" for parameter in parameters)
    # What orders the start orders nothing inside.
    own = {name: value for name, value in start.attributes.items() if name != "control-predecessors"}
    attributes = "".join(f", {name}={value}" for name, value in own.items())
    root = Instruction(computation, len(parameters), start.name, opcode, result, names, attributes)
    computation.instructions = [*parameters, root]
    computation.lines = [start.line] * len(computation.instructions)
    computation.root = root
    return computation
