"""Holding what a program takes to its bound, on a machine that asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hlo_count.budgets.hold import COUNT_KEYWORDS
from hlo_count.errors import BudgetExceeded, HloCountError
from hlo_count.harmless import harmless
from hlo_count.layout import aligned
from hlo_count.measured.recording.measure import measure
from hlo_count.measured.results.traced_program import TracedProgram
from hlo_count.report.limits import KEYWORDS
from hlo_count.roofline.roofline_table import seconds

ASK = "pytest --flop-measure"


def checked_limit(times_bound: Any, keywords: dict[str, Any]) -> float:
    """The limit of a budget that is measured. Raises HloCountError for one that is none, or of another machine."""
    is_number = isinstance(times_bound, int | float) and not isinstance(times_bound, bool)
    if not is_number or not 1 <= times_bound < float("inf"):
        raise HloCountError(
            f"times_bound={times_bound!r}: how many times its bound the program may take, 1 or more, with measured=True"
        )
    if keywords.get("target") is not None:
        raise HloCountError("measured=True runs the program on this machine: leave out target=")
    return float(times_bound)


def hold_measured(fn: Any, args: Sequence[Any], keywords: dict[str, Any], times_bound: float) -> BudgetExceeded | None:
    """Run `fn(*args)`, and say what is wrong where its typical run takes more than so many times its bound.

    `keywords` are those of a budget. Raises HloCountError where there is no bound to hold it to.
    """
    named = {name: value for name, value in keywords.items() if name not in COUNT_KEYWORDS and name not in KEYWORDS}
    program = measure(fn, *args, device=keywords.get("device"), kwargs={**named, **(keywords.get("kwargs") or {})})
    if not program.bound:
        reason = program.limits if isinstance(program.limits, str) else "its bound is 0"
        raise HloCountError(f"measured=True: no bound of {program.name}: {reason or '; '.join(program.notes)}")
    taken = program.typical / program.bound
    return None if taken <= times_bound else BudgetExceeded(_message(program, taken, times_bound))


def _message(program: TracedProgram, taken: float, times_bound: float) -> str:
    assert program.bound is not None and program.device is not None
    first = (
        f"{program.name} took {seconds(program.typical)}, {taken:.3g} times its bound of {seconds(program.bound)} on "
        f"{program.device.name}; it may take {times_bound:g} times"
    )
    rows = [(part.name, seconds(part.seconds / program.runs), part.why) for part in program.parts]
    return "\n".join([harmless(first), *aligned(rows, "<><")])
