"""Which kernels of two programs do the same work together, and why they move more bytes or fewer.

Operations have reasons of their own; bytes move between kernels, and what a fusion saves is known of all the kernels
that it joins, not of one of them. So kernels are put into groups: each with the kernel of the other program that it
shares most of its work with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from hlo_count.compare.executed import Executed
from hlo_count.compare.match import Pair
from hlo_count.compare.reasons import UNCHANGED, Reason
from hlo_count.visitors.cost import ON_CHIP, Cost, Times


@dataclass(slots=True, eq=False)
class KernelGroup:
    """Kernels that do the same work, before and after."""

    before: list[Executed] = field(default_factory=list)
    after: list[Executed] = field(default_factory=list)
    pair: Pair | None = None
    """The instructions that make the most of it on both sides."""

    @property
    def is_one_to_one(self) -> bool:
        """Whether one kernel does the work of one, and as often."""
        return len(self.before) == len(self.after) == 1 and self.before[0].times == self.after[0].times

    @property
    def runs(self) -> tuple[Times, Times]:
        """How many kernels run, before and after."""
        return sum(item.times for item in self.before), sum(item.times for item in self.after)


def kernel_groups(pairs: Iterable[Pair]) -> dict[Executed, KernelGroup]:
    """The group of each kernel that shares work with the other program."""
    shared: dict[tuple[Executed, Executed], int] = Counter()
    largest: dict[tuple[Executed, Executed], tuple[int, Pair]] = {}
    for pair in pairs:
        if pair.before.opcode == "fusion":
            continue
        edge = (pair.before.home, pair.after.home)
        size = pair.before.shape.bytes + pair.after.shape.bytes
        shared[edge] += int(size * pair.times) + 1
        if edge not in largest or largest[edge][0] < size:
            largest[edge] = (size, pair)
    # Neither program is preferred: where two choices share as much, the earlier is taken on both sides.
    best: dict[Executed, tuple[int, int, tuple[Executed, Executed]]] = {}
    for edge, size in shared.items():
        for item, other in (edge, edge[::-1]):
            choice = (size, -other.order, edge)
            if item not in best or choice[:2] > best[item][:2]:
                best[item] = choice
    groups: dict[Executed, KernelGroup] = {}
    for item in best:
        _follow(item, best, groups, largest)
    return groups


def _follow(
    item: Executed,
    best: dict[Executed, tuple[int, int, tuple[Executed, Executed]]],
    groups: dict[Executed, KernelGroup],
    largest: dict[tuple[Executed, Executed], tuple[int, Pair]],
) -> None:
    """Put it, and the kernels on the way to a group that exists or to two that choose each other, into that group."""
    path: dict[Executed, None] = {}
    while item not in groups and item not in path:
        path[item] = None
        one, other = best[item][2]
        item = other if item is one else one
    group = groups.get(item)
    if group is None:
        group = KernelGroup(pair=largest[best[item][2]][1])
    for each in path:
        groups[each] = group
        (group.before if each is best[each][2][0] else group.after).append(each)


def shared_reason(
    group: KernelGroup, traffic: tuple[Cost, Cost], usual: Reason | None, possible: Reason | None
) -> Reason:
    """Why kernels that share their work move other bytes than they did: fusing saves bytes, its opposite costs them.

    `traffic` is what they move before and after, `usual` the reason of most of what they do, if it is not unchanged,
    `possible` the same of the reasons that agree with the change.
    """
    change = traffic[1] - traffic[0]
    if not change.amounts:
        return UNCHANGED
    if usual is not None and usual.kind in ("partitioned", "shape changed"):
        return usual
    on_chip = sum(amount for key, amount in change.amounts.items() if key[1:] == (ON_CHIP,))
    moved = change.bytes
    before, after = group.runs
    if before > after and moved <= 0 and moved + on_chip <= 0:
        return Reason("fused")
    if before < after and moved >= 0 and moved + on_chip >= 0:
        return Reason("unfused")
    if moved * on_chip < 0:
        return Reason("memory space changed")
    return possible or Reason("fused otherwise")
