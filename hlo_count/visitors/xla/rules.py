"""What XLA says of each opcode that calls no other computation: the `Handle...` of its `HloCostAnalysis`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import prod

from hlo_count.hlo import Instruction
from hlo_count.hlo.attributes import parse_window
from hlo_count.hlo.opcodes import ELEMENTWISE, TRANSCENDENTAL
from hlo_count.visitors.xla.convolution import convolution_flops
from hlo_count.visitors.xla.float32 import f32, f32_of_int, int64
from hlo_count.visitors.xla.sizes import array_leaves, elements, leaf_sizes, shape_size, value_size


@dataclass(frozen=True, slots=True)
class XlaCost:
    """XLA's three figures, in FLOP, evaluations and bytes; each holds the value of a float32."""

    flops: float = 0.0
    transcendentals: float = 0.0
    bytes: float = 0.0


XlaRule = Callable[[Instruction], XlaCost]

NO_COST = XlaCost()
_TRANSCENDENTAL = TRANSCENDENTAL - {"exp2", "log2"}
CALL_MARKERS = frozenset(('"xla_call_marker_before"', '"xla_call_marker_after"'))


def default_bytes(instruction: Instruction) -> float:
    """Each leaf of the result, each operand as often as it is taken, a tuple as its table of pointers."""
    total = 0.0
    for size in leaf_sizes(instruction.shape):
        total = f32(total + f32_of_int(size))
    for operand in instruction.operands:
        total = f32(total + f32_of_int(value_size(operand)))
    return total


def _figures(flops: int, moved: float) -> XlaCost:
    return XlaCost(f32_of_int(int64(flops)), 0.0, moved)


def _moved(sizes: Iterable[int]) -> XlaCost:
    return XlaCost(0.0, 0.0, f32_of_int(int64(sum(sizes))))


def _nothing(i: Instruction) -> XlaCost:
    return NO_COST


def _movement(i: Instruction) -> XlaCost:
    return XlaCost(0.0, 0.0, default_bytes(i))


def _elementwise(i: Instruction) -> XlaCost:
    return XlaCost(f32_of_int(elements(i.shape)), 0.0, default_bytes(i))


def _transcendental(i: Instruction) -> XlaCost:
    return XlaCost(0.0, f32_of_int(elements(i.shape)), default_bytes(i))


def _slice(i: Instruction) -> XlaCost:
    return _moved((2 * value_size(i),))


def _dynamic_slice(i: Instruction) -> XlaCost:
    return _moved((2 * value_size(i), value_size(i.operands[1])))


def _dynamic_update_slice(i: Instruction) -> XlaCost:
    return _moved((2 * value_size(i.operands[1]), value_size(i.operands[2])))


def gather_bytes(i: Instruction) -> XlaCost:
    """2 · output + indices."""
    return _moved((2 * value_size(i), value_size(i.operands[1])))


def scatter_bytes(i: Instruction) -> float:
    """3 · updates + indices."""
    count = len(i.operands) // 2
    return _moved((*(3 * value_size(u) for u in i.operands[count + 1 :]), value_size(i.operands[count]))).bytes


def _tuple(i: Instruction) -> XlaCost:
    return _moved((value_size(i),))


def _transpose(i: Instruction) -> XlaCost:
    """Nothing moves where the permutation takes one layout into the other (`TransposeIsBitcast`)."""
    source, permutation = i.operands[0].shape, i.dims("dimensions")
    if source.dtype == i.shape.dtype:
        order = tuple(permutation[d] for d in i.shape.minor_to_major)
        if order == source.minor_to_major:
            return NO_COST
    return _movement(i)


def _dot(i: Instruction) -> XlaCost:
    """2 · output · contracted."""
    return _figures(2 * elements(i.shape) * _contracted(i), default_bytes(i))


def _contracted(i: Instruction) -> int:
    sizes = i.operands[0].shape.dimensions
    return prod(sizes[d] for d in i.dims("lhs_contracting_dims"))


def _ragged_dot(i: Instruction) -> XlaCost:
    """A dot whose result loses a dimension per group dimension: the first, then the second of the rest ..."""
    sizes = list(i.shape.dimensions)
    for n in range(len(i.dims("rhs_group_dims"))):
        del sizes[n]
    return _figures(2 * prod(sizes) * _contracted(i), default_bytes(i))


def _convolution(i: Instruction) -> XlaCost:
    return _figures(convolution_flops(i), default_bytes(i))


def _fft(i: Instruction) -> XlaCost:
    """8 · product of floor(log2 length) · elements of the input."""
    logs = prod(length.bit_length() - 1 for length in i.dims("fft_length"))
    source = i.operands[0].shape
    return _figures(8 * logs * elements(source.elements[0] if source.is_tuple else source), default_bytes(i))


