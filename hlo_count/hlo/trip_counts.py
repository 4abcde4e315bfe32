"""How often a loop's body runs: what the compiler wrote down, else what the scalars it counts with say."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from math import gcd, inf

from hlo_count.hlo.dtypes import DTYPES, DType
from hlo_count.hlo.evaluate import limits
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.hlo.steps import Steps, carried_by, carried_in
from hlo_count.hlo.trace import Carried, Constant, Operation, Tracer, Unknown, Value, parts

MAX_OPERATIONS = 1_000_000
"""Scalar operations that stepping through one loop may take: about half a second."""


@dataclass(frozen=True, slots=True)
class TripCount:
    """How often the body of a `while` runs; `n` is None where the module does not tell; `reason` says why.

    `at_least` is how often it is certain to run where `n` is not known, unless it runs for ever. `source` is
    "known_trip_count" (the backend config says so), "affine" (in closed form, of a counter that moves by a constant),
    "stepped" (its scalars were run until the condition failed) or "unknown".
    """

    n: int | None
    source: str
    reason: str = ""
    at_least: int = 0


def trip_count(loop: Instruction) -> TripCount:
    """The trip count of a `while` instruction, worked out once per module.

    An inferred count is that of HLO's semantics: integers wrap around, f32 rounds. Raises HloCountError for a
    loop whose text names no condition or no body.
    """
    return loop.computation.module.trip_counts.of(loop)


class TripCounts:
    """The trip counts of a module's loops, each worked out when it is first asked for."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._tracer: Tracer | None = None
        self._found: dict[Instruction, TripCount] = {}

    def of(self, loop: Instruction) -> TripCount:
        if loop not in self._found:
            self._found[loop] = _written(loop) or self._infer(loop)
        return self._found[loop]

    def _infer(self, loop: Instruction) -> TripCount:
        if self._tracer is None:
            self._tracer = Tracer(self._module)
        # A loop ends with the first of its conditions that fails; what it carries does not depend on them.
        ends = [_solve(self._tracer, condition) for condition in _conjuncts(self._tracer.condition(loop))]
        first = min((end for end in ends if end.n is not None), key=lambda end: end.n or 0, default=None)
        n = first.n if first is not None else None
        undecided = next((end for end in ends if end.n is None and (n is None or end.at_least < n)), None)
        if undecided is not None:
            at_most = f"; at most {n:,} trips" if n is not None else ""
            certain = min(end.at_least if end.n is None else end.n for end in ends)
            return TripCount(None, "unknown", undecided.reason + at_most, 0 if certain == inf else int(certain))
        return TripCount(n, "affine" if first is not None and first.closed else "stepped")


def _written(loop: Instruction) -> TripCount | None:
    """`known_trip_count` of the backend config. JSON of a protobuf leaves a zero out."""
    if "known_trip_count" not in loop.attribute_text:
        return None
    known = (loop.backend_config or {}).get("known_trip_count")
    return TripCount(int(known.get("n", 0)), "known_trip_count") if isinstance(known, dict) else None


@dataclass(frozen=True, slots=True)
class _End:
    """When one condition fails first: before trip `n`, or not known, but not before trip `at_least`."""

    n: int | None = None
    closed: bool = False
    at_least: float = 0
    reason: str = ""


def _conjuncts(condition: Value) -> list[Value]:
    """The conditions that a loop's condition joins by `and`."""
    if isinstance(condition, Operation) and condition.name == "and" and condition.dtype == "pred":
        return [part for arg in condition.args for part in _conjuncts(arg)]
    return [condition]


def _solve(tracer: Tracer, condition: Value) -> _End:
    updates, starts = carried_by(tracer, [condition])
    reason = _why_unknown(condition, updates, starts)
    if reason:
        return _End(reason=reason)

    invariant: dict[Value, Value] = {c: starts[c] for c, update in updates.items() if update is c}
    condition = tracer.substitute(condition, invariant)
    updates = {c: tracer.substitute(update, invariant) for c, update in updates.items() if c not in invariant}
    if isinstance(condition, Constant):
        return _End(at_least=inf, reason="its condition never fails") if condition.value else _End(0, True)
    end = _affine(condition, updates, starts)
    return end if end is not None else _step(condition, updates, starts)


def _unknown(value: Value) -> Unknown | None:
    return next((part for part in parts([value]) if isinstance(part, Unknown)), None)


