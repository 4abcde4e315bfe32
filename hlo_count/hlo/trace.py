"""Where a scalar comes from: its expression, traced through tuples, copies, fusions, calls and loops.

The same of one lane of an array, which stands for all of them, where a scalar asks whether any lane holds (`lanes`).
"""

from __future__ import annotations

import operator
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from hlo_count.errors import HloCountError
from hlo_count.hlo.evaluate import Function, Scalar, arithmetic, compare, convert, literal
from hlo_count.hlo.lanes import View, asks_lanes, every_lane, operand_view, same_elsewhere
from hlo_count.hlo.opcodes import DEVICE_IDS, ELEMENTWISE, INLINED, having
from hlo_count.hlo.shapes import Shape
from hlo_count.hlo.step_budget import Budget
from hlo_count.hlo.traced_values import (
    AnyLane,
    Carried,
    Constant,
    Data,
    DeviceId,
    TracedOperation,
    TracedValue,
    TuplePath,
    UnknownValue,
    branch_taken,
    parts,
    short_circuited,
)

if TYPE_CHECKING:
    from hlo_count.hlo.computation import Computation
    from hlo_count.hlo.instruction import Instruction
    from hlo_count.hlo.module import Module


_SAME_VALUE = having("name", "rearranges")
SLICE_ID = "SliceId"
"""The custom call that asks for the slice of TPUs that a device is in."""
_MAX_DEPTH = 200
"""Calls within calls that are followed; XLA's own programs nest a tenth as deep."""


class Surroundings:
    """Where a computation runs, which settles what its parameters are."""

    __slots__ = ("caller", "depth", "loop")

    def __init__(
        self,
        loop: Instruction | None = None,
        caller: tuple[Sequence[Instruction], Surroundings] | None = None,
    ) -> None:
        self.loop = loop
        """The loop whose body or condition this is, its carried values left open."""
        self.caller = caller
        """The operands at its call site, and the frame of those; None: whatever calls it in the module."""
        self.depth: int = caller[1].depth + 1 if caller is not None else 0


if TYPE_CHECKING:
    _Wanted = tuple[Instruction, TuplePath, Surroundings, View | None]
    _Trace = Generator[_Wanted, TracedValue, TracedValue]


