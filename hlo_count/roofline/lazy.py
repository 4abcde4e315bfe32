"""What must be computed of each instruction inside a fusion, however the fusion is evaluated.

A compiler evaluates the elements of a fused computation when something asks for them: what a slice does
not take is never computed, an operation on a broadcast value is done once for all its copies, and of a
select only the side that was chosen. `shares` gives the fraction of each instruction's elements that is
left after all of this; a bound multiplies counts by it. Where nothing is known the share is 0, so that a
bound stays a bound.
"""

from __future__ import annotations

from math import prod

from hlo_count.hlo.attributes import parse_window
from hlo_count.hlo.computation import Computation
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import ELEMENTWISE_BINARY, ELEMENTWISE_TERNARY, ELEMENTWISE_UNARY

_ELEMENTWISE = ELEMENTWISE_UNARY | ELEMENTWISE_BINARY | ELEMENTWISE_TERNARY
_ALL_FOR_ALL = frozenset(
    "bitcast bitcast-convert broadcast copy reduce reshape reverse transpose tuple get-tuple-element dot scaled-dot "
    "all-reduce all-gather reduce-scatter all-to-all collective-permute real imag complex".split()
)
"""Opcodes of which a share of the result needs at least the same share of each operand."""
_WINDOWED = frozenset(("reduce-window", "convolution"))


def shares(computation: Computation) -> dict[Instruction, float]:
    """The fraction, 0 to 1, of each instruction's elements that every evaluation of the root must compute."""
    needed = _needed(computation)
    varying: dict[Instruction, frozenset[int]] = {}
    found: dict[Instruction, float] = {}
    for instruction in computation.instructions:
        varying[instruction] = _varying(instruction, varying)
        asked = instruction.operands[0] if instruction.opcode == "reduce" else instruction
        found[instruction] = needed[instruction] * _distinct(asked, varying[asked])
    return found


def _distinct(instruction: Instruction, varying: frozenset[int]) -> float:
    """The fraction of an array's elements that are not copies of others by construction."""
    if not instruction.shape.is_array or not instruction.shape.size:
        return 1.0
    dimensions = instruction.shape.dimensions
    return prod(dimensions[d] for d in varying) / instruction.shape.size


def _varying(instruction: Instruction, known: dict[Instruction, frozenset[int]]) -> frozenset[int]:
    """The dimensions along which its elements may differ."""
    opcode, shape = instruction.opcode, instruction.shape
    everything = frozenset(range(shape.rank)) if shape.is_array else frozenset[int]()
    if opcode == "iota":
        return frozenset(instruction.dims("iota_dimension"))
    if opcode == "broadcast":
        targets = instruction.dims("dimensions")
        return frozenset(targets[d] for d in known[instruction.operands[0]])
    if opcode == "transpose":
        source = known[instruction.operands[0]]
        return frozenset(n for n, d in enumerate(instruction.dims("dimensions")) if d in source)
    if opcode in _ELEMENTWISE:
        return frozenset[int]().union(*(known[operand] for operand in instruction.operands))
    if opcode in ("bitcast", "reshape") and instruction.operands[0].shape.is_array:
        operand = instruction.operands[0]
        return everything if len(known[operand]) == operand.shape.rank else frozenset()
    return everything


def _needed(computation: Computation) -> dict[Instruction, float]:
    """The fraction of each instruction's elements that its users ask for, at least."""
    needed = dict.fromkeys(computation.instructions, 0.0)
    needed[computation.root] = 1.0
    for user in reversed(computation.instructions):
        share = needed[user]
        if share:
            for operand, asked in zip(user.operands, _asked(user, share), strict=True):
                needed[operand] = max(needed[operand], asked)
    return needed


def _asked(user: Instruction, share: float) -> list[float]:
    """What fraction of each operand it takes to compute `share` of an instruction's elements, at least."""
    opcode, operands = user.opcode, user.operands
    whole = 1.0 if share == 1 else 0.0
    if opcode == "select":
        return [share, 0.0, 0.0]
    if opcode in _ELEMENTWISE or opcode in _ALL_FOR_ALL:
        return [share] * len(operands)
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
            inner = _needed(callee)
            return [whole * inner[parameter] for parameter in callee.parameters]
    return [0.0] * len(operands)


def _covers(instruction: Instruction) -> bool:
    """Whether the windows of an instruction leave no element of its input out."""
    windows = parse_window(instruction.attribute("window"))
    return all(
        w.padding_low >= 0 <= w.padding_high and w.stride == 1 and w.base_dilation == 1 and w.window_dilation == 1
        for w in windows
    )
