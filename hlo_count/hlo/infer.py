"""Shapes of results that the text leaves out, from the operands: what XLA's shape inference would say.

Hand-written HLO may omit them. Texts that XLA prints never do, except that a `tuple`, a `send`, a `recv` and some
others always have the shape that their operands give, whatever the text says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from hlo_count.errors import HloCountError
from hlo_count.hlo.attributes import WindowDimension, parse_window
from hlo_count.hlo.dtypes import DTYPES
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.hlo.opcodes import ELEMENTWISE_BINARY, ELEMENTWISE_TERNARY, ELEMENTWISE_UNARY
from hlo_count.hlo.shapes import Layout, Shape, array, tuple_of

_RECOMPUTED = frozenset(("tuple", "send", "send-done", "recv", "recv-done", "infeed", "outfeed", "add-dependency"))
_TOKEN = Shape("token")
_U32 = array("u32", ())


def settle_shapes(module: Module) -> None:
    """Give every instruction its shape. Raises HloCountError where the operands do not settle it."""
    for computation in module.computations.values():
        if computation.is_printed and computation.opcodes.isdisjoint(_RECOMPUTED):
            continue
        for instruction in computation.instructions:
            if instruction.shape is None or instruction.opcode in _RECOMPUTED:
                _settle(instruction)


def _settle(instruction: Instruction) -> None:
    for operand in instruction.operands:
        if operand.shape is None:
            _settle(operand)
    rule = _RULES.get(instruction.opcode)
    if rule is None:
        raise HloCountError(
            f"{instruction.place}: {instruction.name} has no "
            f"shape, and that of a {instruction.opcode} does not follow from its operands; write it out"
        )
    try:
        shape = rule(instruction)
    except (KeyError, IndexError, ValueError) as problem:
        raise HloCountError(
            f"{instruction.place}: the shape of "
            f"{instruction.name} does not follow from its operands ({problem}); write it out"
        ) from problem
    instruction.shape = shape


def _elementwise(i: Instruction) -> Shape:
    """The widest operand: scalars and missing layouts give way. Dynamic dimensions and `E(n)` are kept.

    A select is laid out as its predicate is, unless that is a scalar.
    """
    shapes = [operand.shape for operand in i.operands]
    shape = shapes[1] if i.opcode in ("select", "clamp") else shapes[0]
    if i.opcode == "select" and shapes[0].rank and shapes[0].minor_to_major != shape.minor_to_major:
        shape = shape.with_layout(shapes[0].minor_to_major)
    best = next(s for s in (shape, *shapes) if s.rank == max(s.rank for s in shapes))
    dynamic = tuple(any(s.dynamic[d] for s in shapes if s.rank == best.rank and s.dynamic) for d in range(best.rank))
    return replace(best, dtype=shape.dtype, dynamic=dynamic if any(dynamic) else ())


def _with_dtype(dtype: str) -> Callable[[Instruction], Shape]:
    return lambda i: _retyped(_elementwise(i), dtype)


def _retyped(shape: Shape, dtype: str) -> Shape:
    """The same array of another element type; an `E(n)` belongs to the old one."""
    layout = shape.layout
    if layout is not None and layout.element_bits and DTYPES[dtype].bits >= 8:
        layout = shape.with_layout(layout.minor_to_major).layout
        layout = replace(layout, element_bits=None, text="") if layout else None
    return replace(shape, dtype=dtype, layout=layout)


def _same(i: Instruction) -> Shape:
    return i.operands[0].shape


def _complex(i: Instruction) -> Shape:
    return _retyped(_elementwise(i), "c128" if i.operands[0].shape.dtype == "f64" else "c64")


def _real(i: Instruction) -> Shape:
    shape = i.operands[0].shape
    return _retyped(shape, shape.element_type.real)


def _tuple(i: Instruction) -> Shape:
    return tuple_of(tuple(operand.shape for operand in i.operands))


def _element(i: Instruction) -> Shape:
    return i.operands[0].shape.elements[int(i.attributes["index"])]


def _callee_root(role: str) -> Callable[[Instruction], Shape]:
    def rule(i: Instruction) -> Shape:
        callee = i.callee(role)
        if callee is None:
            raise HloCountError(f"{i.name} names no {role}")
        if callee.root.shape is None:
            _settle(callee.root)
        return callee.root.shape

    return rule


def _conditional(i: Instruction) -> Shape:
    callee = i.called[0][1]
    if callee.root.shape is None:
        _settle(callee.root)
    return callee.root.shape


def _broadcast(i: Instruction) -> Shape:
    sizes = i.dims("dimensions")
    shape = i.operands[0].shape
    dynamic = ((False,) * len(sizes) + shape.dynamic) if shape.dynamic else ()
    return array(shape.dtype, (*sizes, *shape.dimensions), dynamic)


def _concatenate(i: Instruction) -> Shape:
    (axis,) = i.dims("dimensions")
    shapes = [operand.shape for operand in i.operands]
    dimensions = list(shapes[0].dimensions)
    dimensions[axis] = sum(s.dimensions[axis] for s in shapes)
    dynamic = tuple(any(s.dynamic[d] for s in shapes if s.dynamic) for d in range(len(dimensions)))
    return array(shapes[0].dtype, tuple(dimensions), dynamic)


def _transpose(i: Instruction) -> Shape:
    permutation = i.dims("dimensions")
    shape = i.operands[0].shape
    dimensions = tuple(shape.dimensions[d] for d in permutation)
    dynamic = tuple(shape.dynamic[d] for d in permutation) if shape.dynamic else ()
    result = replace(shape, dimensions=dimensions, dynamic=dynamic, layout=None)
    if shape.layout is None and not shape.rank:
        return result
    # The layout is permuted too: a transpose that leaves its shape out moves nothing.
    inverse = {d: n for n, d in enumerate(permutation)}
    old = shape.layout or Layout(shape.minor_to_major)
    bare = replace(result, layout=old)
    return bare.with_layout(tuple(inverse[d] for d in shape.minor_to_major))


def _pad(i: Instruction) -> Shape:
    shape = i.operands[0].shape
    config = i.attribute("padding") or ""
    pads = [tuple(map(int, part.split("_"))) for part in config.split("x")] if config else []
    sizes = []
    for size, pad in zip(shape.dimensions, pads, strict=True):
        low, high, interior = (*pad, 0)[:3]
        sizes.append(size + low + high + interior * max(0, size - 1))
    return array(shape.dtype, tuple(sizes), shape.dynamic)


def _dot(i: Instruction) -> Shape:
    lhs, rhs = i.operands[0].shape, i.operands[1].shape
    lhs_out = set(range(lhs.rank)) - set(i.dims("lhs_contracting_dims")) - set(i.dims("lhs_batch_dims"))
    rhs_out = set(range(rhs.rank)) - set(i.dims("rhs_contracting_dims")) - set(i.dims("rhs_batch_dims"))
    left = _taken(lhs, [*i.dims("lhs_batch_dims"), *sorted(lhs_out)])
    right = _taken(rhs, sorted(rhs_out))
    dynamic = (left.dynamic or (False,) * left.rank) + (right.dynamic or (False,) * right.rank)
    return array(_wider(lhs.dtype, rhs.dtype), left.dimensions + right.dimensions, dynamic)


def _taken(shape: Shape, kept: Sequence[int], dtype: str = "") -> Shape:
    """Some dimensions of an array, in that order."""
    dynamic = tuple(shape.dynamic[d] for d in kept) if shape.dynamic else ()
    return array(dtype or shape.dtype, tuple(shape.dimensions[d] for d in kept), dynamic)


def _ragged_dot(i: Instruction) -> Shape:
    lhs, rhs, groups = (i.operands[n].shape for n in range(3))
    dot = _dot(i)
    ragged = i.dims("lhs_ragged_dims")
    if not ragged or ragged[0] in i.dims("lhs_contracting_dims"):
        return array(dot.dtype, (groups.dimensions[-1], *dot.dimensions))
    # A group dimension of the right side is no dimension of the result: each row meets one group.
    group = i.dims("rhs_group_dims")
    skipped = set(i.dims("rhs_contracting_dims")) | set(i.dims("rhs_batch_dims")) | set(group)
    batch = [lhs.dimensions[d] for d in i.dims("lhs_batch_dims")]
    rows = [
        n
        for d, n in enumerate(lhs.dimensions)
        if d not in i.dims("lhs_batch_dims") and d not in i.dims("lhs_contracting_dims")
    ]
    return array(dot.dtype, (*batch, *rows, *(n for d, n in enumerate(rhs.dimensions) if d not in skipped)))


def _wider(one: str, other: str) -> str:
    return one if DTYPES[one].bits >= DTYPES[other].bits else other


def _window_size(size: int, window: WindowDimension) -> int:
    dilated = (size - 1) * window.base_dilation + 1 if size > 0 else 0
    padded = dilated + window.padding_low + window.padding_high
    reach = (window.size - 1) * window.window_dilation + 1
    return (padded - reach) // window.stride + 1 if padded >= reach else 0


def _convolution(i: Instruction) -> Shape:
    lhs, rhs = i.operands[0].shape, i.operands[1].shape
    lhs_labels, _, rest = i.attributes["dim_labels"].partition("_")
    rhs_labels, _, out_labels = rest.partition("->")
    spatial = sorted(label for label in out_labels if label.isdigit())
    windows = parse_window(i.attribute("window"), len(spatial))
    sizes = {
        "b": lhs.dimensions[lhs_labels.index("b")] // int(i.attribute("batch_group_count") or 1),
        "f": rhs.dimensions[rhs_labels.index("o")],
    }
    for label, window in zip(spatial, windows, strict=True):
        sizes[label] = _window_size(lhs.dimensions[lhs_labels.index(label)], window)
    return array(_wider(lhs.dtype, rhs.dtype), tuple(sizes[label] for label in out_labels))


def _reduce(i: Instruction) -> Shape:
    half = len(i.operands) // 2
    kept = [d for d in range(i.operands[0].shape.rank) if d not in i.dims("dimensions")]
    shapes = tuple(
        _taken(operand.shape, kept, init.shape.dtype)
        for operand, init in zip(i.operands[:half], i.operands[half:], strict=True)
    )
    return shapes[0] if half == 1 else tuple_of(shapes)


def _reduce_window(i: Instruction) -> Shape:
    half = len(i.operands) // 2
    shapes = []
    for operand, init in zip(i.operands[:half], i.operands[half:], strict=True):
        windows = parse_window(i.attribute("window"), operand.shape.rank)
        sizes = tuple(_window_size(n, w) for n, w in zip(operand.shape.dimensions, windows, strict=True))
        shapes.append(array(init.shape.dtype, sizes))
    return shapes[0] if half == 1 else tuple_of(tuple(shapes))


def _gather(i: Instruction) -> Shape:
    operand, indices = i.operands[0].shape, i.operands[1].shape
    vector = int(i.attributes["index_vector_dim"])
    batch = [n for d, n in enumerate(indices.dimensions) if d != vector]
    dropped = set(i.dims("collapsed_slice_dims")) | set(i.dims("operand_batching_dims"))
    window = [n for d, n in enumerate(i.dims("slice_sizes")) if d not in dropped]
    offsets = i.dims("offset_dims")
    rank = len(batch) + len(window)
    if len(set(offsets) & set(range(rank))) != len(window):
        raise ValueError(f"{len(window)} window dimensions, but offset_dims {offsets}")
    windows, batches = iter(window), iter(batch)
    return array(operand.dtype, tuple(next(windows) if d in offsets else next(batches) for d in range(rank)))


def _scatter(i: Instruction) -> Shape:
    operands = i.operands[: len(i.operands) // 2]
    return operands[0].shape if len(operands) == 1 else tuple_of(tuple(o.shape for o in operands))


def _sort(i: Instruction) -> Shape:
    return _same(i) if len(i.operands) == 1 else _tuple(i)


def _map(i: Instruction) -> Shape:
    callee = i.callee("to_apply")
    if callee is None:
        raise HloCountError(f"{i.name} names no to_apply")
    shape = i.operands[0].shape
    return array(callee.root.shape.dtype, shape.dimensions, shape.dynamic)


def _fft(i: Instruction) -> Shape:
    shape = i.operands[0].shape
    kind, lengths = i.attributes["fft_type"], i.dims("fft_length")
    if kind == "RFFT":
        dtype = "c128" if shape.dtype == "f64" else "c64"
        return array(dtype, (*shape.dimensions[:-1], lengths[-1] // 2 + 1))
    if kind == "IRFFT":
        return array(shape.element_type.real, (*shape.dimensions[:-1], lengths[-1]))
    return shape


def _topk(i: Instruction) -> Shape:
    shape = i.operands[0].shape
    dimensions = (*shape.dimensions[:-1], int(i.attributes["k"]))
    return tuple_of((array(shape.dtype, dimensions), array("s32", dimensions)))


def _norm(i: Instruction) -> Shape:
    shape = i.operands[0].shape
    if i.opcode == "batch-norm-inference":
        return shape
    feature = array(shape.dtype, (shape.dimensions[int(i.attributes["feature_index"])],))
    return tuple_of((shape, feature, feature))


def _get_size(i: Instruction) -> Shape:
    return array("s32", ())


def _set_size(i: Instruction) -> Shape:
    shape = i.operands[0].shape
    (axis,) = i.dims("dimensions")
    dynamic = list(shape.dynamic or (False,) * shape.rank)
    dynamic[axis] = True
    return replace(shape, dynamic=tuple(dynamic))


def _first_or_tuple(i: Instruction) -> Shape:
    return _same(i) if len(i.operands) == 1 else _tuple(i)


def _permute_start(i: Instruction) -> Shape:
    shape = _first_or_tuple(i)
    return tuple_of((shape, shape))


def _second_element(i: Instruction) -> Shape:
    return i.operands[0].shape.elements[1]


def _send(i: Instruction) -> Shape:
    return tuple_of((i.operands[0].shape, _U32, _TOKEN))


def _recv(i: Instruction) -> Shape:
    if i.shape is None or not i.shape.elements:
        raise ValueError("nothing says what it receives")
    return tuple_of((i.shape.elements[0], _U32, _TOKEN))


def _recv_done(i: Instruction) -> Shape:
    return tuple_of((i.operands[0].shape.elements[0], _TOKEN))


def _infeed(i: Instruction) -> Shape:
    if i.shape is None or not i.shape.elements:
        raise ValueError("nothing says what it brings in")
    return tuple_of((i.shape.elements[0], _TOKEN))


def _scan(i: Instruction) -> Shape:
    """The body's results; all but the last `num_carries` gain the scanned dimension."""
    root = _callee_root("to_apply")(i)
    (axis,) = i.dims("dimensions")
    carries, length = int(i.attributes["num_carries"]), i.operands[0].shape.dimensions[axis]
    if not root.is_tuple:
        return root if carries else _inserted(root, axis, length)
    stacked = len(root.elements) - carries
    return tuple_of(tuple(_inserted(s, axis, length) if n < stacked else s for n, s in enumerate(root.elements)))


