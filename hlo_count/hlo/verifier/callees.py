"""Whether what a caller gives and takes is what its callees take and give."""

from __future__ import annotations

from collections.abc import Sequence

from hlo_count.hlo.computation import Computation
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import COLLECTIVES, INLINED, RUNNING
from hlo_count.hlo.shapes import Shape, array
from hlo_count.hlo.verifier.element_types import same_kind
from hlo_count.hlo.verifier.shape_agreement import fits

_PER_OPERAND = {"map": 1, "sort": 2}
"""Parameters of the computation that is applied, for each operand; of reductions and scatters, for each pair."""


_ANYTHING = frozenset(("custom-call", "topk", "async-update", "async-done"))


def call_problem(i: Instruction) -> str:
    """What is wrong between an instruction and the computations that it calls; "" where nothing is."""
    called = i.called
    given = [operand.shape for operand in i.operands]
    if i.opcode in INLINED:
        return _missing(called, i) or _takes(called[0][1], given) or _gives(called[0][1], i.shape)
    if i.opcode == "async-start":
        return _missing(called, i) or _takes(called[0][1], given) or _starts(called[0][1], i.shape)
    if i.opcode == "while":
        return _loop(i, given)
    if i.opcode == "conditional":
        return _branches(i, given)
    if i.opcode not in RUNNING and i.opcode not in _ANYTHING:
        return _applied(i)
    return ""


def _missing(called: Sequence[tuple[str, Computation]], i: Instruction) -> str:
    return "" if called else f"is a {i.opcode} that calls nothing"


def _takes(callee: Computation, given: Sequence[Shape]) -> str:
    parameters, _ = callee.signature
    if len(parameters) != len(given):
        return f"gives {len(given)} operands to {callee.name}, which takes {len(parameters)}"
    for number, (parameter, shape) in enumerate(zip(parameters, given, strict=True)):
        if not fits(parameter, shape):
            return f"gives {shape} to {callee.name}, whose parameter {number} is {parameter}"
    return ""


def _gives(callee: Computation, wanted: Shape) -> str:
    _, root = callee.signature
    return "" if fits(root, wanted) else f"states the shape {wanted}, but {callee.name} gives {root}"


def _starts(callee: Computation, started: Shape) -> str:
    """What is under way gives ((operands), result, ...): the result is that of what it runs."""
    _, root = callee.signature
    result = started.elements[1]
    return "" if fits(root, result) else f"starts what gives {result}, but {callee.name} gives {root}"


def _loop(i: Instruction, given: Sequence[Shape]) -> str:
    condition, body = i.callee("condition"), i.callee("body")
    if condition is None or body is None:
        return "is a while without a condition or without a body"
    _, root = condition.signature
    if root.dtype != "pred" or root.rank:
        return f"has the condition {condition.name}, which gives {root} and no pred[]"
    return _takes(condition, given) or _takes(body, given) or _gives(body, i.shape)


def _branches(i: Instruction, given: Sequence[Shape]) -> str:
    branches = [callee for _, callee in i.called]
    if not branches:
        return "is a conditional without branches"
    if len(given) != len(branches) + 1:
        return f"has {len(branches)} branches and {len(given)} operands: it takes one more than branches"
    for branch, shape in zip(branches, given[1:], strict=True):
        problem = _takes(branch, [shape]) or _gives(branch, i.shape)
        if problem:
            return problem
    return ""


def _scan_problem(i: Instruction, callee: Computation) -> str:
    """The body of a scan takes a slice of each array along its dimension, and the values that are carried."""
    parameters, _ = callee.signature
    if len(parameters) != len(i.operands):
        return f"gives {len(i.operands)} operands to {callee.name}, which takes {len(parameters)}"
    axes, arrays = i.dims("dimensions"), len(i.operands) - int(i.attributes["num_carries"])
    for number, (parameter, operand) in enumerate(zip(parameters, i.operands, strict=True)):
        shape = operand.shape
        if number < arrays:
            if len(axes) != 1 or axes[0] >= shape.rank:
                return f"scans dimensions={i.attributes['dimensions']} of {shape}"
            shape = array(shape.dtype, shape.dimensions[: axes[0]] + shape.dimensions[axes[0] + 1 :])
        if not fits(shape, parameter, rounded=True):
            return f"gives {shape} to {callee.name}, whose parameter {number} is {parameter}"
    return ""


def _types_problem(i: Instruction, role: str, callee: Computation) -> str:
    """A value that is applied to elements of another type than it takes, or that gives another than the initial one."""
    shapes = [operand.shape for operand in i.operands]
    parameters, root = callee.signature
    if i.opcode in ("reduce", "reduce-window"):
        half = len(shapes) // 2
        given = [*shapes[half:], *shapes[:half]]
    elif i.opcode == "sort":
        given = [shape for shape in shapes for _ in range(2)]
    elif i.opcode == "map":
        given = shapes
    elif i.opcode == "scatter":
        half = len(shapes) // 2
        given = [*shapes[:half], *shapes[half + 1 :]]
    elif i.opcode == "select-and-scatter":
        given = [shapes[0], shapes[0]] if role == "select" else [shapes[1], shapes[2]]
    else:
        return ""
    for parameter, shape in zip(parameters, given, strict=False):
        if not same_kind(parameter, shape):
            return f"applies {callee.name}, which takes {parameter}, to elements of {shape}"
    if i.opcode in ("reduce", "reduce-window", "scatter") or role == "scatter":
        gives = root.elements if root.is_tuple else (root,)
        odd = next((pair for pair in zip(gives, parameters, strict=False) if pair[0].dtype != pair[1].dtype), None)
        if odd is not None:
            return f"applies {callee.name}, which gives {odd[0]} and takes {odd[1]}"
    return ""


def _applied(i: Instruction) -> str:
    """Bodies that are applied to elements take scalars, as many as there are operands."""
    for role, callee in i.called:
        if i.opcode == "scan":
            return _scan_problem(i, callee)
        parameters, _ = callee.signature
        number = len(parameters)
        wanted = _PER_OPERAND.get(i.opcode, 0) * len(i.operands)
        if i.opcode in ("reduce", "reduce-window"):
            wanted = len(i.operands)
        elif i.opcode == "scatter":
            wanted = 2 * (len(i.operands) // 2)
        elif i.opcode == "select-and-scatter":
            wanted = 2
        if wanted and number != wanted:
            return f"applies {callee.name} as {role}, which takes {number} values and not {wanted}"
        _, root = callee.signature
        if (role == "select" or i.opcode == "sort") and (root.dtype != "pred" or root.rank):
            return f"chooses by {callee.name}, which gives {root} and no pred[]"
        problem = _types_problem(i, role, callee)
        if problem:
            return problem
        scalars = i.opcode not in COLLECTIVES
        odd = next((shape for shape in parameters if shape.rank), None)
        if scalars and odd is not None:
            return f"applies {callee.name} to elements, but it takes {odd}"
    return ""
