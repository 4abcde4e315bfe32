"""What is wrong with one instruction: what XLA's parser refuses, and what only its verifier does."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hlo_count.errors import HloCountError
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import (
    ATTRIBUTES,
    COLLECTIVE_STARTS,
    COLLECTIVES,
    LEAVES,
    OPCODES,
    asked_of,
    async_sugar,
    halved,
    may_have,
)
from hlo_count.hlo.shapes import Shape, parse_shape, tuple_of
from hlo_count.hlo.verifier.aliases import aliases_problem
from hlo_count.hlo.verifier.attribute_values import value_problem
from hlo_count.hlo.verifier.callees import call_problem
from hlo_count.hlo.verifier.collective_groups import groups_problem
from hlo_count.hlo.verifier.element_types import type_problem
from hlo_count.hlo.verifier.result_shapes import element_problem, shape_problem
from hlo_count.hlo.verifier.shape_agreement import fits
from hlo_count.hlo.verifier.sharding_ranks import sharding_problem

_IS_NAME = re.compile(r"[A-Za-z_][\w.\-]*+", re.A).fullmatch
_WAITED_FOR = COLLECTIVE_STARTS | {"copy-start", "async-start"}
_SENT = {"send-done": ("send", "get-tuple-element"), "recv-done": ("recv", "get-tuple-element")}
_GROUPED = COLLECTIVES | COLLECTIVE_STARTS
_MOST_BYTES = 2**63


def parser_problem(i: Instruction) -> str:
    """What XLA's parser has against an instruction, in words that follow its name; "" where it has nothing."""
    opcode = i.opcode
    try:
        row = asked_of(opcode)
        attributes = i.attributes  # raises where one stands twice
        problem = _attribute_problem(opcode, attributes) if attributes else ""
        if problem or row is None:
            return problem
        if opcode not in LEAVES:
            number = len(i.operands)
            if number < row.fewest or (row.most is not None and number > row.most):
                amount = "few" if number < row.fewest else "many"
                wanted = f"{row.fewest}" if row.most == row.fewest else f"at least {row.fewest}"
                return f"is a {opcode} with too {amount} operands: {number}, it takes {wanted}"
        for needed in row.needs:
            if needed not in attributes and not _may_lack(i, needed):
                return f"is a {opcode} without {needed}="
        if row.calls and opcode != "custom-call":
            roles = {role for role, _ in i.called}
            unread = next((name for name in row.calls if name in attributes and name not in roles), None)
            if unread is not None:
                return f"has {unread}={attributes[unread]}, which names no computation of this text"
        if "control-predecessors" in attributes:
            i.control_predecessors  # noqa: B018  raises for names that are not there
        asked = _ASKED.get(opcode)
        return asked(i) if asked is not None else ""
    except HloCountError as problem:
        return f"cannot be read: {problem}"


def _attribute_problem(opcode: str, attributes: Mapping[str, str]) -> str:
    """An attribute that another opcode takes, or one that is not spelled as XLA has it; "" where there is none."""
    strange = attributes.keys() - may_have(opcode)
    if not strange.isdisjoint(ATTRIBUTES):
        foreign = next(name for name in attributes if name in strange and name in ATTRIBUTES)
        return f"is a {opcode} with {foreign}=, which it does not take"
    for name, value in attributes.items():
        if not value or (name in strange and _IS_NAME(name) is None):
            return f"has {name}={value}, which is no attribute"
    if attributes.get("use_global_device_ids") == "true" and "channel_id" not in attributes:
        return "has use_global_device_ids=true without channel_id="
    for name, value in attributes.items():
        problem = value_problem(name, value)
        if problem:
            return problem
    return ""


def _may_lack(i: Instruction, name: str) -> bool:
    """An asynchronous half may stand for what it wraps."""
    return bool(halved(i.opcode)[1]) and name == "calls"


def _branch_problem(i: Instruction) -> str:
    index = i.operands[0].shape
    if index.rank or index.dtype not in _BRANCHES:
        return f"chooses a branch by {index}, which is no pred[] and no s32[]"
    named = tuple(name for name in OPCODES[i.opcode].calls if name in i.attributes)
    wanted = _BRANCHES[index.dtype]
    if set(named) != set(wanted):
        return f"chooses a branch by {index}, which takes {' and '.join(wanted)}, and has {', '.join(named) or 'none'}"
    return ""


