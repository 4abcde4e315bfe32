"""The elements of an integer array that a module determines: a constant, through copies, tuples and loops."""

from __future__ import annotations

import re

from hlo_count.hlo.computation import Computation
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import INLINED, NAMES
from hlo_count.hlo.traced_values import TuplePath

_COMMENT = re.compile(r"/\*.*?\*/")
_MOST_STEPS = 1000
"""Instructions between an array and what it is."""


def integers_of(instruction: Instruction) -> tuple[int, ...] | None:
    """The elements row by row; None where the module does not tell them."""
    origin, path = _origin(instruction, ())
    known = origin.computation.module.integers.get(origin.name)
    size = instruction.shape.size
    if origin.opcode == "broadcast" and origin.operands[0].shape.size == 1:
        origin = origin.operands[0]  # all elements are alike
    if path or known is not None or origin.opcode != "constant" or "..." in origin.operand_text:
        return None if path else known
    found = tuple(map(int, re.findall(r"-?\d+", _COMMENT.sub("", origin.operand_text))))
    return found * size if len(found) == 1 else found if len(found) == size else None


def _origin(
    instruction: Instruction, path: TuplePath, stop: Instruction | None = None
) -> tuple[Instruction, TuplePath]:
    """What gives the same elements in the same order, as far back as can be told, or at `stop`."""
    for _ in range(_MOST_STEPS):
        if instruction is stop:
            break
        before = _before(instruction, path)
        if before is None:
            break
        instruction, path = before
    return instruction, path


def _before(i: Instruction, path: TuplePath) -> tuple[Instruction, TuplePath] | None:
    opcode = i.opcode
    if opcode == "get-tuple-element":
        return i.operands[0], (int(i.attributes["index"]), *path)
    if opcode == "tuple" and path:
        return i.operands[path[0]], path[1:]
    if opcode in NAMES or opcode == "copy":
        return i.operands[0], path
    if opcode == "copy-done":
        return i.operands[0], (0, *path)
    if opcode == "copy-start" and path and path[0] < 2:
        return i.operands[0], path[1:]
    if opcode == "reshape" or (opcode == "bitcast" and _keeps_order(i)):
        return i.operands[0], path
    if opcode == "while":
        body = i.callee("body")
        return (i.operands[0], path) if body is not None and _stays(body, path) else None
    if opcode == "parameter" and not i.computation.is_entry:
        return _handed(i, path)
    return None


def _keeps_order(i: Instruction) -> bool:
    """Whether a bitcast adds or drops dimensions of 1 alone, whatever the layouts."""
    mine, other = ([n for n in shape.dimensions if n != 1] for shape in (i.shape, i.operands[0].shape))
    return i.shape.is_array and mine == other and i.shape.dtype == i.operands[0].shape.dtype


def _stays(body: Computation, path: TuplePath) -> bool:
    """Whether a trip of a loop leaves a part of what it carries as it was."""
    parameter = body.parameters[0]
    return _origin(body.root, path, parameter) == (parameter, path)


def _handed(parameter: Instruction, path: TuplePath) -> tuple[Instruction, TuplePath] | None:
    """What the one call site of a computation hands to its parameter."""
    computation = parameter.computation
    sites = computation.module.call_sites.get(computation, [])
    if len(sites) != 1:
        return None
    site, _ = sites[0]
    if site.opcode == "while":
        body = site.callee("body")
        return (site.operands[0], path) if body is not None and _stays(body, path) else None
    if site.opcode in INLINED or site.opcode == "async-start":
        return site.operands[int(parameter.operand_text)], path
    return None
