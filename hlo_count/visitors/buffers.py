"""The buffers of a module: which values share one, and when each is live, as XLA's buffer assignment has it.

The computations that run one instruction after another (the entry, and what while, conditional, call and
async-start reach) are laid out on one line of time: a callee's instructions stand before the instruction that
calls it (XLA, hlo_live_range.cc). A value is one array that an instruction defines; what only passes values
on (tuple, get-tuple-element, bitcast) defines none. Values that must be in one place, the state of a loop for
one, are united in a buffer (hlo_alias_analysis.cc).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate

from hlo_count.hlo.attributes import alias_pairs
from hlo_count.hlo.computation import Computation
from hlo_count.hlo.depth import Task, finished
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.hlo.opcodes import ALIASES, UPDATES, async_sugar
from hlo_count.hlo.shapes import Shape, leaf_span
from hlo_count.visitors.positions import RUN_IN_ORDER
from hlo_count.visitors.traffic import fusion_roots, through_names

_SAME_VALUE = ALIASES | {"all-reduce-done"}


@dataclass(slots=True, eq=False)
class Value:
    """One array: what defines it, its shape, and the first and last moment at which it is needed."""

    definer: Instruction
    leaf: int
    shape: Shape
    start: int
    end: int


@dataclass(slots=True, eq=False)
class Buffer:
    """Values in one place. It is as large as the largest of them."""

    values: list[Value] = field(default_factory=list)
    is_constant: bool = False
    is_argument: bool = False
    """Of a donated argument, which may be overwritten, it says nothing."""
    is_output: bool = False
    is_another_threads: bool = False
    """Whether it is made on another thread of execution, such as that of a SparseCore."""


Sized = tuple[int, Buffer]
"""The bytes that a buffer takes, and the buffer."""


def live_sums(sized: Iterable[tuple[int, list[Value]]], end: int) -> list[int]:
    """The bytes that are live at each moment; values of one buffer count once."""
    change = [0] * (end + 2)
    for bytes_, values in sized:
        reached = -1
        for value in sorted(values, key=_start):
            if value.end > reached:
                change[max(value.start, reached + 1)] += bytes_
                change[value.end + 1] -= bytes_
                reached = value.end
    return list(accumulate(change))


def _start(value: Value) -> int:
    return value.start


def buffers(module: Module) -> tuple[list[Buffer], int]:
    """The buffers of a module, and the moment at which it ends."""
    layout = _Timeline(module)
    return layout.buffers(), layout.now


class _Timeline:
    def __init__(self, module: Module) -> None:
        self.now = 0
        self.values: list[Value] = []
        self._parents: list[int] = []
        self._fixed: list[bool] = []
        """By the first value of a buffer: whether none may overwrite it, a constant or an argument."""
        self._absorbed: set[int] = set()
        """Other names for values: what a loop carries and gives unchanged."""
        self._visited: set[Computation] = set()
        self._under_way: dict[Instruction, range] = {}
        """By the start of an asynchronous operation what its computation makes, which lives until that is done."""
        entry = module.entry
        self._arguments: list[list[int]] = []
        for parameter in entry.parameters:
            self._arguments.append(self._define(parameter, fixed=True))
        aliased = alias_pairs(module.attributes.get("input_output_alias"))
        pairs = []
        for output, number, path in aliased:
            start, count = leaf_span(entry.parameters[number].shape, path)
            for value in self._arguments[number][start : start + count]:
                self._fixed[value] = False
            pairs.append((leaf_span(entry.root.shape, output), self._arguments[number][start : start + count]))
        self._outputs = finished(self._run(entry, self._arguments))
        for (start, count), donated in pairs:
            for mine, theirs in zip(self._outputs[start : start + count], donated, strict=True):
                self._unite(mine, theirs)

    def buffers(self) -> list[Buffer]:
        found: dict[int, Buffer] = {}
        for index, value in enumerate(self.values):
            if index in self._absorbed:
                continue
            buffer = found.setdefault(self._find(index), Buffer())
            buffer.values.append(value)
            buffer.is_constant |= value.definer.opcode == "constant"
            buffer.is_another_threads |= "execution_thread" in value.definer.computation.attribute_text
        for argument in self._arguments:
            for index in argument:
                found[self._find(index)].is_argument |= self._fixed[index]
        for index in self._outputs:
            found[self._find(index)].is_output = True
        return list(found.values())

    def _define(self, instruction: Instruction, *, fixed: bool = False, leaves: range | None = None) -> list[int]:
        """New values for the leaves of an instruction, or for some of them."""
        first = len(self.values)
        shapes = instruction.shape.leaves
        for leaf in range(len(shapes)) if leaves is None else leaves:
            self._parents.append(len(self.values))
            self.values.append(Value(instruction, leaf, shapes[leaf], self.now, self.now))
            self._fixed.append(fixed)
        return list(range(first, len(self.values)))

    def _define_from(self, instruction: Instruction, leaf: int) -> list[int]:
        return self._define(instruction, leaves=range(leaf, len(instruction.shape.leaves)))

    def _find(self, index: int) -> int:
        parents = self._parents
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    def _unite(self, a: int, b: int) -> None:
        a, b = self._find(a), self._find(b)
        if a != b:
            self._parents[b] = a
            self._fixed[a] |= self._fixed[b]

    def _unite_if_free(self, a: int, b: int) -> None:
        """Puts two values in one place, unless that would overwrite an argument or a constant."""
        if not (self._fixed[self._find(a)] or self._fixed[self._find(b)]):
            self._unite(a, b)

    def _use(self, slots: list[int]) -> None:
        values, now = self.values, self.now
        for index in slots:
            values[index].end = now

    def _run(self, computation: Computation, arguments: list[list[int]]) -> Task[list[int]]:
        """Lays a computation out from now on; what stands at its root stays to its end."""
        self._visited.add(computation)
        at: dict[Instruction, list[int]] = {}
        for instruction in computation.instructions:
            opcode = instruction.opcode
            if opcode == "parameter":
                number = int(instruction.operand_text)
                # Texts written by hand may pass fewer than a computation takes.
                at[instruction] = arguments[number] if number < len(arguments) else self._define(instruction)
            else:
                operands = [at[operand] for operand in instruction.operands]
                at[instruction] = (
                    (yield from self._call(instruction, operands))
                    if instruction.opcode in RUN_IN_ORDER
                    else self._step(instruction, operands)
                )
            self.now += 1
        result = at[computation.root]
        self._use(result)
        return result

    def _step(self, instruction: Instruction, operands: list[list[int]]) -> list[int]:
        opcode = instruction.opcode
        if opcode == "constant":
            return self._define(instruction, fixed=True)
        if opcode == "get-tuple-element":
            start, count = leaf_span(instruction.operands[0].shape, (int(instruction.attributes["index"]),))
            slots = operands[0][start : start + count]
        elif opcode == "tuple":
            slots = [index for operand in operands for index in operand]
        elif opcode in _SAME_VALUE:
            slots = operands[0]
        else:
            passed_on = self._asynchronous(instruction, operands)
            slots = passed_on if passed_on is not None else self._define(instruction)
            if passed_on is None:
                for leaf, number, operand_leaf in in_place_pairs(instruction):
                    if number < len(operands):
                        self._unite_if_free(operands[number][operand_leaf], slots[leaf])
            for operand in operands:
                self._use(operand)
        self._use(slots)
        return slots

    def _call(self, instruction: Instruction, operands: list[list[int]]) -> Task[list[int]]:
        """What an instruction gives that may run computations."""
        opcode = instruction.opcode
        if opcode == "while":
            return (yield from self._while(instruction, operands[0]))
        if opcode == "conditional":
            return (yield from self._conditional(instruction, operands))
        role = {"call": "to_apply", "call-start": "to_apply", "async-start": "calls"}.get(opcode)
        callee = self._callee(instruction, role) if role is not None else None
        if callee is None:
            return self._step(instruction, operands)
        first = len(self.values)
        outputs: list[int] = yield self._run(callee, operands)
        if opcode == "call":
            return outputs
        self._under_way[instruction] = range(first, len(self.values))
        slots = self._started(instruction, operands, outputs)
        self._use(slots)
        return slots

    def _callee(self, instruction: Instruction, role: str) -> Computation | None:
        """A computation to lay out; None where it was: texts that no backend compiled may call one twice."""
        callee = instruction.callee(role)
        return None if callee in self._visited else callee

    def _while(self, instruction: Instruction, initial: list[int]) -> Task[list[int]]:
        condition, body = self._callee(instruction, "condition"), self._callee(instruction, "body")
        if condition is not None:
            yield self._run(condition, [initial])
        self._use(initial)
        if body is None:
            return self._define(instruction)
        state = self._define(body.parameters[0])
        after = yield self._run(body, [state])
        result = self._define(instruction)
        for leaf, (before, inside, final, outside) in enumerate(zip(initial, state, after, result, strict=False)):
            if inside == final:
                # Carried unchanged, it is the value that it was, be it an argument or a constant.
                self._unite(before, inside)
                self._unite(inside, outside)
                self.values[before].end = max(self.values[before].end, self.values[inside].end)
                self._absorbed |= {inside, outside}
                result[leaf] = before
            else:
                self._unite_if_free(inside, final)
                self._unite_if_free(before, inside)
                self._unite_if_free(inside, outside)
        self._use(result)
        return result

    def _conditional(self, instruction: Instruction, operands: list[list[int]]) -> Task[list[int]]:
        roots = []
        for number, (_, branch) in enumerate(instruction.called, start=1):
            if branch not in self._visited:
                roots.append((yield self._run(branch, operands[number : number + 1])))
        result = self._define(instruction)
        for root in roots:
            for inside, outside in zip(root, result, strict=False):
                self._unite_if_free(inside, outside)
        for operand in operands:
            self._use(operand)
        return result

    def _asynchronous(self, instruction: Instruction, operands: list[list[int]]) -> list[int] | None:
        """What a half of an asynchronous pair gives, operands included; None for any other."""
        opcode = instruction.opcode
        sugar = async_sugar(opcode)
        if opcode in ("all-gather-start", "collective-permute-start", "send"):
            # (operands, outputs, context …); a send has no output.
            return [*operands[0], *self._define_from(instruction, len(operands[0]))] if len(operands) == 1 else None
        if opcode == "copy-start":
            # (output, operand, context …)
            output = self._define(instruction, leaves=range(1))
            return [*output, *operands[0], *self._define_from(instruction, 1 + len(operands[0]))]
        if opcode in ("all-gather-done", "collective-permute-done"):
            return self._part(instruction, operands[0], 1)
        if opcode in ("copy-done", "recv-done"):
            return operands[0][: len(instruction.shape.leaves)]
        if opcode == "async-start" or (sugar is not None and sugar[1] == "start"):
            # What stands behind `calls` of a fusion-start is fused, and has no buffers.
            return self._started(instruction, operands, [])
        if opcode == "async-update" or (sugar is not None and sugar[1] == "update"):
            return operands[0]
        if opcode == "async-done" or (sugar is not None and sugar[1] == "done"):
            start = instruction.operands[0]
            while start.opcode.endswith("-update"):
                start = start.operands[0]
            self._use(list(self._under_way.get(start, ())))
            return self._part(instruction, operands[0], 1)
        return None

    def _started(self, instruction: Instruction, operands: list[list[int]], outputs: list[int]) -> list[int]:
        """((operands), outputs, context …), the outputs those of its computation where the text has one."""
        flat = [index for operand in operands for index in operand]
        return [*flat, *outputs, *self._define_from(instruction, len(flat) + len(outputs))]

    def _part(self, instruction: Instruction, operand: list[int], element: int) -> list[int] | None:
        shape = instruction.operands[0].shape
        if not shape.is_tuple or element >= len(shape.elements):
            return None
        start, count = leaf_span(shape, (element,))
        return operand[start : start + count]


def in_place_pairs(instruction: Instruction) -> list[tuple[int, int, int]]:
    """What is written over an operand: (leaf of the output, operand number, its leaf); XLA, alias_info.cc."""
    opcode = instruction.opcode
    if opcode == "dynamic-update-slice":
        return [(0, 0, 0)]
    if opcode == "scatter":
        return [(leaf, leaf, 0) for leaf in range(len(instruction.shape.leaves))]
    if opcode == "all-reduce-start":
        return [(leaf, leaf, 0) for leaf in range(len(instruction.operands))]
    if opcode == "ragged-all-to-all":
        return [(0, 1, 0)]
    if opcode == "set-dimension-size":
        return [(0, 0, 0)]
    if opcode not in ("fusion", "custom-call"):
        return []
    pairs = []
    for output, number, path in alias_pairs(instruction.attribute("output_to_operand_aliasing")):
        if number < len(instruction.operands):
            start, count = leaf_span(instruction.operands[number].shape, path)
            first, _ = leaf_span(instruction.shape, output)
            pairs += [(first + step, number, start + step) for step in range(count)]
    callee = instruction.callee("calls") if opcode == "fusion" else None
    if callee is not None and not callee.opcodes.isdisjoint(UPDATES):
        for leaf, source in enumerate(fusion_roots(callee)):
            if source.opcode in UPDATES and source.shape.is_array:
                written = through_names(source.operands[0])
                if written.opcode == "parameter" and written.shape.is_array:
                    pairs.append((leaf, int(written.operand_text), 0))
    return pairs
