"""What the page of a report shows, as plain data: trees, kernels, roofline, source lines, memory over the schedule.

All texts in it are harmless, since all of it is shown. It is bounded, whatever the size of the program: the lightest
nodes of a tree count with their parents, the lightest kernels as one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hlo_count.harmless import harmless
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.metadata import without_metadata
from hlo_count.report.breakdown import NO_SCOPE, NO_SOURCE
from hlo_count.report.weights import LABELS, PATHS, SENT_MEASURES, Weights
from hlo_count.visitors.peak import temporaries_over_time

_MOST_NODES = 6000
_MOST_KERNELS = 3000
_MOST_CODE = 1_000_000
"""Characters of HLO, of the kernels that weigh most."""
_CODE_OF_ONE = 6000
_MOST_SOURCE = 400_000
"""Characters of source, of the files that weigh most."""
_MOST_MOMENTS = 1500
_MOST_NEIGHBOURS = 12
_MOST_ALIVE = 60
_NAME = 160


@dataclass(slots=True)
class _Node:
    name: str
    parent: int
    values: list[float]
    children: dict[str, int] = field(default_factory=dict)


def page_data(weights: Weights, before: Weights | None = None) -> dict[str, Any] | None:
    """All that the page is drawn from; amounts of all runs together, times in seconds on the roofline's device. With
    `before`, of the same measures, trees hold the values of both. None of counts beyond what a browser has numbers
    for."""
    if any(side is not None and side.report.walk.is_beyond_drawing for side in (weights, before)):
        return None
    return _PageData(weights, before).data()


class _PageData:
    def __init__(self, weights: Weights, before: Weights | None) -> None:
        self._weights = weights
        self._before = before
        self._report = weights.report
        self._roofline = weights.roofline
        self._measures = weights.measures
        self._strings: dict[str, int] = {}

    def data(self) -> dict[str, Any]:
        return {
            "name": harmless(self._report.name, _NAME),
            "device": None if self._roofline is None else harmless(self._roofline.device.name),
            "measures": [self._measure(name) for name in self._measures],
            "main": self._measures.index(self._weights.main),
            "trees": {by: self._tree(by) for by in PATHS},
            "kernels": self._kernels(),
            "roofline": self._plane(),
            "files": self._files(),
            "memory": self._memory(),
            "strings": list(self._strings),
        }

    def _measure(self, name: str) -> dict[str, str]:
        units = {"estimate": "s", "measured": "s", "peak": "iB", **dict.fromkeys(("bytes", *SENT_MEASURES), "B")}
        return {"key": name, "label": LABELS[name], "unit": units.get(name, "")}

    def _shown(self, text: str) -> int:
        """A text by its number."""
        return self._strings.setdefault(harmless(text, _NAME), len(self._strings))

    # Trees

    def _tree(self, by: str) -> dict[str, Any]:
        sides = [self._weights, *([] if self._before is None else [self._before])]
        size = len(self._measures)
        nothing = [0.0] * size * len(sides)
        nodes = [_Node("", -1, [*nothing])]
        for side, weights in enumerate(sides):
            first = side * size
            for instruction, values in weights.shares:
                at = 0
                for name in weights.path(by, instruction):
                    child = nodes[at].children.get(name)
                    if child is None:
                        child = nodes[at].children[name] = len(nodes)
                        nodes.append(_Node(name, at, [*nothing]))
                    at = child
                into = nodes[at].values
                for n, value in enumerate(values, first):
                    into[n] += value
        return self._columns(_kept(nodes, _MOST_NODES))

    def _columns(self, nodes: list[_Node]) -> dict[str, Any]:
        columns = [[_short(node.values[n]) for node in nodes] for n in range(len(nodes[0].values))]
        size = len(self._measures)
        return {
            "name": [self._shown(node.name) for node in nodes],
            "parent": [node.parent for node in nodes],
            "values": columns[:size],
            **({"before": columns[size:]} if self._before is not None else {}),
        }

    # Kernels

    def _kernels(self) -> dict[str, Any]:
        if self._roofline is not None:
            rows = [
                (i, row.runs, row.flops, row.bytes, row.estimate, row.bound or 0.0, row.limit)
                for i, row in self._roofline.kernels
            ]
        else:
            main = self._weights.main
            found = ((i, float(times), cost * times) for i, times, cost in self._report.walk.kernels())
            ranked = sorted(found, key=lambda each: (-getattr(each[2], main), -each[2].bytes))
            rows = [(i, runs, cost.flops, cost.bytes, 0.0, 0.0, "") for i, runs, cost in ranked]
        shown, rest = rows[:_MOST_KERNELS], rows[_MOST_KERNELS:]
        numbers = {i: n for n, (i, *_) in enumerate(shown)}
        room = _MOST_CODE
        columns: dict[str, list[Any]] = {name: [] for name in _KERNEL_COLUMNS}
        for i, runs, flops, moved, estimate, bound, limit in shown:
            code = _code(i) if room > 0 else ""
            room -= len(code)
            cells = (
                self._shown(i.name),
                self._shown(i.opcode),
                self._shown(str(i.shape)),
                self._shown("/".join(self._report.scopes.of(i)) or NO_SCOPE),
                self._shown(self._report.places.of(i) or NO_SOURCE),
                _short(runs),
                flops,
                moved,
                _short(estimate),
                _short(bound),
                _short(self._weights.measured.get(i.name, 0.0)),
                self._shown(limit),
                code,
                self._neighbours(dict.fromkeys(i.operands), numbers),
                self._neighbours(i.computation.users[i], numbers),
            )
            for name, cell in zip(_KERNEL_COLUMNS, cells, strict=True):
                columns[name].append(cell)
        return {
            **columns,
            "rest": {
                "number": len(rest),
                "flops": sum(row[2] for row in rest),
                "bytes": sum(row[3] for row in rest),
                "estimate": _short(sum(row[4] for row in rest)),
                "measured": _short(sum(self._weights.measured.get(row[0].name, 0.0) for row in rest)),
            },
        }

    def _neighbours(self, others: Iterable[Instruction], numbers: dict[Instruction, int]) -> list[Any]:
        """Each as the number of a kernel, or as a name where it is none that is shown."""
        found = [numbers.get(other, f"{harmless(other.name, _NAME)} ({other.opcode})") for other in others]
        more = len(found) - _MOST_NEIGHBOURS
        return found if more <= 0 else [*found[:_MOST_NEIGHBOURS], f"and {more} more"]

    def _plane(self) -> dict[str, Any] | None:
        if self._roofline is None:
            return None
        plane = self._roofline.plane()
        program = plane.program
        return {
            "title": harmless(plane.title),
            "counted": plane.counted,
            "ceilings": [{"label": ceiling.label, "rate": ceiling.rate} for ceiling in plane.ceilings],
            "slopes": [{"label": label, "rate": rate} for label, rate in plane.slopes],
            "program": None if program is None else {"intensity": program.intensity, "rate": program.rate},
        }

    # Lines of source

    def _files(self) -> list[dict[str, Any]]:
        """By file the lines that anything weighs on, with the file's text where it may be read, heaviest first."""
        heat: dict[str, dict[int, list[float]]] = {}
        for instruction, values in self._weights.shares:
            file, _, line = self._report.places.of(instruction).rpartition(":")
            if file and line.isdecimal():
                lines = heat.setdefault(file, {})
                held = lines.get(int(line), [0.0] * len(self._measures))
                lines[int(line)] = [one + other for one, other in zip(held, values, strict=True)]
        main = self._measures.index(self._weights.main)
        ranked = sorted(heat, key=lambda file: -sum(values[main] for values in heat[file].values()))
        room = _MOST_SOURCE
        files = []
        for file in ranked[:40]:
            text = [harmless(line.rstrip().expandtabs(4), 240) for line in self._report.source_lines.file(file)]
            size = sum(map(len, text)) + len(text)
            text, room = (text, room - size) if size <= room else ([], room)
            hottest = sorted(heat[file], key=lambda n: -heat[file][n][main])[:_MOST_KERNELS]
            files.append(
                {
                    "name": harmless(file, _NAME),
                    "text": text,
                    "heat": {str(n): [_short(value) for value in heat[file][n]] for n in sorted(hottest)},
                }
            )
        return files

    # Memory

    def _memory(self) -> dict[str, Any]:
        moments, worst = temporaries_over_time(self._report.module)
        step = max(1, -(-len(moments) // _MOST_MOMENTS))
        peak = self._report.peak
        return {
            "always": peak.arguments + peak.outputs - peak.aliased + peak.gaps,
            "temporaries": [max(moments[n : n + step]) for n in range(0, len(moments), step)],
            "step": step,
            "moments": len(moments),
            "worst": moments.index(max(moments)) // step if moments else 0,
            "at": "" if worst is None else harmless(worst.name, _NAME),
            "peak": peak.total,
            "alive": [
                {
                    "name": self._shown(i.metadata.op_name if _is_argument(i) and i.metadata.op_name else i.name),
                    "what": self._shown("argument" if _is_argument(i) else i.opcode),
                    "shape": self._shown(str(i.shape)),
                    "bytes": size,
                    "source": self._shown(self._report.places.of(i)),
                }
                for i, size in self._weights.alive[:_MOST_ALIVE]
            ],
            "more": max(0, len(self._weights.alive) - _MOST_ALIVE),
        }


_KERNEL_COLUMNS = (
    *("name", "opcode", "shape", "scope", "source", "runs", "flops", "bytes", "estimate", "bound", "measured", "limit"),
    *("code", "operands", "users"),
)


def _is_argument(instruction: Instruction) -> bool:
    return instruction.opcode == "parameter" and instruction.computation.is_entry


def _kept(nodes: list[_Node], most: int) -> list[_Node]:
    """The heaviest nodes, parents before children; what is left out counts with the nearest that is kept."""
    whole = [list(node.values) for node in nodes]
    for n in range(len(nodes) - 1, 0, -1):
        parent = nodes[n].parent
        whole[parent] = [one + other for one, other in zip(whole[parent], whole[n], strict=True)]
    shares = [max(v / all_ if all_ else 0.0 for v, all_ in zip(values, whole[0], strict=True)) for values in whole]
    # A parent weighs no less than its child and stands before it, so that it is kept whenever the child is.
    heaviest = sorted(range(1, len(nodes)), key=lambda n: (-shares[n], n))[: most - 1]
    numbers = {old: new for new, old in enumerate([0, *sorted(heaviest)])}
    kept = [_Node(nodes[old].name, numbers.get(nodes[old].parent, -1), [0.0] * len(whole[0])) for old in numbers]
    for n, node in enumerate(nodes):
        at = n
        while at not in numbers:
            at = nodes[at].parent
        into = kept[numbers[at]]
        into.values = [one + other for one, other in zip(into.values, node.values, strict=True)]
    return kept


def _code(kernel: Instruction) -> str:
    """The instruction and its fused body, without metadata, as harmless lines."""
    body = kernel.callee("calls") if kernel.opcode == "fusion" else None
    text = kernel.to_text() if body is None else f"{kernel.to_text()}\n{body.to_text()}"
    lines = [harmless(without_metadata(line).rstrip(), 400) for line in text[: 4 * _CODE_OF_ONE].split("\n")]
    shown = "\n".join(lines)
    return shown if len(shown) <= _CODE_OF_ONE else shown[:_CODE_OF_ONE] + "\n…"


def _short(value: float) -> float:
    """Whole numbers as they are, others in five digits: a page shows four."""
    return int(value) if value == int(value) else float(f"{value:.5g}")
