"""The shape of a result by its operands and attributes, a rule for each opcode, as XLA's shape inference has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from hlo_count.errors import HloCountError
from hlo_count.hlo.attributes import parse_padding, parse_window
from hlo_count.hlo.dims import array_of, concatenated, dims_of, merged, taken, wider, windowed
from hlo_count.hlo.elementwise_shapes import (
    broadcast_together,
    compare_shape,
    complex_shape,
    is_finite_shape,
    marked_dynamic,
    real_shape,
    retyped,
    select_shape,
)
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import elementwise_of
from hlo_count.hlo.shapes import UNBOUNDED, Shape, array, tuple_of

_TOKEN = Shape("token")


_U32 = array("u32", ())


def _same(i: Instruction) -> Shape:
    return i.operands[0].shape


def _second(i: Instruction) -> Shape:
    return i.operands[1].shape


def _tuple(i: Instruction) -> Shape:
    return tuple_of(tuple(operand.shape for operand in i.operands))


def _element(i: Instruction) -> Shape:
    return i.operands[0].shape.elements[int(i.attributes["index"])]


def _callee_root(role: str) -> Callable[[Instruction], Shape]:
    def rule(i: Instruction) -> Shape:
        callee = i.callee(role)
        if callee is None:
            raise HloCountError(f"{i.name} names no {role}")
        return callee.root.shape

    return rule


def _conditional(i: Instruction) -> Shape:
    return _anywhere_dynamic([callee.root.shape for _, callee in i.called])


def _anywhere_dynamic(shapes: Sequence[Shape]) -> Shape:
    """The first of some shapes, dynamic where any of them is."""
    if not shapes[0].is_tuple:
        return marked_dynamic(*shapes)
    return tuple_of(tuple(map(_anywhere_dynamic, zip(*(s.elements for s in shapes), strict=True))))


def _broadcast(i: Instruction) -> Shape:
    shape = i.operands[0].shape
    return array_of(shape.dtype, [*((size, False) for size in i.dims("dimensions")), *dims_of(shape)])


def _concatenate(i: Instruction) -> Shape:
    (axis,) = i.dims("dimensions")
    shapes = [operand.shape for operand in i.operands]
    dims = dims_of(shapes[0])
    for shape in shapes[1:]:
        pairs = list(zip(dims, dims_of(shape), strict=True))
        dims = [concatenated(*pair) if d == axis else merged(*pair) for d, pair in enumerate(pairs)]
    # XLA widens the first to the last one only.
    return array_of(wider(shapes[0].dtype, shapes[-1].dtype), dims)


def _transpose(i: Instruction) -> Shape:
    """The layout is permuted too: a transpose that leaves its shape out moves nothing."""
    permutation = i.dims("dimensions")
    shape = i.operands[0].shape
    result = taken(shape, permutation)
    inverse = {d: n for n, d in enumerate(permutation)}
    return replace(result, layout=shape.layout).with_order(tuple(inverse[d] for d in shape.minor_to_major))


def _pad(i: Instruction) -> Shape:
    shape = i.operands[0].shape
    config = i.attribute("padding") or ""
    dims = []
    for (size, dynamic), (low, high, interior) in zip(dims_of(shape), parse_padding(config), strict=True):
        grown = size + low + high + interior * max(0, size - 1)
        if size != UNBOUNDED and grown < 0:
            raise ValueError(f"padding={config} takes more than there is of {shape}")
        dims.append((UNBOUNDED if size == UNBOUNDED else grown, dynamic))
    return array_of(wider(shape.dtype, i.operands[1].shape.dtype), dims)


def dot_shape(i: Instruction, rhs_operand: int = 1) -> Shape:
    """What a product of two of the operands gives, batches first, then rows and columns."""
    lhs, rhs = i.operands[0].shape, i.operands[rhs_operand].shape
    lhs_batch, lhs_contracting = i.dims("lhs_batch_dims"), i.dims("lhs_contracting_dims")
    rows = [d for d in range(lhs.rank) if d not in lhs_batch and d not in lhs_contracting]
    # Of a ragged dot: each row meets one group.
    gone = {*i.dims("rhs_batch_dims"), *i.dims("rhs_contracting_dims"), *i.dims("rhs_group_dims")}
    columns = [d for d in range(rhs.rank) if d not in gone]
    dims = dims_of(taken(lhs, [*lhs_batch, *rows])) + dims_of(taken(rhs, columns))
    return array_of(wider(lhs.dtype, rhs.dtype), dims)


def _scaled_dot(i: Instruction) -> Shape:
    return dot_shape(i, rhs_operand=2)  # which is what XLA's parser takes, and then has another verified


def _ragged_dot(i: Instruction) -> Shape:
    dot = dot_shape(i)
    (ragged,) = i.dims("lhs_ragged_dims")
    if ragged not in i.dims("lhs_contracting_dims"):
        return dot
    return array_of(dot.dtype, [dims_of(i.operands[2].shape)[-1], *dims_of(dot)])


def _convolution(i: Instruction) -> Shape:
    lhs, rhs = i.operands[0].shape, i.operands[1].shape
    lhs_labels, _, rest = i.attributes["dim_labels"].partition("_")
    rhs_labels, _, out_labels = rest.partition("->")
    lhs_dims = dict(zip(lhs_labels, dims_of(lhs), strict=True))
    rhs_dims = dict(zip(rhs_labels, dims_of(rhs), strict=True))
    spatial = sorted(label for label in out_labels if label.isdigit())
    windows = parse_window(i.attribute("window"), len(spatial))
    batch, dynamic = lhs_dims["b"]
    groups = int(i.attribute("batch_group_count") or 1)
    if groups < 1:
        raise ValueError(f"batch_group_count={groups}")
    dims = {"b": (batch if batch == UNBOUNDED else batch // groups, dynamic), "f": (rhs_dims["o"][0], False)}
    for label, window in zip(spatial, windows, strict=True):
        size, dynamic = windowed(lhs_dims[label], window)
        dims[label] = size, dynamic or rhs_dims[label][1]
    return array_of(wider(lhs.dtype, rhs.dtype), [dims[label] for label in out_labels])


def _reduce(i: Instruction) -> Shape:
    """Of the body's types: it may sum bf16 in f32."""
    first = i.operands[0].shape
    kept = [d for d in range(first.rank) if d not in i.dims("dimensions")]
    root = _callee_root("to_apply")(i)
    if not root.is_tuple:
        return taken(first, kept, root.dtype)
    return tuple_of(tuple(taken(first, kept, element.dtype) for element in root.elements))


