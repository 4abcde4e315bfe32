"""Our figures against XLA's own cost analysis: a row for each cause, adding up to the difference exactly.

Both sides are sums over the same instructions: ours of `times run x our figure`, XLA's of `times visited x its figure`.
So an instruction's part of the difference is (visits - runs) x our figure, which is how loops are counted, plus
visits x (XLA's figure - ours), which is how the opcode is counted. What is left is float32 rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import isfinite
from typing import Any

from hlo_count.harmless import printable
from hlo_count.hlo.computation import Computation
from hlo_count.hlo.garbage import no_garbage_collection
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import CALLERS, COMPUTING, halved
from hlo_count.layout import tabular
from hlo_count.report.counts import Counts
from hlo_count.report.units import how_often
from hlo_count.text_page import TextPage
from hlo_count.visitors.call_sites import Edge
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.walk import Walk
from hlo_count.visitors.xla import XlaAnalysis, XlaCost
from hlo_count.visitors.xla.float32 import whole

XLA_COUNTERS = ("flops", "transcendentals", "bytes")
Exact = int | Fraction
XlaAmounts = tuple[Exact, Exact, Exact]
_NOTHING: XlaAmounts = (0, 0, 0)

LOOPS = "loops counted once"
BRANCHES = "conditionals: the larger of each figure over the branches"
ROUNDING = "sums in float32"
_BY_CLASS = {
    "integer": "integer operations counted as flops",
    **dict.fromkeys(("compare", "select", "convert", "sign"), "compares, selects, converts and signs counted as flops"),
    "linalg": "linear algebra",
}
_BY_OPCODE = {
    **dict.fromkeys(("gather", "scatter"), "gathers and scatters"),
    **dict.fromkeys(("slice", "dynamic-slice", "dynamic-update-slice"), "slices and updates"),
    **dict.fromkeys(("all-reduce", "all-reduce-start", "reduce-scatter"), "collectives"),
    "reduce-window": "windows: reductions, running ones, padding",
    "custom-call": "custom calls, -1 each",
    "fft": "fft",
    "sort": "sort",
    "tuple": "tuples counted as traffic",
    "fusion": "fusion boundaries",
}


@dataclass(frozen=True, slots=True)
class ReconciliationRow:
    """One cause, and what it adds to XLA's figure over ours."""

    cause: str
    flops: int | float
    transcendentals: int | float
    bytes: int | float


@dataclass(frozen=True, slots=True)
class Reconciliation(TextPage):
    """`ours` + the sum of `rows` = `xla`, in each of flops, transcendentals and bytes."""

    ours: ReconciliationRow
    rows: tuple[ReconciliationRow, ...]
    xla: ReconciliationRow

    def to_dict(self) -> dict[str, Any]:
        return {
            "ours": {c: getattr(self.ours, c) for c in XLA_COUNTERS},
            "rows": [{"cause": row.cause, **{c: getattr(row, c) for c in XLA_COUNTERS}} for row in self.rows],
            "xla": {c: getattr(self.xla, c) for c in XLA_COUNTERS},
        }

    def __str__(self) -> str:
        lines = [(row.cause, *(_signed(getattr(row, c)) for c in XLA_COUNTERS)) for row in self.rows]
        lines.insert(0, (self.ours.cause, *(_whole(getattr(self.ours, c)) for c in XLA_COUNTERS)))
        lines.append((self.xla.cause, *(_whole(getattr(self.xla, c)) for c in XLA_COUNTERS)))
        text = tabular(lines, ("", "FLOP", "transcendentals", "bytes"), ("left", "right", "right", "right"))
        return printable(text)


def reconcile(report: Counts) -> Reconciliation:
    """Explain the difference between our count of a module and XLA's, cause by cause."""
    with no_garbage_collection():
        return _reconcile(report)


