"""The line of source behind each instruction, also behind those that the compiler made and gave no place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from itertools import islice

from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.hlo.parser import parse
from hlo_count.visitors.alike import Alike

_NEAR = 16
"""How many neighbours are looked at: a tuple may hold ten thousand values."""


def lost_lines(module: Module, unoptimized: Callable[[], str] | None) -> dict[str, str]:
    """The lines of ragged dots by op_name, out of the unoptimized text, where the compiler put kernels in their place.

    TPU's XLA gives its kernels no line. An op_name that stands on several lines has none here either.
    """
    if unoptimized is None or _KERNEL not in module.text:
        return {}
    found: dict[str, set[str]] = {}
    for instruction in parse(unoptimized()).instructions():
        if instruction.opcode == "ragged-dot" and instruction.metadata.source:
            found.setdefault(instruction.metadata.op_name, set()).add(instruction.metadata.source)
    return {name: lines.pop() if len(lines) == 1 else "" for name, lines in found.items()}


_KERNEL = "ragged_dot_tiling"


def _is_ragged_dot(instruction: Instruction) -> bool:
    """A kernel that the TPU compiler put for a ragged dot, or the dense product that it makes of a gradient's.

    The second is a convolution that bears no op_name, at top level or in a fusion. That no other is without one was
    seen, not promised: it is asked only in programs that hold such a kernel.
    """
    if instruction.opcode == "custom-call":
        return _KERNEL in (instruction.attribute("frontend_attributes") or "")
    callee = instruction.callee("calls") if instruction.opcode == "fusion" else None
    held = [instruction] if callee is None else callee.instructions
    return any(each.opcode == "convolution" and not each.metadata.op_name for each in held)


class Places:
    """`file:line` by instruction, "" where nothing near it has one.

    Its own; that of what it holds, of a fusion its root's, else that of its largest value; that of what it is made from
    (a convert of a dot belongs to the dot), else of what wants it; inside a fusion, that of the fusion.
    """

    def __init__(self, module: Module, lost: Mapping[str, str] | None = None) -> None:
        self._module = module
        self._lost = lost or {}
        self._found: dict[Instruction, str] = {}
        self._inside: dict[Instruction, str] = {}

    def of(self, instruction: Instruction | Alike) -> str:
        if isinstance(instruction, Alike):
            return instruction.metadata.source or self.of(instruction.instruction)
        found = self._found.get(instruction)
        if found is None:
            found = self._stated(instruction)
            if not found and self._lost and _is_ragged_dot(instruction):
                found = self._of_ragged_dot(instruction)
            elif not found:
                found = self._inferred(instruction)
            self._found[instruction] = found
        return found

    def _of_ragged_dot(self, instruction: Instruction) -> str:
        """The line of its op_name; without one that of all ragged dots of the program, "" where they have several."""
        scope = instruction.metadata.op_name.rpartition("/")[0]
        lines = set(self._lost.values())
        return self._lost.get(scope) or (lines.pop() if len(lines) == 1 else "")

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
        calling = (c for c in self._module.computations.values() if "fusion" in c.opcodes)
        fusions = (i for c in calling for i in c.instructions if i.opcode == "fusion")
        return {callee.name: i for i in fusions if (callee := i.callee("calls")) is not None}
