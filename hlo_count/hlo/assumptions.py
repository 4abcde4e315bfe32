"""What a trip does where a condition is known to hold, or known to fail: selects and conversions of it resolved."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from hlo_count.hlo.courses import offset_of
from hlo_count.hlo.depth import post_order
from hlo_count.hlo.dtypes import DTYPES
from hlo_count.hlo.trace import Tracer
from hlo_count.hlo.traced_values import Carried, Constant, TracedOperation, TracedValue, UnknownValue, parts

_MOST_ATOMS = 6
"""Comparisons and other predicates that a condition is made of; twice as many cases for each more."""

_Atom = tuple[object, ...]


def assuming(tracer: Tracer, condition: TracedValue, holds: bool) -> Callable[[Carried], TracedValue]:
    """What a trip leaves in a carried value where the condition holds, or where it fails, as it begins.

    What a trip leaves anywhere, where the cases in which the condition does so differ.
    """
    cases = _cases(condition, holds)

    def update(carried: Carried) -> TracedValue:
        after = tracer.update(carried)
        results = {_resolved(tracer, after, case) for case in cases}
        return results.pop() if len(results) == 1 else after

    return update


def is_kept(tracer: Tracer, lane: TracedValue) -> bool:
    """Whether a lane in which the condition fails carries on to the next trip all that the condition is made of."""
    cases = _cases(lane, False)
    made_of = parts([lane])
    return (
        bool(cases)
        and not any(type(part) is UnknownValue for part in made_of)
        and all(_keeps(tracer, part, case) for part in made_of if isinstance(part, Carried) for case in cases)
    )


def _keeps(tracer: Tracer, carried: Carried, case: dict[_Atom, bool]) -> bool:
    after = _resolved(tracer, tracer.update(carried), case)
    return after is _resolved(tracer, carried, case) or offset_of(after) == (carried, 0)


def _resolved(tracer: Tracer, value: TracedValue, case: dict[_Atom, bool]) -> TracedValue:
    """The value with what it asks of the case answered."""
    literals = ((part, *_literal(part)) for part in parts([value]))
    known = {part: tracer.constant(case[atom] is not flipped) for part, atom, flipped in literals if atom in case}
    return tracer.substitute(value, dict(known)) if known else value


def _cases(condition: TracedValue, holds: bool) -> list[dict[_Atom, bool]]:
    """What the predicates that a condition is made of may be where it holds, or fails; none where they are many."""
    made_of = post_order(condition, joined_predicates)
    asked = [part for part in made_of if not joined_predicates(part) and not isinstance(part, Constant)]
    atoms = list(dict.fromkeys(_literal(part)[0] for part in asked))
    if len(atoms) > _MOST_ATOMS:
        return []
    every = (dict(zip(atoms, values, strict=True)) for values in product((False, True), repeat=len(atoms)))
    return [case for case in every if _evaluated(made_of, case) is holds]


def joined_predicates(value: TracedValue) -> tuple[TracedValue, ...]:
    """What a predicate joins by and, or and not; nothing where it is of another kind."""
    is_joined = isinstance(value, TracedOperation) and value.dtype == "pred" and value.name in ("and", "or", "not")
    return value.args if is_joined else ()


def _literal(value: TracedValue) -> tuple[_Atom, bool]:
    """What a predicate asks, and whether it asks for the opposite: `i != n` is not `i = n`, `i >= n` not `i < n`."""
    if not isinstance(value, TracedOperation) or not value.args:
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


def _evaluated(made_of: list[TracedValue], case: dict[_Atom, bool]) -> bool:
    """Whether the last of these, each after what it joins, holds in a case."""
    known: dict[TracedValue, bool] = {}
    for part in made_of:
        values = [known[arg] for arg in joined_predicates(part)]
        if isinstance(part, Constant):
            known[part] = bool(part.value)
        elif isinstance(part, TracedOperation) and values:
            known[part] = not values[0] if part.name == "not" else all(values) if part.name == "and" else any(values)
        else:
            atom, flipped = _literal(part)
            known[part] = case[atom] is not flipped
    return known[made_of[-1]]
