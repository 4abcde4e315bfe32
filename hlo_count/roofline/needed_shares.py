"""What must be computed of each instruction, whatever the data and however a fusion is evaluated.

Values that indices make go forward through calls, fusions and what loops leave as it is: where a mask makes zeros
(a triangle, a band, a one-hot, a padded edge) a program that computes the same can leave them out. What is asked of a
result goes back, less what such a mask throws away (FlashAttention computes neither), and inside a fusion less what
nothing asks for. A bound multiplies counts by the share that is left; where that is not known it is 0, so that a bound
stays a bound. Zeros that data make are not certain.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from functools import cached_property

from hlo_count.hlo.computation import Computation
from hlo_count.hlo.depth import Task, finished
from hlo_count.hlo.garbage import no_garbage_collection
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import CALLING, ELEMENTWISE, INLINED, OPCODES
from hlo_count.hlo.shapes import Shape
from hlo_count.roofline.asked_elements import EITHER_WAY, PASSES_ALL, asked_of_operands, share_of_product
from hlo_count.roofline.distinct_elements import distinct_parts
from hlo_count.roofline.index_conditions import (
    ALWAYS,
    CHOSEN_BY_DATA,
    NOWHERE,
    Conditions,
    certain_share,
)
from hlo_count.roofline.structural_values import Masked, TupleElements, Value, value_of
from hlo_count.visitors.walk import Walk

_PRODUCTS = frozenset("dot scaled-dot convolution custom-call".split())
_STRUCTURED = frozenset("iota pad".split())
"""What makes zeros, or the indices that masks are made of."""
_FOLLOWED = frozenset("while fusion async-start call".split())
"""What is worked out in the computations that it calls, as tasks, since calls nest; all else at once."""
_LEADING_ON = _FOLLOWED | {"tuple", "get-tuple-element"}
"""What asks for more than its operands' elements."""

Asked = Conditions | tuple["Asked | None", ...]
"""The conditions that the elements meet of which anything is asked; of a tuple those of each of its elements, None
where nothing is."""


class Use(Enum):
    """What comes of the instructions of a computation."""

    KERNELS = auto()
    """Each is a kernel that stores its result."""
    STORED = auto()
    """They are a part of one, and what the kernel asks of others' results is looked for, which are stored."""
    EVALUATED = auto()
    """They are a part of one, and what must be computed of them is looked for."""


_Context = tuple[Computation, tuple[Value, ...], Asked, Use]
_PASSING = {use: (PASSES_ALL if use is Use.EVALUATED else OPCODES.keys()) - _LEADING_ON for use in Use}
"""What asks for all of its operands where all of it is asked."""


