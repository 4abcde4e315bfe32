"""What an instruction computes from constants alone: why a compiler can fold it."""

from __future__ import annotations

from hlo_count.hlo.computation import Computation
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.hlo.opcodes import INLINED

_SAME_VALUE = frozenset("broadcast convert copy bitcast reshape transpose slice".split())
"""Opcodes whose every element is that of operand 0, when all of its elements are one number."""
_DEPTH = 60
_NEUTRAL = {
    ("add", 0): (0.0, "0 + a"),
    ("add", 1): (0.0, "a + 0"),
    ("subtract", 1): (0.0, "a - 0"),
    ("multiply", 0): (1.0, "1 * a"),
    ("multiply", 1): (1.0, "a * 1"),
    ("divide", 1): (1.0, "a / 1"),
    ("power", 1): (1.0, "a ** 1"),
}
"""(opcode, operand): the number that leaves the other operand as it is, and how that reads."""
_WITH_NEUTRAL = {opcode for opcode, _ in _NEUTRAL}


class Constants:
    """Finds constant values in one module, through calls, fusions and what a loop starts from."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self._fixed: dict[Instruction, bool] = {}

    def folding(self, computation: Computation, index: int) -> str | None:
        """How an instruction folds: "0 + a" and the like, "constants" when all it takes is constant; None when it
        does not.

        In a computation that runs many times, it is enough that one of the runs folds: the first trip of a loop.
        """
        alike = computation.twin.instructions[index]
        if not alike.operands:
            return None
        if alike.opcode in _WITH_NEUTRAL:  # which a caller may hand over, and each has its own callers
            operands = computation.instructions[index].operands
            for at in range(min(2, len(operands))):
                neutral = _NEUTRAL.get((alike.opcode, at))
                if neutral is not None and self.number(operands[at]) == neutral[0]:
                    return neutral[1]
        return "constants" if all(self._is_fixed(operand) for operand in alike.operands) else None

    def number(self, instruction: Instruction, path: tuple[int, ...] = (), depth: int = 0) -> float | None:
        """The one number of all its elements (of the leaf at `path` of a tuple), None when that cannot be told."""
        opcode = instruction.opcode
        if depth > _DEPTH:
            return None
        if opcode == "constant":
            return _literal(instruction.operand_text)
        if opcode in _SAME_VALUE and instruction.operands:
            return self.number(instruction.operands[0], path, depth + 1)
        if opcode == "get-tuple-element":
            at = int(instruction.attribute("index") or 0)
            return self.number(instruction.operands[0], (at, *path), depth + 1)
        if opcode == "tuple" and path:
            return self.number(instruction.operands[path[0]], path[1:], depth + 1)
        if opcode in INLINED:
            callee = instruction.callee("calls") or instruction.callee("to_apply")
            return self.number(callee.root, path, depth + 1) if callee is not None else None
        if opcode == "parameter":
            at = int(instruction.operand_text)
            for caller, role in self.module.call_sites.get(instruction.computation, ()):
                hands_over = caller.opcode in INLINED or (caller.opcode == "while" and role == "body")
                if hands_over and at < len(caller.operands):
                    found = self.number(caller.operands[at], path, depth + 1)
                    if found is not None:
                        return found
        return None

    def _is_fixed(self, instruction: Instruction, depth: int = 0) -> bool:
        """Whether it depends on no parameter of its computation."""
        found = self._fixed.get(instruction)
        if found is None:
            operands = instruction.operands
            if instruction.opcode in ("constant", "iota"):
                found = True
            elif not operands or depth > _DEPTH or "start" in instruction.opcode:
                found = False
            else:
                found = all(self._is_fixed(operand, depth + 1) for operand in operands)
            self._fixed[instruction] = found
        return found


def _literal(text: str) -> float | None:
    try:
        return {"true": 1.0, "false": 0.0}.get(text.strip()) if text.strip().isalpha() else float(text)
    except ValueError:
        return None
