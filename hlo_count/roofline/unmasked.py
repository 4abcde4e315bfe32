"""What is left to compute where a mask makes zeros, whatever the data: a triangle, a band, a one-hot, a padded edge.

A program that computes the same can leave the zeros out, and what a mask throws away (FlashAttention does), so that a
bound must not count them. Values go forward through calls, fusions and what loops leave as it is; what is asked of a
result goes back from the selects and products that throw parts of it away. Zeros that data make are not certain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from hlo_count.hlo.attributes import parse_window
from hlo_count.hlo.computation import Computation
from hlo_count.hlo.depth import Task, finished
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import ELEMENTWISE, NAMES
from hlo_count.roofline.index_conditions import (
    ALWAYS,
    UNCERTAIN,
    Conditions,
    DimensionMove,
    certain_share,
    moved,
)
from hlo_count.roofline.structural_values import (
    SO_LOW,
    Masked,
    TupleElements,
    Value,
    reshaping,
    value_of,
    zeros,
)
from hlo_count.visitors.walk import Walk

_DOTS = frozenset("dot scaled-dot".split())
_DOT_DIMENSIONS = ("lhs_batch_dims", "rhs_batch_dims", "lhs_contracting_dims", "rhs_contracting_dims")
_STRUCTURED = frozenset("iota pad".split())
"""What makes zeros, or the indices that masks are made of."""
_AS_IT_IS = (ELEMENTWISE - {"bitcast-convert"}) | NAMES

_CALLING = frozenset("while fusion async-start call".split())
"""What is worked out in the computations that it calls, as tasks, since calls nest; all else at once."""

_TELLING = _CALLING | {"get-tuple-element"}
"""What leads on to more than its operands."""

Asked = Conditions | None
"""The conditions that the elements meet of which anything is asked; None for nothing at all."""


class Unmasked:
    """The certain shares of a program's operations."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self._values: dict[tuple[Computation, tuple[Value, ...]], list[Value]] = {}
        self._asked: dict[tuple[Computation, tuple[Value, ...], Conditions], list[Asked]] = {}

    @cached_property
    def shares(self) -> dict[Instruction, float]:
        """The least fraction of an instruction's operations that are not by zeros of a mask, nor for results that are
        the same number whatever the data or that a mask throws away: of those of which that is not 1, and 0 where it
        is not known. Where twins stand for each other, the least of theirs."""
        computations = self.walk.module.computations.values()
        if not any(c.opcodes & _STRUCTURED for c in computations):
            return {}
        found: dict[Instruction, float] = {}
        entry = self.walk.module.entry
        given = tuple(None for _ in entry.parameters)
        finished(self._forward(entry, given))
        finished(self._backward(entry, given, ALWAYS, found))
        return {i: share for i, share in found.items() if share < 1}

    # Forward: what is known of values

    def _forward(self, computation: Computation, given: tuple[Value, ...]) -> Task[list[Value]]:
        known = self._values.get((computation, given))
        if known is not None:
            return known
        values: list[Value] = []
        for i in computation.instructions:
            operands = [values[operand.index] for operand in i.operands]
            values.append(
                (yield self._of_call(i, operands)) if i.opcode in _CALLING else _of_itself(i, operands, given)
            )
        self._values[(computation, given)] = values
        return values

    def _of_call(self, i: Instruction, operands: list[Value]) -> Task[Value]:
        if i.opcode == "while":
            carried: Value = yield self._of_loop(i, operands[0])
            return carried
        callee = self._callee(i)
        if callee is not None and len(callee.parameters) == len(operands):
            if not self._matters(callee, tuple(operands)):
                return None
            values: list[Value] = yield self._forward(callee, tuple(operands))
            return values[callee.root.index]
        return value_of(i, operands)

    def _of_loop(self, loop: Instruction, start: Value) -> Task[Value]:
        """What a loop hands on as it is; all else is data."""
        body = loop.callee("body")
        if body is None or not isinstance(start, TupleElements):
            return None
        kept = _kept(body)
        carried = TupleElements(tuple(value if n in kept else None for n, value in enumerate(start.each)))
        yield self._forward(body, (carried,))
        return carried

    def _callee(self, i: Instruction) -> Computation | None:
        callee = i.callee("calls") if i.opcode in ("fusion", "async-start") else None
        callee = i.callee("to_apply") if i.opcode == "call" else callee
        return None if callee is None else self.walk.counted_as(callee)

    def _matters(self, callee: Computation, given: tuple[Value, ...]) -> bool:
        return any(value is not None for value in given) or bool(callee.opcodes & (_STRUCTURED | {"fusion", "call"}))

    # Backward: what is asked of results

    def _backward(
        self, computation: Computation, given: tuple[Value, ...], of_root: Conditions, found: dict[Instruction, float]
    ) -> Task[list[Asked]]:
        """What is asked of each instruction of a computation, noting the shares of its contractions."""
        key = (computation, given, of_root)
        if key in self._asked:
            return self._asked[key]
        values = yield self._forward(computation, given)
        asked: list[Asked] = [None] * len(values)
        parts: dict[int, dict[int, Conditions]] = {}
        asked[computation.root.index] = of_root
        for i in reversed(computation.instructions):
            of_this = asked[i.index]
            if of_this is None:
                of_this = ALWAYS
            operands = i.operands
            if (
                not of_this
                and values[i.index] is None
                and i.opcode not in _TELLING
                and all(values[operand.index] is None for operand in operands)
            ):
                for operand in operands:  # all of them, where nothing is known and all is asked
                    asked[operand.index] = ALWAYS
                continue
            share = _share_of(i, values, of_this)
            if share is not None:
                found[i] = min(share, found.get(i, 1.0))
            if i.opcode in _CALLING:
                each = yield self._of_arguments(i, values, of_this, parts.get(i.index, {}), found)
            else:
                each = _of_operands(i, values, of_this)
            for operand, wanted in zip(operands, each, strict=True):
                if i.opcode == "get-tuple-element":
                    elements = parts.setdefault(operand.index, {})
                    number = int(i.attribute("index") or 0)
                    elements[number] = _both(elements.get(number), wanted)
                asked[operand.index] = _both(asked[operand.index], wanted)
        self._asked[key] = asked
        return asked

    def _of_arguments(
        self,
        i: Instruction,
        values: list[Value],
        of_this: Conditions,
        parts: Mapping[int, Conditions],
        found: dict[Instruction, float],
    ) -> Task[list[Conditions]]:
        operands = i.operands
        known = [values[operand.index] for operand in operands]
        everything = [ALWAYS] * len(operands)
        if i.opcode == "while":
            body, carried = i.callee("body"), values[i.index]
            if body is not None and isinstance(carried, TupleElements):
                yield self._backward(body, (carried,), ALWAYS, found)
            return everything
        callee = self._callee(i)
        if callee is not None and len(callee.parameters) == len(operands):
            if not self._matters(callee, tuple(known)) and not of_this and not parts:
                return everything
            of_parameters = yield self._backward(
                callee, tuple(known), of_this if not i.shape.is_tuple else ALWAYS, found
            )
            return [of_parameters[parameter.index] or ALWAYS for parameter in callee.parameters]
        return everything


