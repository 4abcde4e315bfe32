"""Numbers for people: decimal prefixes for FLOP and traffic, binary ones for buffer sizes, one prefix a column."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

_DECIMAL = ((10**18, "E"), (10**15, "P"), (10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))
_LARGE = 10**24
"""Beyond the last prefix's thousands: written as powers of ten, so that a column stays one."""
_BINARY = ((2**40, "Ti"), (2**30, "Gi"), (2**20, "Mi"), (2**10, "Ki"))


def amount(value: float, unit: str = "", *, binary: bool = False) -> str:
    """`1.007 G`, `84.2 MB`, `12.3 MiB`: four significant digits at most, exact below a thousand."""
    if abs(value) >= _LARGE:
        return f"{_power(value)} {unit}".rstrip()
    size, prefix = _scale(value, binary)
    return f"{_digits(value / size)} {prefix}{unit}".rstrip()


def column(values: Sequence[float | None], unit: str = "", *, binary: bool = False) -> list[str]:
    """Values in one unit, that of the largest, so that they can be compared down a column; None is empty."""
    known = [abs(value) for value in values if value is not None]
    if max(known, default=0) >= _LARGE:
        return ["" if v is None else f"{_power(v)} {unit}".rstrip() if v else "0" for v in values]
    size, prefix = _scale(max(known, default=0), binary)
    if size == 1:
        return ["" if v is None else f"{v:,} {unit}".rstrip() for v in values]
    return ["" if v is None else f"{_fixed(v / size)} {prefix}{unit}".rstrip() if v else "0" for v in values]


def short_size(value: int) -> str:
    """A buffer size in three digits: `4.1 MiB`, `276 MiB`, `6 B`."""
    if abs(value) >= _LARGE:
        return amount(value, "B")
    size, prefix = _scale(value, True)
    return f"{value / size:.3g} {prefix}B" if value < 1000 * size else f"{value / size:.0f} {prefix}B"


def how_often(number: int, sign: str = "") -> str:
    """How often something runs: `1,024`; as a power of ten where that is longer than anyone reads."""
    return f"{number:{sign},}" if abs(number) < _LARGE else f"{Decimal(number):{sign}.3e}"


def percent(part: float, whole: float) -> str:
    """`97.4`, of a hundred; empty when there is no whole."""
    return f"{100 * part / whole:.1f}" if whole else ""


def change_percent(before: int, after: int, places: int = 1) -> str:
    """`+15.0`, of a hundred: how much more it is than it was; "new" where it was nothing."""
    if not before:
        return "new"
    percents = 100 * Decimal(after - before) / before
    return f"{percents:+.{places}f}" if abs(percents) < _LARGE else f"{percents:+.3e}"


def _power(value: float) -> str:
    """`6.400e+402`: integers are not made floats, which end at 1.8e308."""
    return f"{Decimal(value):.3e}"


def _scale(value: float, binary: bool) -> tuple[int, str]:
    prefixes = _BINARY if binary else _DECIMAL
    return next(((size, prefix) for size, prefix in prefixes if abs(value) >= size), (1, ""))


def _digits(value: float) -> str:
    if value == int(value) and abs(value) < 1000:
        return str(int(value))
    for limit, places in ((10, 3), (100, 2), (1000, 1)):
        if abs(value) < limit:
            return f"{value:.{places}f}"
    return f"{value:.0f}"


def _fixed(value: float) -> str:
    return f"{value:.3f}" if abs(value) >= 0.001 or not value else "<0.001"
