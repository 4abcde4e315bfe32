"""Random HLO programs: `modules()` is a Hypothesis strategy of texts that XLA's parser accepts.

Every opcode comes with operands, dtypes and attributes that fit together; the style differs from text to text: with and
without `%`, operand shapes, result shapes where they follow from the operands, layouts, dead code, control edges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, TypeAlias, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


@dataclass(frozen=True)
class Array:
    """An array's shape. `layout` None leaves it to the reader: row-major."""

    dtype: str
    dims: tuple[int, ...] = ()
    layout: tuple[int, ...] | None = None
    bound: bool = False
    """Whether the first dimension is dynamic, up to its size."""
    suffix: str = ""
    """What else the layout says: tiles, bits of an element, memory space."""

    def __str__(self) -> str:
        sizes = [f"<={n}" if self.bound and d == 0 else str(n) for d, n in enumerate(self.dims)]
        layout = "" if not self.layout else "{" + ",".join(map(str, self.layout)) + self.suffix + "}"
        return f"{self.dtype}[{','.join(sizes)}]{layout}"

    def of(self, dtype: str | None = None, dims: tuple[int, ...] | None = None) -> Array:
        """The same array with another dtype or other dimensions."""
        changed = dims is not None and len(dims) != len(self.dims)
        return Array(
            dtype or self.dtype,
            self.dims if dims is None else dims,
            None if changed else self.layout,
            self.bound and dims is None,
        )


Shape: TypeAlias = "Array | tuple[Shape, ...] | str"
"""An array, a tuple of shapes, or the word for a token."""

TOKEN = "token[]"
FLOATS = ("f32", "bf16", "f16", "f64", "f8e4m3fn")
INTEGERS = ("s32", "u8", "s64", "u32", "s8", "s4")
COMPLEX = ("c64", "c128")
SIZES = (1, 2, 3, 4, 5, 7, 8, 16, 17, 33, 128, 1000)
BITS = {"f32": 32, "bf16": 16, "f16": 16, "f64": 64, "s32": 32, "u32": 32, "u8": 8, "s8": 8, "s64": 64}

FLOAT_UNARY = (
    "acos acosh asin asinh atanh cbrt ceil cosine cosh erf exponential exponential-minus-one floor log log-plus-one logistic "
    "round-nearest-afz round-nearest-even rsqrt sine sinh sqrt tan tanh"
).split()
ANY_UNARY = ["abs", "negate", "sign", "copy"]
FLOAT_BINARY = "add subtract multiply divide maximum minimum power remainder atan2".split()
INTEGER_BINARY = (
    "add subtract multiply divide maximum minimum power remainder and or xor shift-left shift-right-arithmetic "
    "shift-right-logical"
).split()


def spell(shape: Shape) -> str:
    if isinstance(shape, tuple):
        return "(" + ", ".join(map(spell, shape)) + ")"
    return str(shape)


@dataclass(frozen=True)
class Value:
    name: str
    shape: Shape

    @property
    def array(self) -> Array:
        assert isinstance(self.shape, Array)
        return self.shape


