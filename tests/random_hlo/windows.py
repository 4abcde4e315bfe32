"""Contractions, reductions, windows, sorts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from random_hlo.builder import SIZES, Array, Body, Shape, Step, binary, braces


def dot_op(b: Body) -> None:
    dtype = b.choices.pick(("f32", "bf16", "s8", "f64", "c64"))
    batch = [b.choices.pick(SIZES) for _ in range(b.choices.integer(0, 2))]
    inner = [b.choices.pick(SIZES) for _ in range(b.choices.integer(0, 2))]
    free = [[b.choices.pick(SIZES) for _ in range(b.choices.integer(0, 2))] for _ in range(2)]
    n, k = len(batch), len(inner)
    lhs = b.value(b.lay_out(Array(dtype, (*batch, *inner, *free[0]))))
    rhs = b.value(b.lay_out(Array(dtype, (*batch, *free[1], *inner))))
    last = n + len(free[1])
    numbers = [
        f"lhs_contracting_dims={braces(range(n, n + k))}",
        f"rhs_contracting_dims={braces(range(last, last + k))}",
    ]
    if batch:
        numbers += [f"lhs_batch_dims={braces(range(n))}", f"rhs_batch_dims={braces(range(n))}"]
    b.emit("dot", Array(dtype, (*batch, *free[0], *free[1])), [lhs, rhs], *numbers, infers=True)


def ragged_dot_op(b: Body) -> None:
    m, k, n, g = (b.choices.pick(SIZES) for _ in range(4))
    operands = [b.value(Array("f32", (m, k))), b.value(Array("f32", (g, k, n))), b.value(Array("s32", (g,)))]
    numbers = "lhs_contracting_dims={1}, rhs_contracting_dims={1}, lhs_ragged_dims={0}, rhs_group_dims={0}"
    b.emit("ragged-dot", Array("f32", (m, n)), operands, numbers, infers=True)


@dataclass(frozen=True)
class Window:
    size: int
    stride: int
    low: int
    high: int
    holes: int = 1
    spread: int = 1

    def outputs(self, n: int) -> int:
        padded = (n - 1) * self.holes + 1 + self.low + self.high
        reach = (self.size - 1) * self.spread + 1
        return (padded - reach) // self.stride + 1 if padded >= reach else 0


def window_text(windows: Sequence[Window], *, dilated: bool = True) -> str:
    fields = {
        "size": [str(w.size) for w in windows],
        "stride": [str(w.stride) for w in windows],
        "pad": [f"{w.low}_{w.high}" for w in windows],
    }
    if dilated:
        fields["lhs_dilate"] = [str(w.holes) for w in windows]
        fields["rhs_dilate"] = [str(w.spread) for w in windows]
    plain = {"stride": "1", "pad": "0_0", "lhs_dilate": "1", "rhs_dilate": "1"}
    kept = {name: values for name, values in fields.items() if any(v != plain.get(name) for v in values)}
    return "window={" + " ".join(f"{name}={'x'.join(values)}" for name, values in kept.items()) + "}"


def some_window(b: Body, n: int) -> Window:
    """One that fits a dimension of size n, so that at least one output is left."""
    kind = b.choices.integer(0, 9)
    if kind == 0 and n > 1:  # a dot's batch dimension, as TPU writes it
        return Window(n, n - 1, 0, 0, holes=n)
    if kind == 1:  # an outer product, as TPU writes it
        return Window(b.choices.integer(1, 5), 1, 4, 4)
    size = b.choices.integer(1, 4)
    low, high = b.choices.integer(-1, 3), b.choices.integer(0, 3)
    window = Window(size, b.choices.integer(1, 3), low, high, b.choices.integer(1, 3), b.choices.integer(1, 2))
    return window if window.outputs(n) > 0 else Window(1, 1, 0, 0)


def convolution_op(b: Body) -> None:
    c = b.choices
    rank = c.integer(0, 3)
    groups, batch_groups = c.pick([(1, 1), (1, 1), (2, 1), (1, 2), (3, 1)])
    inner, out = c.integer(1, 4), c.integer(1, 4) * groups * batch_groups
    sizes = [c.integer(1, 9) for _ in range(rank)]
    windows = [some_window(b, n) for n in sizes]
    batch = c.integer(1, 4) * batch_groups
    dtype = c.pick(("f32", "bf16", "s8"))
    spatial = "".join(map(str, range(rank)))
    labels, kernel_labels = c.pick([f"b{spatial}f", f"bf{spatial}"]), c.pick([f"{spatial}io", f"oi{spatial}"])
    lhs = {"b": batch, "f": inner * groups, **{str(d): n for d, n in enumerate(sizes)}}
    rhs = {"i": inner, "o": out, **{str(d): w.size for d, w in enumerate(windows)}}
    res = {
        "b": batch // batch_groups,
        "f": out,
        **{str(d): w.outputs(n) for d, (w, n) in enumerate(zip(windows, sizes, strict=True))},
    }
    out_labels = c.pick([f"b{spatial}f", f"{spatial}bf"])
    attributes = [f"dim_labels={labels}_{kernel_labels}->{out_labels}"]
    if rank:
        attributes.insert(0, window_text(windows))
    if groups > 1:
        attributes.append(f"feature_group_count={groups}")
    if batch_groups > 1:
        attributes.append(f"batch_group_count={batch_groups}")
    operands = [
        b.value(b.lay_out(Array(dtype, tuple(lhs[label] for label in labels)))),
        b.value(b.lay_out(Array(dtype, tuple(rhs[label] for label in kernel_labels)))),
    ]
    b.emit(
        "convolution",
        Array(dtype, tuple(res[label] for label in out_labels)),
        operands,
        *attributes,
        infers=True,
    )


def reduce_op(b: Body) -> None:
    x = b.any(("f32", "bf16", "s32"), (1, 4))
    gone = b.choices.subset(range(len(x.array.dims)))
    shape = Array(x.array.dtype, tuple(n for d, n in enumerate(x.array.dims) if d not in gone))
    count = 2 if b.choices.chance(25) else 1
    operands = [x] + [b.value(x.shape) for _ in range(count - 1)]
    inits = [b.value(Array(x.array.dtype)) for _ in range(count)]
    region = b.program.scalar_body(x.array.dtype, 2 * count, count)
    results: Shape = shape if count == 1 else (shape,) * count
    b.emit("reduce", results, operands + inits, f"dimensions={braces(gone)}", f"to_apply={region}", infers=True)


def reduce_window_op(b: Body) -> None:
    dtype = b.choices.pick(("f32", "s32"))
    x = b.value(b.array(dtype, b.choices.integer(1, 3), small=True))
    windows = [some_window(b, n) for n in x.array.dims]
    if b.choices.chance(30):  # a cumulative sum, or one spread over its own dimension
        windows = [Window(1, 1, 0, 0) for _ in windows]
        n = x.array.dims[0]
        windows[0] = Window(2 * n - 1, 1, n - 1, n - 1) if b.choices.chance(50) else Window(n, 1, n - 1, 0)
    shape = Array(dtype, tuple(w.outputs(n) for w, n in zip(windows, x.array.dims, strict=True)))
    region = b.program.scalar_body(dtype)
    operands = [x, b.value(Array(dtype))]
    b.emit("reduce-window", shape, operands, window_text(windows), f"to_apply={region}", infers=True)


def select_and_scatter_op(b: Body) -> None:
    x = b.value(b.array("f32", 2, small=True))
    windows = [Window(b.choices.integer(1, n), b.choices.integer(1, 3), 0, 0) for n in x.array.dims]
    source = b.value(Array("f32", tuple(w.outputs(n) for w, n in zip(windows, x.array.dims, strict=True))))
    regions = [f"select={b.program.comparator(['f32'])}", f"scatter={b.program.scalar_body('f32')}"]
    operands = [x, source, b.value(Array("f32"))]
    b.emit("select-and-scatter", x.shape, operands, window_text(windows, dilated=False), *regions, infers=True)


def map_op(b: Body) -> None:
    x = b.any(("f32", "s32", "s4"), (1, 3))
    region = b.program.scalar_body(x.array.dtype)
    dims = braces(range(len(x.array.dims)))
    b.emit("map", x.shape, [x, b.value(x.shape)], f"dimensions={dims}", f"to_apply={region}", infers=True)


def sort_op(b: Body) -> None:
    x = b.any(("f32", "s32", "s4"), (1, 3))
    axis = b.choices.integer(0, len(x.array.dims) - 1)
    operands = [x] + ([b.value(x.array.of("s32"))] if b.choices.chance(40) else [])
    comparator = b.program.comparator([operand.array.dtype for operand in operands])
    shape: Shape = x.shape if len(operands) == 1 else tuple(operand.shape for operand in operands)
    b.emit("sort", shape, operands, f"dimensions={{{axis}}}", f"to_apply={comparator}", infers=True)


def scan_op(b: Body) -> None:
    """A running sum along the first dimension."""
    x = b.any(("f32", "s32", "s4"), (1, 2))
    row = x.array.of(dims=x.array.dims[1:])
    body = Body(b.program, "scanned")
    total = binary(body, body.parameter(row), body.parameter(row))
    root = body.emit("tuple", (total.shape, total.shape), [total, total])
    attributes = ["dimensions={0}", "is_reverse=false", "num_carries=1", f"to_apply={body.close(root)}"]
    b.emit("scan", (replace(x.array, layout=None), row), [x, b.value(row)], *attributes, infers=True)


def topk_op(b: Body) -> None:
    x = b.any(("f32",), (1, 2))
    dims = (*x.array.dims[:-1], b.choices.integer(1, x.array.dims[-1]))
    b.emit("topk", (Array("f32", dims), Array("s32", dims)), [x], f"k={dims[-1]}", "largest=true", infers=True)


STEPS: tuple[Step, ...] = (
    dot_op,
    ragged_dot_op,
    convolution_op,
    reduce_op,
    reduce_window_op,
    select_and_scatter_op,
    map_op,
    sort_op,
    scan_op,
    topk_op,
)
