"""The first of many allocations that has room for some values while it is not needed for its own.

An allocation is free from the end of one of its values to the start of the next. These gaps lie in a tree, ordered by
the moment at which they begin, whose nodes know how late a gap below them ends and the first allocation that has one:
a search follows only nodes in which some gap is long enough and some allocation is before the first that it found.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from math import inf

from hlo_count.visitors.buffer_reuse import can_reuse
from hlo_count.visitors.buffers import Value

MayReuse = Callable[[Value, Value], bool]


class FirstFit:
    """Allocations in order of their sizes, each with the values that are in it from the beginning; `fitting` are all
    values that may come into one later."""

    def __init__(self, allocations: list[tuple[int, list[Value]]], fitting: list[Value], may_reuse: MayReuse) -> None:
        self._sizes = [size for size, _ in allocations]
        self._values = [sorted(values, key=_start) for _, values in allocations]
        self._may_reuse = may_reuse
        self._open = len(allocations)
        """The first allocation that was large enough so far: those before it have no gaps yet."""
        behind = sorted([value for _, values in allocations for value in values] + fitting, key=_end)
        self._ends = [value.end for value in behind]
        self._gap_behind = {value: n for n, value in enumerate(behind, len(allocations))}
        self._gaps = _Gaps(len(allocations) + len(behind), nobody=len(allocations))
        self._ending: dict[int, list[int]] = {}
        self._starting: dict[int, list[int]] = {}

    def take(self, size: int, values: list[Value]) -> bool:
        """Puts values that need `size` bytes, no more than any before them, into the first allocation that is large
        enough and free while they live; False where none is."""
        while self._open and self._sizes[self._open - 1] >= size:
            self._open -= 1
            self._begin(self._open)
        for allocation in self._candidates(values[0] if len(values) == 1 else max(values, key=_length)):
            if all(self._admits(allocation, value) for value in values):
                for value in values:
                    self._put(allocation, value)
                return True
        return False

    def _candidates(self, value: Value) -> Iterator[int]:
        """The allocations that are free throughout, and those where only what it may take the place of, or what may
        take its, is in the way: in order, some of them twice."""
        touching = list(self._starting.get(value.end, ()))
        if can_reuse(value.definer):
            touching += self._ending.get(value.start, ())
        touching.sort(reverse=True)
        before = len(self._sizes) + bisect_left(self._ends, value.start)
        free = -1
        while free < len(self._sizes):
            free = self._gaps.first(before, value.end, above=free)
            while touching and touching[-1] < free:
                yield touching.pop()
            if free < len(self._sizes):
                yield free

    def _admits(self, allocation: int, value: Value) -> bool:
        values = self._values[allocation]
        after = bisect_right(values, value.end, key=_start)
        for other in reversed(values[max(after - 2, 0) : after]):
            if other.end < value.start:
                break
            if not (
                (other.end == value.start and self._may_reuse(value, other))
                or (other.start == value.end and self._may_reuse(other, value))
            ):
                return False
        return True

    def _begin(self, allocation: int) -> None:
        values = self._values[allocation]
        gap = allocation
        for value in values:
            self._gaps.set(gap, allocation, value.start)
            self._note(allocation, value)
            gap = self._gap_behind[value]
        self._gaps.set(gap, allocation, inf)

    def _put(self, allocation: int, value: Value) -> None:
        values = self._values[allocation]
        at = bisect_right(values, value.start, key=_start)
        self._gaps.set(self._gap_behind[values[at - 1]] if at else allocation, allocation, value.start)
        self._gaps.set(self._gap_behind[value], allocation, values[at].start if at < len(values) else inf)
        values.insert(at, value)
        self._note(allocation, value)

    def _note(self, allocation: int, value: Value) -> None:
        self._ending.setdefault(value.end, []).append(allocation)
        if can_reuse(value.definer):
            self._starting.setdefault(value.start, []).append(allocation)


class _Gaps:
    """Numbered gaps, each of an allocation and with the moment at which it ends."""

    def __init__(self, count: int, nobody: int) -> None:
        self._leaves = 1 << max(count - 1, 0).bit_length()
        self._end: list[float] = [-1.0] * (2 * self._leaves)
        self._first = [nobody] * (2 * self._leaves)
        self._nobody = nobody

    def set(self, gap: int, allocation: int, end: float) -> None:
        ends, firsts = self._end, self._first
        node = gap + self._leaves
        ends[node], firsts[node] = end, allocation
        node >>= 1
        while node:
            left, right = 2 * node, 2 * node + 1
            end = ends[left] if ends[left] > ends[right] else ends[right]  # max and min are calls
            first = firsts[left] if firsts[left] < firsts[right] else firsts[right]
            if ends[node] == end and firsts[node] == first:
                break
            ends[node], firsts[node] = end, first
            node >>= 1

    def first(self, before: int, end: int, above: int) -> int:
        """The first allocation behind `above` that has a gap which ends after `end`, of those with a number below
        `before`; nobody where none has."""
        ends, firsts, leaves = self._end, self._first, self._leaves
        waiting: list[int] = []
        low, high = leaves, leaves + before
        while low < high:
            if low & 1:
                waiting.append(low)
                low += 1
            if high & 1:
                high -= 1
                waiting.append(high)
            low >>= 1
            high >>= 1
        waiting = [node for node in waiting if ends[node] > end]
        waiting.sort(key=firsts.__getitem__, reverse=True)
        found = self._nobody
        while waiting:
            node = waiting.pop()
            if firsts[node] >= found:
                continue
            if node >= leaves:
                if firsts[node] > above:
                    found = firsts[node]
                continue
            left, right = 2 * node, 2 * node + 1
            if firsts[left] < firsts[right]:
                left, right = right, left
            if ends[left] > end:
                waiting.append(left)
            if ends[right] > end:  # looked at first: what is before all others is found soon
                waiting.append(right)
        return found


def _start(value: Value) -> int:
    return value.start


def _end(value: Value) -> int:
    return value.end


def _length(value: Value) -> int:
    return value.end - value.start
