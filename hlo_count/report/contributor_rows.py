"""The contributors of a report as rows, before anything renders them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction

from hlo_count.report.breakdown import NO_SCOPE, NO_SOURCE, scope
from hlo_count.report.counts import Counts
from hlo_count.report.places import Places
from hlo_count.visitors.alike import Entry, how_many
from hlo_count.visitors.cost import ZERO, Cost, Times

_REST = "everything else"


@dataclass(frozen=True, slots=True)
class ContributorRow:
    """One group of instructions: how often its dearest instruction runs, what it costs, and where it stands."""

    name: str
    depth: int
    runs: Times | None
    cost: Cost
    source: str = ""


@dataclass(slots=True)
class _Node:
    entries: list[Entry] = field(default_factory=list)
    children: dict[str, _Node] = field(default_factory=dict)
    cost: Cost = ZERO


def flat_rows(report: Counts, key: str, depth: int, limit: int) -> list[ContributorRow]:
    """The largest groups of `by(key)`, then one row for everything else, so that the rows add up to the total."""
    groups = report.by(key, depth=depth)
    chosen = set(sorted(groups, key=lambda name: _weight(groups[name], report.total), reverse=True)[:limit])
    rows = [ContributorRow(name, 0, None, cost) for name, cost in groups.items() if name in chosen]
    rest = [cost for name, cost in groups.items() if name not in chosen and cost]
    if rest:
        rows.append(ContributorRow(f"{_REST} ({len(rest)})", 0, None, Cost.sum(rest)))
    return rows


def default_rows(report: Counts, depth: int, limit: int) -> tuple[str, list[ContributorRow]]:
    """What tells most without being asked, and its rows: scopes, lines where scopes say little, else opcodes."""
    metadata = {instruction.metadata for instruction, _, _ in report.rows}
    if any(each.op_name for each in metadata):
        rows = scope_rows(report, depth, limit)
        unexplained = Cost.sum(row.cost for row in rows if row.name == _REST)
        if _weight(unexplained, report.total) < 0.5 or not any(each.source for each in metadata):
            return "scope", rows
    if any(each.source for each in metadata):
        return "source", flat_rows(report, "source", depth, limit)
    return "opcode", flat_rows(report, "opcode", depth, limit)


def scope_rows(report: Counts, depth: int, limit: int) -> list[ContributorRow]:
    """The scopes as a tree, largest first, at most `limit` rows; what is not shown is one row."""
    root = _Node()
    path_to: dict[str, list[_Node]] = {}
    for entry in report.rows:
        name = entry[0].metadata.op_name
        path = path_to.get(name)
        if path is None:
            path = path_to[name] = [root]
            for part in [readable(p) for p in scope(name)][:depth] or [NO_SCOPE]:
                path.append(path[-1].children.setdefault(part, _Node()))
        for node in path:
            node.entries.append(entry)
    _sum(root)
    shown: list[ContributorRow] = []
    top = _largest(root)
    if len(top) == 1 or (top and _weight(top[0][1].cost, root.cost) > 0.999):
        name, only = top[0]
        shown.append(_row(name, 0, only, report.places))
        left = limit - 1
        for child_name, child in _largest(only):
            if left <= 0 or _weight(child.cost, root.cost) < 0.001:
                break
            left = _show(child_name, child, 1, depth, left, shown, root.cost, report.places)
        if len(shown) > 1:
            _add_rest(shown, only.cost, 1)
        _add_rest(shown, root.cost, 0)
        return shown
    left = limit
    for name, node in top:
        if left <= 0:
            break
        left = _show(name, node, 0, depth, left, shown, root.cost, report.places)
    _add_rest(shown, root.cost, 0)
    return shown


def _add_rest(shown: list[ContributorRow], total: Cost, depth: int) -> None:
    """A row for what the rows of one depth leave of their total, so that they add up to it."""
    rest = total - Cost.sum(row.cost for row in shown if row.depth == depth)
    if rest.amounts:
        shown.append(ContributorRow(_REST, depth, None, rest))


def _show(
    name: str, node: _Node, level: int, depth: int, left: int, shown: list[ContributorRow], total: Cost, places: Places
) -> int:
    shown.append(_row(name, level, node, places))
    left -= 1
    for child_name, child in _largest(node):
        if left <= 0 or level + 1 >= depth or _weight(child.cost, total) < 0.05:
            break
        left = _show(child_name, child, level + 1, depth, left, shown, total, places)
    return left


def _sum(node: _Node) -> None:
    node.cost = Cost.sum(cost for _, _, cost in node.entries)
    for child in node.children.values():
        _sum(child)


def _largest(node: _Node) -> list[tuple[str, _Node]]:
    return sorted(node.children.items(), key=lambda item: (item[1].cost.flops, item[1].cost.bytes), reverse=True)


def _weight(cost: Cost, total: Cost) -> float:
    """The larger share of the total, of its flops or its bytes."""
    flops = cost.flops / total.flops if total.flops else 0.0
    return max(flops, cost.bytes / total.bytes if total.bytes else 0.0)


def _row(name: str, depth: int, node: _Node, places: Places) -> ContributorRow:
    dearest = max(node.entries, key=_of_one)
    sources: Counter[str] = Counter()
    for instruction, _, cost in node.entries:
        sources[places.of(instruction) or NO_SOURCE] += cost.flops + cost.bytes
    source = sources.most_common(1)[0][0]
    return ContributorRow(name, depth, dearest[1], node.cost, "" if source == NO_SOURCE else source)


def _of_one(entry: Entry) -> tuple[int, int]:
    """Flops and bytes of one instruction of a row."""
    instruction, _, cost = entry
    return cost.flops // how_many(instruction), cost.bytes // how_many(instruction)


def readable(component: str) -> str:
    """`jit(step)` as step, `jvp(block)` as block, `transpose(jvp(block))` as "block (backward)"."""
    backward = component.startswith("transpose(")
    inner = component
    while inner.endswith(")") and "(" in inner:
        inner = inner[inner.index("(") + 1 : -1]
    return f"{inner} (backward)" if backward else inner


def runs_text(runs: Times | None) -> str:
    if runs is None:
        return ""
    return f"{float(runs):.2f}" if isinstance(runs, Fraction) and runs.denominator > 1 else f"{int(runs):,}"