def _sort(i: Instruction) -> XlaCost:
    """n · ceil(log2 n) over all elements of the first operand."""
    count = elements(i.operands[0].shape)
    return _figures(count * (count - 1).bit_length() if count else 0, default_bytes(i))


def _cholesky(i: Instruction) -> XlaCost:
    source = i.operands[0].shape
    return _figures(source.dimensions[-1] * elements(source) // 3, f32_of_int(shape_size(source)))


def _triangular_solve(i: Instruction) -> XlaCost:
    """2 · n · elements of b; half of the matrix is read."""
    a, b = i.operands[0].shape, i.operands[1].shape
    moved = f32_of_int(value_size(i))
    moved = f32(moved + f32_of_int(shape_size(a)) / 2)
    moved = f32(moved + f32_of_int(shape_size(b)))
    return _figures(2 * a.dimensions[-1] * elements(b), moved)


def _all_reduce(i: Instruction) -> XlaCost:
    """As if between two replicas: one addition per output element."""
    outputs = array_leaves(i.shape)
    moved = _moved((*map(shape_size, outputs), *(value_size(o) for o in i.operands)))
    return XlaCost(f32(sum(float(elements(output)) for output in outputs)), 0.0, moved.bytes)


def _rng(i: Instruction) -> XlaCost:
    return XlaCost(0.0, f32_of_int(sum(map(elements, array_leaves(i.shape)))), default_bytes(i))


def _infeed(i: Instruction) -> XlaCost:
    return _moved(leaf_sizes(i.shape))


def _outfeed(i: Instruction) -> XlaCost:
    total = 0.0
    for operand in i.operands:
        total = f32(total + f32_of_int(sum(leaf_sizes(operand.shape))))
    return XlaCost(0.0, 0.0, total)


def _custom_call(i: Instruction) -> XlaCost:
    """-1 stands for "unknown", and is summed like any other figure; markers around a call cost nothing."""
    return NO_COST if i.attributes.get("custom_call_target") in CALL_MARKERS else XlaCost(-1.0, 0.0, -1.0)


def applications(i: Instruction) -> int:
    """How often an instruction applies its `to_apply` to scalars."""
    first = i.operands[0].shape
    if i.opcode == "map":
        return elements(i.shape)
    if i.opcode == "scan":
        return elements(i.operands[1].shape)
    if i.opcode == "scatter":
        return elements(i.operands[len(i.operands) // 2 + 1].shape)
    if i.opcode == "reduce":
        return int64(elements(first) - elements(i.shape))
    return _window_applications(i)


def _window_applications(i: Instruction) -> int:
    """(window - 1) · output, but once per row for a window that spans its one dimension from every element.

    XLA takes the latter for a reduction followed by a broadcast.
    """
    windows = parse_window(i.attribute("window"))
    outputs = elements(i.shape)
    reduced = [w for w in windows if w.size != 1]
    padded = [n for n, w in enumerate(windows) if w.padding_low or w.padding_high]
    if len(reduced) == 1 and len(padded) == 1 and i.shape.is_array:
        window, size = windows[padded[0]], i.shape.dimensions[padded[0]]
        symmetric = window.padding_low == window.padding_high and window.size == 2 * window.padding_low + 1
        if window.size != 1 and symmetric and window.padding_low == size - 1:
            return outputs // size + size - 1
    return int64((prod(w.size for w in windows) - 1) * outputs)


def window_size(i: Instruction) -> int:
    return prod(w.size for w in parse_window(i.attribute("window")))


XLA_RULES: dict[str, XlaRule] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(_TRANSCENDENTAL, _transcendental),
    "copy": _movement,
    **dict.fromkeys(("parameter", "constant", "get-tuple-element", "bitcast", "after-all"), _nothing),
    **dict.fromkeys(("add-dependency", "domain"), _nothing),
    "tuple": _tuple,
    "transpose": _transpose,
    "slice": _slice,
    "dynamic-slice": _dynamic_slice,
    "dynamic-update-slice": _dynamic_update_slice,
    "gather": gather_bytes,
    "dot": _dot,
    "scaled-dot": _dot,
    "ragged-dot": _ragged_dot,
    "convolution": _convolution,
    "fft": _fft,
    "sort": _sort,
    "cholesky": _cholesky,
    "triangular-solve": _triangular_solve,
    "all-reduce": _all_reduce,
    "all-reduce-start": _all_reduce,
    "rng": _rng,
    "rng-bit-generator": _rng,
    "infeed": _infeed,
    "outfeed": _outfeed,
    "custom-call": _custom_call,
}
"""By opcode; what is not in it, and calls nothing, moves its operands and its result and computes nothing."""

BY_SHAPES = ELEMENTWISE | _TRANSCENDENTAL | {"copy"}
"""Opcodes of which nothing but shapes is asked."""


def cost_of(instruction: Instruction) -> XlaCost:
    return XLA_RULES.get(instruction.opcode, _movement)(instruction)
