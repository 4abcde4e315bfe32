"""How TPU programs run, where it decides how long they take: what the compiler expects of a kernel, and else a rule for
what a kernel moves between VMEM and its vector registers.

The rule is libtpu's as far as it can be read off its `estimated_cycles`: a kernel takes what it moves over HBM, or
computes, and on top of that some cycles for each vector register (8 x 128 lanes of 32 bits) that it takes from VMEM or
puts there, and more for each that it rearranges. The three numbers were fitted, by the logarithm of the ratio, to the
kernels of 4000 cycles and more in every second of the programs that `benchmarks/estimated_cycles.py` reads, the first
among them; the benchmark shows how they do on the others.
"""

from __future__ import annotations

import re
from math import ceil, prod

from hlo_count.hlo.computation import Computation
from hlo_count.hlo.depth import post_order
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.shapes import Shape

LANES, SUBLANES = 128, 8
REGISTER_BYTES = 4 * LANES * SUBLANES

MOVED = 7.3
"""Cycles for a register between VMEM and the vector unit, in kernels of elementwise operations and reductions."""
MOVED_BESIDE_MATRIX = 1.9
"""The same beside a product on the matrix unit, whose loop has the vector unit wait less."""
REARRANGED = 4.5
"""Cycles more for a register that is summed over its lanes or sublanes, or whose elements change places."""
FILLED = 0.25
"""Cycles for a register that is filled with one number or with indices, or copied as it is. Estimates of such kernels
are this and 16 cycles where HBM has no part in them, and nothing for a launch."""

_NO_ESTIMATE = 2**63 - 1
"""What stands there where libtpu has none: the largest of its integers, on v7."""
_CYCLES = re.compile(r'"estimated_cycles":"?(\d+)')
_ADDED_UP = frozenset(["reduce"])
_SHIFTED = frozenset("pad slice concatenate".split())
_TRANSPOSED = frozenset("copy transpose".split())
_REARRANGING = _ADDED_UP | _SHIFTED | _TRANSPOSED


def compiler_cycles(kernel: Instruction) -> int | None:
    """The cycles that the TPU compiler expects one run to take, from its backend config; None where it says none."""
    found = _CYCLES.search(kernel.attribute_text)
    return int(found[1]) if found is not None and 0 < int(found[1]) < _NO_ESTIMATE else None


def way_of_running(kernel: Instruction) -> tuple[int | None, int, bool]:
    """What of a kernel's text decides how long it takes beside its costs."""
    return compiler_cycles(kernel), rearranged_registers(kernel), only_fills(kernel)


def vmem_cycles(kernel: Instruction, on_chip_bytes: float, *, is_matrix: bool) -> float:
    """Cycles of the vector unit for what a kernel has in VMEM, beside those of HBM and of its operations."""
    moved = on_chip_bytes / REGISTER_BYTES
    if only_fills(kernel):
        return FILLED * moved
    if is_matrix:
        return MOVED_BESIDE_MATRIX * moved
    return MOVED * moved + REARRANGED * rearranged_registers(kernel)


def only_fills(kernel: Instruction) -> bool:
    """Whether it writes one number, indices or what it reads, each register as it is."""
    if kernel.opcode == "copy":
        return not rearranged_registers(kernel)
    return kernel.opcode in ("broadcast", "iota")


def rearranged_registers(kernel: Instruction) -> int:
    """Registers of operands that reductions over lanes or sublanes take, and of results whose elements stand elsewhere
    in a register than those of the operand."""
    body = _fused(kernel)
    if body is None:
        return _rearranged(kernel)
    if body.opcodes.isdisjoint(_REARRANGING | {"fusion"}):
        return 0
    body = body.twin
    found: dict[Computation, int] = {}
    for computation in post_order(body, lambda each: filter(None, map(_fused, each.instructions))):
        inner = ((i, _fused(i)) for i in computation.instructions)
        found[computation] = sum(_rearranged(i) if fused is None else found[fused] for i, fused in inner)
    return found[body]


def _fused(i: Instruction) -> Computation | None:
    return i.callee("calls") if i.opcode == "fusion" else None


def _rearranged(i: Instruction) -> int:
    if i.opcode in _ADDED_UP:
        near = set(i.operands[0].shape.minor_to_major[:2])
        summed = near & set(i.dims("dimensions"))
        return sum(registers(operand.shape) for operand in i.operands[: len(i.operands) // 2]) if summed else 0
    if i.opcode in _SHIFTED:
        return registers(i.shape)
    if i.opcode in _TRANSPOSED and i.shape.is_array:
        source = i.operands[0].shape
        now = i.shape.minor_to_major[:2]
        before = now if i.opcode == "copy" else tuple(i.dims("dimensions")[d] for d in now)
        if before != source.minor_to_major[:2]:
            return max(registers(i.shape), registers(source))
    return 0


def registers(shape: Shape) -> int:
    """Vector registers that hold an array: its two minor dimensions padded to sublanes and lanes, whatever the type."""
    if not shape.is_array or not shape.rank:
        return 0
    sizes = [shape.dimensions[d] for d in shape.minor_to_major]
    if len(sizes) == 1:
        return ceil(sizes[0] / (LANES * SUBLANES))
    return ceil(sizes[0] / LANES) * ceil(sizes[1] / SUBLANES) * prod(sizes[2:])