class Tracer:
    """Expressions of the scalars of one module, each traced once.

    `by_device`: in terms of the device's ids, which are not known else.
    """

    def __init__(self, module: Module, *, by_device: bool = False) -> None:
        self._by_device = by_device
        self.budget = Budget()
        """What stepping through the loops may still take."""
        self._outermost = Surroundings()
        self._loops: dict[Instruction, Surroundings] = {}
        self._calls: dict[tuple[object, ...], Surroundings] = {}
        self._traced: dict[_Wanted, TracedValue] = {}
        self._interned: dict[tuple[object, ...], TracedValue] = {}
        self._module = module

    def expression(self, instruction: Instruction) -> TracedValue:
        """What a scalar instruction gives, whatever calls its computation."""
        return self._trace(instruction, (), self._outermost, None)

    def in_loop(self, instruction: Instruction, loop: Instruction, fusion: Instruction | None = None) -> TracedValue:
        """A scalar in the body of a loop, or in a fusion that stands there, in terms of what the loop carries."""
        frame = self._loop_frame(loop)
        if fusion is not None:
            key = (fusion, fusion.callee("calls"), frame)
            frame = self._calls.setdefault(key, Surroundings(caller=(fusion.operands, frame)))
        return self._trace(instruction, (), frame, None)

    def condition(self, loop: Instruction) -> TracedValue:
        """Whether the loop goes on, in terms of what it carries."""
        return self._trace(_callee(loop, "condition").root, (), self._loop_frame(loop), None)

    def update(self, carried: Carried) -> TracedValue:
        """What a trip leaves in a carried value, in terms of what it carries when it begins."""
        assert carried.loop is not None
        return self._trace(
            _callee(carried.loop, "body").root, carried.path, self._loop_frame(carried.loop), carried.view
        )

    def start(self, carried: Carried) -> TracedValue:
        """What the loop begins with: a Constant where the module determines it."""
        assert carried.loop is not None
        return self._trace(carried.loop.operands[0], carried.path, self._outermost, carried.view)

    def substitute(self, value: TracedValue, replaced: dict[TracedValue, TracedValue]) -> TracedValue:
        """The expression with some of its parts replaced, and what became constant evaluated."""
        done = dict(replaced)
        for part in parts([value]):
            if part not in done:
                done[part] = part
                args = tuple(done[arg] for arg in part.args)
                if isinstance(part, AnyLane):
                    done[part] = self._any_lane(args[0], part.what)
                elif isinstance(part, TracedOperation):
                    done[part] = self._operation(part.name, part.dtype, part.function, args)
                elif isinstance(part, Data):
                    done[part] = self._lane_data(part.key, part.what, args)
        return done[value]

    # Expressions, each built once

    def constant(self, value: Scalar) -> TracedValue:
        # repr tells 1 from True and 0.0 from -0.0, which are equal as keys.
        return self._interned.setdefault(("constant", repr(value)), Constant(value=value))

    def _unknown(self, what: str) -> TracedValue:
        return self._interned.setdefault(("unknown", what), UnknownValue(what=what))

    def _carried(self, loop: Instruction, path: TuplePath, view: View | None) -> TracedValue:
        return self._interned.setdefault(("carried", loop, path, view), Carried(loop=loop, path=path, view=view))

    def _lane_data(self, key: tuple[object, ...], what: str, args: tuple[TracedValue, ...]) -> TracedValue:
        unknown = next((arg for arg in args if type(arg) is UnknownValue), None)
        made = Data(args=args, what=what, key=key)
        return unknown or self._interned.setdefault(("data", *key, *map(id, args)), made)

    def _any_lane(self, lane: TracedValue, what: str) -> TracedValue:
        if isinstance(lane, Constant):
            return lane
        if not any(isinstance(part, Carried | DeviceId) for part in parts([lane])):
            return self._unknown(what)
        made = AnyLane(args=(lane,), name="any", dtype="pred", what=what)
        return self._interned.setdefault(("any", what, id(lane)), made)

    def negated(self, value: TracedValue) -> TracedValue:
        """`not` of a predicate."""
        return self._operation("not", "pred", operator.not_, (value,))

    def _operation(self, name: str, dtype: str, function: Function, args: tuple[TracedValue, ...]) -> TracedValue:
        settled = short_circuited(name, args)
        if settled is not None:
            return settled
        unknown = next((arg for arg in args if type(arg) is UnknownValue), None)
        if unknown is not None and name != "select" and not (dtype == "pred" and name in ("and", "or")):
            return unknown
        if all(isinstance(arg, Constant) for arg in args):
            return self.constant(function(*(arg.value for arg in args if isinstance(arg, Constant))))
        key = (name, dtype, function, *map(id, args))
        return self._interned.setdefault(key, TracedOperation(args, name, dtype, function))

    # Tracing, without recursion in Python: a step yields what it needs to know and is sent the answer

    def _trace(self, instruction: Instruction, path: TuplePath, frame: Surroundings, view: View | None) -> TracedValue:
        wanted = (instruction, path, frame, view)
        stack: list[tuple[_Wanted, _Trace]] = []
        while True:
            answer = self._traced.get(wanted)
            if answer is None:
                # Met again before it is known, only in a module that calls itself, it is no value.
                self._traced[wanted] = self._unknown(f"{instruction.name}, which depends on itself")
                stack.append((wanted, self._step(*wanted)))
            while stack:
                key, step = stack[-1]
                try:
                    wanted = next(step) if answer is None else step.send(answer)
                    break
                except StopIteration as stop:
                    answer = self._traced[key] = stop.value
                    stack.pop()
            else:
                assert answer is not None
                return answer

    def _step(self, i: Instruction, path: TuplePath, frame: Surroundings, view: View | None) -> _Trace:
        opcode = i.opcode
        if opcode == "parameter":
            return (yield from self._parameter(i, path, frame, view))
        if opcode == "tuple":
            return (yield i.operands[path[0]], path[1:], frame, view)
        if opcode == "get-tuple-element":
            return (yield i.operands[0], (int(i.attributes["index"]), *path), frame, view)
        leaf = _leaf(i.shape, path)
        if not leaf.is_array or (view is None and leaf.size != 1):
            return self._unknown(_data(i))
        if opcode == "constant" and not path and leaf.size == 1:
            value = literal(leaf.element_type, i.operand_text)
            return self._unknown(_data(i)) if value is None else self.constant(value)
        if self._by_device and (asked := opcode if opcode in DEVICE_IDS else _slice_id(i)):
            return self._interned.setdefault(("id", asked), DeviceId(opcode=asked))
        if opcode in _SAME_VALUE or (opcode == "bitcast" and i.operands[0].shape.dtype == leaf.dtype):
            seen = operand_view(i, view)
            if seen is not None or view is None:
                return (yield i.operands[0], path, frame, seen)
        if opcode == "copy-done":
            return (yield i.operands[0], (0, *path), frame, view)
        if opcode == "copy-start" and path[0] < 2:
            return (yield i.operands[0], path[1:], frame, view)
        if opcode in INLINED:
            return (yield from self._into(i, _callee(i, "calls", "to_apply"), path, frame, view))
        if opcode in ("async-done", "async-update"):
            return (yield i.operands[0], (1, *path) if opcode == "async-done" else path, frame, view)
        if opcode == "async-start" and path[0] == 1:
            return (yield from self._into(i, _callee(i, "calls"), path[1:], frame, view))
        if opcode == "while":
            carried = self._carried(i, path, view)
            after = yield _callee(i, "body").root, path, self._loop_frame(i), view
            if after is carried:
                return (yield i.operands[0], path, frame, view)
            return self._unknown(f"the outcome of the loop {i.name}")
        if opcode == "conditional":
            return (yield from self._conditional(i, path, frame, view))
        if opcode in ELEMENTWISE:
            return (yield from self._elementwise(i, leaf, frame, view))
        if view is None and asks_lanes(i):
            return (yield from self._reduced_predicate(i, frame))
        if view is not None:
            return (yield from self._lane(i, frame, view))
        return self._unknown(_data(i))

    def _elementwise(self, i: Instruction, leaf: Shape, frame: Surroundings, view: View | None) -> _Trace:
        source = i.operands[0].shape.element_type
        name = i.opcode
        function: Function | None
        if name == "convert":
            function = convert(source, leaf.element_type)
        elif name == "compare":
            direction, order = i.attributes.get("direction", ""), i.attribute("type")
            function = compare(source, direction, order)
            name = f"{direction} {order}" if order == "UNSIGNED" and source.kind == "int" else direction
        else:
            function = arithmetic(name, leaf.element_type)
        if function is None and view is None:
            return self._unknown(_data(i))
        args: list[TracedValue] = []
        for operand in i.operands:
            args.append((yield operand, (), frame, view if view is None or operand.shape.rank else ()))
        if function is None:
            return self._lane_data((i.opcode, name, leaf.dtype), _data(i), tuple(args))
        return self._operation(name, i.operands[-1].shape.dtype, function, tuple(args))

    def _reduced_predicate(self, i: Instruction, frame: Surroundings) -> _Trace:
        """Whether any lane of the operand holds, or all of them: none does not."""
        start = yield i.operands[1], (), frame, None
        conjunction = asks_lanes(i) == "and"
        if not i.operands[0].shape.size:
            return start
        if not isinstance(start, Constant) or start.value is not conjunction:
            return self._unknown(_data(i))
        lane = yield i.operands[0], (), frame, every_lane(i.operands[0].shape)
        if not conjunction:
            return self._any_lane(lane, _data(i))
        found = self._any_lane(self.negated(lane), _data(i))
        return found if type(found) is UnknownValue else self.negated(found)

    def _lane(self, i: Instruction, frame: Surroundings, view: View) -> _Trace:
        """What a lane sees of an instruction that gives the same wherever it is computed."""
        rule = same_elsewhere(i, view)
        if rule is None:
            return self._unknown(_data(i))
        key, views = rule
        args: list[TracedValue] = []
        for operand, seen in zip(i.operands, views, strict=True):
            args.append((yield operand, (), frame, seen))
        return self._lane_data(key, _data(i), tuple(args))

    def _into(
        self, call: Instruction, callee: Computation, path: TuplePath, frame: Surroundings, view: View | None
    ) -> _Trace:
        key = (call, callee, frame)
        if key not in self._calls:
            self._calls[key] = Surroundings(caller=(call.operands, frame))
        if self._calls[key].depth > _MAX_DEPTH:
            return self._unknown(f"what {callee.name} returns, {_MAX_DEPTH} calls deep")
        return (yield callee.root, path, self._calls[key], view)

    def _conditional(self, i: Instruction, path: TuplePath, frame: Surroundings, view: View | None) -> _Trace:
        """What its branches agree on; else a choice between them by the predicate or the index."""
        results: list[TracedValue] = []
        for branch, operand in _branches(i):
            key = (i, branch, operand, frame)
            if key not in self._calls:
                self._calls[key] = Surroundings(caller=([operand], frame))
            results.append((yield branch.root, path, self._calls[key], view))
        if all(result is results[0] for result in results):
            return results[0]
        chosen = yield i.operands[0], (), frame, None
        return self._operation("choice", "", branch_taken, (chosen, *results))

    def _parameter(self, i: Instruction, path: TuplePath, frame: Surroundings, view: View | None) -> _Trace:
        number = int(i.operand_text)
        if frame.loop is not None:
            return self._carried(frame.loop, path, view)
        if frame.caller is not None:
            operands, caller = frame.caller
            return (yield operands[number], path, caller, view)
        if i.computation.is_entry:
            return self._unknown(f"the argument {_argument_name(i, path)} of the entry")
        values: list[TracedValue] = []
        for caller_instruction, role in self._module.call_sites.get(i.computation, ()):
            values += yield from self._arguments(caller_instruction, role, i.computation, number, path, view)
        if not values:
            return self._unknown(f"the parameter {i.name} of {i.computation.name}, which nothing calls")
        if any(value is not values[0] for value in values):
            return self._unknown(f"an argument of {i.computation.name}, which differs between its callers")
        return values[0]

    def _arguments(
        self, caller: Instruction, role: str, callee: Computation, number: int, path: TuplePath, view: View | None
    ) -> Generator[_Wanted, TracedValue, list[TracedValue]]:
        """What one call site hands to a parameter, whatever calls that one in turn."""
        if caller.opcode == "while":
            carried = self._carried(caller, path, view)
            after = yield _callee(caller, "body").root, path, self._loop_frame(caller), view
            if after is not carried:
                return [self._unknown(f"a value that changes with each trip of the outer loop {caller.name}")]
            return [(yield caller.operands[0], path, self._outermost, view)]
        if caller.opcode == "conditional":
            operands = [operand for branch, operand in _branches(caller) if branch is callee]
        elif caller.opcode in INLINED or caller.opcode == "async-start":
            operands = [caller.operands[number]]
        else:
            return [self._unknown(f"what {caller.opcode} {caller.name} hands to its {role}")]
        values: list[TracedValue] = []
        for operand in operands:
            values.append((yield operand, path, self._outermost, view))
        return values

    def _loop_frame(self, loop: Instruction) -> Surroundings:
        return self._loops.setdefault(loop, Surroundings(loop=loop))


