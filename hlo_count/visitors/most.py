"""The most that a program can cost: the most trips of its loops, the dearest of the branches that it may take."""

from __future__ import annotations

from collections.abc import Iterable

from hlo_count.hlo.computation import Computation
from hlo_count.hlo.depth import post_order
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import async_sugar
from hlo_count.hlo.trip_counts import trip_count
from hlo_count.visitors.call_sites import Edge, branches_of
from hlo_count.visitors.cost import Cost, Key
from hlo_count.visitors.walk import Walk


def most_of(walk: Walk) -> Cost | None:
    """What one execution costs at most, counter by counter; None where something in it has no bound.

    A loop whose trips are not known makes the most that are certain, a conditional costs in each counter as much as
    the branch that has most of it. An `estimate` where a formula's choice is in it, which is no bound.
    """
    if walk.status == "exact":
        return walk.total
    if walk.module.contradictions:
        return None
    found: dict[tuple[Computation, bool], Cost | None] = {}

    def most(computation: Computation, kernels: bool) -> Cost | None:
        parts = [_own(walk, computation, kernels)]
        for caller, edges in walk.edges(computation):
            parts.append(called(caller, edges, kernels))
        return _sum(parts)

    def called(caller: Instruction, edges: list[Edge], kernels: bool) -> Cost | None:
        opcode = (async_sugar(caller.opcode) or (caller.opcode,))[0]
        if opcode == "while" and walk.settings.trip_count(caller) is None:
            trips = trip_count(caller)
            most_trips = trips.n if trips.n is not None else trips.at_most
            if most_trips is None:
                return None
            body, condition = edges
            edges = [Edge(body.callee, most_trips, True), Edge(condition.callee, most_trips + 1, True)]
        elif opcode == "conditional":
            branches = branches_of(caller)
            if walk.settings.weights(caller, len(branches)) is None:
                return _dearest(found[(branches[n], kernels)] for n in walk.branches_left(caller))
        return _sum(_times(found[(edge.callee, kernels and edge.kernels)], edge) for edge in edges)

    entry = (walk.module.entry, True)
    for node in post_order(entry, walk.below):
        found[node] = most(*node)
    total = found[entry]
    # Probabilities of branches are rounded up for each instruction in the one, for each branch in the other.
    return None if total is None else _dearest([total, Cost(walk.total.amounts)])


def _own(walk: Walk, computation: Computation, kernels: bool) -> Cost | None:
    """The instructions of a computation without what they call; None where one of them is not known."""
    own = walk.own_cost(computation, kernels)
    if own.status == "exact":
        return own
    courses = ("while", "conditional")
    status = Cost.sum(cost for i, cost in walk.costs_of(computation, kernels) if i.opcode not in courses).status
    return None if status == "lower bound" else Cost(own.amounts, status)


def _times(cost: Cost | None, edge: Edge) -> Cost | None:
    return Cost() if not edge.times else None if cost is None else cost * edge.times


def _known(parts: Iterable[Cost | None]) -> list[Cost] | None:
    """All of them, or None where one is not known."""
    found: list[Cost] = []
    for part in parts:
        if part is None:
            return None
        found.append(part)
    return found


def _sum(parts: Iterable[Cost | None]) -> Cost | None:
    known = _known(parts)
    return None if known is None else Cost.sum(known)


def _dearest(costs: Iterable[Cost | None]) -> Cost | None:
    """Of each counter what stands in the cost that has most of it."""
    known = _known(costs)
    if known is None:
        return None
    largest: dict[Key, dict[Key, int]] = {}
    for cost in known:
        groups: dict[Key, dict[Key, int]] = {}
        for key, amount in cost.amounts.items():
            groups.setdefault(_counter(key), {})[key] = amount
        for counter, amounts in groups.items():
            if sum(amounts.values()) > sum(largest.get(counter, {}).values()):
                largest[counter] = amounts
    return Cost({key: n for amounts in largest.values() for key, n in amounts.items()}, Cost.sum(known).status)


def _counter(key: Key) -> Key:
    """Operations by counter, bytes by memory space too."""
    return key[:2] if key[0].startswith("bytes") else key[:1]
