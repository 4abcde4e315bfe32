"""Scalar arithmetic as HLO defines it: wrapping integers, rounded floats, division that truncates."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from ctypes import c_float
from functools import lru_cache, partial

from hlo_count.hlo.dtypes import DType
from hlo_count.hlo.opcodes import elementwise_of

Scalar = int | float | bool
"""Of a `pred` a bool, of an integer type an int, of a float type a float that the type can hold."""

Function = Callable[..., Scalar]

_UNARY = elementwise_of(1)
COMPARISONS: dict[str, Function] = {
    "EQ": operator.eq,
    "NE": operator.ne,
    "LT": operator.lt,
    "LE": operator.le,
    "GT": operator.gt,
    "GE": operator.ge,
}


def literal(dtype: DType, text: str) -> Scalar | None:
    """The value of a scalar constant's text (`5`, `{5}`, `true`, `1e-3`, `inf`), None for no real number."""
    text = text.strip(" {}\n")
    into = into_dtype(dtype)
    if into is None:
        return None
    try:
        if dtype.kind == "pred":
            return {"true": True, "false": False, "1": True, "0": False}[text]
        return into(int(text) if dtype.is_integer else float(text))
    except (ValueError, KeyError):
        return None


@lru_cache(maxsize=1024)
def convert(source: DType, target: DType) -> Function | None:
    """The HLO `convert` between two types: integers wrap, floats saturate to integers and NaN becomes 0."""
    into = into_dtype(target)
    if into is None or into_dtype(source) is None:
        return None
    if source.is_float and target.is_integer:
        return partial(_saturate, *limits(target))
    return into


@lru_cache(maxsize=1024)
def compare(dtype: DType, direction: str, order: str | None) -> Function | None:
    """The HLO `compare`; `order` is its attribute `type`. None for the total order of floats."""
    function = COMPARISONS.get(direction)
    if order == "TOTALORDER" or (into_dtype(dtype) is None):
        return None
    if function is not None and order == "UNSIGNED" and dtype.kind == "int":
        mask, plain = (1 << dtype.bits) - 1, function
        return lambda a, b: plain(a & mask, b & mask)
    return function


@lru_cache(maxsize=1024)
def arithmetic(opcode: str, dtype: DType) -> Function | None:
    """What `opcode` does to scalars of `dtype`; None where the devices' results differ in the last bit."""
    into = into_dtype(dtype)
    if into is None:
        return None
    if opcode == "select":
        return lambda p, a, b: a if p else b
    if dtype.kind == "pred":
        return _PRED.get(opcode)
    if dtype.is_float:
        function = _FLOAT.get(opcode)
    else:
        function = _INTEGER.get(opcode) or _bitwise(opcode, dtype.bits)
    if function is None or opcode in ("maximum", "minimum", "clamp"):
        return function
    raw = function
    if opcode in _UNARY:
        return lambda a: into(raw(a))
    return lambda a, b: into(raw(a, b))


def limits(dtype: DType) -> tuple[int, int]:
    """The smallest and the largest value of an integer type."""
    if dtype.kind == "uint":
        return 0, (1 << dtype.bits) - 1
    return -(1 << dtype.bits - 1), (1 << dtype.bits - 1) - 1


@lru_cache(maxsize=1024)
def into_dtype(dtype: DType) -> Function | None:
    """The function that brings a number into `dtype`: integers wrap around, floats round to nearest even."""
    if dtype.kind == "pred":
        return bool
    if dtype.is_integer:
        low, high = limits(dtype)
        mask = high - low
        return lambda x: ((x - low) & mask) + low
    if dtype.name == "f64":
        return float
    return _rounding(dtype.name)


def _rounding(name: str) -> Function | None:
    """Rounding of a double: with its bits, more than twice as many, one operation and this round once."""
    if name == "f32":
        return lambda x: c_float(x).value
    if name == "bf16":
        import ml_dtypes

        return lambda x: float(ml_dtypes.bfloat16(x))
    if name == "f16":
        import numpy as np

        def half(x: Scalar) -> float:
            with np.errstate(over="ignore"):
                return float(np.float16(x))

        return half
    return None


def _saturate(low: int, high: int, x: float) -> int:
    if math.isnan(x):
        return 0
    return low if x <= low else high if x >= high else int(x)


def _quotient(a: int, b: int) -> int:
    if b == 0:
        return -1
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def _remainder(a: int, b: int) -> int:
    return a if b == 0 else a - b * _quotient(a, b)


def _sign(x: int) -> int:
    return (x > 0) - (x < 0)


def _float_quotient(a: float, b: float) -> float:
    if b != 0:
        return a / b
    return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1, b)


def _float_remainder(a: float, b: float) -> float:
    return math.nan if b == 0 or math.isinf(a) else math.fmod(a, b)


def _float_maximum(a: float, b: float) -> float:
    return a if a >= b or math.isnan(a) else b


def _float_minimum(a: float, b: float) -> float:
    return a if a <= b or math.isnan(a) else b


def _whole(function: Callable[[float], int], x: float) -> float:
    return float(function(x)) if math.isfinite(x) else x


_COMMON: dict[str, Function] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "negate": operator.neg,
    "abs": abs,
}
_LOGICAL: dict[str, Function] = {
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
    "maximum": max,
    "minimum": min,
}
_PRED = {**_LOGICAL, "not": operator.not_}
_INTEGER: dict[str, Function] = {
    **_COMMON,
    **_LOGICAL,
    "not": operator.invert,
    "divide": _quotient,
    "remainder": _remainder,
    "sign": _sign,
    "clamp": lambda low, x, high: min(max(x, low), high),
}
_FLOAT: dict[str, Function] = {
    **_COMMON,
    "divide": _float_quotient,
    "remainder": _float_remainder,
    "maximum": _float_maximum,
    "minimum": _float_minimum,
    "clamp": lambda low, x, high: _float_minimum(_float_maximum(x, low), high),
    "floor": partial(_whole, math.floor),
    "ceil": partial(_whole, math.ceil),
    "round-nearest-even": partial(_whole, round),
}


def _bitwise(opcode: str, bits: int) -> Function | None:
    """Operations on an integer's bits; a shift by its width or more leaves zeros, or copies of the sign."""
    mask = (1 << bits) - 1

    def signed(x: int) -> int:
        return ((x + (1 << bits - 1)) & mask) - (1 << bits - 1)

    functions: dict[str, Function] = {
        "shift-left": lambda x, by: x << by if 0 <= by < bits else 0,
        "shift-right-logical": lambda x, by: (x & mask) >> by if 0 <= by < bits else 0,
        "shift-right-arithmetic": lambda x, by: signed(x) >> (by if 0 <= by < bits else bits - 1),
        "popcnt": lambda x: (x & mask).bit_count(),
        "count-leading-zeros": lambda x: bits - (x & mask).bit_length(),
    }
    return functions.get(opcode)