def _reconcile(report: Counts) -> Reconciliation:
    walk = report.walk
    analysis = XlaAnalysis()
    causes: dict[str, XlaAmounts] = {}

    def put(cause: str, amounts: XlaAmounts) -> None:
        causes[cause] = _plus(causes.get(cause, _NOTHING), amounts)

    visits = _visits(walk)
    parts = _Parts(walk, analysis)
    for node, runs in walk.runs.items():
        for cause, (ours, difference) in parts.of(*node).items():
            put(LOOPS, _scaled(ours, visits[node] - runs))
            put(cause, _scaled(difference, visits[node]))
    total = _ours(walk.total)
    xla = _figures(analysis.computation(walk.module.entry))
    explained = _NOTHING
    for amounts in causes.values():
        explained = _plus(explained, amounts)
    put(ROUNDING, _minus(_minus(xla, total), explained))
    compiler = _compiler_figures(report, xla)
    if compiler is not None and compiler != xla:
        put(f"what the {report.backend.upper()} compiler's own analysis says beyond that", _minus(compiler, xla))
        xla = compiler
    rows = [_row(cause, amounts) for cause, amounts in causes.items() if any(amounts)]
    rows.sort(key=lambda row: (-abs(row.flops), -abs(row.bytes)))
    return Reconciliation(_row("hlo_count", total), tuple(rows), _row("XLA", xla))


def _visits(walk: Walk) -> dict[tuple[Computation, bool], Exact]:
    """How often XLA's analysis visits each computation that runs."""
    visits: dict[tuple[Computation, bool], Exact] = dict.fromkeys(walk.runs, 0)
    visits[walk.module.entry, True] = 1
    for node in walk.runs:
        computation, kernels = node
        for instruction, edges in walk.edges(computation):
            for edge in edges:
                once = edge.times if instruction.opcode == "conditional" else 1
                visits[edge.callee, kernels and edge.kernels] += visits[node] * once
    return visits


class _Parts:
    """By cause what one run of a computation is to us, and what XLA counts more; of bodies that say the same once."""

    def __init__(self, walk: Walk, analysis: XlaAnalysis) -> None:
        self._walk = walk
        self._analysis = analysis
        self._found: dict[tuple[Computation, bool], dict[str, tuple[XlaAmounts, XlaAmounts]]] = {}
        self._elementwise: dict[tuple[str, int], tuple[str, XlaAmounts, XlaAmounts]] = {}
        """Inside fusions, where they move nothing: by opcode and shape."""

    def of(self, computation: Computation, kernels: bool) -> dict[str, tuple[XlaAmounts, XlaAmounts]]:
        node = (computation if kernels else self._walk.counted_as(computation), kernels)
        found = self._found.get(node)
        if found is None:
            found = self._found[node] = self._summed(*node)
        return found

    def _summed(self, computation: Computation, kernels: bool) -> dict[str, tuple[XlaAmounts, XlaAmounts]]:
        found: dict[str, tuple[XlaAmounts, XlaAmounts]] = {}
        called = dict(self._walk.edges(computation))
        for instruction in computation.instructions:
            for cause, ours, difference in self._of(instruction, kernels, called.get(instruction, [])):
                before = found.get(cause, (_NOTHING, _NOTHING))
                found[cause] = _plus(before[0], ours), _plus(before[1], difference)
        return found

    def _of(
        self, instruction: Instruction, kernel: bool, called: list[Edge]
    ) -> list[tuple[str, XlaAmounts, XlaAmounts]]:
        if kernel or instruction.opcode not in COMPUTING:
            parts = [self._one(instruction, kernel, called)]
            if instruction.opcode == "conditional":
                parts.append((BRANCHES, _NOTHING, _conditional(self._analysis, called, instruction)))
            return parts
        key = (instruction.opcode, id(instruction.shape))
        if key not in self._elementwise:
            self._elementwise[key] = self._one(instruction, kernel, called)
        return [self._elementwise[key]]

    def _one(self, instruction: Instruction, kernel: bool, called: list[Edge]) -> tuple[str, XlaAmounts, XlaAmounts]:
        ours = _ours(self._walk.cost_of(instruction, kernel))
        theirs = _theirs(self._analysis, called, instruction, kernel)
        return _cause(self._walk, instruction, kernel), ours, _minus(theirs, ours)


