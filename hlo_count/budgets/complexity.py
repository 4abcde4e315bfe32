"""How a count grows with the size of the problem."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

from hlo_count.budgets.hold import refuse_misspelt
from hlo_count.errors import BudgetExceeded, HloCountError
from hlo_count.layout import aligned
from hlo_count.report.counting import count
from hlo_count.report.exceeded import first_line, program
from hlo_count.report.limits import misspelt, show_counter
from hlo_count.report.quantities import CAN_BE_LIMITED
from hlo_count.report.report import Report

_ORDER = re.compile(r"O\(\s*(?:(1)|(n)(?:\s*(?:\^|\*\*)\s*(\d+(?:\.\d+)?))?)?\s*(\*?\s*log\s*\(?\s*n\s*\)?)?\s*\)")
_GROWING = tuple(name for name in CAN_BE_LIMITED if name != "intensity")


@dataclass(frozen=True, slots=True)
class Order:
    """O(n^power · log(n)^logs)."""

    text: str
    power: float
    logs: int

    def __call__(self, n: int) -> float:
        return float(n**self.power * log(n) ** self.logs)


def parse_order(text: str) -> Order:
    """ "O(1)", "O(n)", "O(n^1.5)", "O(n**2)", "O(log n)", "O(n^2 log n)". Raises HloCountError for anything else."""
    match = _ORDER.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None or not any(match.groups()):
        raise HloCountError(f'{text!r} is no order of growth: write it as "O(1)", "O(n)", "O(n^2)" or "O(n log n)"')
    _, n, power, logs = match.groups()
    return Order(text.strip(), float(power or 1) if n else 0.0, 1 if logs else 0)


def assert_complexity(
    fn: Callable[[int], Any],
    sizes: Sequence[int],
    *,
    tolerance: float = 0.1,
    allow_lower_bound: bool = False,
    **keywords: Any,
) -> dict[str, float]:
    """Count a program at several sizes, and raise BudgetExceeded if it grows faster than it may.

    `fn(n)` gives what to count at size n: `(function, *arguments)`, or anything else that `count` takes alone.
    `sizes`: three or more, each above 1. Then counters with their orders, such as `flops="O(n^2)"`,
    `bytes="O(n log n)"`, `peak_bytes="O(n)"`; all other keywords go to `count`.

    The exponent is the least-squares slope of log(count) over log(n). It fails when that slope, of the count divided
    by the order, is more than `tolerance`: sizes should be large enough for the largest term to rule. Growing slower
    passes. Returns the exponent of each counter.

    Raises HloCountError for what is no order, no size or no counter, and where a count is a lower bound, unless
    `allow_lower_bound`.
    """
    orders = {name: parse_order(keywords.pop(name)) for name in _GROWING if name in keywords}
    for name, value in keywords.items():
        if isinstance(value, str) and _ORDER.fullmatch(value.strip()):
            raise HloCountError(f"{name}=: {misspelt(name, _GROWING, 'counter')}")
    if not orders:
        raise HloCountError(
            f'no counter was given: pass one with its order, such as flops="O(n^2)" ({", ".join(_GROWING)})'
        )
    ordered = _ordered(sizes)
    reports = [_report(fn, n, keywords) for n in ordered]
    for n, report in zip(ordered, reports, strict=True):
        if report.status == "lower bound" and not allow_lower_bound:
            raise HloCountError(
                f"at n={n} the count is a lower bound, so that its growth says nothing: {report.unknowns[0]}"
            )
    exponents: dict[str, float] = {}
    failures = []
    for name, order in orders.items():
        counts = [getattr(report, name) for report in reports]
        exponents[name] = slope(ordered, [max(c, 1) for c in counts])
        beyond = slope(ordered, [max(c, 1) / order(n) for n, c in zip(ordered, counts, strict=True)])
        if beyond > tolerance:
            failures.append(_failure(name, order, ordered, counts, exponents[name]))
    if failures:
        raise BudgetExceeded("\n\n".join([*failures, program(reports[-1])]))
    return exponents


def _ordered(sizes: Sequence[int]) -> list[int]:
    given = list(sizes) if isinstance(sizes, Iterable) else []
    if any(isinstance(n, bool) or not isinstance(n, int) or n < 2 for n in given) or len(set(given)) < 3:
        raise HloCountError(f"sizes={sizes!r}: give three or more different integers above 1")
    return sorted(set(given))


def slope(sizes: Sequence[int], values: Sequence[float]) -> float:
    """The least-squares slope of log(value) over log(size)."""
    x, y = [log(n) for n in sizes], [log(value) for value in values]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    covariance = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return covariance / sum((a - mean_x) ** 2 for a in x)


def _report(fn: Callable[[int], Any], n: int, keywords: dict[str, Any]) -> Report:
    case = fn(n)
    parts = case if isinstance(case, tuple) and case else (case,)
    refuse_misspelt(parts[0], keywords, _GROWING, "counter")
    try:
        return count(*parts, **keywords)
    except HloCountError as problem:
        if "cannot count" not in str(problem):
            raise
        raise HloCountError(
            f"fn({n}) must return (function, *arguments), the function not called yet: {problem}"
        ) from None


def _failure(name: str, order: Order, sizes: list[int], counts: list[int], exponent: float) -> str:
    rows = [("n", name, "growth", "exponent")]
    for at, (n, c) in enumerate(zip(sizes, counts, strict=True)):
        before = counts[at - 1] if at else 0
        local = f"{log(c / before) / log(n / sizes[at - 1]):.2f}" if before and c else ""
        rows.append((f"{n:,}", show_counter(name, c), f"x {c / before:.2f}" if before else "", local))
    head = first_line(f"{name} grows as n^{exponent:.2f}, which is worse than {order.text}")
    return "\n".join([head, "", *aligned(rows, ">>>>")])
