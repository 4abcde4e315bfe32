"""Conditions on the indices of an array that hold whatever the data are, and the share of its elements that meet them.

A mask that is made of indices (`iota`) compares them with each other or with numbers: a linear inequality. A one-hot
compares an index with data: of all values of that index one fits. A condition that is known to be there and cannot be
written in this way is `UNCERTAIN`, and no share is certain to meet it. All that is worked out of conditions is met by
no more elements than there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    """Of the indices along a dimension one fits at most; which one may depend on the indices along those `given`."""

    dimension: int
    given: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class NotAll:
    """One at least of some conditions does not hold."""

    conditions: frozenset[Condition]


@dataclass(frozen=True, slots=True)
class Part:
    """A fraction of the elements of some dimensions fits, whatever the others are; which may depend on the indices
    along those `given`."""

    dimensions: frozenset[int]
    fraction: float
    given: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Uncertain:
    """Something that is not known."""


@dataclass(frozen=True, slots=True)
class ChosenByData:
    """Data choose, and may choose otherwise everywhere."""


Condition = AtLeastZero | OneFits | NotAll | Part | Uncertain | ChosenByData
UNCERTAIN = Uncertain()
CHOSEN_BY_DATA = ChosenByData()
Conditions = frozenset[Condition]
ALWAYS: Conditions = frozenset()
"""No condition: all elements meet it."""
NOWHERE: Conditions = frozenset({UNCERTAIN})
"""No element is certain to meet it."""
_NEVER = frozenset({UNCERTAIN, CHOSEN_BY_DATA})


def linear(form: Mapping[int, int]) -> Factors:
    """A linear form without the terms that are 0."""
    return tuple(sorted((dimension, factor) for dimension, factor in form.items() if factor))


@dataclass(frozen=True, slots=True)
class DimensionMove:
    """Where the dimensions of an array, of these `sizes`, stand in another one that has the same elements: `to[d]` is
    what was d. Some became others together: `groups` of old ones and of new ones."""

    to: Mapping[int, int]
    sizes: tuple[int, ...]
    groups: tuple[tuple[frozenset[int], frozenset[int]], ...] = ()


def moved(conditions: Conditions, move: DimensionMove) -> Conditions:
    """The same conditions on the other array; UNCERTAIN where a dimension is not there."""
    return frozenset(_moved(condition, move) for condition in conditions) if conditions else conditions


def _moved(condition: Condition, move: DimensionMove) -> Condition:
    if condition in _NEVER:
        return condition
    to = move.to
    given = frozenset(new for d in _given(condition) for new in _new_of(d, move))
    for olds, news in move.groups:
        if _dimensions(condition) <= olds:
            return Part(news, certain_share(frozenset({condition}), move.sizes), given)
    match condition:
        case Part(dimensions, fraction, _) if all(d in to for d in dimensions):
            return Part(frozenset(to[d] for d in dimensions), fraction, given)
        case AtLeastZero(factors, start):
            left = [(d, factor) for d, factor in factors if move.sizes[d] != 1 or d in to]  # the index along 1 is 0
            if all(d in to for d, _ in left):
                return AtLeastZero(tuple(sorted((to[d], factor) for d, factor in left)), start)
        case OneFits(dimension, _) if dimension in to:
            return OneFits(to[dimension], given)
        case NotAll(conditions):
            inner = moved(conditions, move)
            return UNCERTAIN if inner & _NEVER else NotAll(inner)
    return UNCERTAIN


def _new_of(dimension: int, move: DimensionMove) -> frozenset[int]:
    for olds, news in move.groups:
        if dimension in olds:
            return news
    return frozenset({move.to[dimension]}) if dimension in move.to else frozenset()


def projected(conditions: Conditions, to: Mapping[int, int], sizes: Sequence[int]) -> Conditions:
    """Conditions on an array with some of the dimensions, d as `to[d]`, that are met by no element but those beside
    which, along the dimensions that are gone, one stands that meets the conditions given."""
    return _shadow(conditions, tuple(to.items()), tuple(sizes)) if conditions else conditions


@lru_cache(maxsize=4096)
def _shadow(conditions: Conditions, places: tuple[tuple[int, int], ...], sizes: tuple[int, ...]) -> Conditions:
    to = dict(places)
    found = set(conditions & _NEVER)
    for group in _apart(conditions - _NEVER):
        found |= _projected(group, to, sizes)
    return moved(frozenset(found), DimensionMove(to, sizes))


def _projected(group: list[Condition], to: Mapping[int, int], sizes: Sequence[int]) -> set[Condition]:
    gone = [d for d in sorted(dimensions_of(group)) if d not in to]
    dependent = frozenset(d for each in group for d in _given(each))
    if not dependent <= to.keys():  # what stands along those that are gone may come from any that are left
        dependent = frozenset(to)
    if not gone:
        return {_with_given(each, dependent) for each in group}
    inequalities = _inequalities(group)
    for d in gone:
        inequalities = None if inequalities is None else _without(inequalities, d, sizes[d])
    if inequalities is not None:
        false = any(not each.factors and each.start < 0 for each in inequalities)
        return {UNCERTAIN} if false else {each for each in inequalities if each.factors}
    share = certain_share(frozenset(group), sizes)
    left = frozenset(d for d in dimensions_of(group) if d in to)
    if left and share:  # a set has at most as many elements as its shadow times the sizes that are gone
        return {Part(left, share, dependent - left)}
    return set() if share else {UNCERTAIN}


def _with_given(condition: Condition, given: frozenset[int]) -> Condition:
    match condition:
        case OneFits(dimension, _):
            return OneFits(dimension, given - {dimension})
        case Part(dimensions, fraction, _):
            return Part(dimensions, fraction, given - dimensions)
    return condition


def _inequalities(group: Sequence[Condition]) -> list[AtLeastZero] | None:
    found = [each for each in group if isinstance(each, AtLeastZero)]
    return found if len(found) == len(group) else None


def _without(inequalities: list[AtLeastZero], dimension: int, size: int) -> list[AtLeastZero] | None:
    """What must hold of the other indices for an index along `dimension` to be there with which all hold (Fourier and
    Motzkin); None where integers may lie between."""
    forms = [(dict(each.factors), each.start) for each in inequalities]
    up = [form for form in forms if form[0].get(dimension, 0) > 0]
    down = [form for form in forms if form[0].get(dimension, 0) < 0]
    if up and down and any(abs(factors[dimension]) > 1 for factors, _ in up + down):
        return None
    found = [each for each in inequalities if dimension not in dict(each.factors)]
    for factors, start in up:  # the last index
        found.append(AtLeastZero(linear(factors | {dimension: 0}), start + factors[dimension] * (size - 1)))
    for factors, start in down:  # the first
        found.append(AtLeastZero(linear(factors | {dimension: 0}), start))
    for one, first in up:
        for other, second in down:
            both = {d: one.get(d, 0) + other.get(d, 0) for d in one.keys() | other.keys()}
            found.append(AtLeastZero(linear(both), first + second))
    return found


@dataclass(frozen=True, slots=True)
class Along:
    """A dimension along which an array is a part of another one, or has it as its part: what has index i in the other
    has factor · i + start in the array; at a place that is not known where `factor` is 0."""

    factor: int
    start: int
    inside: tuple[Condition, ...] = ()
    """What holds of those of the other that the array has."""


def taken(
    conditions: Conditions,
    along: Mapping[int, Along],
    sizes: Sequence[int],
    source: Sequence[int],
    *,
    within: bool = False,
) -> Conditions:
    """What conditions on an array of these `sizes` are on the elements of another one, of the sizes `source`, of which
    it is a part along some dimensions. Those that it does not have meet them, too; `within`: they do not."""
    found = set(conditions & _NEVER)
    settled: set[int] = set()
    for group in _apart(conditions - _NEVER):
        dimensions = dimensions_of(group)
        touched = dimensions & along.keys()
        if not touched:
            found |= set(group)
        elif all(along[d].factor for d in touched) and all(_is_linear(each) for each in group):
            found |= {_substituted(each, along) for each in group}
        else:
            ours, theirs = prod(sizes[d] for d in dimensions), prod(source[d] for d in dimensions)
            number = certain_share(frozenset(group), sizes) * ours - max(0, ours - theirs)
            share = number / max(1, theirs if within else min(ours, theirs))
            given = frozenset(d for each in group for d in _given(each))
            found.add(Part(frozenset(dimensions), share, given) if share > 0 else UNCERTAIN)
            settled |= touched
    if within:
        found |= {each for d in along.keys() - settled for each in along[d].inside}
    return frozenset(found)


def _is_linear(condition: Condition) -> bool:
    if isinstance(condition, NotAll):
        return all(_is_linear(each) for each in condition.conditions)
    return isinstance(condition, AtLeastZero)


def _substituted(condition: Condition, along: Mapping[int, Along]) -> Condition:
    match condition:
        case AtLeastZero(factors, start):
            form = {d: factor * (along[d].factor if d in along else 1) for d, factor in factors}
            return AtLeastZero(linear(form), start + sum(f * along[d].start for d, f in factors if d in along))
        case NotAll(conditions):
            return NotAll(frozenset(_substituted(each, along) for each in conditions))
    return UNCERTAIN


def certain_share(conditions: Conditions, sizes: Sequence[int]) -> float:
    """The least fraction, 0 to 1, of the elements of an array of these sizes that meet all conditions.

    Conditions on dimensions that are not shared multiply. Of those that share some, a plane's inequalities are counted;
    of others each takes away what it takes away alone, which is the most that they can.
    """
    return _certain_share(conditions, tuple(sizes)) if conditions else 1.0


@lru_cache(maxsize=4096)
def _certain_share(conditions: Conditions, sizes: tuple[int, ...]) -> float:
    groups = _apart(conditions)
    if conditions & _NEVER or not _is_ordered(groups):
        return 0.0
    return prod(_share_of_group(tuple(group), sizes) for group in groups)


def _is_ordered(groups: list[list[Condition]]) -> bool:
    """Whether no two say of each other's dimensions which index fits: both may hold nowhere."""
    left = [(dimensions_of(group), {d for each in group for d in _given(each)}) for group in groups]
    while any(given for _, given in left):
        rest = [
            (dimensions, given)
            for n, (dimensions, given) in enumerate(left)
            if any(given & others for m, (others, _) in enumerate(left) if m != n)
        ]
        if len(rest) == len(left):
            return False
        left = rest
    return True


