"""Scalar arithmetic against XLA's own, on the values where types differ: limits, zero, NaN, wide shifts."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

from hlo_count.hlo.dtypes import DTYPES
from hlo_count.hlo.evaluate import Scalar, arithmetic, compare, convert, into_dtype, literal

BINARY = {
    "add": "add",
    "subtract": "sub",
    "multiply": "mul",
    "divide": "div",
    "remainder": "rem",
    "maximum": "max",
    "minimum": "min",
}
BITS = {
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "shift-left": "shift_left",
    "shift-right-logical": "shift_right_logical",
    "shift-right-arithmetic": "shift_right_arithmetic",
}
UNARY = {"negate": "neg", "abs": "abs"}
INTEGER_UNARY = {"not": "bitwise_not", "popcnt": "population_count", "count-leading-zeros": "clz"}
FLOAT_UNARY = {"floor": "floor", "ceil": "ceil"}
VALUES: dict[str, list[Scalar]] = {
    "s8": [-128, -127, -7, -1, 0, 1, 2, 7, 9, 127],
    "u8": [0, 1, 2, 7, 8, 9, 127, 128, 255],
    "s32": [-(2**31), -7, -1, 0, 1, 2, 31, 32, 2**31 - 1],
    "u32": [0, 1, 2, 31, 32, 2**31, 2**32 - 1],
    # Nothing that gives a subnormal: XLA on CPU flushes those to zero.
    "f32": [-math.inf, -3.5, -1.0, -0.1, 0.0, 0.1, 1.0, 2.5, 1e30, math.inf, math.nan],
    "f16": [-6e4, -0.1, 0.0, 0.1, 1.0, 2.5, 6e4, math.inf],
}
JAX_NAMES = {"s8": "int8", "u8": "uint8", "s32": "int32", "u32": "uint32", "f32": "float32", "f16": "float16"}


def same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def arrays(dtype: str, arity: int) -> tuple[list[tuple[Scalar, ...]], list[Any]]:
    """All tuples of VALUES, as the type holds them, and the same as columns for JAX."""
    jnp = pytest.importorskip("jax.numpy")
    fitted = into_dtype(DTYPES[dtype])
    assert fitted is not None
    rows = list(itertools.product([fitted(value) for value in VALUES[dtype]], repeat=arity))
    return rows, [jnp.asarray(column, dtype=JAX_NAMES[dtype]) for column in zip(*rows, strict=True)]


def operations(dtype: str) -> list[tuple[str, str, int]]:
    integer = DTYPES[dtype].is_integer
    signed = dtype[0] != "u"
    found = [(opcode, name, 2) for opcode, name in {**BINARY, **(BITS if integer else {})}.items()]
    unary = {**(UNARY if signed else {}), **(INTEGER_UNARY if integer else FLOAT_UNARY)}
    return [*found, *((opcode, name, 1) for opcode, name in unary.items())]


@pytest.mark.parametrize("dtype", VALUES)
def test_arithmetic_is_that_of_xla(dtype: str) -> None:
    lax = pytest.importorskip("jax.lax")
    for opcode, name, arity in operations(dtype):
        rows, columns = arrays(dtype, arity)
        expected = getattr(lax, name)(*columns).tolist()
        function = arithmetic(opcode, DTYPES[dtype])
        assert function is not None, opcode
        for row, value in zip(rows, expected, strict=True):
            assert same(function(*row), value), (opcode, row)


@pytest.mark.parametrize("dtype", VALUES)
def test_clamp_and_compare_are_those_of_xla(dtype: str) -> None:
    lax = pytest.importorskip("jax.lax")
    clamp = arithmetic("clamp", DTYPES[dtype])
    assert clamp is not None
    rows, columns = arrays(dtype, 3)
    for row, value in zip(rows, lax.clamp(*columns).tolist(), strict=True):
        assert same(clamp(*row), value), row
    rows, columns = arrays(dtype, 2)
    for direction in ("EQ", "NE", "LT", "LE", "GT", "GE"):
        function = compare(DTYPES[dtype], direction, None)
        assert function is not None
        assert [function(*row) for row in rows] == getattr(lax, direction.lower())(*columns).tolist()


@pytest.mark.parametrize("source", VALUES)
@pytest.mark.parametrize("target", VALUES)
def test_convert_is_that_of_xla(source: str, target: str) -> None:
    lax = pytest.importorskip("jax.lax")
    function = convert(DTYPES[source], DTYPES[target])
    assert function is not None
    rows, (column,) = arrays(source, 1)
    for (value,), expected in zip(rows, lax.convert_element_type(column, JAX_NAMES[target]).tolist(), strict=True):
        assert same(function(value), expected), value


def test_literals() -> None:
    texts = [("s32", "-5"), ("s32", "{7}"), ("pred", "true"), ("f32", "1e-3"), ("f32", "-inf"), ("u8", "255")]
    assert [literal(DTYPES[dtype], text) for dtype, text in texts[:3]] == [-5, 7, True]
    value = literal(DTYPES["f32"], "1e-3")
    assert value == pytest.approx(1e-3, rel=2**-24)  # half a unit of f32's last place
    assert value != 1e-3
    assert literal(DTYPES["f32"], "-inf") == -math.inf
    assert literal(DTYPES["c64"], "(1, 2)") is None
    assert literal(DTYPES["s32"], "{...}") is None


def test_what_it_does_not_evaluate() -> None:
    assert arithmetic("exponential", DTYPES["f32"]) is None  # the last bit differs between devices
    assert arithmetic("add", DTYPES["c64"]) is None
    assert compare(DTYPES["f32"], "LT", "TOTALORDER") is None
    assert convert(DTYPES["f32"], DTYPES["f8e4m3fn"]) is None
