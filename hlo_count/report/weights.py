"""What weighs, and where it stands: the one source of the page and of the formats of flame graphs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from hlo_count.hlo.instruction import Instruction
from hlo_count.report.breakdown import NO_FUNCTION, NO_SCOPE, NO_SOURCE
from hlo_count.report.counts import Counts
from hlo_count.report.dominant import dominant
from hlo_count.report.live_at_peak import live_at_peak
from hlo_count.report.tree import DEEPEST
from hlo_count.roofline.roofline import Roofline
from hlo_count.visitors.alike import Alike
from hlo_count.visitors.cost import Cost

OPERATIONS = {
    "transcendentals": "evaluations",
    "int_ops": "integer operations",
    "other_ops": "other operations",
}
"""Counters that a program may be made of instead of FLOP, and what they are called."""
SENT_MEASURES = ("network_bytes", "dcn_bytes")
"""Counters of what is sent, of programs that send."""
LABELS = {
    "flops": "FLOP",
    "bytes": "bytes moved",
    "network_bytes": "bytes sent",
    "dcn_bytes": "bytes sent to other slices",
    "estimate": "estimated time",
    "measured": "measured time",
    "peak": "peak memory",
    **OPERATIONS,
}
"""What measures are called."""
PATHS = ("scope", "calls", "source")

NodePath = tuple[str, ...]
Of = Instruction | Alike


class Weights:
    """The measures of a program, and each part of each of them: what it is of, and its values."""

    def __init__(
        self,
        report: Counts,
        roofline: Roofline | None = None,
        measured: Mapping[str, float] | None = None,
        beside: Counts | None = None,
    ) -> None:
        """`measured`: seconds in a run by the name of the instruction. `beside`: a program with which this is compared,
        which may have what this has not."""
        self.report = report
        self.roofline = roofline
        self.measured = measured or {}
        totals = [report.total, *([] if beside is None else [beside.total])]
        self.main = dominant(Cost.sum(totals))
        sent = [name for name in SENT_MEASURES if any(getattr(total, name) for total in totals)]
        self._counters = [*([self.main] if self.main in OPERATIONS else []), "flops", "bytes", *sent]
        timed = [*(["estimate"] if roofline is not None else []), *(["measured"] if measured else [])]
        self.measures = [*self._counters, *timed, "peak"]
        """Counters of `Cost`, seconds where there is a roofline or they were measured, and bytes alive at the peak."""

    @cached_property
    def alive(self) -> list[tuple[Instruction, int]]:
        """What is in memory at the worst moment, largest first."""
        return live_at_peak(self.report.module)

    @cached_property
    def shares(self) -> list[tuple[Of, list[float]]]:
        """Values in the order of `measures`; each column adds up to the program's total."""
        return list(self._shares())

    def _shares(self) -> Iterator[tuple[Of, list[float]]]:
        nothing = [0] * len(self.measures)
        for instruction, _, cost in self.report.rows:
            yield instruction, [*self._counted(cost), *nothing[len(self._counters) :]]
        for measure, seconds in self._seconds():
            at = self.measures.index(measure)
            for kernel, value in seconds:
                yield kernel, [*nothing[:at], value, *nothing[at + 1 :]]
        gaps = (self.report.module.entry.root, self.report.peak.gaps)
        for instruction, size in (*self.alive, gaps):
            yield instruction, [*nothing[:-1], size]

    def _seconds(self) -> Iterator[tuple[str, Iterable[tuple[Instruction, float]]]]:
        if self.roofline is not None:
            yield "estimate", ((kernel, row.estimate) for kernel, row in self.roofline.kernels)
        if self.measured:
            yield (
                "measured",
                ((i, self.measured[i.name]) for i in self.report.module.instructions() if i.name in self.measured),
            )

    def _counted(self, cost: Cost) -> list[int]:
        return [getattr(cost, counter) for counter in self._counters]

    def path(self, by: str, instruction: Of) -> NodePath:
        """Where an instruction stands by one of PATHS, from the outermost inward; arguments of the program apart."""
        if instruction.opcode == "parameter" and instruction.computation.is_entry:
            return ("(arguments)", instruction.metadata.op_name or instruction.name)
        if by == "scope":
            return self.report.scopes.of(instruction)[:DEEPEST] or (NO_SCOPE,)
        if by == "calls":
            return self.report.places.calls(instruction)[:DEEPEST] or (NO_FUNCTION,)
        file, _, line = self.report.places.of(instruction).rpartition(":")
        return (file, f"line {line}") if file else (NO_SOURCE,)
