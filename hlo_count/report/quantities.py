"""Quantities that people write for limits: "2.1 GFLOP", "80 MB", "1.5 MiB", "50 us"."""

from __future__ import annotations

import re
from decimal import Decimal
from math import isfinite
from numbers import Integral, Real

from hlo_count.errors import HloCountError

Quantity = int | float

OPERATIONS = ("flops", "transcendentals", "int_ops", "other_ops")
BYTES = (
    *("bytes", "bytes_read", "bytes_written", "network_bytes", "dcn_bytes"),
    *("peak_bytes", "argument_bytes", "output_bytes", "compulsory_bytes"),
)
CAN_BE_LIMITED = (*OPERATIONS, *BYTES, "intensity")
"""What can be limited by name: attributes of a Report."""

_DECIMAL = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18}
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50}
_SECONDS = {
    "s": Decimal(1),
    "ms": Decimal("1e-3"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "ns": Decimal("1e-9"),
}
_MOST_DIGITS = 40
"""Of an amount as it is written: a whole number of more takes memory by its exponent."""
_NUMBER = re.compile(r"\s*(\d[\d_]*(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*(\S*)\s*")


def parse_quantity(text: str | Quantity, counter: str) -> Quantity:
    """The amount that `text` spells, in FLOP, operations, bytes, FLOP/B or seconds, by what `counter` counts.

    Prefixes k, M, G, T, P, E are decimal, also alone ("2.1 G"); Ki, Mi, Gi, Ti, Pi are binary, and for bytes only.
    The unit is FLOP for flops, "op" for other operations, B for bytes, FLOP/B for `intensity`, and s, ms, us or ns
    for `bound`, which is the one that needs a unit. A number is taken as it is. An int where the amount is whole.

    Raises HloCountError for anything else, naming the counter and what it takes.
    """
    if isinstance(text, str):
        return _whole(_parse(text, counter))
    if isinstance(text, bool) or not isinstance(text, Real) or not isfinite(text) or text < 0:
        raise HloCountError(f"{counter}={text!r} is no quantity: {_expected(counter)}")
    return int(text) if isinstance(text, Integral) else _whole(Decimal(float(text)))


def _parse(text: str, counter: str) -> Decimal:
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise HloCountError(f"{counter}={text!r} is no quantity: {_expected(counter)}")
    number, unit = Decimal(match[1].replace("_", "")), match[2]
    if number.adjusted() > _MOST_DIGITS:
        raise HloCountError(f"{counter}={text!r} is more than there can be: {_expected(counter)}")
    factor = _factors(counter).get(unit)
    if factor is None and not unit:
        raise HloCountError(f"{counter}={text!r} has no unit: {_expected(counter)}")
    if factor is None:
        why = "a rate, and this limit is an amount" if unit.endswith(("/s", "FLOPS")) else "no unit of it"
        raise HloCountError(f"{counter}={text!r}: {unit} is {why}: {_expected(counter)}")
    return number * factor


def _factors(counter: str) -> dict[str, Decimal]:
    """Every spelling of a unit that the counter takes."""
    if counter == "bound":
        return _SECONDS
    if counter == "intensity":
        return {"": Decimal(1), "FLOP/B": Decimal(1)}
    units = {"flops": ("", "FLOP", "FLOPs"), **dict.fromkeys(BYTES, ("", "B"))}.get(counter, ("", "op", "ops"))
    factors = {prefix + unit: Decimal(size) for prefix, size in _DECIMAL.items() for unit in units}
    if counter in BYTES:
        factors |= {prefix + "B": Decimal(size) for prefix, size in _BINARY.items()}
    return factors


def _expected(counter: str) -> str:
    if counter == "bound":
        return 'give a time such as "50 us" or "1.2 ms", or seconds as a number'
    if counter == "intensity":
        return 'give FLOP per byte, such as 12.5 or "12.5 FLOP/B"'
    if counter in BYTES:
        return 'give bytes, such as "80 MB", "1.5 MiB" or 80_000_000'
    if counter == "flops":
        return 'give an amount of FLOP, such as "2.1 GFLOP" or 2_100_000_000'
    return 'give a number of operations, such as "2.1 M" or 2_100_000'


def _whole(value: Decimal) -> Quantity:
    return int(value) if value == value.to_integral_value() else float(value)
