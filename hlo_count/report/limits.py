"""Limits on a report, and how a report stands against them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hlo_count.errors import HloCountError
from hlo_count.report.operations import check_pattern, matching, operation
from hlo_count.report.quantities import BYTES, CAN_BE_LIMITED, Quantity, parse_quantity
from hlo_count.report.units import amount
from hlo_count.roofline.roofline_table import seconds
from hlo_count.visitors.cost import ratio

if TYPE_CHECKING:
    from hlo_count.report.counts import Counts
    from hlo_count.roofline.device import Device

KEYWORDS = (
    *CAN_BE_LIMITED,
    *(f"min_{name}" for name in CAN_BE_LIMITED),
    *("max_ops", "min_ops", "forbid", "bound", "device", "allow_lower_bound"),
)
"""Every keyword of `limits_of`."""

_XLA_HAS = ("flops", "transcendentals", "bytes", "intensity")


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: on a counter, on the instructions that match `pattern`, on the time `bound`, or on the status.

    `kind` is "counter", "ops", "forbid", "bound" or "status"; `counter` is what is compared, for "ops" and "forbid"
    the pattern. `shown` is the amount as it was written. A lower limit is one that must be reached.
    """

    kind: str
    counter: str
    value: Quantity
    shown: str
    lower: bool = False

    @property
    def name(self) -> str:
        """As a reader knows it: `flops`, `ops all-gather`, `forbidden f64`."""
        return {"ops": f"ops {self.counter}", "forbid": f"forbidden {self.counter}"}.get(self.kind, self.counter)


@dataclass(frozen=True, slots=True)
class Limits:
    """All limits of one check; `device` is the one that `bound` is for."""

    limits: tuple[Limit, ...]
    device: str | Path | Device | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """A limit and what the program does."""

    limit: Limit
    actual: Quantity

    @property
    def exceeded(self) -> bool:
        if self.limit.lower:
            return not self.actual >= self.limit.value
        return not self.actual <= self.limit.value

    @property
    def headroom(self) -> float | None:
        """How far it is from the limit, as a share of the limit; negative beyond it, None for a limit of 0."""
        if not self.limit.value:
            return None
        away = self.limit.value - self.actual
        return ratio(-away if self.limit.lower else away, self.limit.value)

    @property
    def shown(self) -> str:
        return show(self.limit, self.actual)

    @property
    def excess(self) -> str:
        """How far beyond the limit: `+15.0 %`, and the amount where the limit is 0."""
        headroom = self.headroom
        if self.limit.kind == "status":
            return ""
        if headroom is None:
            return f"+{self.shown}"
        beyond = -headroom if not self.limit.lower else headroom
        # A tiny excess must not read as none at all.
        return f"{100 * beyond:+.1f} %" if abs(beyond) >= 0.0005 else f"{self.actual - self.limit.value:+,}"


def limits_of(**keywords: Any) -> Limits:
    """The limits that keywords spell.

    A counter (`flops`, `transcendentals`, `int_ops`, `other_ops`, `bytes`, `bytes_read`, `bytes_written`,
    `network_bytes`, `peak_bytes`, `argument_bytes`, `output_bytes`, `compulsory_bytes`, `intensity`) is an upper limit,
    `min_` before it a lower one; amounts as `parse_quantity` takes them. `max_ops` and `min_ops` map an opcode, or
    `custom-call:TARGET`, with `*` for anything, to a number of instructions: each once however often it runs, those in
    fusions too. `forbid` lists opcodes, custom calls and dtypes of which there may be none. `bound`: the least time of
    the roofline, on `device` (that of the target unless given). A count that is a lower bound passes no limit, unless
    `allow_lower_bound`.

    Raises HloCountError for a misspelt keyword, an amount that is none, and without any limit.
    """
    found: list[Limit] = []
    for keyword, value in keywords.items():
        if keyword not in KEYWORDS:
            raise HloCountError(f"{keyword}=: {misspelt(keyword)}")
        if value is None or keyword in ("device", "allow_lower_bound"):
            continue
        if keyword in ("max_ops", "min_ops"):
            found += _operation_limits(keyword, value)
        elif keyword == "forbid":
            names = [value] if isinstance(value, str) else value
            if not isinstance(names, Iterable):
                raise HloCountError(f"forbid={value!r}: give a list such as ['f64', 'custom-call:*callback*']")
            found += [Limit("forbid", check_pattern(name, "forbid", dtypes=True), 0, "0") for name in names]
        else:
            counter = keyword.removeprefix("min_")
            quantity = parse_quantity(value, counter)
            kind = "bound" if counter == "bound" else "counter"
            limit = Limit(kind, counter, quantity, "", keyword != counter)
            shown = " ".join(value.split()) if isinstance(value, str) else show(limit, quantity)
            found.append(Limit(kind, counter, quantity, shown, keyword != counter))
    if keywords.get("device") is not None and keywords.get("bound") is None:
        raise HloCountError('device= is for a limit of time, and none was given: add one such as bound="50 us"')
    if not found:
        raise HloCountError('no limit was given, so nothing could fail: give one such as flops="2 GFLOP"')
    if not keywords.get("allow_lower_bound"):
        found.append(Limit("status", "status", 0, "every cost known"))
    return Limits(tuple(found), keywords.get("device"))


