"""Conditions on the indices of an array that hold whatever the data are, and the share of its elements that meet them.

A mask that is made of indices (`iota`) compares them with each other or with numbers: a linear inequality. A one-hot
compares an index with data: of all values of that index one fits. A condition that is known to be there and cannot be
written in this way is `UNCERTAIN`, and no share is certain to meet it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

Factors = tuple[tuple[int, int], ...]
"""(dimension, factor) of a linear form, by dimension, no factor 0."""

_MOST_ROWS = 2**20
"""How many rows of a plane are looked at; of a longer one no share is certain."""


@dataclass(frozen=True, slots=True)
class AtLeastZero:
    """The sum of factor · index, and `start`, is 0 or more."""

    factors: Factors
    start: int


@dataclass(frozen=True, slots=True)
class OneFits:
    """Of the indices along a dimension one fits at most, the others being given."""

    dimension: int


@dataclass(frozen=True, slots=True)
class NotAll:
    """One at least of some conditions does not hold."""

    conditions: frozenset[Condition]


@dataclass(frozen=True, slots=True)
class Part:
    """A fraction of the elements of some dimensions fits, whatever the others are."""

    dimensions: frozenset[int]
    fraction: float


@dataclass(frozen=True, slots=True)
class Uncertain:
    """Something that is not known."""


Condition = AtLeastZero | OneFits | NotAll | Part | Uncertain
UNCERTAIN = Uncertain()
Conditions = frozenset[Condition]
ALWAYS: Conditions = frozenset()
"""No condition: all elements meet it."""


def linear(form: Mapping[int, int]) -> Factors:
    """A linear form without the terms that are 0."""
    return tuple(sorted((dimension, factor) for dimension, factor in form.items() if factor))


@dataclass(frozen=True, slots=True)
class DimensionMove:
    """Where the dimensions of an array stand in another one: `to[d]` is what was d. Some became others together:
    `groups` of old ones, with the sizes of all old ones, and of new ones."""

    to: Mapping[int, int]
    groups: tuple[tuple[frozenset[int], frozenset[int]], ...] = ()
    sizes: tuple[int, ...] = ()


def moved(conditions: Conditions, move: DimensionMove) -> Conditions:
    """The same conditions on the other array; UNCERTAIN where a dimension is not there."""
    return frozenset(_moved(condition, move) for condition in conditions) if conditions else conditions


def _moved(condition: Condition, move: DimensionMove) -> Condition:
    to = move.to
    for olds, news in move.groups:
        if _dimensions(condition) <= olds and condition != UNCERTAIN:
            return Part(news, certain_share(frozenset({condition}), move.sizes))
    match condition:
        case Part(dimensions, fraction) if all(d in to for d in dimensions):
            return Part(frozenset(to[d] for d in dimensions), fraction)
        case AtLeastZero(factors, start) if all(d in to for d, _ in factors):
            return AtLeastZero(tuple(sorted((to[d], factor) for d, factor in factors)), start)
        case OneFits(dimension) if dimension in to:
            return OneFits(to[dimension])
        case NotAll(conditions):
            inner = moved(conditions, move)
            return UNCERTAIN if UNCERTAIN in inner else NotAll(inner)
    return UNCERTAIN


def certain_share(conditions: Conditions, sizes: Sequence[int]) -> float:
    """The least fraction, 0 to 1, of the elements of an array of these sizes that meet all conditions.

    Conditions on dimensions that are not shared multiply. Of those that share some, a plane's inequalities are counted;
    of others each takes away what it takes away alone, which is the most that they can.
    """
    if UNCERTAIN in conditions:
        return 0.0
    return prod(_share_of_group(tuple(group), tuple(sizes)) for group in _apart(conditions))


def _apart(conditions: Conditions) -> list[list[Condition]]:
    """The conditions in groups that have no dimension in common."""
    groups: list[tuple[set[int], list[Condition]]] = []
    for condition in sorted(conditions, key=repr):
        dimensions, together = _dimensions(condition), [condition]
        for group in [group for group in groups if group[0] & dimensions]:
            groups.remove(group)
            dimensions |= group[0]
            together += group[1]
        groups.append((dimensions, together))
    return [together for _, together in groups]


def _dimensions(condition: Condition) -> set[int]:
    match condition:
        case AtLeastZero(factors, _):
            return {d for d, _ in factors}
        case OneFits(dimension):
            return {dimension}
        case Part(dimensions, _):
            return set(dimensions)
        case NotAll(conditions):
            return {d for each in conditions for d in _dimensions(each)}
    return set()


@lru_cache(maxsize=4096)
def _share_of_group(group: tuple[Condition, ...], sizes: tuple[int, ...]) -> float:
    linear_ones = [each for each in group if isinstance(each, AtLeastZero)]
    dimensions = sorted({d for each in linear_ones for d, _ in each.factors})
    if len(linear_ones) == len(group) and len(dimensions) <= 2:
        return _share_of_plane(linear_ones, dimensions, sizes)
    if len(group) > 1:
        return max(0.0, 1.0 - sum(1.0 - _share_of_group((each,), sizes) for each in group))
    match group[0]:
        case OneFits(dimension):
            return 1.0 / max(1, sizes[dimension])
        case Part(_, fraction):
            return fraction
        case NotAll(conditions):
            return 1.0 - _largest_share(conditions, sizes)
    return 0.0


def _largest_share(conditions: Conditions, sizes: tuple[int, ...]) -> float:
    """The largest fraction that can meet all of some conditions."""
    if all(isinstance(each, AtLeastZero) for each in conditions):
        group = [each for each in conditions if isinstance(each, AtLeastZero)]
        dimensions = sorted({d for each in group for d, _ in each.factors})
        if len(dimensions) <= 2:
            return _share_of_plane(group, dimensions, sizes)
    return 1.0


def _share_of_plane(conditions: list[AtLeastZero], dimensions: list[int], sizes: tuple[int, ...]) -> float:
    """The share of the elements of one or two dimensions that meet linear inequalities, row after row."""
    along = dimensions[-1] if dimensions else None
    across = dimensions[0] if len(dimensions) == 2 else None
    rows, columns = (1 if d is None else sizes[d] for d in (across, along))
    if rows > columns:
        across, along, rows, columns = along, across, columns, rows
    if not rows * columns or rows > _MOST_ROWS:
        return 0.0
    forms = [(dict(each.factors).get(across, 0), dict(each.factors).get(along, 0), each.start) for each in conditions]  # type: ignore[arg-type]
    met = 0
    for row in range(rows):
        first, last = 0, columns - 1
        for down, right, start in forms:
            rest = start + down * row
            if right > 0:
                first = max(first, -(rest // right))
            elif right < 0:
                last = min(last, rest // -right)
            elif rest < 0:
                last = -1
        met += max(0, last - first + 1)
    return met / (rows * columns)
