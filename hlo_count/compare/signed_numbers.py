"""Numbers of one column in one unit, and changes with their signs."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

_PREFIXES = ((10**18, "E"), (10**15, "P"), (10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))


def scale(values: Iterable[int]) -> tuple[int, str]:
    """The unit of the largest, as its size and its prefix."""
    largest = max(map(abs, values), default=0)
    return next((found for found in _PREFIXES if largest >= found[0]), (1, ""))


def two_digits(value: int, size: int) -> str:
    """Two digits after the point; what would vanish is "<0.01" with its sign."""
    if not value:
        return "0"
    if size == 1:
        return str(value)
    if abs(value) >= 10**6 * size:
        return f"{Decimal(value) / size:.3e}"
    text = f"{value / size:.2f}"
    return text if float(text) else ("-" if value < 0 else "") + "<0.01"


def signed(text: str) -> str:
    return text if text.startswith("-") or text == "0" else f"+{text}"