def misspelt(keyword: str, known: Sequence[str] = KEYWORDS, what: str = "limit") -> str:
    near = get_close_matches(keyword, known, 1, 0.5)
    there_are = ", ".join(name for name in known if name in CAN_BE_LIMITED)
    return f"no such {what}, did you mean {near[0]!r}?" if near else f"no such {what}; there are {there_are}"


def measured_limits(report: Counts, limits: Limits) -> list[Measured]:
    """Each limit with the program's amount, in the order in which they were given."""
    return [Measured(limit, _actual(report, limit, limits)) for limit in limits.limits]


def show(limit: Limit, value: Quantity) -> str:
    """An amount in the unit of the limit: `2.416 GFLOP`, `84.2 MB`, `12.3 MiB`, `50.3 µs`."""
    if limit.kind == "bound":
        return seconds(value)
    if limit.kind == "status":
        return f"{value} unknown" if value else "every cost known"
    if limit.kind in ("ops", "forbid"):
        return str(value)
    return show_counter(limit.counter, value)


def show_counter(counter: str, value: Quantity) -> str:
    if counter == "intensity":
        return f"{value:.3g} FLOP/B" if value < 100 else f"{value:,.0f} FLOP/B"
    if counter == "flops":
        return f"{amount(value)} FLOP" if value < 1000 else f"{amount(value)}FLOP"
    if counter in BYTES:
        return amount(value, "B", binary=counter == "peak_bytes")
    return amount(value)


def _operation_limits(keyword: str, value: Any) -> list[Limit]:
    if not isinstance(value, Mapping):
        raise HloCountError(f'{keyword}={value!r}: give a dict such as {{"all-gather": 0, "fusion": 40}}')
    found = []
    for pattern, number in value.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise HloCountError(
                f"{keyword}[{pattern!r}]={number!r} is no number of instructions: give an int, 0 or more"
            )
        name = check_pattern(pattern, keyword, dtypes=False)
        found.append(Limit("ops", name, number, str(number), keyword == "min_ops"))
    return found


def _actual(report: Counts, limit: Limit, limits: Limits) -> Quantity:
    if limit.kind == "status":
        return sum(unknown.status == "lower bound" for unknown in report.unknowns)
    if limit.kind == "bound":
        roofline = report.roofline(limits.device)
        if roofline.bound is None:
            raise HloCountError(f"{report.name}: {roofline.bottleneck}; give the compiled program")
        return roofline.bound
    if limit.kind == "ops":
        return sum(operation(i) is not None for i in matching(report.module, limit.counter))
    if limit.kind == "forbid":
        return sum(1 for _ in matching(report.module, limit.counter))
    if report.convention == "xla" and limit.counter not in _XLA_HAS:
        raise HloCountError(f"{limit.counter}: the convention of XLA has no such count; it has {', '.join(_XLA_HAS)}")
    value: Quantity = getattr(report, limit.counter)
    return value