def _of_itself(i: Instruction, operands: list[Value], given: tuple[Value, ...]) -> Value:
    """What is known of the result of an instruction that calls nothing."""
    if i.opcode == "parameter":
        number = int(i.operand_text) if i.operand_text.isdigit() else len(given)
        return given[number] if number < len(given) else None
    if i.opcode == "tuple":
        return TupleElements(tuple(operands)) if any(v is not None for v in operands) else None
    if i.opcode == "get-tuple-element":
        return _element(operands[0], int(i.attribute("index") or 0))
    return value_of(i, operands)


def _of_operands(i: Instruction, values: list[Value], of_this: Conditions) -> list[Conditions]:
    """What an instruction that calls nothing asks of its operands."""
    operands = i.operands
    known = [values[operand.index] for operand in operands]
    if i.opcode == "select" and len(operands) == 3:
        return [of_this, *(of_this | _where(known[0], side) for side in (1.0, 0.0))]
    if i.opcode in _AS_IT_IS:
        return [of_this | _unless_absorbed(i.opcode, known, n) for n in range(len(operands))]
    if i.opcode == "transpose":
        return [moved(of_this, DimensionMove(dict(enumerate(i.dims("dimensions")))))]
    if i.opcode in ("reshape", "bitcast"):
        return [moved(of_this, reshaping(i.shape, operands[0].shape, in_memory=i.opcode == "bitcast"))]
    return [ALWAYS] * len(operands)


def _kept(body: Computation) -> set[int]:
    """The elements of a loop's state that its body hands on as they are."""
    root = body.root
    if root.opcode != "tuple":
        return set()
    return {
        n
        for n, value in enumerate(root.operands)
        if value.opcode == "get-tuple-element"
        and value.operands[0].opcode == "parameter"
        and value.attribute("index") == str(n)
    }


def _element(value: Value, number: int) -> Value:
    return value.each[number] if isinstance(value, TupleElements) and number < len(value.each) else None


def _both(one: Asked, other: Conditions) -> Conditions:
    """What is asked by two: at least what the one asks that asks for more."""
    if one is None or one == other:
        return other
    return min(one, other, key=lambda asked: (UNCERTAIN in asked, len(asked)))


def _where(predicate: Value, side: float) -> Conditions:
    """The conditions that elements meet for which a predicate may be `side`."""
    found = predicate.filled(1.0 - side) if isinstance(predicate, Masked) else None
    return ALWAYS if found is None else found.where


def _unless_absorbed(opcode: str, known: list[Value], number: int) -> Conditions:
    """Where the other operands leave one of an instruction's a say."""
    others = [value for n, value in enumerate(known) if n != number and isinstance(value, Masked)]
    for other in others:
        if opcode == "multiply":
            return zeros(other)
        if opcode == "add" and other.fill <= SO_LOW:
            return other.where
    return ALWAYS


