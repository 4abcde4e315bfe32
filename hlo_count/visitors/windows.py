"""What windows land on: (window element, output) pairs on real input, padding and holes are none; which input and
which window elements take part at all."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from math import prod

from hlo_count.hlo.attributes import WindowDimension, parse_window
from hlo_count.hlo.instruction import Instruction
from hlo_count.visitors.lattice import Term, solutions


@lru_cache(maxsize=1024)
def valid_pairs(size: int, taps: int, outputs: int, window: WindowDimension) -> tuple[int, bool, int]:
    """Over one dimension of `size` elements, a window of `taps` and `outputs` positions of it.

    Gives the pairs that land on a real element, whether every output has exactly one, and how many outputs have any.
    """
    if size < 1 or taps < 1 or outputs < 1:
        return 0, outputs < 1, 0
    pairs, landing = solutions(*_terms(size, taps, outputs, window), window.padding_low)
    return pairs, pairs == landing == outputs, landing


def _terms(size: int, taps: int, outputs: int, window: WindowDimension) -> tuple[Term, Term, Term]:
    """output · stride + tap · window dilation - element · base dilation = low padding where a tap meets an element."""
    return Term(window.stride, outputs), Term(window.window_dilation, taps), Term(-window.base_dilation, size)


def share_touched(instruction: Instruction, number: int) -> Fraction:
    """The part of the elements of an operand of a convolution, reduce-window or select-and-scatter that takes part:
    windows with strides leave holes, and some elements of a kernel may only ever land on padding."""
    operands, result = instruction.operands, instruction.shape
    if instruction.opcode == "convolution":
        lhs_labels, _, rest = instruction.attributes["dim_labels"].partition("_")
        rhs_labels, _, out_labels = rest.partition("->")
        lhs, rhs = operands[0].shape, operands[1].shape
        spatial = sorted(label for label in lhs_labels if label.isdigit())
        sizes = [lhs.dimensions[lhs_labels.index(label)] for label in spatial]
        taps = [rhs.dimensions[rhs_labels.index(label)] for label in spatial]
        outputs = [result.dimensions[out_labels.index(label)] for label in spatial]
    else:
        if instruction.opcode == "select-and-scatter" and number == 1:
            return Fraction(1)
        data = operands[0].shape
        positions = operands[1].shape if instruction.opcode == "select-and-scatter" else result
        sizes, outputs = list(data.dimensions), list((positions.leaves[0]).dimensions)
        taps = [window.size for window in parse_window(instruction.attribute("window"), data.rank)]
        if number >= (1 if instruction.opcode == "select-and-scatter" else len(operands) // 2):
            return Fraction(1)  # the value that a reduction starts with
    windows = parse_window(instruction.attribute("window"), len(sizes))
    if 0 in (*sizes, *taps):
        return Fraction(0)
    dimensions = [touched(*each) for each in zip(sizes, taps, outputs, windows, strict=True)]
    if instruction.opcode == "convolution" and number == 1:
        return prod((Fraction(of_taps, n) for (_, of_taps), n in zip(dimensions, taps, strict=True)), start=Fraction(1))
    return prod((Fraction(of_input, n) for (of_input, _), n in zip(dimensions, sizes, strict=True)), start=Fraction(1))


@lru_cache(maxsize=1024)
def touched(size: int, taps: int, outputs: int, window: WindowDimension) -> tuple[int, int]:
    """Over one dimension: how many real elements are under any window, and how many taps meet a real element."""
    output, tap, element = _terms(size, taps, outputs, window)
    low = window.padding_low
    return solutions(element, tap, output, low)[1], solutions(tap, element, output, low)[1]