def _slice_id(i: Instruction) -> str:
    return SLICE_ID if i.opcode == "custom-call" and i.attribute("custom_call_target") == f'"{SLICE_ID}"' else ""


def _branches(conditional: Instruction) -> list[tuple[Computation, Instruction]]:
    """The branches by index, false before true, each with its operand."""
    operands = conditional.operands
    named = dict(conditional.called)
    if "true_computation" in named:
        return [(named["false_computation"], operands[2]), (named["true_computation"], operands[1])]
    return [(branch, operands[1 + index]) for index, (_, branch) in enumerate(conditional.called)]


def _callee(instruction: Instruction, *roles: str) -> Computation:
    found = next((computation for role, computation in instruction.called if role in roles), None)
    if found is None:
        file = instruction.computation.module.filename or "the HLO text"
        raise HloCountError(
            f"{file}:{instruction.line}: {instruction.name} has no {' or '.join(roles)}: is the text whole?"
        )
    return found


def _leaf(shape: Shape, path: TuplePath) -> Shape:
    for index in path:
        shape = shape.elements[index]
    return shape


def _argument_name(parameter: Instruction, path: TuplePath) -> str:
    name = parameter.metadata.op_name or parameter.name
    return name + "".join(f"[{index}]" for index in path)


def _data(i: Instruction) -> str:
    """What an instruction gives that only running the program can tell."""
    source = i.metadata.source
    name = i.name if i.name.startswith(i.opcode) else f"{i.opcode} {i.name}"
    return f"the result of {name}" + (f" ({source})" if source else "")
