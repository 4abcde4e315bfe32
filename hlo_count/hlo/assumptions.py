"""What a trip does where a condition is known to hold, or known to fail: selects and conversions of it resolved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

from hlo_count.hlo.courses import offset_of
from hlo_count.hlo.dtypes import DTYPES
from hlo_count.hlo.trace import Carried, Constant, Operation, Tracer, Unknown, Value, parts

_MOST_ATOMS = 6
"""Comparisons and other predicates that a condition is made of; twice as many cases for each more."""

_Atom = tuple[object, ...]


def assuming(tracer: Tracer, condition: Value, holds: bool) -> Callable[[Carried], Value]:
    """What a trip leaves in a carried value where the condition holds, or where it fails, as it begins.

    What a trip leaves anywhere, where the cases in which the condition does so differ.
    """
    cases = list(_cases(condition, holds))

    def update(carried: Carried) -> Value:
        after = tracer.update(carried)
        literals = [(part, *_literal(part)) for part in parts([after])] if cases else []
        known = [(part, atom, flipped) for part, atom, flipped in literals if atom in cases[0]]
        if not known:
            return after
        results = {
            tracer.substitute(
                after, {part: tracer.constant(case[atom] is not flipped) for part, atom, flipped in known}
            )
            for case in cases
        }
        return results.pop() if len(results) == 1 else after

    return update


def is_kept(tracer: Tracer, lane: Value) -> bool:
    """Whether a lane in which the condition fails carries on to the next trip all that the condition is made of."""
    stopped = assuming(tracer, lane, False)
    made_of = parts([lane])
    return not any(type(part) is Unknown for part in made_of) and all(
        offset_of(stopped(part)) == (part, 0) or stopped(part) is part for part in made_of if isinstance(part, Carried)
    )


def _cases(condition: Value, holds: bool) -> Iterator[dict[_Atom, bool]]:
    """What the predicates that a condition is made of may be where it holds, or fails; none where they are many."""
    atoms = list(dict.fromkeys(_atoms(condition)))
    if len(atoms) <= _MOST_ATOMS:
        for values in product((False, True), repeat=len(atoms)):
            case = dict(zip(atoms, values, strict=True))
            if _evaluated(condition, case) is holds:
                yield case


def _is_joined(value: Value) -> bool:
    return isinstance(value, Operation) and value.dtype == "pred" and value.name in ("and", "or", "not")


def _atoms(condition: Value) -> Iterator[_Atom]:
    if _is_joined(condition):
        for arg in condition.args:
            yield from _atoms(arg)
    elif not isinstance(condition, Constant):
        yield _literal(condition)[0]


def _literal(value: Value) -> tuple[_Atom, bool]:
    """What a predicate asks, and whether it asks for the opposite: `i != n` is not `i = n`, `i >= n` not `i < n`."""
    if not isinstance(value, Operation) or not value.args:
        return (id(value),), False
    name, dtype, args = value.name, value.dtype, tuple(map(id, value.args))
    if name == "not" and dtype == "pred":
        atom, flipped = _literal(value.args[0])
        return atom, not flipped
    if name in ("EQ", "NE"):
        return ("EQ", dtype, *sorted(args)), name == "NE"
    if name in ("GT", "LE"):
        name, args = {"GT": "LT", "LE": "GE"}[name], args[::-1]
    if name == "GE" and not DTYPES[dtype].is_float:  # of floats, one that is NaN is neither
        return ("LT", dtype, *args), True
    return (name, dtype, *args) if name in ("LT", "GE") else (id(value),), False


def _evaluated(condition: Value, case: dict[_Atom, bool]) -> bool:
    if isinstance(condition, Constant):
        return bool(condition.value)
    if _is_joined(condition):
        assert isinstance(condition, Operation)
        values = [_evaluated(arg, case) for arg in condition.args]
        return not values[0] if condition.name == "not" else all(values) if condition.name == "and" else any(values)
    atom, flipped = _literal(condition)
    return case[atom] is not flipped