def _apart(conditions: Iterable[Condition]) -> list[list[Condition]]:
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
        case OneFits(dimension, _):
            return {dimension}
        case Part(dimensions, _, _):
            return set(dimensions)
        case NotAll(conditions):
            return dimensions_of(conditions)
    return set()


def dimensions_of(conditions: Iterable[Condition]) -> set[int]:
    """The dimensions that any of some conditions is about."""
    return {d for each in conditions for d in _dimensions(each)}


def _given(condition: Condition) -> frozenset[int]:
    match condition:
        case OneFits(_, given) | Part(_, _, given):
            return given
        case NotAll(conditions):
            return frozenset(d for each in conditions for d in _given(each))
    return frozenset()


@lru_cache(maxsize=4096)
def _share_of_group(group: tuple[Condition, ...], sizes: tuple[int, ...]) -> float:
    inequalities, dimensions = _inequalities(group), sorted(dimensions_of(group))
    if inequalities is not None and len(dimensions) <= 2:
        return _share_of_plane(inequalities, dimensions, sizes)
    if len(group) > 1:
        return max(0.0, 1.0 - sum(1.0 - _share_of_group((each,), sizes) for each in group))
    match group[0]:
        case OneFits(dimension, _):
            return 1.0 / max(1, sizes[dimension])
        case Part(_, fraction, _):
            return fraction
        case NotAll(conditions):
            return 1.0 - _largest_share(conditions, sizes)
    return 0.0


def _largest_share(conditions: Conditions, sizes: tuple[int, ...]) -> float:
    """The largest fraction that can meet all of some conditions."""
    inequalities, dimensions = _inequalities(list(conditions)), sorted(dimensions_of(conditions))
    if inequalities is not None and len(dimensions) <= 2:
        return _share_of_plane(inequalities, dimensions, sizes)
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