def _why_unknown(condition: Value, updates: dict[Carried, Value], starts: dict[Carried, Value]) -> str:
    """What of it the module does not determine, in words; "" for nothing."""
    unknown = _unknown(condition)
    if unknown is not None:
        return f"its condition depends on {unknown.what}"
    bounds = carried_in([condition])
    for carried, update in updates.items():
        unknown = _unknown(update)
        if unknown is not None:
            return f"each trip decides by {unknown.what} whether there is another"
        start = starts[carried]
        if isinstance(start, Unknown):
            role = "its start" if update is not carried else "its bound" if carried in bounds else "its step"
            return f"{role} is {start.what}"
    return ""


# The closed form: a counter that each trip moves by a constant, against a constant

_FLIPPED = {"LT": "GT", "GT": "LT", "LE": "GE", "GE": "LE", "EQ": "EQ", "NE": "NE"}
_OPPOSITE = {"LT": "GE", "GE": "LT", "LE": "GT", "GT": "LE", "EQ": "NE", "NE": "EQ"}


def _affine(condition: Value, updates: dict[Carried, Value], starts: dict[Carried, Value]) -> _End | None:
    """When `counter + constant <direction> constant` fails; None where the condition is not of this form."""
    negated = isinstance(condition, Operation) and condition.name == "not"
    comparison = condition.args[0] if negated else condition
    if not isinstance(comparison, Operation) or comparison.name not in _FLIPPED:
        return None
    dtype = DTYPES[comparison.dtype]
    direction = _OPPOSITE[comparison.name] if negated else comparison.name
    left, right = comparison.args
    if isinstance(left, Constant):
        left, right, direction = right, left, _FLIPPED[direction]
    counter, offset = _offset(left)
    if not dtype.is_integer or not isinstance(right, Constant) or counter is None:
        return None
    start = starts[counter]
    moved, step = _offset(updates[counter])
    if moved is not counter or not isinstance(start, Constant):
        return None
    return _first_failure(int(start.value) + offset, step, int(right.value), direction, dtype)


def _offset(value: Value) -> tuple[Carried | None, int]:
    """A carried value plus a constant, as the two of them; (None, 0) for anything else."""
    offset = 0
    while isinstance(value, Operation) and value.name in ("add", "subtract"):
        left, right = value.args
        if isinstance(left, Constant) and value.name == "add":
            left, right = right, left
        if not isinstance(right, Constant) or not DTYPES[value.dtype].is_integer:
            break
        offset += int(right.value) if value.name == "add" else -int(right.value)
        value = left
    return (value, offset) if isinstance(value, Carried) else (None, 0)


def _first_failure(x: int, step: int, bound: int, direction: str, dtype: DType) -> _End | None:
    """The first n for which `x + n * step <direction> bound` fails; None where the integers wrap before."""
    low, high = limits(dtype)
    modulus = high - low + 1
    x = low + (x - low) % modulus
    never = _End(at_least=inf, reason="its condition never fails")
    if direction == "EQ":
        return _End(0, True) if x != bound else _End(1, True) if step % modulus else never
    if direction == "NE":
        # n * step = bound - x, modulo a power of two: solvable if the gcd of step and modulus divides it.
        distance, common = (bound - x) % modulus, gcd(step, modulus)
        if distance % common:
            return never
        period = modulus // common
        return _End(distance // common * pow(step // common, -1, period) % period, True)
    if direction in ("GT", "GE"):
        # The mirror image: -x < -bound.
        x, bound, low, high = -x, -bound, -high, -low
        step = -step
    if direction in ("LE", "GE"):
        bound += 1
    step = (step + modulus // 2) % modulus - modulus // 2
    if x >= bound:
        return _End(0, True)
    if step == 0 or bound > high:
        return never
    n = -((x - bound) // step)
    return _End(n, True) if step > 0 and x + n * step <= high else None


def _step(condition: Value, updates: dict[Carried, Value], starts: dict[Carried, Value]) -> _End:
    """Run the scalars until the condition fails, within MAX_OPERATIONS."""
    steps = Steps([condition], updates, starts)
    kept = steps.state
    limit = MAX_OPERATIONS // max(1, steps.operations)
    for n, (goes_on,) in enumerate(islice(steps, limit)):
        if not goes_on:
            return _End(n)
        # A state that comes back does so for ever; one kept at each power of two meets a cycle of any length.
        if steps.state == kept:
            return _End(at_least=inf, reason="its condition never fails")
        if n & (n - 1) == 0:
            kept = steps.state
    return _End(at_least=limit, reason=f"its condition has not failed after {limit:,} trips")
