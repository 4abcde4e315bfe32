"""The line of source behind each instruction, also behind those that the compiler made and gave no place."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from itertools import islice

from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module

_NEAR = 16
"""How many neighbours are looked at: a tuple may hold ten thousand values."""


class Places:
    """`file:line` by instruction, "" where nothing near it has one.

    Its own; that of what it holds, of a fusion its root's, else that of its largest value; that of what it is made from
    (a convert of a dot belongs to the dot), else of what wants it; inside a fusion, that of the fusion.
    """

    def __init__(self, module: Module) -> None:
        self._module = module
        self._found: dict[Instruction, str] = {}
        self._inside: dict[Instruction, str] = {}

    def of(self, instruction: Instruction) -> str:
        found = self._found.get(instruction)
        if found is None:
            found = self._found[instruction] = self._stated(instruction) or self._inferred(instruction)
        return found

    def _stated(self, instruction: Instruction) -> str:
        """Its own, or that of what it holds."""
        own = instruction.metadata.source
        if own or instruction.opcode != "fusion":
            return own
        found = self._inside.get(instruction)
        if found is None:
            callee = instruction.callee("calls")
            found = ""
            if callee is not None:
                placed = [i for i in callee.instructions if i.metadata.source]
                largest = max(placed, key=lambda i: (i.is_root, i.shape.bytes), default=None)
                found = largest.metadata.source if largest is not None else ""
            self._inside[instruction] = found
        return found

    def _inferred(self, instruction: Instruction) -> str:
        if instruction.opcode in ("parameter", "constant"):
            return ""
        users = instruction.computation.users
        caller = self._callers.get(instruction.computation.name)
        return (
            self._nearest(instruction.operands, lambda i: i.operands)
            or self._nearest(users[instruction], lambda i: users[i])
            or (self.of(caller) if caller is not None else "")
        )

    def _nearest(self, first: Iterable[Instruction], further: Callable[[Instruction], Iterable[Instruction]]) -> str:
        work = list(islice(first, _NEAR))
        for current in work:
            found = self._stated(current)
            if found:
                return found
            work += islice(further(current), _NEAR - len(work))
        return ""

    @cached_property
    def _callers(self) -> dict[str, Instruction]:
        """The fusion that runs a computation, by its name."""
        fusions = (i for i in self._module.instructions() if i.opcode == "fusion")
        return {callee.name: i for i in fusions if (callee := i.callee("calls")) is not None}
