"""The order in which XLA's buffer assignment comes to what instructions give.

Computations stand in the post order of the call graph backwards, callers before callees, and in each of them operands
before users (XLA, buffer_assignment.cc, ComparePosition). An asynchronous operation wraps a computation, which makes
what it gives. Where that is one instruction XLA prints only its name, `all-to-all-start`: its computation has a place
among the others all the same, behind the one that calls it.
"""

from __future__ import annotations

from collections.abc import Iterator

from hlo_count.hlo.computation import Computation
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.hlo.opcodes import CALLERS, async_sugar

RUN_IN_ORDER = CALLERS | {"call-start"}
"""What runs computations one instruction after another."""


def sequential_computations(module: Module) -> list[Computation]:
    """The computations that run one instruction after another, callers before callees."""
    return [place for place in _places(module) if isinstance(place, Computation)]


def positions(module: Module) -> dict[Instruction, int]:
    """The place of each instruction in that order."""
    found: dict[Instruction, int] = {}
    for place in _places(module):
        if isinstance(place, Instruction):
            found[place] = len(found)
            continue
        users = place.users
        stack = [i for i in reversed(place.instructions) if not users[i]]
        entered: set[Instruction] = set()
        while stack:
            current = stack[-1]
            if current in entered:
                stack.pop()
                if not _is_wrapping(current):
                    found.setdefault(current, len(found))
                continue
            entered.add(current)
            stack += [operand for operand in reversed(current.operands) if operand not in entered]
    return found


def _places(module: Module) -> list[Computation | Instruction]:
    """The computations, and the instructions that stand for those that they wrap."""
    found: list[Computation | Instruction] = []
    known = {module.entry}
    stack = [(module.entry, _called(module.entry))]
    while stack:
        computation, left = stack[-1]
        for called in left:
            if isinstance(called, Instruction):
                found.append(called)
            elif called not in known:
                known.add(called)
                stack.append((called, _called(called)))
                break
        else:
            stack.pop()
            found.append(computation)
    return found[::-1]


def _called(computation: Computation) -> Iterator[Computation | Instruction]:
    for instruction in computation.instructions:
        if _is_wrapping(instruction):
            yield instruction
        elif instruction.opcode in RUN_IN_ORDER:
            yield from (callee for _, callee in instruction.called)


def _is_wrapping(instruction: Instruction) -> bool:
    sugar = async_sugar(instruction.opcode)
    return sugar is not None and sugar[1] == "start" and instruction.opcode not in RUN_IN_ORDER