def _layout_problem(i: Instruction) -> str:
    """A custom call that prescribes layouts has a shape for each operand."""
    text = i.attribute("operand_layout_constraints")
    if text is None:
        return ""
    stated = parse_shape(f"({text.strip()[1:-1]})").elements
    if len(stated) != len(i.operands):
        return f"has {len(i.operands)} operands and operand_layout_constraints={text}"
    pairs = zip(stated, (operand.shape for operand in i.operands), strict=True)
    odd = next(((one, other) for one, other in pairs if not fits(one, other)), None)
    return "" if odd is None else f"prescribes the layout of {odd[0]} for {odd[1]}"


_BRANCHES = {"pred": ("true_computation", "false_computation"), "s32": ("branch_computations",)}
"""The branches of a conditional, by the type of what chooses between them."""
_ASKED = {
    "get-tuple-element": element_problem,
    "conditional": _branch_problem,
    "custom-call": _layout_problem,
}
"""What XLA's parser asks of some opcodes alone."""


def contradiction(i: Instruction) -> str:
    """What only XLA's verifier has against an instruction, in words that follow its name; "" where it has nothing."""
    opcode = i.opcode
    strange = next(iter(i.attributes.keys() - ATTRIBUTES), None)
    if strange is not None:
        strange = next(name for name in i.attributes if name not in ATTRIBUTES)
        return f"has {strange}=, which is not known here: XLA may be newer, or the text damaged"
    sugared = async_sugar(opcode)
    if sugared is not None:
        wrapped, half = sugared
        problem = _async_problem(i, half)
        return contradiction(_wrapped(i, wrapped)) if not problem and half == "start" else problem
    row = OPCODES.get(opcode)
    if row is None:
        return f"is a {opcode}, an opcode that is not known here"
    return (
        _size_problem(i.shape)
        or ("sharding" in i.attributes and sharding_problem(i))
        or (opcode in _GROUPED and groups_problem(i))
        or _pair_problem(i)
        or (row.half and not row.wraps and _async_problem(i, row.half))
        or type_problem(i)
        or (row.calls and call_problem(i))
        or ("output_to_operand_aliasing" in i.attributes and aliases_problem(i))
        or shape_problem(i)
        or ""
    )


def _async_problem(i: Instruction, half: str) -> str:
    """A start gives ((operands), result, ...), and the done that result."""
    whole = i.shape if half == "start" else i.operands[0].shape
    if len(whole.elements) < 2 or not whole.elements[0].is_tuple:
        return f"is a {i.opcode} with {whole}, and no ((operands), result)"
    if half == "done":
        given = whole.elements[1]
        return "" if fits(given, i.shape) else f"waits for {given} and gives {i.shape}"
    taken = tuple_of(tuple(operand.shape for operand in i.operands))
    if half == "start" and not fits(taken, whole.elements[0]):
        return f"takes {taken} and gives {whole}"
    return ""


def _wrapped(start: Instruction, opcode: str) -> Instruction:
    """What a sugared start stands for."""
    attributes = (start.operand_text, start.attribute_text)
    inner = Instruction(start.computation, start.index, start.name, opcode, start.shape.elements[1], *attributes)
    inner._operands = start.operands
    return inner


def _size_problem(shape: Shape) -> str:
    """XLA counts elements and bytes in 64 bits."""
    if (
        shape.is_array
        and not shape.is_unbounded
        and shape.size * max(1, shape.element_type.stored_bytes) >= _MOST_BYTES
    ):
        return f"is of the shape {shape}, which has more bytes than XLA can count"
    return ""


def _pair_problem(i: Instruction) -> str:
    """A value that is under way and is taken by what does not wait for it, or what waits for none."""
    wraps, half = halved(i.opcode)
    if half == "done" and wraps and i.opcode in OPCODES:
        awaited = _SENT.get(i.opcode, (f"{wraps}-start",))
        if i.operands[0].opcode not in awaited:
            return f"waits for a {i.operands[0].opcode}, and not for a {awaited[0]}"
    if half in ("update", "done"):
        return ""
    for operand in i.operands:
        if operand.opcode in _WAITED_FOR:
            return f"takes the result of a {operand.opcode}, which only its -done may"
    return ""
