"""A comparison as rows, before anything renders them. Every set of rows adds up to the difference of the totals."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from hlo_count.compare.executed import Executed, scope_name
from hlo_count.compare.explain import Share
from hlo_count.compare.reasons import direction
from hlo_count.errors import HloCountError
from hlo_count.report.breakdown import NO_SCOPE, NO_SOURCE, Naming, breakdown, op_class
from hlo_count.visitors.cost import ZERO, Cost

KEYS = ("reason", "scope", "source", "opcode", "class")
MOVED = "moved"
"""The reason of a row whose instructions are those of another row in the other program."""
NO_COLLECTIVE = "(no collective)"
_WEIGHTS = ("flops", "bytes", "transcendentals", "int_ops", "other_ops", "network_bytes")


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One group of instructions in both programs: `before` and `after` are all that it costs, or what differs of it."""

    name: str
    before: Cost
    after: Cost
    reason: str
    """Why they differ, the largest cause first; "" when nothing differs."""

    @property
    def change(self) -> Cost:
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Change:
    """What became of the instructions of one scope, source line and opcode, for one reason."""

    scope: str
    source: str
    opcode: str
    op_class: str
    before: Cost
    after: Cost
    reason: str
    instructions: tuple[int, int] = field(default=(0, 0))
    """How many lines of HLO it stands for, before and after."""

    @property
    def name(self) -> str:
        return "/".join(part for part in (self.scope, self.opcode) if part != NO_SCOPE)

    @property
    def change(self) -> Cost:
        return self.after - self.before


def changed_rows(before: list[Share], after: list[Share]) -> list[Change]:
    """What changed, largest change first."""
    groups: dict[tuple[str, str, str, str, str], tuple[list[Share], list[Share]]] = defaultdict(lambda: ([], []))
    kept: tuple[list[Cost], list[Cost]] = ([], [])
    for side, shares in enumerate((before, after)):
        for share in shares:
            if share.reason.kind == "unchanged":
                kept[side].append(share.cost)
            elif share.cost.amounts:
                groups[_identity(share)][side].append(share)
    found = [
        Change(
            *key[:4],
            Cost.sum(s.cost for s in ones),
            Cost.sum(s.cost for s in others),
            key[4],
            (len({s.item for s in ones}), len({s.item for s in others})),
        )
        for key, (ones, others) in groups.items()
    ]
    rounded = _sum(kept[0]), _sum(kept[1])
    if rounded[0].amounts != rounded[1].amounts:
        found.append(Change(NO_SCOPE, NO_SOURCE, "", "", *rounded, "not told apart"))
    found = [row for row in found if row.before.amounts != row.after.amounts]
    return sorted(found, key=lambda row: (_size(row.change), row.name, row.source, row.reason), reverse=True)


def _identity(share: Share) -> tuple[str, str, str, str, str]:
    item = share.stands
    kind = op_class(item.instruction, item.cost)
    return (scope_name(item), item.source or NO_SOURCE, item.opcode, kind, str(share.reason))


def grouped(
    before: list[Share], after: list[Share], key: str, depth: int, namings: tuple[Naming, Naming]
) -> list[ChangeRow]:
    """One row for each group of either program's `by(key)`, largest change first; those without a change come last."""
    if key == "reason":
        return _by_reason(before, after)
    if depth < 1:
        raise HloCountError(f"depth={depth}: a scope has at least one level")
    groups: dict[str, dict[str, list[Cost]]] = defaultdict(dict)
    for side, shares in enumerate((before, after)):
        by_kind: dict[str, list[Share]] = defaultdict(list)
        for share in shares:
            by_kind[share.reason.kind].append(share)
        for kind, part in by_kind.items():
            name_of = _NAMES.get(key)
            costs = _by_name(part, name_of, depth) if name_of else _by_amount(part, key, namings[side])
            for name, cost in costs.items():
                groups[name].setdefault(kind, [ZERO, ZERO])[side] = cost
    return _ranked(_row(name, kinds) for name, kinds in groups.items())


_NAMES: dict[str, Callable[[Executed, int], str]] = {
    # Scopes are those that both programs share: without the function's own, whole inside calls.
    "scope": scope_name,
    "source": lambda item, depth: item.source or NO_SOURCE,
    "opcode": lambda item, depth: item.opcode,
}
"""Keys that say the same of all amounts of an item, and more of it than its instruction knows."""


def _by_name(shares: list[Share], name_of: Callable[[Executed, int], str], depth: int) -> dict[str, Cost]:
    groups: dict[str, list[Cost]] = defaultdict(list)
    for share in shares:
        groups[name_of(share.item, depth)].append(share.cost)
    return {name: _sum(costs) for name, costs in groups.items()}


def _sum(costs: list[Cost]) -> Cost:
    """Their sum, where many are one object."""
    times = Counter(map(id, costs))
    return Cost.sum(cost * times[key] for key, cost in {id(cost): cost for cost in costs}.items())


def _by_amount(shares: list[Share], key: str, naming: Naming) -> dict[str, Cost]:
    """As a report breaks them down; what belongs to no collective is a group too."""
    costly = [share for share in shares if share.cost]
    if key in ("class", "dtype", "unit", "memory_space"):  # what does the same is of the same group
        alike = Counter((s.item.label, id(s.cost)) for s in costly)
        some = {(s.item.label, id(s.cost)): s for s in costly}
        entries = [(s.item.instruction, s.item.times, s.cost * alike[at]) for at, s in some.items()]
    else:
        entries = [(s.item.instruction, s.item.times, s.cost) for s in costly]
    found = {name: cost for (name,), cost in breakdown(entries, (key,), naming).items()}
    if key == "collective":
        rest = Cost.sum(cost for _, _, cost in entries) - Cost.sum(found.values())
        found[NO_COLLECTIVE] = rest
    return found


def _by_reason(before: list[Share], after: list[Share]) -> list[ChangeRow]:
    groups: dict[str, list[list[Cost]]] = defaultdict(lambda: [[], []])
    for side, shares in enumerate((before, after)):
        for share in shares:
            groups[share.reason.kind][side].append(share.cost)
    rows = (ChangeRow(kind, _sum(ones), _sum(others), kind) for kind, (ones, others) in groups.items())
    return _ranked(row for row in rows if row.before.amounts or row.after.amounts)


def _row(name: str, kinds: dict[str, list[Cost]]) -> ChangeRow:
    sizes = {kind: _size(other - one) for kind, (one, other) in kinds.items()}
    ranked = sorted((kind for kind in sizes if any(sizes[kind])), key=lambda kind: (sizes[kind], kind), reverse=True)
    reasons = dict.fromkeys(_reason(kind, *kinds[kind]) for kind in ranked)
    return ChangeRow(
        name,
        Cost.sum(one for one, _ in kinds.values()),
        Cost.sum(other for _, other in kinds.values()),
        ", ".join(reasons),
    )


def _reason(kind: str, one: Cost, other: Cost) -> str:
    """The kind; MOVED for a part of what it is about, where the rest stands in another row and outweighs it."""
    change, sign = other - one, direction(kind)
    contradicts = sign * change.flops < 0 or sign * change.bytes < 0
    return MOVED if kind == "unchanged" or contradicts else kind


def _ranked(rows: Iterable[ChangeRow]) -> list[ChangeRow]:
    return sorted(rows, key=lambda row: (_size(row.change), row.name), reverse=True)


def _size(change: Cost) -> tuple[int, ...]:
    """How large a change is: by flops and bytes together, then by the other counters."""
    return (abs(change.flops) + abs(change.bytes), *(abs(getattr(change, name)) for name in _WEIGHTS))
