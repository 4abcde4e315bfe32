"""Groups of devices, by the list or by the formula that a text gives them with: never one device after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from math import prod


@dataclass(frozen=True, slots=True)
class Grid:
    """The numbers below a product of sizes, each once, in rows of `width` numbers.

    `axes` hold a (size, stride) for each digit of a number's place, the last digit going round fastest: the number is
    the sum of digits times strides. `[4,2]<=[2,4]T(1,0)` is ((4, 1), (2, 4)), in rows of 2.
    """

    axes: tuple[tuple[int, int], ...]
    width: int

    @staticmethod
    def transposed(dims: Sequence[int], order: Sequence[int], width: int) -> Grid:
        """0, 1, 2 … laid out in `dims`, its dimensions transposed into `order`, read row by row."""
        return Grid(tuple((dims[axis], prod(dims[axis + 1 :])) for axis in order), width)

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return prod(size for size, _ in self.axes)

    def at(self, place: int) -> int:
        found = 0
        for size, stride in reversed(self.axes):
            place, digit = divmod(place, size)
            found += digit * stride
        return found

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        numbers = map(self.at, range(self.size))
        while row := tuple(islice(numbers, self.width)):
            yield row

    def through(self, inner: Grid) -> Grid | None:
        """What `inner` has at the places that this one gives; None where its digits are no parts of the other's."""
        found: list[tuple[int, int]] = []
        for size, stride in self.axes:
            parts = []
            place = 1  # of the digit of `inner`
            for of_inner, by_inner in reversed(inner.axes):
                low, high = max(place, stride), min(place * of_inner, stride * size)
                if low < high:
                    if low % place or high % low or low % stride:
                        return None
                    parts.append((high // low, low // place * by_inner))
                place *= of_inner
            found += reversed(parts)
        return Grid(tuple(found), self.width)


class Lists(Enum):
    """What the numbers of a list stand for (XLA, collective_op_group_mode.cc)."""

    REPLICAS = "replicas, for each partition"
    PARTITIONS = "partitions, for each replica"
    REPLICAS_WITH_PARTITIONS = "replicas, each with all of its partitions"
    DEVICES = "devices by their ids"


@dataclass(frozen=True, slots=True)
class DeviceGroups:
    """Groups of devices, by id: replica · partitions + partition. Iterating gives them one after another."""

    listed: tuple[tuple[int, ...], ...] | Grid
    lists: Lists = Lists.DEVICES
    replicas: int = 1
    partitions: int = 1

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        replicas, partitions = self.replicas, self.partitions
        if self.lists is Lists.REPLICAS:
            for p in range(partitions):
                yield from (tuple(r * partitions + p for r in group) for group in self.listed)
        elif self.lists is Lists.PARTITIONS:
            for r in range(replicas):
                yield from (tuple(r * partitions + p for p in group) for group in self.listed)
        elif self.lists is Lists.REPLICAS_WITH_PARTITIONS:
            for group in self.listed:
                yield tuple(r * partitions + p for r in group for p in range(partitions))
        else:
            yield from self.listed

    @property
    def largest(self) -> int:
        """Devices in the largest group; 1 where there is none."""
        if isinstance(self.listed, Grid):
            width = min(self.listed.width, self.listed.size) or 1
        else:
            width = max(map(len, self.listed), default=1)
        return width * (self.partitions if self.lists is Lists.REPLICAS_WITH_PARTITIONS else 1)

    @property
    def last(self) -> int:
        """The largest id of a device in any of them; 0 where there is none."""
        if isinstance(self.listed, Grid):
            last = self.listed.size - 1
        else:
            last = max((max(group, default=0) for group in self.listed), default=0)
        if self.lists is Lists.PARTITIONS:
            return (self.replicas - 1) * self.partitions + last
        return last if self.lists is Lists.DEVICES else (last + 1) * self.partitions - 1

    @property
    def number(self) -> int:
        """How many devices they hold."""
        listed = self.listed.size if isinstance(self.listed, Grid) else sum(map(len, self.listed))
        if self.lists is Lists.PARTITIONS:
            return listed * self.replicas
        return listed if self.lists is Lists.DEVICES else listed * self.partitions

    def sizes(self) -> Iterator[tuple[int, int, int]]:
        """(first, one past the last, devices in the group of each) of the numbers that are listed."""
        each = self.partitions if self.lists is Lists.REPLICAS_WITH_PARTITIONS else 1
        if isinstance(self.listed, Grid):
            yield 0, self.listed.size, self.largest
        else:
            of = {number: len(group) * each for group in self.listed for number in group}
            yield from ((number, number + 1, size) for number, size in of.items())