def _ours(cost: Cost) -> XlaAmounts:
    return cost.flops, cost.transcendentals, cost.bytes


def _figures(cost: XlaCost) -> XlaAmounts:
    return _exactly(cost.flops), _exactly(cost.transcendentals), _exactly(cost.bytes)


def _exactly(figure: float) -> Exact:
    """The same number, whole ones as integers: sums of fractions take twenty times as long."""
    return whole(figure) if figure.is_integer() or not isfinite(figure) else Fraction(figure)


def _theirs(analysis: XlaAnalysis, called: list[Edge], instruction: Instruction, kernel: bool) -> XlaAmounts:
    """XLA's own figure for an instruction, without what the computations that it calls hold."""
    if instruction.opcode == "conditional":
        return _NOTHING
    flops, transcendentals, moved = _figures(analysis.instruction(instruction))
    for edge in called:
        inside = _figures(analysis.computation(edge.callee))
        flops, transcendentals = flops - inside[0], transcendentals - inside[1]
        moved -= inside[2] if edge.kernels else 0
    return flops, transcendentals, moved if kernel else 0


def _conditional(analysis: XlaAnalysis, called: list[Edge], conditional: Instruction) -> XlaAmounts:
    """What XLA says of a conditional beyond the branches that we count."""
    total = _figures(analysis.instruction(conditional))
    for edge in called:
        total = _minus(total, _scaled(_figures(analysis.computation(edge.callee)), edge.times))
    return total


def _cause(walk: Walk, instruction: Instruction, kernel: bool) -> str:
    """Why XLA counts the instruction otherwise."""
    opcode = instruction.opcode
    if opcode in _BY_OPCODE:
        return _BY_OPCODE[opcode]
    if opcode in CALLERS:
        return ROUNDING  # beyond what it calls, nothing but the rounding of that sum
    if halved(opcode)[1]:
        return "asynchronous pairs"
    leaf = instruction.shape.first_leaf
    if leaf is not None and leaf.element_type.is_complex:
        return "complex arithmetic"
    ops = [(amount, key[1]) for key, amount in walk.cost_of(instruction, False).amounts.items() if len(key) == 4]
    op_class = max(ops)[1] if ops else ""
    if op_class in _BY_CLASS:
        return _BY_CLASS[op_class]
    return f"{opcode}: {'layouts, repeated operands and bytes' if not ops else 'another formula'}"


def _compiler_figures(report: Counts, ours: XlaAmounts) -> XlaAmounts | None:
    """What the compiler that made the program says of it, where it is at hand and says anything."""
    if report.compiled is None:
        return None
    said = report.compiled.cost_analysis()
    said = said[0] if isinstance(said, list) and said else said
    if not said:
        return None
    # A figure that is 0 is left out of XLA's table.
    names = ("flops", "transcendentals", "bytes accessed")
    flops, transcendentals, moved = (Fraction(said.get(name, 0)) for name in names)
    return flops, transcendentals, moved


def _scaled(amounts: XlaAmounts, times: Exact) -> XlaAmounts:
    return amounts[0] * times, amounts[1] * times, amounts[2] * times


def _plus(one: XlaAmounts, other: XlaAmounts) -> XlaAmounts:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def _minus(one: XlaAmounts, other: XlaAmounts) -> XlaAmounts:
    return one[0] - other[0], one[1] - other[1], one[2] - other[2]


def _row(cause: str, amounts: XlaAmounts) -> ReconciliationRow:
    return ReconciliationRow(cause, *(int(n) if Fraction(n).denominator == 1 else float(n) for n in amounts))


def _whole(value: float, sign: str = "") -> str:
    return how_often(value, sign) if isinstance(value, int) else f"{value:{sign},.0f}"


def _signed(value: float) -> str:
    return _whole(value, "+") if value else "0"
