"""What windows land on: (window element, output) pairs on real input, padding and holes are none; which input and
which window elements take part at all."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from math import gcd, prod

from hlo_count.hlo.attributes import WindowDimension, parse_window
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import having


@lru_cache(maxsize=1024)
def valid_pairs(size: int, taps: int, outputs: int, window: WindowDimension) -> tuple[int, bool, int]:
    """Over one dimension of `size` elements, a window of `taps` and `outputs` positions of it.

    Gives the pairs that land on a real element, whether every output has exactly one, and how many outputs have any.
    """
    if size < 1 or taps < 1 or outputs < 1:
        return 0, outputs < 1, 0
    if window.base_dilation == 1 and window.window_dilation <= size:
        pairs, landing = _without_holes(size, taps, outputs, window)
    else:
        pairs, landing = _tap_by_tap(size, taps, outputs, window)
    return pairs, pairs == landing == outputs, landing


def _without_holes(size: int, taps: int, outputs: int, window: WindowDimension) -> tuple[int, int]:
    """Pairs, and outputs with any, where the input has no holes and no two neighbouring taps can miss all of it."""
    stride, step, low = window.stride, window.window_dilation, window.padding_low

    def pairs_before(position: int) -> int:
        """Pairs that land before a position of the input: tap t does in the outputs below (position + low - t * step) /
        stride, of which there are between none and all."""
        most = position - 1 + low
        every = min(taps, max(0, (most - (outputs - 1) * stride) // step + 1))
        end = min(taps, most // step + 1)
        if end <= every:
            return every * outputs
        count = end - every
        return every * outputs + count + _sum_of_floors(count, stride, step, most - (end - 1) * step)

    first = max(0, -((taps * step - step - low) // stride))
    last = min(outputs - 1, (size - 1 + low) // stride)
    return pairs_before(size) - pairs_before(0), max(0, last - first + 1)


def _sum_of_floors(count: int, divisor: int, slope: int, offset: int) -> int:
    """The sum over n < count of floor((slope * n + offset) / divisor), in the steps of Euclid's algorithm."""
    total = 0
    while True:
        total += count * (count - 1) // 2 * (slope // divisor) + count * (offset // divisor)
        slope, offset = slope % divisor, offset % divisor
        highest = slope * count + offset
        if highest < divisor:
            return total
        count, offset, divisor, slope = highest // divisor, highest % divisor, slope, divisor


def _tap_by_tap(size: int, taps: int, outputs: int, window: WindowDimension) -> tuple[int, int]:
    """The same for any window."""
    pairs = 0
    by_residue: dict[int, list[range]] = {}
    for _, landing in _landings(size, taps, outputs, window):
        pairs += len(landing)
        by_residue.setdefault(landing.start % landing.step, []).append(landing)
    return pairs, sum(map(_union, by_residue.values()))


def _landings(size: int, taps: int, outputs: int, window: WindowDimension) -> Iterator[tuple[int, range]]:
    """For each tap that meets a real element: the outputs in which it does, every so many of a range."""
    stride, low, dilation = window.stride, window.padding_low, window.base_dilation
    common = gcd(stride, dilation)
    period = dilation // common
    inverse = pow(stride // common, -1, period) if period > 1 else 0
    for tap in range(taps):
        need = low - tap * window.window_dilation  # output * stride is at least this, and congruent to it
        if need % common:
            continue
        first = max(0, -(-need // stride))
        first += (need // common * inverse - first) % period
        last = min(outputs - 1, ((size - 1) * dilation + need) // stride)
        if first <= last:
            yield tap, range(first, last + 1, period)


def _union(ranges: list[range]) -> int:
    """How many numbers ranges of one step and one residue hold together."""
    total, end = 0, -1
    for each in sorted(ranges, key=lambda r: r.start):
        begin = max(each.start, end + each.step) if end >= 0 else each.start
        total += max(0, (each[-1] - begin) // each.step + 1)
        end = max(end, each[-1])
    return total


WINDOWED = having("window")


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
    stride, dilation, low = window.stride, window.base_dilation, window.padding_low
    meeting = 0
    under: dict[tuple[int, int], list[range]] = {}
    for tap, outputs_of_tap in _landings(size, taps, outputs, window):
        meeting += 1
        start = (outputs_of_tap[0] * stride + tap * window.window_dilation - low) // dilation
        step = outputs_of_tap.step * stride // dilation
        under.setdefault((step, start % step), []).append(range(start, start + len(outputs_of_tap) * step, step))
    return sum(map(_union, under.values())), meeting
