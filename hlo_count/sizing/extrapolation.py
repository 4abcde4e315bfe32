"""Rows of a size for programs that nobody compiled: what is counted grows as polynomials, and times are worked out of
it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.report.report import Report
from hlo_count.roofline.bound import busy_with
from hlo_count.roofline.catalog import device as find_device
from hlo_count.roofline.device import Device
from hlo_count.roofline.resources import Ceilings, longest
from hlo_count.roofline.work_by_unit import WorkKey
from hlo_count.roofline.workload import Workload
from hlo_count.sizing.count_growth import Unfitted, axes_of, cautions, fitted, point_text, telling_where
from hlo_count.sizing.polynomials import Point, Polynomial
from hlo_count.sizing.size_rows import Extrapolated, SizeRow
from hlo_count.visitors.cost import Status, weakest

COUNTED = ("flops", "bytes", "network_bytes", "peak_bytes")
_SHOWN = 4
_MOVED, _READ, _WORK = "bytes that must move", "bytes that must be read", "work"
_NEEDED = ("flops", _MOVED, _READ, _WORK)
"""What there is no bound without."""

Quantity = tuple[str, ...]
"""A counter, or "work" with unit, dtype and how it runs there."""


def extrapolate(
    compiled: Callable[[dict[str, int]], Sequence[SizeRow]],
    sizes: Mapping[str, Sequence[int]],
    at: Mapping[str, int],
) -> list[SizeRow]:
    """The rows at the sizes `at`, of those that `compiled` gives for the values of `sizes`.

    FLOP, bytes, memory and the least work of each unit are polynomials in the sizes, found and checked as those of
    `growth`; the bound is worked out of them. The estimate is so many times the bound as that of the largest program
    that was compiled, and for the same reasons. Raises HloCountError for sizes that are none or other names.
    """
    names, axes = axes_of(sizes)
    if set(at) != set(names) or not all(_is_size(value) for value in at.values()):
        raise HloCountError(f"at: a whole number above 0 for each of {', '.join(names)}, not {dict(at)!r}")
    seen: dict[Point, dict[str, SizeRow]] = {}
    largest = tuple(axis[-1] for axis in axes)

    def measured(point: Point) -> dict[str, int]:
        with telling_where(point_text(names, point)):
            rows = compiled(dict(zip(names, point, strict=True)))
        seen[point] = {row.target: row for row in rows}
        return {"\0".join((row.target, *key)): n for row in rows for key, n in _quantities(row).items()}

    found = fitted(names, axes, measured)
    each = []
    for target, last in seen[largest].items():
        failed = next((rows[target] for rows in seen.values() if rows[target].bound is None), None)
        if failed is not None:
            each.append(
                SizeRow(target=target, problem=failed.problem or "a program without a bound, of which none grows")
            )
            continue
        terms = {tuple(key.split("\0")[1:]): term for key, term in found.terms.items() if key.split("\0")[0] == target}
        status = reduce(weakest, [rows[target].report.status for rows in seen.values()])  # type: ignore[union-attr]
        said = [f"from {len(seen)} programs that were compiled", *cautions(names, axes, at)]
        each.append(_row(last, terms, at, names, largest, said, status))
    return each


def _row(
    last: SizeRow,
    terms: Mapping[Quantity, Polynomial | Unfitted],
    at: Mapping[str, int],
    names: tuple[str, ...],
    largest: Point,
    said: list[str],
    status: Status,
) -> SizeRow:
    assert isinstance(last.report, Report) and last.bound is not None and last.estimate is not None
    values = {key: round(term(**at)) for key, term in terms.items() if isinstance(term, Polynomial)}
    open_ = {key: term for key, term in terms.items() if isinstance(term, Unfitted)}
    notes = [f"{' '.join(key)}: no polynomial: {term.why}: {_tried(names, term)}" for key, term in open_.items()]
    device = find_device(last.report.target or last.target)
    bound = estimate = None
    limits: dict[str, float] = {}
    if not any(key[0] in _NEEDED for key in open_):
        busy = _bound(device, values)
        slowest = longest(busy)
        bound = 0.0 if slowest is None else slowest.seconds
        there = point_text(names, largest)
        ratio = last.estimate / last.bound if last.bound else None
        if slowest is not None and ratio is not None:
            estimate = bound * ratio
            limits = {what: taken * estimate / last.estimate for what, taken in last.limits.items()}
            notes.insert(0, f"bound by {slowest.what}; estimate {ratio:.3g} times the bound as at {there}")
    unknown = {name for name in COUNTED if (name,) in open_ or getattr(last.report, name) is None}
    counts = {name: None if name in unknown else values.get((name,), 0) for name in COUNTED}
    report = Extrapolated(
        name=last.report.name,
        at=point_text(names, tuple(at[name] for name in names)),
        num_devices=last.report.num_devices,
        status=status,
        notes=[*said, *notes],
        flops=counts["flops"],
        bytes=counts["bytes"],
        network_bytes=counts["network_bytes"],
        peak_bytes=counts["peak_bytes"],
    )
    return SizeRow(
        target=last.target, report=report, device=last.device, bound=bound, estimate=estimate, limits=limits,
        memory_bytes=last.memory_bytes, price_per_hour=last.price_per_hour, tokens=last.tokens,
    )  # fmt: skip


def _bound(device: Device, values: Mapping[Quantity, int]) -> list[Any]:
    work: dict[WorkKey, float] = {(k[1], k[2], k[3]): float(n) for k, n in values.items() if k[0] == _WORK}
    return busy_with(Ceilings(device), work, values.get((_MOVED,), 0), values.get((_READ,), 0))


def _quantities(row: SizeRow) -> dict[Quantity, int]:
    """What of a compiled program is held to polynomials: whole numbers, by name."""
    report = row.report
    if not isinstance(report, Report) or row.bound is None:
        return {}
    found: dict[Quantity, int] = {(name,): int(getattr(report, name) or 0) for name in COUNTED}
    workload = Workload(report.walk)
    limits = Ceilings(find_device(report.target or row.target))
    entry = report.walk.module.entry
    for key, amount in workload.least(limits.fused).of(entry).items():
        found[(_WORK, *key)] = round(amount)  # shares of masks divide, and multiply again
    found[(_MOVED,)] = workload.certain_bytes
    found[(_READ,)] = workload.certain_bytes - entry.root.shape.bytes
    return found


def _tried(names: tuple[str, ...], term: Unfitted) -> str:
    """What was counted where."""
    points = [f"{n:,} at {point_text(names, point)}" for point, n in term.tried[:_SHOWN]]
    return "; ".join(points)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
