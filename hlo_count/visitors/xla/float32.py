"""float32 as a C++ `float` holds it, in Python floats: XLA adds and multiplies its figures in it."""

from __future__ import annotations

from ctypes import c_float
from math import isfinite

from hlo_count.errors import HloCountError

_EXACT = 2**53


def f32(value: float) -> float:
    """`value` rounded to the nearest float32, ties to even, infinite past its range.

    Sums, products and halves of float32 come out as float32 arithmetic gives them: a double has more than
    twice the digits, so rounding first to it and then to float32 is rounding once.
    """
    return c_float(value).value


def f32_of_int(value: int) -> float:
    """An int64 as float32, rounded once: past 2^53 its lowest bits become one sticky bit."""
    if -_EXACT <= value <= _EXACT:
        return c_float(value).value
    return c_float((value >> 11 | (value & 2047 != 0)) << 11).value


def whole(figure: float) -> int:
    """A figure without its fraction. Raises HloCountError for an infinite one."""
    if not isfinite(figure):
        raise HloCountError("XLA adds up in float32, which ends at 3.4e38: it has no figure for this program")
    return int(figure)


def int64(value: int) -> int:
    """`value` as 64-bit arithmetic that overflows leaves it."""
    if -(2**63) <= value < 2**63:
        return value
    return (value + 2**63) % 2**64 - 2**63