class NeededShares:
    """The shares of a program's instructions, all worked out together."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self._values: dict[tuple[Computation, tuple[Value, ...]], list[Value] | None] = {}
        self._asked: dict[_Context, list[Asked | None]] = {}
        self._visited: set[Computation] = set()
        self._found: dict[Instruction, float] = {}

    @cached_property
    def shares(self) -> dict[Instruction, float]:
        """The least fraction, 0 to 1, of what each instruction computes that must be: of those of which that is not 1.
        Where one stands for its twins, or is run for several callers, the least of theirs."""
        runs = [computation for computation, kernels in self.walk.runs if kernels]
        with no_garbage_collection():
            for computation in runs:  # callers first, which visit what they know something of
                if computation not in self._visited:
                    given = tuple(None for _ in computation.parameters)
                    finished(self._backward((computation, given, ALWAYS, Use.KERNELS)))
        return self._found

    @cached_property
    def _structured(self) -> set[Computation]:
        """The computations in which indices or padding are made, by themselves or by what they call."""
        computations = self.walk.module.computations
        found = [c for c in computations.values() if c.opcodes & _STRUCTURED]
        if not found:
            return set()
        callers: dict[str, list[Computation]] = {}
        for computation in computations.values():
            if computation.opcodes & CALLING:
                for call in computation.calls:
                    callers.setdefault(call.name, []).append(computation)
        reached = set(found)
        while found:
            for caller in callers.get(found.pop().name, ()):
                if caller not in reached:
                    reached.add(caller)
                    found.append(caller)
        return reached

    # Forward: what is known of values

    def _forward(self, computation: Computation, given: tuple[Value, ...]) -> Task[list[Value] | None]:
        """What is known of each instruction's result; None where nothing is of any."""
        if not self._may_tell(computation, given):
            return None
        key = (computation, given)
        if key in self._values:
            return self._values[key]
        values: list[Value] = []
        for i in computation.instructions:
            operands = [values[operand.index] for operand in i.operands]
            if i.opcode not in _FOLLOWED:
                value = _of_itself(i, operands, given)
            elif i.opcode == "while":
                value = _carried(i, operands[0])
            else:
                callee, value = self._callee(i), None
                if callee is not None and self._may_tell(callee, operands) and len(callee.parameters) == len(operands):
                    inner = yield self._forward(callee, tuple(operands))
                    value = None if inner is None else inner[callee.root.index]
            values.append(value)
        found = self._values[key] = values if any(value is not None for value in values) else None
        return found

    def _may_tell(self, computation: Computation, given: Sequence[Value]) -> bool:
        """Whether anything may be known of its values."""
        return computation in self._structured or any(value is not None for value in given)

    def _callee(self, i: Instruction) -> Computation | None:
        if i.opcode == "fusion":
            fused = i.callee("calls")
            return None if fused is None else self.walk.counted_as(fused)
        return i.callee("calls" if i.opcode == "async-start" else "to_apply")

    # Backward: what is asked of results

    def _backward(self, context: _Context) -> Task[list[Asked | None]]:
        """What is asked of each instruction; None where nothing is."""
        if context in self._asked:
            return self._asked[context]
        computation, given, of_root, use = context
        values: list[Value] | None = yield self._forward(computation, given)
        if use is Use.KERNELS:
            self._visited.add(computation)
        lazily = use is Use.EVALUATED
        distinct = distinct_parts(computation) if lazily else {}
        passing = _PASSING[use]
        instructions = computation.instructions
        asked: list[Asked | None] = [None] * len(instructions)
        asked[computation.root.index] = of_root
        parts: dict[int, list[Asked | None]] = {}  # of tuples that are taken apart, each of whose users adds to one
        for i in reversed(instructions):
            if i.index in parts:
                asked[i.index] = _more(asked[i.index], tuple(parts[i.index]), i.shape)
            of_this = asked[i.index]
            if of_this is None:
                if lazily:
                    self._note(i, 0.0)
                    continue
                of_this = ALWAYS  # what nothing uses is computed as well
            operands = i.operands
            if not operands:
                continue
            known: list[Value]
            if values is None:
                own, known, masked = None, [None] * len(operands), False
            else:
                own, known = values[i.index], [values[operand.index] for operand in operands]
                masked = any(isinstance(value, Masked) or value == 0.0 for value in (own, *known))
            if not of_this and not masked and i.opcode in passing:
                if i in distinct:
                    self._note(i, distinct[i])
                for operand in operands:
                    asked[operand.index] = ALWAYS
                continue
            if use is not Use.STORED:
                self._note(i, _share(i, own, known, of_this) * distinct.get(i, 1.0))
            each: list[Asked | None]
            if i.opcode == "get-tuple-element":
                whole, number = operands[0], int(i.attribute("index") or 0)
                part = parts.setdefault(whole.index, [None] * len(whole.shape.elements))
                part[number] = _more(part[number], of_this, i.shape)
                continue
            if i.opcode in _FOLLOWED:
                each = yield self._of_arguments(i, known, of_this, use)
            else:
                each = _of_operands(i, known, of_this, lazily=lazily)
            for operand, wanted in zip(operands, each, strict=True):
                asked[operand.index] = _more(asked[operand.index], wanted, operand.shape)
        self._asked[context] = asked
        return asked

    def _of_arguments(self, i: Instruction, known: list[Value], of_this: Asked, use: Use) -> Task[list[Asked | None]]:
        """What a call asks of its operands, those in the computation that it calls noted."""
        everything: list[Asked | None] = [ALWAYS] * len(known)
        if use is Use.EVALUATED and i.opcode not in INLINED:
            return [NOWHERE] * len(known)
        if i.opcode == "while":
            body = i.callee("body")
            carried = _carried(i, known[0])
            if use is Use.KERNELS and body is not None and carried is not None:
                yield self._backward((body, (carried,), ALWAYS, use))
            return everything  # what is thrown away of the result may be asked in the trips before the last
        callee, given = self._callee(i), tuple(known)
        if callee is None or len(callee.parameter_numbers) != len(known):
            return everything if not of_this else [NOWHERE] * len(known)
        if use is Use.EVALUATED or (use is Use.KERNELS and i.opcode == "fusion"):
            asked = yield self._backward((callee, given, of_this, Use.EVALUATED))
            if use is Use.EVALUATED or callee.opcodes <= EITHER_WAY:
                return [asked[parameter.index] for parameter in callee.parameters]
        if not of_this and not self._may_tell(callee, given):
            return everything
        asked = yield self._backward((callee, given, of_this, Use.STORED if i.opcode == "fusion" else use))
        return [asked[parameter.index] for parameter in callee.parameters]

    def _note(self, i: Instruction, share: float) -> None:
        if share < self._found.get(i, 1.0):
            self._found[i] = share


