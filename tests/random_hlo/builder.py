"""A module while it is drawn: shapes, values, computations, and the style of the text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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

Step: TypeAlias = "Callable[[Body], None]"
"""Adds one random instruction, or a few that belong together."""

TOKEN = "token[]"
COMMENTS = ("", "", "  // 1 } of {", " /* 2 ) of ( */", "\n  // its own = line(%x)", " /* over\n lines */")
METADATA = (
    'metadata={op_name="jit(f)/while/body/add" source_file="f.py" source_line=3}',
    r'metadata={op_name="a \"b\" {c} ) , =/d"}',
    'frontend_attributes={a="1",b="{x, y}"}',
    "sharding={replicated}",
    'backend_config={"n":{"m":["1","2"]},"s":"}{"}',
)
MAX_DEPTH = 2
FLOATS = ("f32", "bf16", "f16", "f64", "f8e4m3fn")
INTEGERS = ("s32", "u8", "s64", "u32", "s8", "s4")
COMPLEX = ("c64", "c128")
SIZES = (1, 2, 3, 4, 5, 7, 8, 16, 17, 33, 128, 1000)
BITS = {"f32": 32, "bf16": 16, "f16": 16, "f64": 64, "s32": 32, "u32": 32, "u8": 8, "s8": 8, "s64": 64}

FLOAT_UNARY = (
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atanh",
    "cbrt",
    "ceil",
    "cosine",
    "cosh",
    "erf",
    "exponential",
    "exponential-minus-one",
    "floor",
    "log",
    "log-plus-one",
    "logistic",
    "round-nearest-afz",
    "round-nearest-even",
    "rsqrt",
    "sine",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
)
ANY_UNARY = ("abs", "negate", "sign", "copy")
FLOAT_BINARY = ("add", "subtract", "multiply", "divide", "maximum", "minimum", "power", "remainder", "atan2")
INTEGER_BINARY = (
    "add",
    "subtract",
    "multiply",
    "divide",
    "maximum",
    "minimum",
    "power",
    "remainder",
    "and",
    "or",
    "xor",
    "shift-left",
    "shift-right-arithmetic",
    "shift-right-logical",
)


def spell(shape: Shape) -> str:
    if isinstance(shape, tuple):
        return "(" + ", ".join(map(spell, shape)) + ")"
    return str(shape)


@dataclass(frozen=True)
class Value:
    name: str
    shape: Shape
    inline: str = ""
    """The whole instruction, where it stands in the parentheses of what takes it."""

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

    def __init__(self, choices: Choices, steps: Sequence[Step], inner_steps: Sequence[Step]) -> None:
        self.choices = choices
        self.steps = steps
        self.inner_steps = inner_steps
        """What the computations deepest inside are made of."""
        self.computations: list[str] = []
        self.count = 0
        self.percent = "%" if choices.chance(50) else ""
        self.operand_shapes = choices.chance(50)
        self.layouts = choices.chance(60)
        self.bare_results = choices.chance(30)
        self.inline_constants = choices.chance(20)
        self.marks = choices.chance(80)
        """Whether the entry and the roots are marked where they come last anyway."""
        self.comments = choices.chance(20)

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
        self,
        opcode: str,
        shape: Shape,
        operands: Sequence[Value] = (),
        *attributes: str,
        infers: bool = False,
    ) -> Value:
        """One instruction; `infers` where its shape follows from the operands and may be left out."""
        inside = ", ".join(self._operand(operand) for operand in operands)
        return self.write(opcode, shape, inside, *attributes, infers=infers)

    def write(self, opcode: str, shape: Shape, inside: str, *attributes: str, infers: bool = False) -> Value:
        value = Value(self.program.name(opcode.replace("-", "_")), shape)
        spelled = "" if infers and self.program.bare_results else spell(shape) + " "
        extra = list(attributes)
        if self.ordered and self.values and self.choices.chance(4):
            extra.append(f"control-predecessors={{{self.program.percent}{self.choices.pick(self.values).name}}}")
        note = self.choices.pick(METADATA) if self.choices.chance(10) else ""
        if note and not any(attribute.startswith(note.partition("=")[0]) for attribute in extra):
            extra.append(note)
        text = f"{self.program.percent}{value.name} = {spelled}{opcode}({inside})"
        comment = self.choices.pick(COMMENTS) if self.program.comments else ""
        self.lines.append("".join([text, *(f", {attribute}" for attribute in extra), comment]))
        self.values.append(value)
        return value

    def _operand(self, operand: Value) -> str:
        if operand.inline:
            return operand.inline
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
        """A value of that dtype and those dimensions: one that is there, a parameter, or a constant."""
        found = [v for v in self.values if _same(v.shape, shape)]
        if found and self.choices.chance(70):
            return self.choices.pick(found)
        if isinstance(shape, Array) and shape.dtype in ("f32", "s32") and not shape.bound and self.choices.chance(25):
            if self.program.inline_constants and not shape.dims:
                return Value("", shape, f"{shape} constant(1)")
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
        program = self.program
        for _ in range(count):
            self.choices.pick(program.steps if self.depth < MAX_DEPTH else program.inner_steps)(self)

    def close(self, root: Value, *, entry: bool = False) -> str:
        """Write the computation into the program; its name."""
        marks = self.program.marks
        root_at = next(n for n, value in enumerate(self.values) if value is root)
        lines = [f"  {line}" for line in self.lines]
        if marks or root_at < len(lines) - 1:
            lines[root_at] = f"  ROOT {self.lines[root_at]}"
        head = f"{'ENTRY ' if entry and marks else ''}{self.program.percent}{self.name} {{"
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


def binary(b: Body, lhs: Value, rhs: Value) -> Value:
    dtype = lhs.array.dtype
    opcodes = FLOAT_BINARY if dtype in FLOATS else INTEGER_BINARY if dtype in INTEGERS else ("and", "or", "xor")
    opcodes = ("add", "subtract", "multiply", "divide") if dtype in COMPLEX else opcodes
    return b.emit(b.choices.pick(opcodes), lhs.shape, [lhs, rhs], infers=True)