class Choices:
    """What a program is drawn from."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self._draw = draw

    def integer(self, low: int, high: int) -> int:
        return int(self._draw(st.integers(low, high)))

    def pick(self, options: Sequence[T]) -> T:
        return options[self.integer(0, len(options) - 1)]

    def chance(self, percent: int) -> bool:
        return self.integer(1, 100) > 100 - percent

    def subset(self, options: Sequence[T]) -> list[T]:
        return [option for option in options if self.chance(50)]

    def permutation(self, rank: int) -> tuple[int, ...]:
        left = list(range(rank))
        return tuple(left.pop(self.integer(0, len(left) - 1)) for _ in range(rank))


class Program:
    """A module while it is drawn: its computations so far, and the style of its text."""

    def __init__(self, choices: Choices, opcodes: Sequence[str]) -> None:
        self.choices = choices
        self.opcodes = opcodes
        self.computations: list[str] = []
        self.count = 0
        self.percent = "%" if choices.chance(50) else ""
        self.operand_shapes = choices.chance(50)
        self.layouts = choices.chance(60)
        self.bare_results = choices.chance(30)

    def name(self, stem: str) -> str:
        self.count += 1
        return f"{stem}.{self.count}"

    def scalar_body(self, dtype: str, count: int = 2, roots: int = 1) -> str:
        """The name of a computation over scalars, as reductions apply."""
        body = Body(self, "region")
        values = [body.parameter(Array(dtype)) for _ in range(count)]
        for _ in range(self.choices.integer(0, 2)):
            values.append(binary(body, self.choices.pick(values), self.choices.pick(values)))
        results = [binary(body, values[-1], self.choices.pick(values)) for _ in range(roots)]
        return body.close(results[0] if roots == 1 else body.emit("tuple", tuple(r.shape for r in results), results))

    def comparator(self, dtypes: Sequence[str]) -> str:
        body = Body(self, "compare")
        values = [body.parameter(Array(dtype)) for dtype in dtypes for _ in range(2)]
        return body.close(body.emit("compare", Array("pred"), values[:2], "direction=LT"))


class Body:
    """A computation while it is drawn."""

    def __init__(self, program: Program, stem: str, depth: int = 0, *, ordered: bool = True) -> None:
        self.program = program
        self.ordered = ordered
        self.choices = program.choices
        self.name = program.name(stem)
        self.depth = depth
        self.lines: list[str] = []
        self.values: list[Value] = []
        self.parameters: list[Value] = []

    def emit(
        self, opcode: str, shape: Shape, operands: Sequence[Value] = (), *attributes: str, infers: bool = False
    ) -> Value:
        """One instruction; `infers` where its shape, row-major, follows from the operands and may be left out."""
        inside = ", ".join(self._operand(operand) for operand in operands)
        return self.write(opcode, shape, inside, *attributes, infers=infers)

    def write(self, opcode: str, shape: Shape, inside: str, *attributes: str, infers: bool = False) -> Value:
        value = Value(self.program.name(opcode.replace("-", "_")), shape)
        spelled = "" if infers and self.program.bare_results else spell(shape) + " "
        extra = list(attributes)
        if self.ordered and self.values and self.choices.chance(4):
            extra.append(f"control-predecessors={{{self.program.percent}{self.choices.pick(self.values).name}}}")
        text = f"{self.program.percent}{value.name} = {spelled}{opcode}({inside})"
        self.lines.append("".join([text, *(f", {attribute}" for attribute in extra)]))
        self.values.append(value)
        return value

    def _operand(self, operand: Value) -> str:
        shape = f"{spell(operand.shape)} " if self.program.operand_shapes else ""
        return f"{shape}{self.program.percent}{operand.name}"

    def parameter(self, shape: Shape) -> Value:
        value = self.write("parameter", shape, str(len(self.parameters)))
        self.parameters.append(value)
        return value

    def array(self, dtype: str | None = None, rank: int | None = None, *, small: bool = False) -> Array:
        """A random shape; with `small` sizes that multiply to something that can be walked."""
        dtype = dtype or self.choices.pick(FLOATS + INTEGERS + ("pred",))
        rank = self.choices.integer(0, 4) if rank is None else rank
        dims = tuple(self.choices.integer(1, 9) if small else self.choices.pick(SIZES) for _ in range(rank))
        return self.lay_out(Array(dtype, dims))

    def lay_out(self, shape: Array) -> Array:
        if not self.program.layouts:
            return replace(shape, layout=None)
        rank = len(shape.dims)
        order = self.choices.permutation(rank) if self.choices.chance(30) else tuple(range(rank))[::-1]
        suffix = ""
        if rank and self.choices.chance(15):
            suffix = ":E(4)" if shape.dtype == "s4" else self.choices.pick([":T(8,128)(2,1)", ":S(1)", ":T(256)S(5)"])
        return replace(shape, layout=order, suffix=suffix)

    def value(self, shape: Shape) -> Value:
        """A value of that dtype and those dimensions: one that is there, a parameter, or a constant spread out."""
        found = [v for v in self.values if _same(v.shape, shape)]
        if found and self.choices.chance(70):
            return self.choices.pick(found)
        if isinstance(shape, Array) and shape.dtype in ("f32", "s32") and not shape.bound and self.choices.chance(25):
            scalar = self.write("constant", Array(shape.dtype), "1")
            return self.emit("broadcast", shape, [scalar], "dimensions={}") if shape.dims else scalar
        return self.parameter(shape)

    def any(self, dtypes: Sequence[str], rank: tuple[int, int] = (0, 4)) -> Value:
        """A value of one of the dtypes and a rank within bounds, most often one that is there."""
        found = [
            v
            for v in self.values
            if isinstance(v.shape, Array)
            and v.shape.dtype in dtypes
            and rank[0] <= len(v.shape.dims) <= rank[1]
            and not v.shape.bound
        ]
        if found and self.choices.chance(80):
            return self.choices.pick(found)
        return self.parameter(self.array(self.choices.pick(dtypes), self.choices.integer(*rank)))

    def grow(self, count: int) -> None:
        """So many random instructions, with what they need."""
        opcodes = self.program.opcodes
        if self.depth >= MAX_DEPTH:
            opcodes = [opcode for opcode in opcodes if opcode not in CALLING] or ["unary"]
        for _ in range(count):
            EMITTERS[self.choices.pick(opcodes)](self)

    def close(self, root: Value, *, entry: bool = False) -> str:
        """Write the computation into the program; its name."""
        lines = [
            f"  {'ROOT ' if line.startswith(f'{self.program.percent}{root.name} = ') else ''}{line}" for line in self.lines
        ]
        head = f"{'ENTRY ' if entry else ''}{self.program.percent}{self.name} {{"
        self.program.computations.append("\n".join([head, *lines, "}"]))
        return self.program.percent + self.name


def _same(one: Shape, other: Shape) -> bool:
    if isinstance(one, Array) and isinstance(other, Array):
        return (one.dtype, one.dims, one.bound) == (other.dtype, other.dims, other.bound)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other


def braces(numbers: Sequence[int]) -> str:
    return "{" + ",".join(map(str, numbers)) + "}"


# Elementwise


def binary(b: Body, lhs: Value, rhs: Value) -> Value:
    dtype = lhs.array.dtype
    opcodes = FLOAT_BINARY if dtype in FLOATS else INTEGER_BINARY if dtype in INTEGERS else ["and", "or", "xor"]
    opcodes = ["add", "subtract", "multiply", "divide"] if dtype in COMPLEX else opcodes
    return b.emit(b.choices.pick(opcodes), lhs.shape, [lhs, rhs], infers=True)


def unary_op(b: Body) -> None:
    x = b.any(FLOATS + INTEGERS + COMPLEX)
    opcodes = ANY_UNARY + (FLOAT_UNARY if x.array.dtype in FLOATS else [])
    opcodes = ["popcnt", "count-leading-zeros", "not"] if x.array.dtype in INTEGERS else opcodes
    opcodes = ["exponential", "sine", "negate", "tanh"] if x.array.dtype in COMPLEX else opcodes
    b.emit(b.choices.pick(opcodes), x.shape, [x], infers=True)


def binary_op(b: Body) -> None:
    x = b.any(FLOATS + INTEGERS + COMPLEX + ("pred",))
    binary(b, x, b.value(x.shape))


def ternary_op(b: Body) -> None:
    x = b.any(FLOATS + INTEGERS)
    y = b.value(x.shape)
    if b.choices.chance(40):
        limit = x.array if b.choices.chance(50) else Array(x.array.dtype)
        b.emit("clamp", x.shape, [b.value(limit), x, b.value(limit)], infers=limit.dims == x.array.dims)
    else:
        b.emit("select", x.shape, [b.value(x.array.of("pred")), x, y], infers=True)


def to_pred(b: Body) -> None:
    x = b.any(FLOATS)
    if b.choices.chance(70):
        b.emit("compare", x.array.of("pred"), [x, b.value(x.shape)], "direction=GE", infers=True)
    else:
        b.emit("is-finite", x.array.of("pred"), [x], infers=True)


def complex_op(b: Body) -> None:
    x = b.any(("f32", "f64"))
    c = b.emit("complex", x.array.of("c64" if x.array.dtype == "f32" else "c128"), [x, b.value(x.shape)], infers=True)
    b.emit(b.choices.pick(["real", "imag"]), x.shape, [c], infers=True)


def convert_op(b: Body) -> None:
    x = b.any(tuple(BITS))
    bits = BITS[x.array.dtype]
    alike = [name for name in BITS if BITS[name] == bits]
    kind = b.choices.integer(0, 3)
    if kind == 0:
        b.emit("bitcast-convert", x.array.of(b.choices.pick(alike)), [x])
    elif kind == 1 and x.array.dtype in FLOATS:
        b.emit("reduce-precision", x.shape, [x], "exponent_bits=5", "mantissa_bits=2")
    elif kind == 2 and x.array.dtype == "f32":
        b.emit("stochastic-convert", x.array.of("s8"), [x, b.value(x.array.of("u32"))])
    else:
        b.emit("convert", x.array.of(b.choices.pick(FLOATS + INTEGERS + ("pred",))), [x])


# Movement


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
    b.emit("reverse", x.shape, [x], f"dimensions={braces(b.choices.subset(range(len(x.array.dims))))}", infers=True)


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
        numbers = f"offset_dims={{1}}, collapsed_slice_dims={{0}}, start_index_map={{0}}, index_vector_dim=1, slice_sizes={{1,{width}}}"
        b.emit("gather", Array(x.array.dtype, (n, width)), [x, indices], numbers, infers=True)
    else:
        numbers = "update_window_dims={1}, inserted_window_dims={0}, scatter_dims_to_operand_dims={0}, index_vector_dim=1"
        region = b.program.scalar_body(x.array.dtype)
        updates = b.value(Array(x.array.dtype, (n, width)))
        b.emit("scatter", x.shape, [x, indices, updates], numbers, f"to_apply={region}", infers=True)


# Contractions


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
    res = {"b": batch // batch_groups, "f": out, **{str(d): w.outputs(n) for d, (w, n) in enumerate(zip(windows, sizes, strict=True))}}
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
    b.emit("convolution", Array(dtype, tuple(res[label] for label in out_labels)), operands, *attributes, infers=True)


# Reductions and windows


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
    x = b.any(("f32", "s32"), (1, 3))
    region = b.program.scalar_body(x.array.dtype)
    dims = braces(range(len(x.array.dims)))
    b.emit("map", x.shape, [x, b.value(x.shape)], f"dimensions={dims}", f"to_apply={region}", infers=True)


def sort_op(b: Body) -> None:
    x = b.any(("f32", "s32"), (1, 3))
    axis = b.choices.integer(0, len(x.array.dims) - 1)
    operands = [x] + ([b.value(x.array.of("s32"))] if b.choices.chance(40) else [])
    comparator = b.program.comparator([operand.array.dtype for operand in operands])
    shape: Shape = x.shape if len(operands) == 1 else tuple(operand.shape for operand in operands)
    b.emit("sort", shape, operands, f"dimensions={{{axis}}}", f"to_apply={comparator}", infers=True)


def scan_op(b: Body) -> None:
    """A running sum along the first dimension."""
    x = b.any(("f32", "s32"), (1, 2))
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


# Linear algebra, Fourier transforms, random numbers, normalization


def fft_op(b: Body) -> None:
    kind = b.choices.pick(("FFT", "IFFT", "RFFT", "IRFFT"))
    lengths = [b.choices.pick(SIZES) for _ in range(b.choices.integer(1, 3))]
    outer = tuple(b.choices.pick(SIZES) for _ in range(b.choices.integer(0, 1)))
    whole, half = (*outer, *lengths), (*outer, *lengths[:-1], lengths[-1] // 2 + 1)
    x = b.value(Array("f32" if kind == "RFFT" else "c64", half if kind == "IRFFT" else whole))
    shape = Array("f32" if kind == "IRFFT" else "c64", half if kind == "RFFT" else whole)
    b.emit("fft", shape, [x], f"fft_type={kind}", f"fft_length={braces(lengths)}", infers=True)


def linalg_op(b: Body) -> None:
    outer = tuple(b.choices.pick(SIZES) for _ in range(b.choices.integer(0, 2)))
    n, m = b.choices.pick(SIZES), b.choices.pick(SIZES)
    a = b.value(Array(b.choices.pick(("f32", "f64")), (*outer, n, n)))
    if b.choices.chance(50):
        b.emit("cholesky", a.shape, [a], "lower=true", infers=True)
    else:
        right = b.value(a.array.of(dims=(*outer, n, m)))
        side = "left_side=true, lower=true, transpose_a=NO_TRANSPOSE"
        b.emit("triangular-solve", right.shape, [a, right], side, infers=True)


def random_op(b: Body) -> None:
    kind = b.choices.integer(0, 2)
    if kind == 0:
        limits = [b.value(Array("f32")), b.value(Array("f32"))]
        b.emit("rng", b.array("f32"), limits, "distribution=rng_uniform")
    elif kind == 1:
        b.emit("rng-get-and-update-state", Array("u64", (2,)), [], "delta=4096")
    else:
        state = b.value(Array("u64", (2,)))
        shapes = (Array("u64", (2,)), b.array("u32"))
        b.emit("rng-bit-generator", shapes, [state], "algorithm=rng_three_fry")


def batch_norm_op(b: Body) -> None:
    x = b.any(("f32",), (2, 4))
    feature = [b.value(Array("f32", (x.array.dims[1],))) for _ in range(4)]
    numbers = "epsilon=0.001, feature_index=1"
    kind = b.choices.integer(0, 2)
    if kind == 0:
        shape = (x.shape, feature[0].shape, feature[0].shape)
        b.emit("batch-norm-training", shape, [x, *feature[:2]], numbers, infers=True)
    elif kind == 1:
        b.emit("batch-norm-inference", x.shape, [x, *feature], numbers, infers=True)
    else:
        shape = (x.shape, feature[0].shape, feature[0].shape)
        b.emit("batch-norm-grad", shape, [x, *feature[:3], b.value(x.shape)], numbers, infers=True)


# Collectives, and the asynchronous


def collective_op(b: Body) -> None:
    x = b.any(("f32", "bf16", "s32"), (1, 3))
    g = b.choices.pick((1, 2, 4))
    groups = f"replica_groups={braces(()) if b.choices.chance(20) else '{' + braces(range(g)) + '}'}"
    kind = b.choices.integer(0, 6)
    reduced = f"to_apply={b.program.scalar_body(x.array.dtype)}" if kind in (0, 1, 2) else ""
    wide = x.array.of(dims=(x.array.dims[0] * g, *x.array.dims[1:]))
    if kind == 0:
        b.emit("all-reduce", x.shape, [x], groups, reduced)
    elif kind == 1:
        pair = [x, b.any((x.array.dtype,))]
        start = b.emit("all-reduce-start", tuple(v.shape for v in pair), pair, groups, reduced)
        b.emit("all-reduce-done", start.shape, [start])
    elif kind == 2:
        b.emit("reduce-scatter", x.shape, [b.value(wide)], groups, "dimensions={0}", reduced)
    elif kind == 3:
        b.emit("all-gather", wide, [x], groups, "dimensions={0}")
    elif kind == 4:
        start = b.emit("all-gather-start", (x.shape, wide), [x], groups, "dimensions={0}")
        b.emit("all-gather-done", wide, [start])
    elif kind == 5:
        pieces = [x] + [b.value(x.shape) for _ in range(g - 1)]
        b.emit("all-to-all", tuple(p.shape for p in pieces), pieces, groups)
    else:
        b.emit("collective-broadcast", x.shape, [x], groups)


def permute_op(b: Body) -> None:
    x = b.any(FLOATS + INTEGERS)
    pairs = "source_target_pairs={{0,1},{1,0}}"
    if b.choices.chance(50):
        b.emit("collective-permute", x.shape, [x], pairs)
    else:
        start = b.emit("collective-permute-start", (x.shape, x.shape, Array("u32"), Array("u32")), [x], pairs)
        b.emit("collective-permute-done", x.shape, [start])


def device_op(b: Body) -> None:
    b.emit(b.choices.pick(["partition-id", "replica-id"]), Array("u32"), infers=True)


def host_op(b: Body) -> None:
    """Tokens, and what passes between the device and its host or another device."""
    token = b.emit("after-all", TOKEN, infers=True)
    x = b.any(FLOATS + INTEGERS)
    kind = b.choices.integer(0, 3)
    if kind == 0:
        b.emit("infeed", (x.shape, TOKEN), [token])
    elif kind == 1:
        b.emit("outfeed", TOKEN, [x, token], f"outfeed_shape={spell(x.shape)}")
    elif kind == 2:
        sent = b.emit("send", (x.shape, Array("u32"), TOKEN), [x, token], "channel_id=1")
        b.emit("send-done", TOKEN, [sent], "channel_id=1")
        received = b.emit("recv", (x.shape, Array("u32"), TOKEN), [token], "channel_id=2")
        b.emit("recv-done", (x.shape, TOKEN), [received], "channel_id=2")
    else:
        b.emit("add-dependency", x.shape, [x, token], infers=True)


def copy_start_op(b: Body) -> None:
    x = b.any(FLOATS + INTEGERS)
    start = b.emit("copy-start", (x.shape, x.shape, Array("u32")), [x])
    b.emit("copy-done", x.shape, [start])


def domain_op(b: Body) -> None:
    x = b.any(FLOATS + INTEGERS)
    kinds = "domain={kind=\"sharding\", entry={maximal device=0}, exit={maximal device=1}}"
    b.emit("domain", x.shape, [x], kinds)


def custom_call_op(b: Body) -> None:
    x = b.any(FLOATS + INTEGERS)
    shape: Shape = b.array() if b.choices.chance(60) else (b.array(), b.array())
    target = f'custom_call_target="{b.choices.pick(["foo", "__cublas$gemm", "Sharding"])}"'
    b.emit("custom-call", shape, [x, b.any(FLOATS)], target)


def async_op(b: Body) -> None:
    """A computation that is started and waited for: sugared, as printed, or spelled out, as older texts have it."""
    callee, parameters, root = subprogram(b)
    operands = [b.value(p.shape) for p in parameters]
    shape = (tuple(p.shape for p in parameters), root.shape, Array("u32"))
    kind = b.choices.integer(0, 2)
    if kind == 0:  # XLA prints it sugared, so nothing but one instruction may stand in it, without control edges
        wrapper = Body(b.program, "wrapped", b.depth + 1, ordered=False)
        inner = [wrapper.parameter(p.shape) for p in parameters]
        callee = wrapper.close(wrapper.emit("call", root.shape, inner, f"to_apply={callee}"))
        start = b.emit("async-start", shape, operands, f"calls={callee}")
        b.emit("async-done", root.shape, [start])
    elif kind == 1:
        start = b.emit("call-start", shape, operands, f"to_apply={callee}")
        start = b.emit("call-update", shape, [start]) if b.choices.chance(30) else start
        b.emit("call-done", root.shape, [start])
    else:
        start = b.emit("fusion-start", shape, operands, "kind=kLoop", f"calls={callee}")
        b.emit("fusion-done", root.shape, [start])


# Tuples and dynamic sizes


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
    b.emit("negate", bounded.shape, [bounded], infers=True)


# Calls


def subprogram(b: Body, stem: str = "sub") -> tuple[str, list[Value], Value]:
    """A computation of a few instructions: its name, its parameters and its root."""
    body = Body(b.program, stem, b.depth + 1)
    body.grow(b.choices.integer(1, 4))
    root = b.choices.pick(body.values[-3:])
    if isinstance(root.shape, str):  # nothing that is called gives back a bare token
        root = body.any(FLOATS)
    elif b.choices.chance(25):
        parts = [v for v in body.values if isinstance(v.shape, Array)][-3:]
        root = body.emit("tuple", tuple(v.shape for v in parts), parts)
    return body.close(root), body.parameters, root


def fusion_op(b: Body) -> None:
    callee, parameters, root = subprogram(b, "fused")
    kind = b.choices.pick(("kLoop", "kLoop", "kInput", "kOutput", "kCustom"))
    b.emit("fusion", root.shape, [b.value(p.shape) for p in parameters], f"kind={kind}", f"calls={callee}")


def fused_slices(b: Body) -> None:
    """A fusion whose parameters are sliced, updated in place, spread out, or handed to a fusion inside."""
    program, body = b.program, Body(b.program, "fused", b.depth + 1)
    x = body.parameter(body.array("f32", 2, small=True))
    for _ in range(b.choices.integer(1, 4)):
        b.choices.pick([slice_op, dynamic_slice_op, broadcast_op, reshape_op, binary_op, nested_op])(body)
    if b.choices.chance(30):
        body.write("constant", Array("f32", (3,)), "{1, 2, 3}")
    root = b.choices.pick(body.values[-2:])
    if b.choices.chance(40):
        parts = [v for v in body.values if isinstance(v.shape, Array)][-3:]
        root = body.emit("tuple", tuple(v.shape for v in parts), parts)
    callee = body.close(root)
    operands = [b.value(x.shape), *(b.value(p.shape) for p in body.parameters[1:])]
    b.emit("fusion", root.shape, operands, "kind=kLoop", f"calls={program.percent}{body.name}")
    assert callee.endswith(body.name)


def nested_op(b: Body) -> None:
    """A fusion in a fusion, whose result may be sliced at once."""
    inner = Body(b.program, "inner", b.depth + 1)
    x = b.any(("f32",), (1, 2))
    y = inner.parameter(x.shape)
    root = inner.emit("negate", y.shape, [y]) if b.choices.chance(60) else slice_of(inner, y)
    fused = b.emit("fusion", root.shape, [x], "kind=kLoop", f"calls={inner.close(root)}")
    if b.choices.chance(50):
        slice_of(b, fused)


def slice_of(b: Body, x: Value) -> Value:
    bounds = ", ".join("[0:1]" for _ in x.array.dims)
    return b.emit("slice", x.array.of(dims=(1,) * len(x.array.dims)), [x], f"slice={{{bounds}}}")


def fused_tuple(b: Body) -> None:
    """A fusion that takes a tuple."""
    body = Body(b.program, "fused", b.depth + 1)
    shapes: list[Shape] = [body.array("f32", 2, small=True) for _ in range(b.choices.integer(1, 3))]
    packed = body.parameter(tuple(shapes))
    for n in b.choices.subset(range(len(shapes))):
        element = body.emit("get-tuple-element", shapes[n], [packed], f"index={n}")
        b.choices.pick([slice_of, lambda on, x: on.emit("negate", x.shape, [x])])(body, element)
    root = body.values[-1]
    b.emit("fusion", root.shape, [b.value(packed.shape)], "kind=kLoop", f"calls={body.close(root)}")


def call_op(b: Body) -> None:
    callee, parameters, root = subprogram(b)
    b.emit("call", root.shape, [b.value(p.shape) for p in parameters], f"to_apply={callee}", infers=True)


def while_op(b: Body) -> None:
    """A counted loop over a tuple of the counter and some arrays."""
    c, limit = b.choices, b.choices.integer(0, 20)
    carried: list[Shape] = [Array("s32"), *(b.array("f32") for _ in range(c.integer(0, 2)))]
    condition, body = Body(b.program, "condition", b.depth + 1), Body(b.program, "body", b.depth + 1)
    state = condition.parameter(tuple(carried))
    count = condition.emit("get-tuple-element", Array("s32"), [state], "index=0")
    stop = condition.write("constant", Array("s32"), str(limit))
    test = condition.emit("compare", Array("pred"), [count, stop], "direction=LT")
    state = body.parameter(tuple(carried))
    values = [body.emit("get-tuple-element", s, [state], f"index={n}") for n, s in enumerate(carried)]
    one = body.write("constant", Array("s32"), "1")
    following = [body.emit("add", Array("s32"), [values[0], one]), *(binary(body, v, v) for v in values[1:])]
    root = body.emit("tuple", tuple(carried), following)
    trips = f'backend_config={{"known_trip_count":{{"n":"{limit}"}}}}' if c.chance(50) else ""
    zero = b.write("constant", Array("s32"), "0")
    start = b.emit("tuple", tuple(carried), [zero, *(b.value(s) for s in carried[1:])])
    regions = [f"condition={condition.close(test)}", f"body={body.close(root)}"]
    b.emit("while", tuple(carried), [start], *regions, *([trips] if trips else []), infers=True)


def conditional_op(b: Body) -> None:
    x = b.any(("f32",))
    branches, by_index = [], b.choices.chance(50)
    for _ in range(b.choices.integer(1, 4) if by_index else 2):
        body = Body(b.program, "branch", b.depth + 1)
        result = body.parameter(x.shape)
        for _ in range(b.choices.integer(0, 2)):
            result = binary(body, result, result)
        if b.choices.chance(20):
            result = body.emit("custom-call", x.shape, [result], 'custom_call_target="foo"')
        branches.append(body.close(result))
    chooser = b.value(Array("s32" if by_index else "pred"))
    named = ["branch_computations={" + ", ".join(branches) + "}"]
    if not by_index:
        named = [f"true_computation={branches[0]}", f"false_computation={branches[1]}"]
        named = named[::-1] if b.choices.chance(30) else named
    b.emit("conditional", x.shape, [chooser, *[x] * len(branches)], *named, infers=True)


EMITTERS: dict[str, Callable[[Body], None]] = {
    **{"unary": unary_op, "binary": binary_op, "ternary": ternary_op, "compare": to_pred, "complex": complex_op},
    **{"convert": convert_op, "broadcast": broadcast_op, "reshape": reshape_op, "transpose": transpose_op},
    **{"reverse": reverse_op, "slice": slice_op, "pad": pad_op, "concatenate": concatenate_op, "iota": iota_op},
    **{"dynamic-slice": dynamic_slice_op, "gather": gather_op, "dot": dot_op, "ragged-dot": ragged_dot_op},
    **{"convolution": convolution_op, "reduce": reduce_op, "reduce-window": reduce_window_op, "map": map_op},
    **{"select-and-scatter": select_and_scatter_op, "sort": sort_op, "topk": topk_op, "scan": scan_op, "fft": fft_op},
    **{"linalg": linalg_op, "rng": random_op, "batch-norm": batch_norm_op, "collective": collective_op},
    **{"permute": permute_op, "device": device_op, "host": host_op, "copy-start": copy_start_op, "domain": domain_op},
    **{"custom-call": custom_call_op, "tuple": tuple_op, "dynamic-size": dynamic_size_op},
    **{"fusion": fusion_op, "fused-slices": fused_slices, "fused-tuple": fused_tuple, "call": call_op},
    **{"while": while_op, "conditional": conditional_op, "async": async_op},
}
"""What a program is made of, by the word that `modules(opcodes=...)` takes."""

CALLING = frozenset(("fusion", "call", "async"))
MAX_DEPTH = 2


@st.composite
def modules(
    draw: Callable[[st.SearchStrategy[Any]], Any], opcodes: Sequence[str] = tuple(EMITTERS), max_size: int = 8
) -> str:
    """The text of a module that XLA parses, up to `max_size` random steps long, made of `opcodes` (words of EMITTERS)."""
    choices = Choices(draw)
    program = Program(choices, opcodes)
    entry = Body(program, "main")
    entry.grow(choices.integer(1, max_size))
    entry.close(choices.pick(entry.values[-3:]), entry=True)
    return f"HloModule {program.name('random')}\n\n" + "\n\n".join(program.computations) + "\n"