def _of_itself(i: Instruction, operands: list[Value], given: tuple[Value, ...]) -> Value:
    """What is known of the result of an instruction that calls nothing."""
    if i.opcode == "parameter":
        number = int(i.operand_text) if i.operand_text.isdigit() else len(given)
        return given[number] if number < len(given) else None
    if i.opcode == "tuple":
        return TupleElements(tuple(operands)) if any(v is not None for v in operands) else None
    if i.opcode == "get-tuple-element":
        value, number = operands[0], int(i.attribute("index") or 0)
        return value.each[number] if isinstance(value, TupleElements) and number < len(value.each) else None
    return value_of(i, operands)


def _carried(loop: Instruction, start: Value) -> Value:
    """What a loop hands on as it is; all else is data."""
    body = loop.callee("body")
    if body is None or not isinstance(start, TupleElements) or body.root.opcode != "tuple":
        return None
    kept = {
        n
        for n, value in enumerate(body.root.operands)
        if value.opcode == "get-tuple-element"
        and value.operands[0].opcode == "parameter"
        and value.attribute("index") == str(n)
    }
    return TupleElements(tuple(value if n in kept else None for n, value in enumerate(start.each)))


def _of_operands(i: Instruction, known: list[Value], of_this: Asked, *, lazily: bool) -> list[Asked | None]:
    """What an instruction that calls nothing asks of its operands."""
    if i.opcode == "tuple":
        return list(of_this) if isinstance(of_this, tuple) else [of_this] * len(known)
    return list(asked_of_operands(i, known, _of_result(i, of_this), lazily=lazily))


def _of_result(i: Instruction, asked: Asked) -> Conditions:
    """What is asked of an instruction that makes its tuple at once: of a library's product the product, beside which it
    gives a workspace; of others as much as of the element of which most is."""
    if not isinstance(asked, tuple):
        return asked
    if i.opcode in _PRODUCTS:
        return asked[0] if isinstance(asked[0], frozenset) else ALWAYS
    if i.opcode == "reduce":
        found: Asked | None = None
        for each in asked:
            found = _more(found, each, i.shape.leaves[0])
        return found if isinstance(found, frozenset) else NOWHERE
    return ALWAYS if ALWAYS in asked else NOWHERE


def _more(one: Asked | None, other: Asked | None, shape: Shape) -> Asked | None:
    """What is asked by two: at least what the one asks that asks for more."""
    if one is None or other is None or one == other:
        return one if other is None else other
    if isinstance(one, tuple) and isinstance(other, tuple):
        elements = shape.elements
        return tuple(_more(a, b, element) for a, b, element in zip(one, other, elements, strict=True))
    if not one or not other:
        return ALWAYS
    if isinstance(one, tuple) or isinstance(other, tuple) or not shape.is_array:
        return NOWHERE
    return max(one, other, key=lambda asked: tuple(certain_share(c, shape.dimensions) for c in (asked, _of_any(asked))))


def _of_any(asked: Conditions) -> Conditions:
    """What is asked whatever data choose: a product is made whole where its elements are chosen by data."""
    return asked - {CHOSEN_BY_DATA}


def _share(i: Instruction, own: Value, known: list[Value], of_this: Asked) -> float:
    """The certain share of one instruction."""
    asked = _of_result(i, of_this)
    shape = i.shape if i.shape.is_array else i.shape.first_leaf
    if i.opcode in _PRODUCTS:
        return share_of_product(i, known, _of_any(asked))
    if i.opcode == "reduce" and i.operands[0].shape.is_array:
        of_each = asked_of_operands(i, known, asked)[0]
        return certain_share(of_each | _varied(known[0]), i.operands[0].shape.dimensions)
    if i.opcode in ELEMENTWISE:
        asked |= _varied(own)
    return certain_share(asked, shape.dimensions) if shape is not None and shape.is_array else float(not asked)


def _varied(value: Value) -> Conditions:
    """The conditions outside of which all elements are one number."""
    return value.where if isinstance(value, Masked) else ALWAYS
