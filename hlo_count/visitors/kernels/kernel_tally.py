"""What a kernel, or a part of its code, adds up to: the least that is certain, and what is counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hlo_count.visitors.cost import Cost, Key

READ, WRITTEN = "bytes_read", "bytes_written"
Moved = tuple[str, int]
"""READ or WRITTEN, and which argument of the kernel."""
Amounts = dict[Key | Moved, int]
"""Operations and bytes sent by the keys of a Cost; bytes that are read or written of an argument by `Moved`."""


@dataclass(slots=True)
class Tally:
    """Amounts that run for certain, and those that are counted: of an `if` that is not settled the larger branch."""

    least: Amounts = field(default_factory=dict)
    counted: Amounts = field(default_factory=dict)

    def add(self, amounts: Mapping[Any, int], least: int, counted: int) -> None:
        """What runs `least` times for certain and counts as run `counted` times."""
        for into, times in ((self.least, least), (self.counted, counted)):
            if times:
                for key, amount in amounts.items():
                    into[key] = into.get(key, 0) + amount * times

    def join(self, other: Tally) -> None:
        """That of what runs after it."""
        for into, more in ((self.least, other.least), (self.counted, other.counted)):
            for key, amount in more.items():
                into[key] = into.get(key, 0) + amount

    @property
    def weight(self) -> tuple[int, int, int]:
        """By which the larger of two branches is found: FLOP, then bytes, then everything else."""
        flops = sum(n for key, n in self.counted.items() if key[0] == "flops")
        moved = sum(n for key, n in self.counted.items() if key[0] in (READ, WRITTEN))
        return flops, moved, sum(self.counted.values())


def either(one: Tally, other: Tally) -> Tally:
    """Of two branches one of which runs: the larger counts, and what both do is certain."""
    larger = max(one, other, key=lambda tally: tally.weight)
    least = {key: min(n, other.least[key]) for key, n in one.least.items() if key in other.least}
    return Tally(least, larger.counted)


def operations_of(amounts: Amounts) -> Cost:
    """What is no traffic of an argument, as a Cost."""
    return Cost({key: n for key, n in amounts.items() if key[0] not in (READ, WRITTEN)})  # type: ignore[misc]


def moved_of(amounts: Amounts, arguments: Iterable[int]) -> dict[str, int]:
    """Bytes read and written of some arguments together."""
    numbers = set(arguments)
    found = {READ: 0, WRITTEN: 0}
    for key, n in amounts.items():
        if key[0] in found and key[1] in numbers:
            found[str(key[0])] += n
    return found
