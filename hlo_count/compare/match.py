"""Which runs of which instructions of two programs are the same.

By op_name and source, then by shape and opcode, then by the neighbourhood in the graph. Runs are matched, not lines: an
add in a loop of 100 trips is matched with 100 adds of the unrolled program. Every step treats both programs alike, so
that the matching of B with A is that of A with B turned round.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass

from hlo_count.compare.executed import REMATERIALIZED, Executed, ExecutedProgram
from hlo_count.hlo.opcodes import having
from hlo_count.visitors.cost import Times


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """So many runs of `before` are so many runs of `after`."""

    before: Executed
    after: Executed
    times: Times


Key = Callable[[ExecutedProgram, Executed], Hashable]
"""What two items must share to be matched; None for an item that this says nothing about."""

CONTRACTIONS = having("contraction") | {"custom-call"}
"""Opcodes that a compiler may turn into each other."""


def match(before: ExecutedProgram, after: ExecutedProgram) -> list[Pair]:
    """Pairs of runs; what has no partner keeps it in `Executed.left`."""
    pairs: list[Pair] = []
    levels = _levels(before.named and after.named)
    if any(REMATERIALIZED in item.op_name for program in (before, after) for item in program.items):
        # First runs are those of first runs, whatever is alike in what is computed again.
        for key in levels:
            pairs += _bucketed(_first(key), before, _open(before.items), after, _open(after.items))
    for key in levels:
        pairs += _bucketed(key, before, _open(before.items), after, _open(after.items))
    pairs += _by_contents(pairs)
    for key in (_named, _placed, _neighbouring):
        pairs += _bucketed(key, before, _open(before.fusions, True), after, _open(after.fusions, True))
    return pairs


def _open(items: Iterable[Executed], fusions: bool = False) -> list[Executed]:
    return [item for item in items if item.left and (item.opcode == "fusion") == fusions]


def _bucketed(
    key: Key, before: ExecutedProgram, ones: list[Executed], after: ExecutedProgram, others: list[Executed]
) -> Iterator[Pair]:
    if not ones or not others:
        return
    buckets: dict[Hashable, tuple[list[Executed], list[Executed]]] = defaultdict(lambda: ([], []))
    for side, program, items in ((0, before, ones), (1, after, others)):
        for item in items:
            found = key(program, item)
            if found is not None:
                buckets[found][side].append(item)
    for left, right in buckets.values():
        if left and right:
            yield from _zipped(before, left, after, right)


def _zipped(
    before: ExecutedProgram, ones: list[Executed], after: ExecutedProgram, others: list[Executed]
) -> Iterator[Pair]:
    """Runs in the order of the texts; where one side has more, those that fold or are recomputed stay behind."""
    more = sum(item.left for item in ones) - sum(item.left for item in others)
    if more > 0:
        ones.sort(key=lambda item: _spare(before, item))
    if more < 0:
        others.sort(key=lambda item: _spare(after, item))
    at = 0
    for one in ones:
        while one.left and at < len(others):
            other = others[at]
            times = min(one.left, other.left)
            one.left -= times
            other.left -= times
            yield Pair(one, other, times)
            at += not other.left


def _spare(program: ExecutedProgram, item: Executed) -> bool:
    return REMATERIALIZED in item.op_name or program.constants.folding(item.computation, item.index) is not None


def _by_contents(pairs: list[Pair]) -> list[Pair]:
    """Fusions are the same as far as what runs in them is."""
    shared: Counter[tuple[Executed, Executed]] = Counter()
    for pair in pairs:
        one, other = pair.before.home, pair.after.home
        if one.opcode == other.opcode == "fusion":
            shared[one, other] += 1
    # Neither program is preferred where two choices share as much: edges that exclude each other differ in their sum.
    ranked = sorted(shared.items(), key=lambda edge: (-edge[1], edge[0][0].order + edge[0][1].order))
    found: list[Pair] = []
    taken: set[Executed] = set()
    for (one, other), _ in ranked:
        if one in taken or other in taken:
            continue
        taken |= {one, other}
        times = min(one.left, other.left)
        one.left -= times
        other.left -= times
        found.append(Pair(one, other, times))
    return found


def _exact(program: ExecutedProgram, item: Executed) -> Hashable:
    return (item.op_name, item.source, item.times, item.kernel, program.neighbourhood(item)) if item.op_name else None


def _named(program: ExecutedProgram, item: Executed) -> Hashable:
    return (item.op_name, item.source, item.label) if item.op_name else None


def _renumbered(program: ExecutedProgram, item: Executed) -> Hashable:
    return (item.op_name, item.label) if item.op_name else None


def _placed(program: ExecutedProgram, item: Executed) -> Hashable:
    return (item.where, item.label) if item.op_name else None


def _shaped(program: ExecutedProgram, item: Executed) -> Hashable:
    return item.family if item.op_name else None


def _resized(program: ExecutedProgram, item: Executed) -> Hashable:
    return (item.op_name, item.source, item.opcode, len(item.dims)) if item.op_name else None


def _contracted(program: ExecutedProgram, item: Executed) -> Hashable:
    """A contraction by what it computes, however its dimensions are arranged."""
    return (item.where, item.cost.flops) if item.op_name and item.opcode in CONTRACTIONS else None


def _transposed(program: ExecutedProgram, item: Executed) -> Hashable:
    """The same, where a transpose after it was merged into it, with its op_name."""
    return (item.where[:2], item.cost.flops) if item.op_name and item.opcode in CONTRACTIONS else None


def _reshaped(program: ExecutedProgram, item: Executed) -> Hashable:
    return (item.where, item.opcode, item.shape.size) if item.op_name else None


def _neighbouring(program: ExecutedProgram, item: Executed) -> Hashable:
    return (item.kernel, program.neighbourhood(item))


def _renamed(program: ExecutedProgram, item: Executed) -> Hashable:
    """The same primitive of the same shape in a scope of another name; without op_names, what does the same."""
    return (item.where[0], item.where[2], item.label)


def _alike(program: ExecutedProgram, item: Executed) -> Hashable:
    return item.label


def _first(key: Key) -> Key:
    """The same for what is not rematerialized."""
    return lambda program, item: None if REMATERIALIZED in item.op_name else key(program, item)


def _levels(named: bool) -> list[Key]:
    always: list[Key] = [_exact, _named, _renumbered, _placed, _shaped, _contracted]
    always += [_transposed, _reshaped, _resized, _neighbouring]
    return [*always, _renamed if named else _alike]
