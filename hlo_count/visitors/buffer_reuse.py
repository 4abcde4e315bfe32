"""Which values may take the place of an operand that is last needed when they are computed."""

from __future__ import annotations

from collections.abc import Container, Sequence

from hlo_count.hlo.computation import Computation
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import ELEMENTWISE
from hlo_count.hlo.shapes import leaf_span
from hlo_count.visitors.buffers import Value

_ELEMENTWISE = ELEMENTWISE - {"copy"}


_REUSING = _ELEMENTWISE | {"fusion", "triangular-solve", "sort"}


_TAKE_NOTHING = frozenset(("parameter", "constant", "iota"))


def _through_bitcasts(instruction: Instruction) -> Instruction:
    while instruction.opcode == "bitcast":
        instruction = instruction.operands[0]
    return instruction


_Given = tuple[Instruction, int | None]
"""What an operand is behind bitcasts: all that an instruction gives, or one leaf of a tuple."""


def can_reuse(definer: Instruction) -> bool:
    """Whether what an instruction gives may take an operand's place at all."""
    return definer.opcode in _REUSING


class Reuse:
    """Whether a value may take the place of an operand that is last needed when it is computed.

    So it may where it is computed element by element from an array of its own shape
    (HloDataflowAnalysis::CanShareOperandBufferWithUser), or with `reshaped` of as many elements of as many
    bytes, as XLA's GPU compiler has it in fusions (FusionCanShareBufferHint).
    """

    def __init__(self, *, reshaped: bool = False) -> None:
        self._reshaped = reshaped
        self._operands: dict[Instruction, dict[_Given, list[int]]] = {}
        self._elementwise: dict[Computation, set[Instruction]] = {}

    def __call__(self, user: Value, operand: Value) -> bool:
        instruction = user.definer
        opcode = instruction.opcode
        if opcode not in _REUSING:
            return False
        reshaped = self._reshaped and opcode == "fusion"
        if operand.shape != user.shape and not (
            reshaped and (operand.shape.size, operand.shape.bytes) == (user.shape.size, user.shape.bytes)
        ):
            return False
        numbers = self._numbers(instruction, operand)
        if not numbers:
            return False
        if opcode == "fusion":
            callee = instruction.callee("calls")
            if callee is None or not self._uses_elementwise(callee.twin, numbers):
                return False
            return instruction.attribute("kind") in ("kLoop", "kInput")
        if opcode == "triangular-solve":
            return numbers == [1]
        if opcode == "sort":
            return numbers == [user.leaf] and len(operand.definer.computation.users[operand.definer]) == 1
        return True

    def _uses_elementwise(self, callee: Computation, numbers: Sequence[int]) -> bool:
        """Whether all that comes of these parameters of a fusion is computed element by element, or passed on."""
        passing = {"bitcast" if self._reshaped else "copy", "tuple"}
        if callee.opcodes <= _ELEMENTWISE | _TAKE_NOTHING | passing:
            return True
        found = self._elementwise.get(callee)
        if found is None:
            found = self._elementwise[callee] = _used_elementwise(callee, passing)
        return all(callee.parameters[number] in found for number in numbers)

    def _numbers(self, instruction: Instruction, value: Value) -> list[int]:
        """Which operands of an instruction are a value, be it through bitcasts and out of a tuple."""
        found = self._operands.get(instruction)
        if found is None:
            found = self._operands[instruction] = {}
            for number, operand in enumerate(instruction.operands):
                given = _through_bitcasts(operand)
                key: _Given = (given, None)
                if given.opcode == "get-tuple-element":
                    held = given.operands[0]
                    key = (held, leaf_span(held.shape, (int(given.attributes["index"]),))[0])
                found.setdefault(key, []).append(number)
        whole, element = (found.get((value.definer, leaf), []) for leaf in (None, value.leaf))
        return sorted(whole + element) if whole and element else whole or element


def _used_elementwise(callee: Computation, passing: Container[str]) -> set[Instruction]:
    """Those of a fusion's values of which all that comes is computed element by element, or passed on."""
    users = callee.users
    found: set[Instruction] = set()
    for value in reversed(callee.instructions):
        if all(
            user in found
            and (
                user.opcode in _ELEMENTWISE
                or user.opcode in passing
                or (user.opcode == "dynamic-update-slice" and user.operands[0] is value)
            )
            for user in users[value]
        ):
            found.add(value)
    return found