def _share_of(i: Instruction, values: list[Value], asked: Conditions) -> float | None:
    """The certain share of one instruction; None where it is of a kind of which this is not worked out."""
    known = [values[operand.index] for operand in i.operands]
    if i.opcode == "custom-call":
        return _share_of_library(i, known, asked)
    if i.opcode == "convolution":
        return _met(i, _places_of_convolution(i), known, asked)
    if i.opcode in _DOTS:
        return _met(i, _places_of_dot(i), known, asked)
    if i.opcode in ELEMENTWISE and i.shape.is_array:
        return certain_share(asked | _varied(values[i.index]), i.shape.dimensions)
    if i.opcode == "reduce" and i.operands[0].shape.is_array:
        return certain_share(_varied(known[0]), i.operands[0].shape.dimensions)
    return None


def _varied(value: Value) -> Conditions:
    """The conditions outside of which all elements are one number."""
    return value.where if isinstance(value, Masked) else ALWAYS


def _met(i: Instruction, places: tuple[dict[int, int], dict[int, int]], known: list[Value], asked: Conditions) -> float:
    """`places`: where the dimensions of the operands stand among those of the result and, after these, the contracted
    ones."""
    conditions = asked
    sizes = dict(enumerate(i.shape.dimensions if i.shape.is_array else i.shape.leaves[0].dimensions))
    for operand, value, place in zip(i.operands, known, places, strict=False):
        conditions |= moved(zeros(value), DimensionMove(place))
        for d, at in place.items():
            sizes[at] = operand.shape.dimensions[d]
    return certain_share(conditions, [sizes.get(at, 1) for at in range(max(sizes, default=-1) + 1)])


def _places_of_dot(i: Instruction) -> tuple[dict[int, int], dict[int, int]]:
    return _placed(i, *(i.dims(name) for name in _DOT_DIMENSIONS))


def _placed(
    i: Instruction,
    lhs_batch: tuple[int, ...],
    rhs_batch: tuple[int, ...],
    lhs_contracted: tuple[int, ...],
    rhs_contracted: tuple[int, ...],
) -> tuple[dict[int, int], dict[int, int]]:
    """The result has the batch dimensions, the free ones of lhs and those of rhs; after it stand the contracted."""
    lhs, rhs = i.operands[0].shape, i.operands[1].shape
    left = {d: n for n, d in enumerate(lhs_batch)}
    right = {d: n for n, d in enumerate(rhs_batch)}
    at = len(left)
    for d in _free(lhs.rank, lhs_batch, lhs_contracted):
        left[d] = at
        at += 1
    for d in _free(rhs.rank, rhs_batch, rhs_contracted):
        right[d] = at
        at += 1
    for n, (d, e) in enumerate(zip(lhs_contracted, rhs_contracted, strict=False)):
        left[d] = right[e] = at + n
    return left, right


def _free(rank: int, *taken: tuple[int, ...]) -> Iterator[int]:
    return (d for d in range(rank) if not any(d in dims for dims in taken))


def _places_of_convolution(i: Instruction) -> tuple[dict[int, int], dict[int, int]]:
    """Batch, features, and spatial dimensions whose window takes an element each; of others a window may leave elements
    out, and they have no place."""
    grouped = i.attribute("feature_group_count") or i.attribute("batch_group_count")
    labels = i.attribute("dim_labels") or ""
    lhs, _, rest = labels.partition("_")
    rhs, _, out = rest.partition("->")
    if grouped or not out:
        return {}, {}
    contracted = len(out)
    left = {lhs.index("b"): out.index("b"), lhs.index("f"): contracted}
    right = {rhs.index("i"): contracted, rhs.index("o"): out.index("f")}
    windows = parse_window(i.attribute("window"), sum(label.isdigit() for label in out))
    for n, window in enumerate(windows):
        at = lhs.index(str(n))
        if (
            window.size == window.stride == 1
            and i.operands[0].shape.dimensions[at] == i.shape.dimensions[out.index(str(n))]
        ):
            left[at] = out.index(str(n))
    return left, right


def _share_of_library(i: Instruction, known: list[Value], asked: Conditions) -> float:
    """A library's product by the numbers of its dot; of other calls on a mask's zeros nothing is."""
    config = i.backend_config or {}
    numbers = config.get("gemm_backend_config", config).get("dot_dimension_numbers")
    if not isinstance(numbers, dict):
        masked = any(
            zeros(value) for operand, value in zip(i.operands, known, strict=True)
            if operand.shape.is_array and operand.shape.element_type.is_float
        )  # fmt: skip
        return 0.0 if masked or asked else 1.0
    found = [
        tuple(int(d) for d in numbers.get(f"{side}_{kind}_dimensions", ()))
        for kind in ("batch", "contracting")
        for side in ("lhs", "rhs")
    ]
    return _met(i, _placed(i, *found), known, ALWAYS if i.shape.is_tuple else asked)
