"""Operations that move data: slices, pads, gathers, tuples, dynamic sizes."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from random_hlo.builder import FLOATS, INTEGERS, SIZES, Array, Body, Step, braces


def broadcast_op(b: Body) -> None:
    x = b.any(FLOATS + INTEGERS, (0, 2))
    sizes, at = list(x.array.dims), [*range(len(x.array.dims))]
    for _ in range(b.choices.integer(0, 2)):
        place = b.choices.integer(0, len(sizes))
        sizes.insert(place, b.choices.integer(1, 9))
        at = [d + (d >= place) for d in at]
    b.emit("broadcast", b.lay_out(Array(x.array.dtype, tuple(sizes))), [x], f"dimensions={braces(at)}")


def reshape_op(b: Body) -> None:
    x = b.any(FLOATS + INTEGERS)
    dims = b.choices.pick([(prod(x.array.dims),), (*x.array.dims, 1), (1, *x.array.dims)])
    b.emit(b.choices.pick(["reshape", "bitcast"]), b.lay_out(Array(x.array.dtype, dims)), [x])


def transpose_op(b: Body) -> None:
    x = b.any(FLOATS + INTEGERS)
    order = b.choices.permutation(len(x.array.dims))
    shape = Array(x.array.dtype, tuple(x.array.dims[d] for d in order))
    if x.array.layout is not None:
        shape = b.lay_out(shape)
    b.emit("transpose", shape, [x], f"dimensions={braces(order)}", infers=True)


def reverse_op(b: Body) -> None:
    x = b.any(FLOATS + INTEGERS, (1, 4))
    b.emit(
        "reverse",
        x.shape,
        [x],
        f"dimensions={braces(b.choices.subset(range(len(x.array.dims))))}",
        infers=True,
    )


def slice_op(b: Body) -> None:
    x = b.any(FLOATS + INTEGERS)
    bounds = []
    for n in x.array.dims:
        start = b.choices.integer(0, n - 1)
        bounds.append((start, b.choices.integer(start + 1, n), b.choices.integer(1, 3)))
    dims = tuple(-(-(stop - start) // step) for start, stop, step in bounds)
    attribute = "slice={" + ", ".join("[" + ":".join(map(str, bound)) + "]" for bound in bounds) + "}"
    b.emit("slice", x.array.of(dims=dims), [x], attribute)


def pad_op(b: Body) -> None:
    x = b.any(FLOATS + INTEGERS, (1, 4))
    pads = [(b.choices.integer(-1, 3), b.choices.integer(1, 3), b.choices.integer(0, 2)) for _ in x.array.dims]
    dims = tuple(n + low + high + inner * (n - 1) for n, (low, high, inner) in zip(x.array.dims, pads, strict=True))
    attribute = "padding=" + "x".join("_".join(map(str, pad)) for pad in pads)
    bare = x.array.layout is None
    b.emit("pad", x.array.of(dims=dims), [x, b.value(Array(x.array.dtype))], attribute, infers=bare)


def concatenate_op(b: Body) -> None:
    x = b.any(FLOATS + INTEGERS, (1, 3))
    axis = b.choices.integer(0, len(x.array.dims) - 1)
    parts = [x]
    for _ in range(b.choices.integer(0, 3)):
        dims = list(x.array.dims)
        dims[axis] = b.choices.pick(SIZES)
        parts.append(b.value(x.array.of(dims=tuple(dims))))
    dims = list(x.array.dims)
    dims[axis] = sum(part.array.dims[axis] for part in parts)
    b.emit("concatenate", x.array.of(dims=tuple(dims)), parts, f"dimensions={{{axis}}}", infers=True)


def iota_op(b: Body) -> None:
    b.emit("iota", b.array("s32", b.choices.integer(1, 3)), [], "iota_dimension=0")


def dynamic_slice_op(b: Body) -> None:
    x = b.any(FLOATS + INTEGERS, (1, 3))
    dims = tuple(b.choices.integer(1, n) for n in x.array.dims)
    index = Array(b.choices.pick(("s32", "s64")))
    starts = [b.value(index) for _ in dims]
    if b.choices.chance(50):
        b.emit("dynamic-slice", x.array.of(dims=dims), [x, *starts], f"dynamic_slice_sizes={braces(dims)}")
    else:
        b.emit("dynamic-update-slice", x.shape, [x, b.value(x.array.of(dims=dims)), *starts])


def gather_op(b: Body) -> None:
    """Rows of a matrix by a list of row numbers, and the same rows written back."""
    x = b.any(("f32", "bf16", "s32"), (2, 2))
    n, width = b.choices.pick(SIZES), x.array.dims[1]
    indices = b.value(Array("s32", (n, 1)))
    if b.choices.chance(50):
        numbers = "offset_dims={1}, collapsed_slice_dims={0}, start_index_map={0}, index_vector_dim=1"
        numbers += f", slice_sizes={{1,{width}}}"
        b.emit("gather", Array(x.array.dtype, (n, width)), [x, indices], numbers, infers=True)
    else:
        numbers = "update_window_dims={1}, inserted_window_dims={0}, scatter_dims_to_operand_dims={0}"
        numbers += ", index_vector_dim=1"
        region = b.program.scalar_body(x.array.dtype)
        updates = b.value(Array(x.array.dtype, (n, width)))
        b.emit("scatter", x.shape, [x, indices, updates], numbers, f"to_apply={region}", infers=True)


def tuple_op(b: Body) -> None:
    values = [b.any(FLOATS + INTEGERS) for _ in range(b.choices.integer(0, 3))]
    if b.values and b.choices.chance(20):
        values.append(b.choices.pick(b.values))
    packed = b.emit("tuple", tuple(v.shape for v in values), values, infers=True)
    if b.choices.chance(20):
        packed = b.emit("opt-barrier", packed.shape, [packed])
    if values and b.choices.chance(80):
        n = b.choices.integer(0, len(values) - 1)
        b.emit("get-tuple-element", values[n].shape, [packed], f"index={n}", infers=True)


def dynamic_size_op(b: Body) -> None:
    x = b.any(("f32", "s32"), (1, 3))
    size = b.emit("get-dimension-size", Array("s32"), [x], "dimensions={0}", infers=True)
    bounded = b.emit("set-dimension-size", replace(x.array, bound=True), [x, size], "dimensions={0}", infers=True)
    shape, rest = bounded.array, Array(x.array.dtype, x.array.dims[1:])
    plain = replace(shape, layout=None, suffix="")
    kind = b.choices.integer(0, 6)
    if kind == 0:
        b.emit("negate", shape, [bounded], infers=True)
    elif kind == 1:
        b.emit("compare", shape.of("pred"), [bounded, bounded], "direction=EQ", infers=True)
    elif kind == 2:
        other = b.value(x.shape)
        doubled = replace(plain, dims=(2 * x.array.dims[0], *rest.dims))
        b.emit("concatenate", doubled, [bounded, other], "dimensions={0}", infers=True)
    elif kind == 3:
        region, zero = b.program.scalar_body(x.array.dtype), b.value(Array(x.array.dtype))
        kept = replace(plain, dims=x.array.dims[:1])
        gone = f"dimensions={braces(range(1, len(x.array.dims)))}"
        b.emit("reduce", kept, [bounded, zero], gone, f"to_apply={region}", infers=True)
    elif kind == 4:
        numbers = "lhs_contracting_dims={}, rhs_contracting_dims={}"
        product = replace(plain, dims=(*x.array.dims, 3))
        b.emit("dot", product, [bounded, b.value(Array(x.array.dtype, (3,)))], numbers, infers=True)
    elif kind == 5:
        region = b.program.scalar_body(x.array.dtype)
        over = f"dimensions={braces(range(len(x.array.dims)))}"
        b.emit("map", plain, [bounded, bounded], over, f"to_apply={region}", infers=True)
    else:
        b.emit("reverse", shape, [bounded], "dimensions={0}", infers=True)


STEPS: tuple[Step, ...] = (
    broadcast_op,
    reshape_op,
    transpose_op,
    reverse_op,
    slice_op,
    pad_op,
    concatenate_op,
    iota_op,
    dynamic_slice_op,
    gather_op,
    tuple_op,
    dynamic_size_op,
)
