"""Which instructions of a program compute one and the same value: the same operation on the same values."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence

from hlo_count.hlo.computation import Computation
from hlo_count.hlo.depth import Task, finished
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import ELEMENTWISE, INLINED, NAMES, VARYING
from hlo_count.visitors.walk import Walk

_SAME = NAMES | {"copy"}
"""Opcodes whose value is that of operand 0."""
_STRUCTURE = frozenset("parameter tuple get-tuple-element fusion call".split())


class Values:
    """Numbers for the values of a module, through fusions and calls.

    A computation with one caller takes the caller's values; one with several, and the body of a loop, take what they
    are given as values of their own. `content` says what an instruction does to its operands.
    """

    def __init__(self, walk: Walk, content: Callable[[Instruction], Hashable]) -> None:
        self._content = content
        self._keys: dict[Hashable, int] = {}
        self._parts: dict[int, list[int]] = {}
        self._applied: dict[Computation, int] = {}
        self._numbers: dict[Instruction, int] = {}
        running = list(dict.fromkeys(computation for computation, _ in walk.runs))
        edges = (edge for computation in running for _, edges in walk.edges(computation) for edge in edges)
        self._sites = Counter(edge.callee for edge in edges)
        done: set[Computation] = set()
        for computation in running:
            if computation not in done:
                finished(self._number(computation, None, done))
        classes: dict[int, list[Instruction]] = defaultdict(list)
        for computation in running:
            for instruction in computation.instructions:
                if instruction.opcode not in _STRUCTURE and instruction.opcode not in _SAME:
                    classes[self._numbers[instruction]].append(instruction)
        self._repeated = {number: found for number, found in classes.items() if len(found) > 1}

    def alike(self, instruction: Instruction) -> list[Instruction]:
        """All that compute its value, itself included, in the order of the walk; [] where nothing else does."""
        return self._repeated.get(self._numbers.get(instruction, -1), [])

    def _number(self, computation: Computation, given: Sequence[int] | None, done: set[Computation]) -> Task[int]:
        """Number its instructions; the number of its root. `given` are those of its parameters, where one knows."""
        done.add(computation)
        numbers = self._numbers
        for instruction in computation.instructions:
            opcode = instruction.opcode
            if opcode == "parameter":
                at = int(instruction.operand_text)
                known = given is not None and at < len(given)
                found = given[at] if known else self._intern((opcode, computation, at))  # type: ignore[index]
            else:
                operands = [numbers[operand] for operand in instruction.operands]
                found = self._of(instruction, opcode, operands)
                if found is None:
                    found = yield from self._calling(instruction, opcode, operands, done)
            numbers[instruction] = found
        return numbers[computation.root]

    def _of(self, instruction: Instruction, opcode: str, operands: list[int]) -> int | None:
        """The number of what follows from the operands alone; None where it calls or applies a computation."""
        if opcode == "tuple":
            found = self._intern((opcode, tuple(operands)))
            self._parts[found] = operands
            return found
        if opcode == "get-tuple-element":
            at, parts = int(instruction.attribute("index") or 0), self._parts.get(operands[0], [])
            return parts[at] if at < len(parts) else self._intern((opcode, operands[0], at))
        if opcode in _SAME and operands:
            return operands[0]
        if opcode in VARYING or opcode in ("while", "conditional"):
            return self._intern((opcode, instruction))
        if opcode in INLINED or (opcode not in ELEMENTWISE and instruction.called):
            return None
        return self._intern((self._content(instruction), (), tuple(operands)))

    def _calling(self, instruction: Instruction, opcode: str, operands: list[int], done: set[Computation]) -> Task[int]:
        if opcode in INLINED:
            callee = instruction.callee("calls") or instruction.callee("to_apply")
            if callee is not None and self._sites[callee] == 1 and callee not in done:
                found: int = yield self._number(callee, operands, done)
                return found
            return self._intern((opcode, callee, tuple(operands)))
        applied = []
        for _, callee in instruction.called:
            applied.append((yield self._function(callee)))
        return self._intern((self._content(instruction), tuple(applied), tuple(operands)))

    def _function(self, computation: Computation) -> Task[int]:
        """A number for what a computation does that is applied to elements."""
        found = self._applied.get(computation)
        if found is None:
            given = [self._intern(("element", at)) for at in range(len(computation.parameters))]
            found = self._applied[computation] = yield self._number(computation, given, set())
        return found

    def _intern(self, key: Hashable) -> int:
        return self._keys.setdefault(key, len(self._keys))