def _reduce_window(i: Instruction) -> Shape:
    """Of the initial values' types."""
    half = len(i.operands) // 2
    shapes = []
    for operand, init in zip(i.operands[:half], i.operands[half:], strict=True):
        windows = parse_window(i.attribute("window"), operand.shape.rank)
        dims = [windowed(*pair) for pair in zip(dims_of(operand.shape), windows, strict=True)]
        shapes.append(array_of(init.shape.dtype, dims))
    return shapes[0] if half == 1 else tuple_of(tuple(shapes))


def _gather(i: Instruction) -> Shape:
    """A window that spans a dynamic dimension is dynamic there."""
    operand, indices = i.operands[0].shape, i.operands[1].shape
    vector = int(i.attributes["index_vector_dim"])
    batch = [dimension for d, dimension in enumerate(dims_of(indices)) if d != vector]
    dropped = set(i.dims("collapsed_slice_dims")) | set(i.dims("operand_batching_dims"))
    slices = zip(i.dims("slice_sizes"), dims_of(operand), strict=True)
    window = [(n, dynamic and n == size) for d, (n, (size, dynamic)) in enumerate(slices) if d not in dropped]
    offsets = i.dims("offset_dims")
    rank = len(batch) + len(window)
    if len(set(offsets) & set(range(rank))) != len(window):
        raise ValueError(f"{len(window)} window dimensions, but offset_dims {offsets}")
    windows, batches = iter(window), iter(batch)
    return array_of(operand.dtype, [next(windows) if d in offsets else next(batches) for d in range(rank)])


