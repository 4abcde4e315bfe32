"""Random numbers."""

from __future__ import annotations

from hlo_count.hlo.instruction import Instruction
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.formulas.reading import result
from hlo_count.visitors.registry import custom_call

_PER_PAIR = 2 + 2 + 20 * 5 + 5 * 3
"""Threefry-2x32 with 20 rounds (Salmon et al. 2011): the third key word (2 xors), the first keys (2 adds), in
each round an add, a rotation (2 shifts and an or) and an xor, and 5 injections of keys (2 adds, and 1 of the
round's number)."""


@custom_call(*(f"{vendor}_threefry2x32{suffix}" for vendor in ("cu", "hip") for suffix in ("", "_ffi")))
def threefry(instruction: Instruction) -> Cost:
    """119 integer operations for each pair of 32-bit words, as JAX's own implementation writes them out."""
    words = result(instruction)
    return Cost.ops("int_ops", _PER_PAIR * words.size, "integer", words.dtype)
