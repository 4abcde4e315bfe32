"""The total as a tree: by scope, or by the calls that led to an instruction. Every level adds up.

A node's cost is that of all below it and of what stands at it. What is alike is shown once: a node that only wraps
another takes its name, and siblings that differ in a number are one (`Block_* ×12`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from hlo_count.report.breakdown import NO_FUNCTION, NO_SCOPE, NO_SOURCE
from hlo_count.report.counts import Counts
from hlo_count.report.dominant import dominant, rank
from hlo_count.report.numbered import numbered_as_one
from hlo_count.visitors.cost import ZERO, Cost, Times

TREES = ("scope", "stack")
"""Keys of `by` whose names are paths."""
DEEPEST = 100
"""Levels: what stands deeper stands there."""
_PART = Fraction(1, 100)


@dataclass(slots=True)
class Node:
    """A scope, or a call. `own` is the cost of what stands at it and in no child, `number` how many siblings it is."""

    name: str
    own: Cost = ZERO
    cost: Cost = ZERO
    children: list[Node] = field(default_factory=list)
    number: int = 1
    sources: Counter[str] = field(default_factory=Counter)
    """FLOP and bytes by line, of all below it."""
    by_runs: Mapping[Times, Cost] = field(default_factory=dict)
    """The cost of all below it by how often the instructions run."""

    @property
    def label(self) -> str:
        return self.name if self.number == 1 else f"{self.name} ×{self.number}"

    @property
    def source(self) -> str:
        """The line that most of it comes from, "" where that is not known."""
        line = max(self.sources, key=self.sources.__getitem__, default=NO_SOURCE)
        return "" if line == NO_SOURCE else line

    @property
    def runs(self) -> Times:
        """The fewest runs of any part of it that is a hundredth of its FLOP or bytes: 1 of what runs once."""
        flops, moved = self.cost.flops * _PART, self.cost.bytes * _PART
        large = [times for times, cost in self.by_runs.items() if _is_part(cost, flops, moved)]
        return min(large or self.by_runs, default=0)


def _is_part(cost: Cost, flops: Fraction, moved: Fraction) -> bool:
    return bool((cost.flops and cost.flops >= flops) or (cost.bytes and cost.bytes >= moved))


_Group = dict[tuple[Times, str], list[Cost]]
"""What stands at one path, by how often it runs and its line."""


def cost_tree(report: Counts, key: str = "scope") -> Node:
    """The root, nameless, over the tree by "scope" or "stack"; its cost is the total of the report."""
    groups: dict[tuple[str, ...], _Group] = {}
    places, scopes = report.places, report.scopes
    for instruction, times, cost in report.rows:
        if key == "scope":
            path = scopes.of(instruction) or (NO_SCOPE,)
        else:
            path = places.calls(instruction) or (NO_FUNCTION,)
        path = path[:DEEPEST]
        group = groups.get(path)
        if group is None:
            group = groups[path] = {}
        alike = times, places.of(instruction) or NO_SOURCE
        if alike in group:
            group[alike].append(cost)
        else:
            group[alike] = [cost]
    root = Node("")
    nodes: dict[tuple[str, ...], Node] = {(): root}
    for path, group in groups.items():
        node = _node(path, nodes)
        by_runs: dict[Times, list[Cost]] = {}
        for (times, source), costs in group.items():
            cost = Cost.sum(costs)
            node.sources[source] += cost.flops + cost.bytes
            by_runs.setdefault(times, []).append(cost)
        node.by_runs = {times: Cost.sum(costs) for times, costs in by_runs.items()}
        node.own = Cost.sum(node.by_runs.values())
    _add_up(root)
    by = dominant(root.cost)
    _sort(root, by)
    return root


def _node(path: tuple[str, ...], nodes: dict[tuple[str, ...], Node]) -> Node:
    """The node at a path, made with those above it where they are not there yet."""
    known = len(path)
    while path[:known] not in nodes:
        known -= 1
    for depth in range(known, len(path)):
        node = nodes[path[: depth + 1]] = Node(path[depth])
        nodes[path[:depth]].children.append(node)
    return nodes[path]


def _below(root: Node) -> list[Node]:
    """All nodes, parents before children: paths may be deeper than Python's stack."""
    found = [root]
    for node in found:
        found += node.children
    return found


def _add_up(root: Node) -> None:
    for node in reversed(_below(root)):
        node.cost = Cost.sum([node.own, *(child.cost for child in node.children)])
        _take(node, node.children)


def _take(node: Node, parts: Iterable[Node]) -> None:
    """Adds the lines and runs of parts to those of a node."""
    by_runs: dict[Times, list[Cost]] = {times: [cost] for times, cost in node.by_runs.items()}
    sources = Counter(node.sources)
    for part in parts:
        sources.update(part.sources)
        for times, cost in part.by_runs.items():
            by_runs.setdefault(times, []).append(cost)
    node.sources = sources
    node.by_runs = {times: Cost.sum(costs) for times, costs in by_runs.items()}


def _sort(root: Node, by: str) -> None:
    for node in _below(root):
        if len(node.children) > 1:
            node.children.sort(key=lambda child: rank(child.cost, by), reverse=True)


# What is alike, shown once


def condensed(root: Node) -> Node:
    """The same tree, with the same totals: wrappers with what they wrap, numbered siblings as one."""
    by = dominant(root.cost)
    top = _merged(root)
    for node in _below(top):
        node.children = [_unwrapped(child) for child in node.children]
    _sort(top, by)
    return top


def _unwrapped(node: Node) -> Node:
    """A node and the only thing that stands in it as one: `a/b`."""
    names = [node.label]
    while len(node.children) == 1 and not node.own:
        node = node.children[0]
        names.append(node.label)
    if len(names) == 1:
        return node
    return Node("/".join(names), node.own, node.cost, node.children, 1, node.sources, node.by_runs)


def _merged(root: Node) -> Node:
    """A copy in which siblings whose names differ in one number are one node, and so are their children by name."""
    top = Node(root.name, root.own, root.cost, [], 1, root.sources, root.by_runs)
    work = [(top, [root])]
    for node, originals in work:
        groups: dict[str, list[Node]] = {}
        for original in originals:
            for child in original.children:
                groups.setdefault(child.name, []).append(child)
        for name, number, members in numbered_as_one(groups):
            children = [node for nodes in members for node in nodes]
            child = _joined(name, number, children)
            node.children.append(child)
            work.append((child, children))
    return top


def _joined(name: str, number: int, nodes: list[Node]) -> Node:
    first = nodes[0]
    if len(nodes) == 1:
        return Node(name, first.own, first.cost, [], number, first.sources, first.by_runs)
    own, cost = (Cost.sum(part) for part in ([node.own for node in nodes], [node.cost for node in nodes]))
    joined = Node(name, own, cost, [], number)
    _take(joined, nodes)
    return joined
