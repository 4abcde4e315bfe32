"""The line of source and the scopes behind each instruction, also behind those that the compiler made and gave none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from itertools import islice
from operator import attrgetter

from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.metadata import NO_METADATA, Metadata
from hlo_count.hlo.module import Module
from hlo_count.hlo.opcodes import LEAVES, RUNNING
from hlo_count.hlo.parser import parse
from hlo_count.report.scopes import scope_path
from hlo_count.visitors.alike import Alike

NAMELESS = "(nameless)"
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


class Nearby:
    """By instruction the metadata that tell of it: its own, else what stands near it; `tells` says which do.

    Its own; that of what it holds, of a fusion its root's, else that of its largest value; that of what it is made from
    (a convert of a dot belongs to the dot), else of what wants it; inside a fusion or a loop, that of the caller.
    """

    def __init__(self, module: Module, tells: Callable[[Metadata], object]) -> None:
        self._module = module
        self.tells = tells
        self._found: dict[Instruction, Metadata] = {}
        self._inside: dict[Instruction, Metadata] = {}

    def metadata_of(self, instruction: Instruction | Alike) -> Metadata:
        """`NO_METADATA` where nothing near it tells."""
        if isinstance(instruction, Alike):
            own = instruction.metadata
            return own if self.tells(own) else self.metadata_of(instruction.instruction)
        found = self._found.get(instruction)
        if found is not None:
            return found
        asked: list[Instruction] = []
        here: Metadata | Instruction = instruction
        while isinstance(here, Instruction):
            asked.append(here)
            here = self._found.get(here) or self._told_of(here)
        self._found.update(dict.fromkeys(asked, here))
        return here

    def _told_of(self, instruction: Instruction) -> Metadata | Instruction:
        """What is told of it, or its caller, of which it is to be asked."""
        own = self._stated(instruction)
        return self._inferred(instruction) if own is NO_METADATA else own

    def _stated(self, instruction: Instruction) -> Metadata:
        """Its own, or that of what it holds."""
        own = instruction.metadata
        if self.tells(own):
            return own
        if instruction.opcode != "fusion":
            return NO_METADATA
        found = self._inside.get(instruction)
        if found is None:
            callee = instruction.callee("calls")
            found = NO_METADATA
            if callee is not None:
                placed = [i for i in callee.instructions if self.tells(i.metadata)]
                largest = max(placed, key=lambda i: (i.is_root, i.shape.bytes), default=None)
                found = largest.metadata if largest is not None else NO_METADATA
            self._inside[instruction] = found
        return found

    def _inferred(self, instruction: Instruction) -> Metadata | Instruction:
        if instruction.opcode in LEAVES:
            return NO_METADATA
        users = instruction.computation.users
        found = self._nearest(instruction.operands, lambda i: i.operands)
        if found is NO_METADATA:
            found = self._nearest(users[instruction], lambda i: users[i])
        caller = self._callers.get(instruction.computation.name)
        return caller if found is NO_METADATA and caller is not None else found

    def _nearest(
        self, first: Iterable[Instruction], further: Callable[[Instruction], Iterable[Instruction]]
    ) -> Metadata:
        work = list(islice(first, _NEAR))
        for current in work:
            found = self._stated(current)
            if found is not NO_METADATA:
                return found
            work += islice(further(current), _NEAR - len(work))
        return NO_METADATA

    @cached_property
    def _callers(self) -> dict[str, Instruction]:
        """The fusion, loop or call that runs a computation, by its name."""
        calling = (c for c in self._module.computations.values() if not c.opcodes.isdisjoint(RUNNING))
        callers = (i for c in calling for i in c.instructions if i.opcode in RUNNING)
        return {callee.name: i for i in callers for _, callee in i.called}


class Places(Nearby):
    """`file:line` by instruction, "" where nothing near it has one."""

    def __init__(self, module: Module, lost: Mapping[str, str] | None = None) -> None:
        super().__init__(module, attrgetter("source_file"))
        self._lost = lost or {}
        self._calls: dict[int, tuple[str, ...]] = {}
        """By stack_frame_id."""

    def of(self, instruction: Instruction | Alike) -> str:
        return self.metadata_of(instruction).source

    def function(self, instruction: Instruction | Alike) -> str:
        """The qualified name of the user's function that its line stands in, "" where the text does not tell."""
        tables = self._module.source_tables
        frame = tables.own(self.metadata_of(instruction).frame)
        return tables.frames[frame][2] if frame in tables.frames else ""

    def calls(self, instruction: Instruction | Alike) -> tuple[str, ...]:
        """The qualified names of all functions on its stack, from the outermost inward, one after itself once."""
        frame = self.metadata_of(instruction).frame
        found = self._calls.get(frame)
        if found is None:
            names = [call.function or NAMELESS for call in reversed(self._module.source_tables.stack(frame))]
            found = self._calls[frame] = tuple(name for n, name in enumerate(names) if names[n - 1 : n] != [name])
        return found

    def _inferred(self, instruction: Instruction) -> Metadata | Instruction:
        if not (self._lost and _is_ragged_dot(instruction)):
            return super()._inferred(instruction)
        file, _, line = self._of_ragged_dot(instruction).rpartition(":")
        return Metadata(source_file=file, source_line=int(line)) if file else NO_METADATA

    def _of_ragged_dot(self, instruction: Instruction) -> str:
        """The line of its op_name; without one that of all ragged dots of the program, "" where they have several."""
        scope = instruction.metadata.op_name.rpartition("/")[0]
        lines = set(self._lost.values())
        return self._lost.get(scope) or (lines.pop() if len(lines) == 1 else "")


class Scopes(Nearby):
    """The user's scopes by instruction, from the outermost inward; none where nothing near it has one."""

    def __init__(self, module: Module) -> None:
        self._paths = _Paths()
        super().__init__(module, lambda metadata: self._paths[metadata.op_name])

    def of(self, instruction: Instruction | Alike) -> tuple[str, ...]:
        return self._paths[self.metadata_of(instruction).op_name]


class _Paths(dict[str, tuple[str, ...]]):
    """Scopes by op_name, each read once."""

    def __missing__(self, op_name: str) -> tuple[str, ...]:
        found = self[op_name] = scope_path(op_name)
        return found
