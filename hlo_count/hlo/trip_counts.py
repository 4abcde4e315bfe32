"""How often a loop's body runs: what the compiler wrote down, else what the scalars it counts with say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import TYPE_CHECKING

from hlo_count.hlo.assumptions import assuming, is_kept, joined_predicates
from hlo_count.hlo.courses import NEVER, Course, affine_course, conjunction, negation, span
from hlo_count.hlo.depth import post_order
from hlo_count.hlo.progressions import line_course
from hlo_count.hlo.step_budget import Budget
from hlo_count.hlo.steps import Steps, carried_by, carried_in
from hlo_count.hlo.trace import Tracer
from hlo_count.hlo.traced_values import AnyLane, Carried, Constant, TracedOperation, TracedValue, UnknownValue, parts

if TYPE_CHECKING:
    from hlo_count.hlo.instruction import Instruction
    from hlo_count.hlo.module import Module

Update = Callable[[Carried], TracedValue]


@dataclass(frozen=True, slots=True)
class TripCount:
    """How often the body of a `while` runs; `n` is None where the module does not tell; `reason` says why.

    `at_least` is how often it is certain to run where `n` is not known, unless it runs for ever, and `at_most` the most
    that it can, None where nothing in the module ends it. `source` is "known_trip_count" (the backend config says so),
    "affine" (in closed form, of a counter that moves by a constant), "stepped" (its scalars were run until the
    condition failed) or "unknown".
    """

    n: int | None
    source: str
    reason: str = ""
    at_least: int = 0
    at_most: int | None = None


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
        tracer = self._tracer
        condition = tracer.condition(loop)
        # The body runs only where the condition holds: what it does to a counter elsewhere does not matter.
        course = _course(tracer, condition, assuming(tracer, condition, True))
        certain = course.certain_trips
        at_least = 0 if certain == inf else int(certain)
        if course.fails is None:
            return TripCount(None, "unknown", course.reason, at_least)
        most = int(course.fails[0])
        if most <= certain:
            return TripCount(most, "affine" if course.closed else "stepped")
        return TripCount(None, "unknown", f"{course.reason}; at most {most:,} trips", at_least, most)


def _written(loop: Instruction) -> TripCount | None:
    """`known_trip_count` of the backend config, where it is a number of trips. JSON of a protobuf leaves a zero out."""
    if loop.attribute_text.count("known_trip_count") != 1:  # of two the last would be read
        return None
    known = (loop.backend_config or {}).get("known_trip_count")
    trips = known.get("n", 0) if isinstance(known, dict) and known.keys() <= {"n"} else None
    if isinstance(trips, str) and trips.isascii() and trips.isdecimal() and len(trips) < 20:  # XLA has 64 bits
        trips = int(trips)
    is_number = isinstance(trips, int) and not isinstance(trips, bool) and trips >= 0
    return TripCount(trips, "known_trip_count") if is_number else None


def _course(tracer: Tracer, condition: TracedValue, update: Update) -> Course:
    """When a condition is certain to hold and when not, of the trips that leave `update` in what the loop carries."""
    known: dict[TracedValue, Course] = {}
    for part in post_order(condition, joined_predicates):
        known[part] = _of_joined(tracer, part, update, [known[arg] for arg in joined_predicates(part)])
    return known[condition]


def _of_joined(tracer: Tracer, condition: TracedValue, update: Update, courses: list[Course]) -> Course:
    """That of a condition where those of what it joins by and, or and not are known."""
    if isinstance(condition, AnyLane):
        return _any_lane(tracer, condition, update)
    if not isinstance(condition, TracedOperation) or not courses:
        return _solve(tracer, condition, update)
    if condition.name == "not":
        course = negation(courses[0])
    else:
        one, other = courses
        if condition.name == "and":
            return conjunction(one, other)
        course = negation(conjunction(negation(one), negation(other)))
    if course.ends_certainly or course.never_ends:
        return course
    whole = _solve(tracer, condition, update)
    if not whole.holds and not whole.fails:
        return course
    return Course(whole.holds or course.holds, whole.fails or course.fails, whole.closed, whole.reason)


def _any_lane(tracer: Tracer, condition: AnyLane, update: Update) -> Course:
    """That of a condition of each lane, where the loop goes on while it holds in any.

    A lane that it fails in may stay as it is from then on, as lanes of a `vmap` do: then those in which it holds have
    been through every trip, and the last of them ends the loop. By the semantics of HLO, in which equal operations on
    equal values give equal results.
    """
    (lane,) = condition.args
    reason = f"its condition depends on {condition.what}"
    kept = type(lane) is not UnknownValue and is_kept(tracer, lane)
    course = _course(tracer, lane, assuming(tracer, lane, True) if kept else tracer.update)
    if kept:
        stopped = span(course.fails[0], inf) if course.fails else None
        return Course(span(0, course.certain_trips), stopped, course.closed, reason)
    return Course(course.holds, course.fails, course.closed, reason)


def _solve(tracer: Tracer, condition: TracedValue, update: Update) -> Course:
    updates, starts = carried_by(tracer, [condition], update)
    reason = _why_unknown(condition, updates, starts)
    if reason:
        return Course(reason=reason)

    invariant: dict[TracedValue, TracedValue] = {c: starts[c] for c, after in updates.items() if after is c}
    condition = tracer.substitute(condition, invariant)
    updates = {c: tracer.substitute(after, invariant) for c, after in updates.items() if c not in invariant}
    if isinstance(condition, Constant):
        return Course(holds=(0, inf), reason=NEVER) if condition.value else Course(fails=(0, inf))
    course = affine_course(condition, updates, starts) or line_course(condition, updates, starts)
    return course if course is not None else _step(tracer.budget, condition, updates, starts)


def _unknown(value: TracedValue) -> UnknownValue | None:
    return next((part for part in parts([value]) if isinstance(part, UnknownValue)), None)


def _why_unknown(
    condition: TracedValue, updates: dict[Carried, TracedValue], starts: dict[Carried, TracedValue]
) -> str:
    """What of it the module does not determine, in words; "" for nothing."""
    unknown = _unknown(condition)
    if unknown is not None:
        return f"its condition depends on {unknown.what}"
    bounds = carried_in([condition])
    for carried, update in updates.items():
        unknown = _unknown(update)
        if unknown is not None:
            return f"each trip decides by {unknown.what} whether there is another"
        unknown = _unknown(starts[carried])
        if unknown is not None:
            role = "its start" if update is not carried else "its bound" if carried in bounds else "its step"
            return f"{role} is {unknown.what}"
    return ""


def _step(
    budget: Budget, condition: TracedValue, updates: dict[Carried, TracedValue], starts: dict[Carried, TracedValue]
) -> Course:
    """Run the scalars until the condition fails, within the budget."""
    steps = Steps([condition], updates, starts)
    limit, is_short = budget.trips(steps.operations), budget.is_short
    course, trips = _run(steps, limit)
    budget.spend(trips * steps.operations)
    if course is not None:
        return course
    why = ": other loops of the program took their steps too" if is_short else ""
    return Course(holds=span(0, limit), reason=f"its condition has not failed after {limit:,} trips{why}")


def _run(steps: Steps, limit: int) -> tuple[Course | None, int]:
    """What comes of so many trips at most, and how many these were."""
    kept = steps.state
    for n, (goes_on,) in enumerate(islice(steps, limit)):
        if not goes_on:
            return Course(span(0, n), (n, n + 1), closed=False), n + 1
        # A state that comes back does so for ever; one kept at each power of two meets a cycle of any length.
        if steps.state == kept:
            return Course(holds=(0, inf), reason=NEVER), n + 1
        if n & (n - 1) == 0:
            kept = steps.state
    return None, limit
