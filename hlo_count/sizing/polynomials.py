"""Polynomials in named sizes with rational coefficients: found from values at whole points, exactly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import prod

Monomial = tuple[int, ...]
"""The exponent of each name, in the order of the names."""
Point = tuple[int, ...]
"""The value of each name, in the order of the names."""


@dataclass(frozen=True, slots=True)
class Polynomial:
    """`terms` holds the coefficient of each monomial, without those that are 0."""

    names: tuple[str, ...]
    terms: Mapping[Monomial, Fraction]

    def at(self, point: Sequence[int]) -> Fraction:
        """Its value where the names have these values."""
        return sum((c * _power(point, monomial) for monomial, c in self.terms.items()), Fraction(0))

    def __call__(self, **sizes: int) -> Fraction:
        """Its value at sizes given by name."""
        return self.at([sizes[name] for name in self.names])

    def __str__(self) -> str:
        """`24·L·d²·s·b + 4·L·d·s²·b`, terms of the highest degree first."""
        ordered = sorted(self.terms.items(), key=lambda term: (-sum(term[0]), [-e for e in term[0]]))
        text = ""
        for monomial, coefficient in ordered:
            plus, minus = (" + ", " - ") if text else ("", "-")
            text += (minus if coefficient < 0 else plus) + self._term(monomial, abs(coefficient))
        return text or "0"

    def _term(self, monomial: Monomial, coefficient: Fraction) -> str:
        factors = [
            f"{name}{_raised(exponent)}" for name, exponent in zip(self.names, monomial, strict=True) if exponent
        ]
        number = f"{coefficient.numerator:,}"
        if coefficient.denominator != 1:
            number = f"({number}/{coefficient.denominator:,})"
        return "·".join(([number] if coefficient != 1 or not factors else []) + factors)


def _raised(exponent: int) -> str:
    return "" if exponent == 1 else str(exponent).translate(_SUPERSCRIPTS)


_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def _power(point: Sequence[int], monomial: Monomial) -> int:
    return prod(value**exponent for value, exponent in zip(point, monomial, strict=True))


def degree(values: Sequence[tuple[int, int]]) -> int | None:
    """The degree of the polynomial through (x, y), by Newton's divided differences; None where one point fewer gives
    another, so that more would be needed to know."""
    points = [x for x, _ in values]
    row = [Fraction(y) for _, y in values]
    leading = [row[0]]
    for order in range(1, len(points)):
        row = [(b - a) / (points[n + order] - points[n]) for n, (a, b) in enumerate(pairwise(row))]
        leading.append(row[0])
    if len(points) > 1 and leading[-1]:
        return None
    return max((order for order, value in enumerate(leading) if value), default=0)


def monomials(degrees: Sequence[int]) -> list[Monomial]:
    """Every monomial whose exponents are at most the degrees."""
    found: list[Monomial] = [()]
    for most in degrees:
        found = [(*start, exponent) for start in found for exponent in range(most + 1)]
    return found


def through(
    names: tuple[str, ...], candidates: Sequence[Monomial], values: Mapping[Point, Fraction | int]
) -> Polynomial:
    """The polynomial of these monomials through values at as many points. Raises ArithmeticError where they leave it
    open."""
    rows = [[Fraction(_power(point, each)) for each in candidates] + [Fraction(y)] for point, y in values.items()]
    size = len(candidates)
    for at in range(size):
        pivot = next((n for n in range(at, size) if rows[n][at]), None)
        if pivot is None:
            raise ArithmeticError("the points do not tell the coefficients apart")
        rows[at], rows[pivot] = rows[pivot], rows[at]
        lead = rows[at][at]
        rows[at] = [value / lead for value in rows[at]]
        for n in range(size):
            factor = rows[n][at]
            if n != at and factor:
                rows[n] = [a - factor * b for a, b in zip(rows[n], rows[at], strict=True)]
    found = {each: rows[n][size] for n, each in enumerate(candidates)}
    return Polynomial(names, {each: c for each, c in found.items() if c})


def grid(axes: Iterable[Sequence[int]]) -> list[Point]:
    """Every combination of one value of each axis."""
    found: list[Point] = [()]
    for values in axes:
        found = [(*start, value) for start in found for value in values]
    return found
