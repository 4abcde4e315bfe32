"""Where the time of one run went: every instant belongs to what ran then, and to one thing once.

Where several ran at a time they share the instant; a loop or a call has what none of its own has; what is sent or
copied in the background while something computes is hidden behind that.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from hlo_count.measured.traces.op_events import ENTRIES, OP, START, DeviceRun

Span = tuple[int, int]
"""From when to when, in picoseconds."""


@dataclass(slots=True)
class Spent:
    """Picoseconds of runs. `own` adds up, with `idle`, to the time from start to end; `elapsed` is how long each
    instruction was under way, whatever ran beside it; `hidden` how long one in the background was while others ran."""

    number: Counter[int] = field(default_factory=Counter)
    own: Counter[int] = field(default_factory=Counter)
    elapsed: Counter[int] = field(default_factory=Counter)
    hidden: Counter[int] = field(default_factory=Counter)
    idle: int = 0


class Timeline:
    """Adds up the runs of one program on one device.

    `callers`: of each instruction, by number, those that are under way because they called it; `background`:
    those that send over the network, and the halves of asynchronous pairs. `needing`: those that need the result of
    one, by number: it is over when the first of them begins.
    """

    def __init__(
        self,
        callers: Mapping[int, frozenset[int]],
        background: frozenset[int],
        needing: Mapping[int, frozenset[int]],
    ) -> None:
        self._callers = callers
        self._needing = needing
        self._background = background
        self._sharing: dict[frozenset[int], tuple[Sequence[int], Sequence[int]]] = {}

    def add(self, run: DeviceRun, into: Spent) -> Span:
        """One run; gives from when to when it was: as the trace says, and events that reach beyond count as far as they
        do not, else from the first event to the end of the last."""
        spans = list(self._spans(run.events))
        start, end = run.span or (min(begin for begin, _, _ in spans), max(finish for _, finish, _ in spans))
        turns: list[tuple[int, int, int]] = []
        for begin, finish, op in spans:
            begin, finish = max(begin, start), min(finish, end)
            into.number[op] += 1
            if begin < finish:
                into.elapsed[op] += finish - begin
                turns += ((begin, 1, op), (finish, 0, op))  # at one instant what ends goes first
        turns.sort()
        running: Counter[int] = Counter()
        now, left = start, 0
        for time, begins, op in turns:
            if time > now:
                if running:
                    left = self._share(frozenset(running), time - now, left, into)
                else:
                    into.idle += time - now
                now = time
            if begins:
                running[op] += 1
            elif running[op] == 1:
                del running[op]
            else:
                running[op] -= 1
        into.idle += end - now
        return start, end

    def _spans(self, events: array[int]) -> Iterator[tuple[int, int, int]]:
        """Start, end and instruction of each event."""
        begins_at: dict[int, list[int]] = {}
        for begin, op in sorted(zip(events[START::ENTRIES], events[OP::ENTRIES], strict=True)):
            begins_at.setdefault(op, []).append(begin)
        for at in range(0, len(events), ENTRIES):
            begin, end, over, op = events[at : at + ENTRIES]
            if over > end:
                end = max(end, int(min(self._needed(begins_at, op, begin), over)))
            yield begin, end, op

    def _needed(self, begins_at: dict[int, list[int]], op: int, begin: int) -> float:
        """When the first began that needs what `op` made from `begin` on."""
        first = inf
        for other in self._needing.get(op, ()):
            starts = begins_at.get(other, ())
            at = bisect_left(starts, begin)
            if at < len(starts):
                first = min(first, starts[at])
        return first

    def _share(self, running: frozenset[int], time: int, left: int, into: Spent) -> int:
        """Divide an instant among what runs; what whole picoseconds leave of it goes to the next."""
        sharing = self._sharing.get(running)
        if sharing is None:
            called = frozenset[int]().union(*(self._callers.get(op, frozenset()) for op in running))
            leaves = sorted(running - called)
            computing = [op for op in leaves if op not in self._background]
            sharing = self._sharing[running] = (computing or leaves, leaves if computing else ())
        owners, seen = sharing
        part, rest = divmod(time, len(owners))
        for op in owners:
            into.own[op] += part
        into.own[owners[left % len(owners)]] += rest
        for op in seen:
            if op in self._background:
                into.hidden[op] += time
        return left + 1
