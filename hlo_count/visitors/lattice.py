"""How many whole numbers of three ranges solve one linear equation, whatever the size of the ranges."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import gcd


@dataclass(frozen=True, slots=True)
class Term:
    """One variable of the equation: its factor, not 0, and how many values it takes, from 0 on."""

    factor: int
    count: int


def solutions(x: Term, y: Term, z: Term, total: int) -> tuple[int, int]:
    """How many (x, y, z) solve x.factor · x + y.factor · y + z.factor · z = total, and how many x stand in any of them.

    For each x for which it can be solved at all, the solutions lie on a line, a constant step apart: the m-th has its
    y and its z in range where m lies above the larger of two bounds and not above the smaller of two others, all
    linear in x. So the solutions are sums of floors of lines, and time grows with the number of digits.
    """
    common = gcd(y.factor, z.factor)
    shared = gcd(x.factor, common)
    if total % shared or min(x.count, y.count, z.count) < 1:
        return 0, 0
    every = common // shared  # each so many-th x leaves a rest that y and z can make up
    first = total // shared * _inverse(x.factor // shared, every) % every
    rest, change = (total - x.factor * first) // common, -x.factor * every // common
    of_y, of_z = y.factor // common, z.factor // common
    u = _inverse(of_y, abs(of_z))
    v = (1 - u * of_y) // of_z  # of_y · u + of_z · v = 1
    return _points(
        _Strip.of(u * rest, u * change, of_z, y.count),
        _Strip.of(v * rest, v * change, -of_y, z.count),
        (x.count - first + every - 1) // every,
    )


def _inverse(number: int, modulus: int) -> int:
    return pow(number, -1, modulus) if modulus > 1 else 0


@dataclass(frozen=True, slots=True)
class _Line:
    """(start + slope · n) / divisor, for whole n."""

    start: int
    slope: int
    divisor: int

    def __sub__(self, other: _Line) -> _Line:
        divisor = self.divisor * other.divisor
        start = self.start * other.divisor - other.start * self.divisor
        return _Line(start, self.slope * other.divisor - other.slope * self.divisor, divisor)

    def at_least(self, least: int, within: range) -> range:
        """The part of a range in which it is at least so much."""
        start = self.start - least * self.divisor
        if self.slope > 0:
            return range(max(within.start, -(start // self.slope)), within.stop)
        if self.slope < 0:
            return range(within.start, min(within.stop, start // -self.slope + 1))
        return within if start >= 0 else range(0)

    def floors(self, within: range) -> int:
        """The sum of its floors over a range."""
        return _sum_of_floors(_length(within), self.divisor, self.slope, self.start + self.slope * within.start)


@dataclass(frozen=True, slots=True)
class _Strip:
    """Points (n, m) with m above one line and not above another."""

    below: _Line
    top: _Line

    @staticmethod
    def of(start: int, slope: int, step: int, count: int) -> _Strip:
        """Those for which start + slope · n + step · m lies in range(count)."""
        if step < 0:
            start, slope, step = count - 1 - start, -slope, -step
        return _Strip(_Line(-start - 1, -slope, step), _Line(count - 1 - start, -slope, step))


def _points(one: _Strip, other: _Strip, count: int) -> tuple[int, int]:
    """Whole (n, m) in both strips with n in range(count), and how many n have any."""
    within = (one.top - other.below).at_least(0, range(count))
    within = (other.top - one.below).at_least(0, within)
    if not within:
        return 0, 0
    points = reached = 0
    higher, lower = one.below - other.below, other.top - one.top
    cuts = {within.start, within.stop}
    for line in (higher, lower):
        ahead = line.at_least(0, within)
        cuts.update((ahead.start, ahead.stop) if ahead else ())
    for part in (range(*ends) for ends in pairwise(sorted(cuts))):
        # the lines do not cross in here
        below = (one if higher.at_least(0, part) else other).below
        top = (one if lower.at_least(0, part) else other).top
        here = top.floors(part) - below.floors(part)
        sure = (top - below).at_least(1, part)  # a whole number lies between lines that are 1 apart
        reached += _length(sure) + here - (top.floors(sure) - below.floors(sure))
        points += here
    return points, reached


def _length(numbers: range) -> int:
    """`len` ends at 2^63."""
    return max(0, numbers.stop - numbers.start)


def _sum_of_floors(count: int, divisor: int, slope: int, offset: int) -> int:
    """The sum over n < count of floor((slope * n + offset) / divisor), in the steps of Euclid's algorithm."""
    total = 0
    while True:
        total += count * (count - 1) // 2 * (slope // divisor) + count * (offset // divisor)
        slope, offset = slope % divisor, offset % divisor
        highest = slope * count + offset
        if highest < divisor:
            return total
        count, offset, divisor, slope = highest // divisor, highest % divisor, slope, divisor