def _scatter(i: Instruction) -> Shape:
    operands = i.operands[: len(i.operands) // 2]
    return operands[0].shape if len(operands) == 1 else tuple_of(tuple(o.shape for o in operands))


def _sort(i: Instruction) -> Shape:
    return _same(i) if len(i.operands) == 1 else _tuple(i)


def _map(i: Instruction) -> Shape:
    root = _callee_root("to_apply")(i)
    shapes = [operand.shape for operand in i.operands]
    shape = next((s for s in shapes if s.rank), shapes[0])
    return array(root.dtype, shape.dimensions, shape.dynamic)


def _fft(i: Instruction) -> Shape:
    """Laid out as the operand is; the last dimension has half as many complex numbers as real ones, and one."""
    shape = i.operands[0].shape
    kind, lengths = i.attributes["fft_type"], i.dims("fft_length")
    if kind not in ("RFFT", "IRFFT"):
        return shape
    *dims, (size, dynamic) = dims_of(shape)
    if kind == "IRFFT":
        dtype, length = shape.element_type.real, lengths[-1]
    else:
        dtype, length = "c128" if shape.dtype == "f64" else "c64", lengths[-1] // 2 + 1 if lengths[-1] else size
    resized = array_of(dtype, [*dims, (length, dynamic and (size != UNBOUNDED or length == UNBOUNDED))])
    return retyped(replace(resized, layout=shape.layout), dtype)


def _topk(i: Instruction) -> Shape:
    shape = i.operands[0].shape
    dims = [*dims_of(shape)[:-1], (int(i.attributes["k"]), False)]
    return tuple_of((array_of(shape.dtype, dims), array_of("s32", dims)))


def _norm(i: Instruction) -> Shape:
    shape = i.operands[0].shape
    if i.opcode == "batch-norm-inference":
        return shape
    feature = taken(shape, [int(i.attributes["feature_index"])])
    return tuple_of((shape, feature, feature))


def _get_size(i: Instruction) -> Shape:
    return array("s32", ())


def _set_size(i: Instruction) -> Shape:
    shape = i.operands[0].shape
    (axis,) = i.dims("dimensions")
    dynamic = list(shape.dynamic or (False,) * shape.rank)
    dynamic[axis] = True
    return replace(shape, dynamic=tuple(dynamic))


def _exchanged(i: Instruction) -> Shape:
    """A part of each operand, or parts of one operand's dimension."""
    return _same(i) if "dimensions" in i.attributes else _tuple(i)


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
    dims = dims_of(shape)
    return array_of(shape.dtype, [*dims[:axis], (size, size == UNBOUNDED), *dims[axis:]])


def _token(i: Instruction) -> Shape:
    return _TOKEN


SHAPE_RULES: dict[str, Callable[[Instruction], Shape]] = {
    **dict.fromkeys(elementwise_of(1) - {"convert", "bitcast-convert"}, _same),
    **dict.fromkeys(elementwise_of(2) - {"stochastic-convert"}, broadcast_together),
    "clamp": _second,
    "select": select_shape,
    "compare": compare_shape,
    "is-finite": is_finite_shape,
    "complex": complex_shape,
    "abs": real_shape,
    "real": real_shape,
    "imag": real_shape,
    "tuple": _tuple,
    "get-tuple-element": _element,
    "call": _callee_root("to_apply"),
    "while": _same,
    "conditional": _conditional,
    "broadcast": _broadcast,
    "concatenate": _concatenate,
    "transpose": _transpose,
    "pad": _pad,
    "dot": dot_shape,
    "scaled-dot": _scaled_dot,
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
    "triangular-solve": _second,
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
    **dict.fromkeys(("all-reduce", "all-reduce-start", "collective-broadcast"), _first_or_tuple),
    "all-to-all": _exchanged,
    "collective-permute": _first_or_tuple,
    "collective-permute-start": _permute_start,
    "collective-permute-done": _second_element,
    "all-reduce-done": _same,
    "all-gather-done": _second_element,
}


INFERRED = frozenset(SHAPE_RULES)
"""Opcodes whose shape can be left out."""


def inferred(instruction: Instruction) -> Shape:
    """The shape that the operands of an instruction give, of an opcode that is among `INFERRED`, without a layout.

    Raises HloCountError, LookupError or ValueError where they do not fit together.
    """
    return SHAPE_RULES[instruction.opcode](instruction)
