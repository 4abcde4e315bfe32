"""Cost: a small vector of counters with `+`, `* int` and `==`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import ceil, inf
from typing import Literal

Status = Literal["exact", "estimate", "lower bound"]
STATUSES: tuple[Status, ...] = ("exact", "estimate", "lower bound")
"""From the strongest to the weakest; the status of a sum is the weakest of its parts."""

Key = tuple[str, ...]
"""What an amount is of: (counter, op class, dtype, unit) for operations, (counter, memory space) for bytes read and
written, (counter,) for bytes sent to devices of the same slice, (counter, "dcn") for those sent to other slices."""

SENT: Key = ("network_bytes",)
SENT_ACROSS: Key = ("network_bytes", "dcn")

Times = int | Fraction
"""How often something runs; a fraction where branches are taken with probabilities."""

FLOP_PER_FMA = 2
"""A multiply feeding an add counts as two operations, also where one instruction does both."""

OP_COUNTERS = ("flops", "transcendentals", "int_ops", "other_ops")
MAIN, ON_CHIP, HOST = "main", "on-chip", "host"
"""Where traffic goes: the device's main memory (HBM, or DRAM on a CPU), memory on the chip, the host's memory."""


class Cost:
    """Operations, each of a counter, op class, dtype and unit; bytes by memory space; bytes sent. Immutable.

    `amounts` maps a key to an integer; every total is derived from it. `status` says whether something is missing.
    """

    __slots__ = ("amounts", "status")

    amounts: Mapping[Key, int]
    status: Status

    def __init__(self, amounts: Mapping[Key, int] | None = None, status: Status = "exact") -> None:
        object.__setattr__(self, "amounts", {k: n for k, n in (amounts or {}).items() if n})
        object.__setattr__(self, "status", status)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Cost does not change: cannot set {name}")

    def __reduce__(self) -> tuple[object, ...]:
        return Cost, (self.amounts, self.status)

    @classmethod
    def ops(
        cls,
        counter: str,
        amount: int | Fraction,
        op_class: str,
        dtype: str,
        unit: str = "vector",
        status: Status = "exact",
    ) -> Cost:
        """`amount` operations of one kind; a fraction is rounded up. `counter` is one of OP_COUNTERS."""
        if counter not in OP_COUNTERS:
            raise ValueError(f"{counter!r} is no counter of operations: use one of {', '.join(OP_COUNTERS)}")
        return cls({(counter, op_class, dtype, unit): ceil(amount)}, status)

    @classmethod
    def traffic(cls, *, read: int = 0, written: int = 0, space: str = MAIN) -> Cost:
        """Bytes read from and written to one memory space, the main memory unless told otherwise."""
        return cls({("bytes_read", space): read, ("bytes_written", space): written})

    @classmethod
    def network(cls, sent: int, across_slices: int = 0) -> Cost:
        """Bytes that one device sends over the interconnect, and to other slices."""
        return cls({SENT: sent, SENT_ACROSS: across_slices})

    # The algebra

    def __add__(self, other: Cost) -> Cost:
        if not isinstance(other, Cost):
            return NotImplemented
        amounts = dict(self.amounts)
        for key, amount in other.amounts.items():
            amounts[key] = amounts.get(key, 0) + amount
        return Cost(amounts, weakest(self.status, other.status))

    def __sub__(self, other: Cost) -> Cost:
        return self + Cost({key: -amount for key, amount in other.amounts.items()}, other.status)

    def __mul__(self, times: int | Fraction) -> Cost:
        """So many of it; a fraction (a branch taken with some probability) rounds each amount up."""
        if times == 1:
            return self
        if type(times) is not int and not isinstance(times, int | Fraction):
            return NotImplemented
        return Cost(
            {key: ceil(amount * times) for key, amount in self.amounts.items()}, self.status if times else "exact"
        )

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cost) and self.amounts == other.amounts and self.status == other.status

    def __hash__(self) -> int:
        return hash((frozenset(self.amounts.items()), self.status))

    def __bool__(self) -> bool:
        """Whether anything was counted, or something is known to be missing."""
        return bool(self.amounts) or self.status != "exact"

    @staticmethod
    def sum(costs: Iterable[Cost]) -> Cost:
        each = list(costs)
        if len(each) == 1 and type(each[0]) is Cost:
            return each[0]
        by_id = {id(cost): cost for cost in each}  # what is alike costs the same object
        return Cost.weighted((by_id[one], number) for one, number in Counter(map(id, each)).items())

    @staticmethod
    def weighted(costs: Iterable[tuple[Cost, int]]) -> Cost:
        """The sum of costs, each so many times."""
        amounts: dict[Key, int] = {}
        status: Status = "exact"
        for cost, times in costs:
            if not times:
                continue
            for key, amount in cost.amounts.items():
                amounts[key] = amounts.get(key, 0) + amount * times
            if cost.status != status:
                status = weakest(status, cost.status)
        return Cost(amounts, status)

    # Totals

    def _total(self, counter: str) -> int:
        return sum([n for key, n in self.amounts.items() if key[0] == counter])

    @property
    def flops(self) -> int:
        """Floating-point operations; 1 FMA = 2."""
        return self._total("flops")

    @property
    def transcendentals(self) -> int:
        """Evaluations of exponential, logarithm, root, trigonometric and similar functions."""
        return self._total("transcendentals")

    @property
    def int_ops(self) -> int:
        """Arithmetic and bitwise operations on integers."""
        return self._total("int_ops")

    @property
    def other_ops(self) -> int:
        """Compares, selects, converts, sign and rounding operations."""
        return self._total("other_ops")

    @property
    def bytes_read(self) -> int:
        """Bytes read from main memory."""
        return self.amounts.get(("bytes_read", MAIN), 0)

    @property
    def bytes_written(self) -> int:
        """Bytes written to main memory."""
        return self.amounts.get(("bytes_written", MAIN), 0)

    @property
    def bytes(self) -> int:
        """Traffic with main memory: bytes read and written."""
        return self.bytes_read + self.bytes_written

    @property
    def network_bytes(self) -> int:
        """Bytes that one device sends, over the interconnect and to other slices."""
        return self.amounts.get(SENT, 0) + self.dcn_bytes

    @property
    def dcn_bytes(self) -> int:
        """Those of them that go to other slices, over the data-centre network."""
        return self.amounts.get(SENT_ACROSS, 0)

    @property
    def intensity(self) -> float:
        """Arithmetic intensity, FLOP per byte of main-memory traffic; infinite without traffic, nan without either."""
        if self.bytes:
            return ratio(self.flops, self.bytes)
        return float("inf") if self.flops else float("nan")

    def split(self, part: int, counters: Iterable[str] = OP_COUNTERS) -> dict[str, Cost]:
        """The operations by one part of their keys: 1 the op class, 2 the dtype, 3 the unit."""
        found: dict[str, dict[Key, int]] = {}
        for key, amount in self.amounts.items():
            if key[0] in counters:
                found.setdefault(key[part], {})[key] = amount
        return {name: Cost(amounts, self.status) for name, amounts in found.items()}

    def only(self, *counters: str) -> Cost:
        """What it holds of these counters, with the same status."""
        return Cost({key: n for key, n in self.amounts.items() if key[0] in counters}, self.status)

    def __repr__(self) -> str:
        names = (*OP_COUNTERS, "bytes_read", "bytes_written", "network_bytes")
        shown = [f"{name}={getattr(self, name):,}" for name in names if getattr(self, name)]
        return f"Cost({', '.join(shown) or '0'}; {self.status})"


ZERO = Cost()


def weakest(one: Status, other: Status) -> Status:
    """The weaker of two statuses: that of their sum."""
    return one if STATUSES.index(one) >= STATUSES.index(other) else other


def ratio(part: float, whole: float) -> float:
    """One number as a multiple of another; infinite where that is beyond 1.8e308, which a float does not hold."""
    try:
        return part / whole
    except OverflowError:
        return inf if (part > 0) == (whole > 0) else -inf
