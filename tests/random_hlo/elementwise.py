"""Elementwise operations."""

from __future__ import annotations

from random_hlo.builder import (
    ANY_UNARY,
    BITS,
    COMPLEX,
    FLOAT_UNARY,
    FLOATS,
    INTEGERS,
    Array,
    Body,
    Step,
    binary,
)


def unary_op(b: Body) -> None:
    x = b.any(FLOATS + INTEGERS + COMPLEX)
    opcodes = ANY_UNARY + (FLOAT_UNARY if x.array.dtype in FLOATS else ())
    opcodes = ("popcnt", "count-leading-zeros", "not") if x.array.dtype in INTEGERS else opcodes
    opcodes = ("exponential", "sine", "negate", "tanh") if x.array.dtype in COMPLEX else opcodes
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


STEPS: tuple[Step, ...] = (unary_op, binary_op, ternary_op, to_pred, complex_op, convert_op)
