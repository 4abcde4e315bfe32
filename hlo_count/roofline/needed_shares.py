"""What must be computed of each instruction inside a fusion, however the fusion is evaluated.

A compiler evaluates the elements of a fused computation when something asks for them: what a slice does
not take is never computed, an operation on a broadcast value is done once for all its copies, and of a
select only the side that was chosen. `Shares` gives the fraction of each instruction's elements that is
left after all of this; a bound multiplies counts by it. Where nothing is known the share is 0, so that a
bound stays a bound.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod

from hlo_count.hlo.attributes import parse_window
from hlo_count.hlo.computation import Computation
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import ELEMENTWISE, WINDOWED
from hlo_count.visitors.window_reductions import reduced_dimensions

_ALL_FOR_ALL = frozenset(
    "bitcast bitcast-convert broadcast copy reduce reshape reverse transpose tuple get-tuple-element dot scaled-dot "
    "all-reduce all-gather reduce-scatter all-to-all collective-permute real imag complex".split()
)
_SAME_SHARE = (ELEMENTWISE | _ALL_FOR_ALL) - {"select"}
"""Opcodes of which a share of the result needs at least the same share of each operand."""
_WINDOWED = WINDOWED - {"select-and-scatter"}


class Shares:
    """The shares of the computations of a module, each worked out once."""

    def __init__(self) -> None:
        self._needed: dict[Computation, list[float]] = {}

    def of(self, computation: Computation) -> dict[Instruction, float]:
        """The fraction, 0 to 1, of each instruction's elements that every evaluation of the root must compute: of
        those that are not computed whole."""
        needed = self.needed(computation)
        varying: list[frozenset[int]] = []
        found: dict[Instruction, float] = {}
        for instruction, share in zip(computation.instructions, needed, strict=True):
            along = _varying(instruction, varying)
            varying.append(along)
            asked = instruction
            if instruction.opcode in ("reduce", "reduce-window"):
                asked = instruction.operands[0]
                along = varying[asked.index]
            if len(along) != len(asked.shape.dimensions):
                share *= _distinct(asked, along)
            if share != 1.0:
                found[instruction] = share
        return found

    def needed(self, computation: Computation) -> list[float]:
        """The fraction of each instruction's elements that its users ask for, at least."""
        needed = self._needed.get(computation)
        if needed is None:
            needed = self._needed[computation] = [0.0] * len(computation.instructions)
            needed[computation.root.index] = 1.0
            for user in reversed(computation.instructions):
                share = needed[user.index]
                if not share:
                    continue
                if user.opcode in _SAME_SHARE:
                    for operand in user.operands:
                        if needed[operand.index] < share:
                            needed[operand.index] = share
                    continue
                for operand, asked in zip(user.operands, self._asked(user, share), strict=True):
                    if needed[operand.index] < asked:
                        needed[operand.index] = asked
        return needed

    def _asked(self, user: Instruction, share: float) -> list[float]:
        """What fraction of each operand it takes to compute `share` of an instruction's elements, at least."""
        opcode, operands = user.opcode, user.operands
        whole = 1.0 if share == 1 else 0.0
        if opcode == "select":
            return [share, 0.0, 0.0]
        if opcode in ("slice", "dynamic-slice"):
            taken = share * user.shape.size / max(1, operands[0].shape.size)
            return [min(1.0, taken), *[share] * (len(operands) - 1)]
        if opcode == "concatenate":
            return [whole] * len(operands)
        if opcode == "pad":
            return [0.0 if "-" in (user.attribute("padding") or "-") else whole, 0.0]
        if opcode == "dynamic-update-slice":
            left = 1 - operands[1].shape.size / max(1, operands[0].shape.size)
            return [left * whole, whole, *[whole] * (len(operands) - 2)]
        if opcode in _WINDOWED:
            return [whole if _covers(user) else 0.0] * len(operands)
        if opcode == "fusion":
            callee = user.callee("calls")
            if callee is not None and len(callee.parameters) == len(operands):
                inner = self.needed(callee)
                return [whole * inner[parameter.index] for parameter in callee.parameters]
        return [0.0] * len(operands)


def _distinct(instruction: Instruction, varying: frozenset[int]) -> float:
    """The fraction of an array's elements that are not copies of others by construction."""
    shape = instruction.shape
    if not shape.is_array or not shape.size:
        return 1.0
    return prod(shape.dimensions[d] for d in varying) / shape.size


def _varying(instruction: Instruction, known: list[frozenset[int]]) -> frozenset[int]:
    """The dimensions along which its elements may differ; `known` those of what stands before it."""
    opcode, shape = instruction.opcode, instruction.shape
    if opcode in ELEMENTWISE:
        operands = instruction.operands
        found = known[operands[0].index]
        for operand in operands[1:]:
            other = known[operand.index]
            if other is not found and not other <= found:
                found |= other
        return found
    if opcode == "iota":
        return frozenset(instruction.dims("iota_dimension"))
    if opcode == "broadcast":
        source = known[instruction.operands[0].index]
        return frozenset([d for n, d in enumerate(instruction.dims("dimensions")) if n in source])
    if opcode == "transpose":
        source = known[instruction.operands[0].index]
        return frozenset([n for n, d in enumerate(instruction.dims("dimensions")) if d in source])
    if opcode == "reduce-window":
        return _all_dimensions(shape.rank) - reduced_dimensions(instruction) if shape.is_array else frozenset()
    if opcode in ("bitcast", "reshape") and instruction.operands[0].shape.is_array:
        operand = instruction.operands[0]
        if len(known[operand.index]) != operand.shape.rank:
            return frozenset()
    return _all_dimensions(shape.rank) if shape.is_array else frozenset()


@lru_cache(maxsize=1024)
def _all_dimensions(rank: int) -> frozenset[int]:
    return frozenset(range(rank))


def _covers(instruction: Instruction) -> bool:
    """Whether the windows of an instruction leave no element of its input out."""
    windows = parse_window(instruction.attribute("window"))
    return all(
        w.padding_low >= 0 <= w.padding_high and w.stride == 1 and w.base_dilation == 1 and w.window_dilation == 1
        for w in windows
    )