def _inserted(shape: Shape, axis: int, size: int) -> Shape:
    return array(shape.dtype, (*shape.dimensions[:axis], size, *shape.dimensions[axis:]))


def _token(i: Instruction) -> Shape:
    return _TOKEN


_RULES: dict[str, Callable[[Instruction], Shape]] = {
    **dict.fromkeys(ELEMENTWISE_UNARY - {"convert", "bitcast-convert", "imag", "real", "is-finite"}, _same),
    **dict.fromkeys(ELEMENTWISE_BINARY | ELEMENTWISE_TERNARY, _elementwise),
    "compare": _with_dtype("pred"),
    "is-finite": _with_dtype("pred"),
    "complex": _complex,
    "real": _real,
    "imag": _real,
    "tuple": _tuple,
    "get-tuple-element": _element,
    "call": _callee_root("to_apply"),
    "while": _same,
    "conditional": _conditional,
    "broadcast": _broadcast,
    "concatenate": _concatenate,
    "transpose": _transpose,
    "pad": _pad,
    "dot": _dot,
    "scaled-dot": _dot,
    "ragged-dot": _ragged_dot,
    "convolution": _convolution,
    "reduce": _reduce,
    "reduce-window": _reduce_window,
    "select-and-scatter": _same,
    "gather": _gather,
    "scatter": _scatter,
    "sort": _sort,
    "map": _map,
    "scan": _scan,
    "fft": _fft,
    "topk": _topk,
    **dict.fromkeys(("batch-norm-training", "batch-norm-inference", "batch-norm-grad"), _norm),
    **dict.fromkeys(("cholesky", "reverse", "opt-barrier", "domain", "add-dependency"), _same),
    "triangular-solve": lambda i: i.operands[1].shape,
    "get-dimension-size": _get_size,
    "set-dimension-size": _set_size,
    "partition-id": lambda i: _U32,
    "replica-id": lambda i: _U32,
    "after-all": _token,
    "send": _send,
    "send-done": _token,
    "recv": _recv,
    "recv-done": _recv_done,
    "infeed": _infeed,
    "outfeed": _token,
    **dict.fromkeys(("all-reduce", "all-reduce-start", "collective-broadcast", "all-to-all"), _first_or_tuple),
    "collective-permute": _first_or_tuple,
    "collective-permute-start": _permute_start,
    "collective-permute-done": _second_element,
    "all-reduce-done": _same,
    "all-gather-done": _second_element,
}
