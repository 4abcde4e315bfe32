"""Bytes that each of many devices sends, kept in pieces of devices that send as much."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import accumulate
from math import ceil

from hlo_count.hlo.device_groups import Lists
from hlo_count.made_with import MadeWith
from hlo_count.visitors.cost import Times
from hlo_count.visitors.network import Senders


class Sent(MadeWith):
    """A number of bytes for each device: one that follows from its id, and one that follows from its partition."""

    def __init__(self, replicas: int, partitions: int) -> None:
        self._replicas, self._partitions = replicas, partitions
        self._changes_by_id: dict[int, int] = defaultdict(int)
        self._changes_by_partition: dict[int, int] = defaultdict(int)

    def __repr__(self) -> str:
        return f"<Sent {self.total:,} bytes by all, {self.most:,} by one>"

    def add(self, senders: Senders, times: Times) -> None:
        """What an instruction sends that runs so often, each device's rounded up."""
        into, end, devices_each = self._changes_by_id, self._replicas * self._partitions, 1
        if senders.lists is Lists.PARTITIONS:
            into, end = self._changes_by_partition, self._partitions
        elif senders.lists is not Lists.DEVICES:
            devices_each = self._partitions
        for first, beyond, size in senders.sent:
            amount = ceil(size * times)
            into[min(first * devices_each, end)] += amount
            into[min(beyond * devices_each, end)] -= amount

    @cached_property
    def _by_id(self) -> _Pieces:
        return _Pieces(self._changes_by_id, self._replicas * self._partitions)

    @cached_property
    def _by_partition(self) -> _Pieces:
        return _Pieces(self._changes_by_partition, self._partitions)

    def by(self, device: int) -> int:
        """What one device sends."""
        return self._by_id.at(device) + self._by_partition.at(device % self._partitions)

    @property
    def total(self) -> int:
        """What all of them send."""
        return self._by_id.total + self._replicas * self._by_partition.total

    @property
    def most(self) -> int:
        """What the one sends that sends most."""
        return max(value + self._most_of_partitions(first, end) for first, end, value in self._by_id)

    def _most_of_partitions(self, first: int, end: int) -> int:
        """The most that follows from the partition of a device with an id from `first` to before `end`."""
        number = self._partitions
        if end - first >= number:
            return self._by_partition.most(0, number)
        first, length = first % number, end - first
        most = self._by_partition.most(first, min(first + length, number))
        return max(most, self._by_partition.most(0, first + length - number)) if first + length > number else most


class _Pieces:
    """A number for each of 0 … end - 1, by where it changes and by how much."""

    def __init__(self, changes: Mapping[int, int], end: int) -> None:
        self._starts = sorted({0, *(place for place, change in changes.items() if change and place < end)})
        self._ends = [*self._starts[1:], end]
        values = list(accumulate(changes.get(start, 0) for start in self._starts))
        self._most = [values]
        """The largest of 1, 2, 4, 8 … neighbouring values, from each of them on."""
        while 1 << len(self._most) <= len(values):
            last, step = self._most[-1], 1 << (len(self._most) - 1)
            self._most.append(list(map(max, last, last[step:])))

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        return zip(self._starts, self._ends, self._most[0], strict=True)

    def at(self, place: int) -> int:
        return self._most[0][bisect_right(self._starts, place) - 1]

    @property
    def total(self) -> int:
        return sum(value * (end - start) for start, end, value in self)

    def most(self, first: int, end: int) -> int:
        """The largest number from `first` to before `end`."""
        low, high = bisect_right(self._starts, first) - 1, bisect_right(self._starts, end - 1)
        level = (high - low).bit_length() - 1
        return max(self._most[level][low], self._most[level][high - (1 << level)])
