"""Where the dimensions of the operands of a product stand among those of its result and, after these, those that it
sums over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from hlo_count.hlo.attributes import parse_window
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.shapes import Shape

_DOT_DIMENSIONS = ("lhs_batch_dims", "rhs_batch_dims", "lhs_contracting_dims", "rhs_contracting_dims")


class MultiplicationSpace(NamedTuple):
    """A space of one multiplication an element: the dimensions of the result, then the contracted ones."""

    lhs: Mapping[int, int]
    """Dimensions of the space by those of the operand."""
    rhs: Mapping[int, int]
    sizes: tuple[int, ...]
    windowed: frozenset[int]
    """Dimensions of the result along which windows take other elements of the operands: they have no place there."""


def places(i: Instruction) -> MultiplicationSpace | None:
    """Of a dot, a convolution, or a library's product; None where it is another call, or its windows are grouped."""
    if i.opcode == "convolution":
        return _of_convolution(i)
    if i.opcode in ("dot", "scaled-dot"):
        return _of_dot(i, *(i.dims(name) for name in _DOT_DIMENSIONS))
    config = i.backend_config or {}
    numbers = config.get("gemm_backend_config", config).get("dot_dimension_numbers")
    if i.opcode != "custom-call" or not isinstance(numbers, dict):
        return None
    found = [
        tuple(int(d) for d in numbers.get(f"{side}_{kind}_dimensions", ()))
        for kind in ("batch", "contracting")
        for side in ("lhs", "rhs")
    ]
    return _of_dot(i, *found)


def product_shape(i: Instruction) -> Shape:
    """The shape of the product: a library's call gives its workspace beside it."""
    return i.shape if i.shape.is_array else i.shape.leaves[0]


def _of_dot(
    i: Instruction,
    lhs_batch: tuple[int, ...],
    rhs_batch: tuple[int, ...],
    lhs_contracted: tuple[int, ...],
    rhs_contracted: tuple[int, ...],
) -> MultiplicationSpace:
    """The result has the batch dimensions, the free ones of lhs and those of rhs."""
    lhs, rhs = i.operands[0].shape, i.operands[1].shape
    left = {d: n for n, d in enumerate(lhs_batch)}
    right = {d: n for n, d in enumerate(rhs_batch)}
    at = len(left)
    for d in _free(lhs.rank, lhs_batch, lhs_contracted):
        left[d] = at
        at += 1
    for d in _free(rhs.rank, rhs_batch, rhs_contracted):
        right[d] = at
        at += 1
    for n, (d, e) in enumerate(zip(lhs_contracted, rhs_contracted, strict=False)):
        left[d] = right[e] = at + n
    return _placed(i, left, right, frozenset())


def _free(rank: int, *taken: tuple[int, ...]) -> Iterator[int]:
    return (d for d in range(rank) if not any(d in dims for dims in taken))


def _of_convolution(i: Instruction) -> MultiplicationSpace | None:
    """Batch, features, and spatial dimensions whose window takes an element each."""
    grouped = i.attribute("feature_group_count") or i.attribute("batch_group_count")
    labels = i.attribute("dim_labels") or ""
    lhs, _, rest = labels.partition("_")
    rhs, _, out = rest.partition("->")
    if grouped or not out:
        return None
    contracted = len(out)
    left = {lhs.index("b"): out.index("b"), lhs.index("f"): contracted}
    right = {rhs.index("i"): contracted, rhs.index("o"): out.index("f")}
    windowed = set()
    windows = parse_window(i.attribute("window"), sum(label.isdigit() for label in out))
    for n, window in enumerate(windows):
        at, result = lhs.index(str(n)), out.index(str(n))
        if window.size == window.stride == 1 and i.operands[0].shape.dimensions[at] == i.shape.dimensions[result]:
            left[at] = result
        else:
            windowed.add(result)
    return _placed(i, left, right, frozenset(windowed))


def _placed(
    i: Instruction, left: dict[int, int], right: dict[int, int], windowed: frozenset[int]
) -> MultiplicationSpace:
    sizes = dict(enumerate(product_shape(i).dimensions))
    for operand, place in zip(i.operands, (left, right), strict=False):
        for d, at in place.items():
            sizes[at] = operand.shape.dimensions[d]
    return MultiplicationSpace(
        left, right, tuple(sizes.get(at, 1) for at in range(max(sizes, default=-1) + 1)), windowed
    )
