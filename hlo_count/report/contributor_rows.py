"""The contributors of a report as rows, before anything renders them."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from hlo_count.report.counts import Counts
from hlo_count.report.dominant import dominant, weight
from hlo_count.report.tree import TREES, Node, condensed, cost_tree
from hlo_count.report.units import how_often
from hlo_count.visitors.cost import OP_COUNTERS, Cost, Times

REST = "everything else"
_LEAST = 0.01
"""Share of the program that a row below another has at least; a thousandth at the top."""


@dataclass(frozen=True, slots=True)
class ContributorRow:
    """One group of instructions: how often it runs (`Node.runs`), what it costs, and where it stands."""

    name: str
    depth: int
    runs: Times | None
    cost: Cost
    source: str = ""


def contributor_rows(report: Counts, keys: Sequence[str], depth: int, limit: int) -> list[ContributorRow]:
    """The largest groups by one key or several; rows of one depth add up to the row above them."""
    if len(keys) == 1 and keys[0] in TREES:
        return tree_rows(condensed(cost_tree(report, keys[0])), depth, limit)
    groups = report.groups(tuple(keys), depth)
    by = dominant(report.total)
    chosen = set(sorted(groups, key=lambda name: weight(groups[name], report.total, by), reverse=True)[:limit])
    rows = [ContributorRow(" · ".join(name), 0, None, cost) for name, cost in groups.items() if name in chosen]
    rest = [cost for name, cost in groups.items() if name not in chosen and cost]
    if rest:
        rows.append(ContributorRow(f"{REST} ({len(rest)})", 0, None, Cost.sum(rest)))
    return rows


def default_key(report: Counts) -> str:
    """What tells most without being asked: scopes, lines where half of the work has none within the function, else
    opcodes. By operations, which are much the same on every target."""
    by = dominant(report.total.only(*OP_COUNTERS))
    scoped = getattr(Cost.sum(cost for i, _, cost in report.rows if len(report.scopes.of(i)) > 1), by)
    has_lines = any(i.metadata.source_file for i, _, _ in report.rows)
    if 2 * scoped >= getattr(report.total, by) and (scoped or not has_lines):
        return "scope" if any(report.scopes.of(i) for i, _, _ in report.rows) else "opcode"
    return "source" if has_lines else "opcode"


def tree_rows(root: Node, depth: int, limit: int) -> list[ContributorRow]:
    """The largest nodes of a tree, at most `limit`, each above its children; at each level one row for the rest."""
    total = root.cost
    by = dominant(total)
    chosen: set[int] = set()
    waiting = [(-weight(node.cost, total, by), n, 0, node) for n, node in enumerate(root.children)]
    heapq.heapify(waiting)
    count = len(waiting)
    while waiting and len(chosen) < limit:
        lightness, _, level, node = heapq.heappop(waiting)
        if -lightness < (_LEAST if level else _LEAST / 10) and chosen:
            continue
        chosen.add(id(node))
        if level + 1 < depth:
            for child in node.children:
                heapq.heappush(waiting, (-weight(child.cost, total, by), count, level + 1, child))
                count += 1
    rows: list[ContributorRow] = []
    work: list[tuple[Node | Cost, int]] = [(root, -1)]
    while work:
        item, level = work.pop()
        if isinstance(item, Cost):
            rows.append(ContributorRow(REST, level, None, item))
            continue
        if level >= 0:
            rows.append(ContributorRow(item.label, level, item.runs, item.cost, item.source))
        shown = [child for child in item.children if id(child) in chosen]
        rest = item.cost - Cost.sum(child.cost for child in shown)
        if shown and any(getattr(rest, counter) for counter in ("flops", "bytes", "network_bytes", by)):
            work.append((rest, level + 1))
        work += [(child, level + 1) for child in reversed(shown)]
    return rows


def runs_text(runs: Times | None) -> str:
    if runs is None:
        return ""
    return f"{float(runs):.2f}" if isinstance(runs, Fraction) and runs.denominator > 1 else how_often(int(runs))
