"""How often a reduce-window applies its body: windows that are reductions, running ones, and windows proper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from hlo_count.hlo.attributes import WindowDimension, parse_window
from hlo_count.hlo.instruction import Instruction
from hlo_count.visitors.windows import touched, valid_pairs


@dataclass(frozen=True, slots=True)
class WindowApplications:
    """Applications of a reduce-window's body, by what takes them."""

    reductions: int
    """Along dimensions that are reduced whole, once for each row that the others take."""
    windows: int
    """In the windows over what is left."""
    sizes: tuple[int, ...]
    """Sizes of these windows, where there are any."""

    @property
    def total(self) -> int:
        return self.reductions + self.windows


@dataclass(frozen=True, slots=True)
class _Dimension:
    size: int
    outputs: int
    window: WindowDimension

    @property
    def pairs(self) -> int:
        return valid_pairs(self.size, self.window.size, self.outputs, self.window)[0]

    @property
    def live(self) -> int:
        """Outputs with any element."""
        return valid_pairs(self.size, self.window.size, self.outputs, self.window)[2]

    @property
    def is_reduction(self) -> bool:
        """Whether the window holds the whole input for every output: one value, repeated."""
        return self.size > 0 < self.outputs and self.pairs == self.size * self.outputs

    @property
    def is_prefix(self) -> bool:
        """Whether each window is the one before and what follows it, from the first element on."""
        window = self.window
        starts = (self.outputs - 1) * window.stride - window.padding_low
        return window.window_dilation == 1 and self.live > 0 and starts <= 0

    @property
    def longest(self) -> int:
        """Elements of the last window, where it begins with the first element."""
        window = self.window
        end = (self.outputs - 1) * window.stride - window.padding_low + window.size - 1
        return min(self.size, end // window.base_dilation + 1)


def _dimensions(instruction: Instruction) -> list[_Dimension]:
    source, result = instruction.operands[0].shape, instruction.shape.first_leaf or instruction.shape
    windows = parse_window(instruction.attribute("window"), source.rank)
    return [_Dimension(*each) for each in zip(source.dimensions, result.dimensions, windows, strict=True)]


def reduced_dimensions(instruction: Instruction) -> frozenset[int]:
    """The dimensions along which a reduce-window gives one value for every output: it reduces them whole."""
    return frozenset(n for n, d in enumerate(_dimensions(instruction)) if d.is_reduction)


def shares_sums(instruction: Instruction) -> bool:
    """Whether windows overlap without being whole reductions, so that other ways take fewer applications."""
    return any(
        not d.is_reduction and d.pairs > touched(d.size, d.window.size, d.outputs, d.window)[0]
        for d in _dimensions(instruction)
    )


def window_applications(instruction: Instruction, *, running: bool = False) -> WindowApplications:
    """Reductions first, then the windows over the values they give.

    r whole dimensions of n elements together cost n - 1 for each element of the others that any window takes. No
    other order takes fewer: windows first repeat their applications n times. The outputs that repeat the value cost
    nothing. What is left costs the sum over its outputs of max(valid window elements - 1, 0). With `running`, a
    prefix window in the first of the dimensions left goes on from the output before it.
    """
    dimensions = _dimensions(instruction)
    if not all(d.size and d.outputs for d in dimensions):
        return WindowApplications(0, 0, ())
    whole = [d for d in dimensions if d.is_reduction]
    rest = [d for d in dimensions if not d.is_reduction]
    each = prod(d.size for d in whole) - 1
    taken = prod(touched(d.size, d.window.size, d.outputs, d.window)[0] for d in rest) if each else 0
    sizes = tuple(d.window.size for d in rest if d.window.size > 1)
    return WindowApplications(each * taken, (_running if running else _valid)(rest), sizes)


def _valid(dimensions: Sequence[_Dimension]) -> int:
    """Valid elements of an output are the product over dimensions, so the sum of products is a product of sums;
    outputs whose window lies in the padding, which apply nothing, are put back."""
    return prod(d.pairs for d in dimensions) - prod(d.live for d in dimensions)


def _running(dimensions: Sequence[_Dimension]) -> int:
    """The same where an output takes over what the one before it has, if its own elements begin with those."""
    if not dimensions:
        return 0
    first, rest = dimensions[0], dimensions[1:]
    if first.window.size == 1:
        return first.live * _running(rest)
    if first.is_prefix:
        return (first.longest - 1) * prod(d.pairs for d in rest) + _running(rest)
    return _valid(dimensions)
