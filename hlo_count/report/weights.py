"""What weighs, and where it stands: the one source of the page and of the formats of flame graphs."""

from __future__ import annotations

from collections.abc import Iterator
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
PATHS = ("scope", "calls", "source")

Path = tuple[str, ...]
Of = Instruction | Alike


class Weights:
    """The measures of a program, and each part of each of them: what it is of, and its values."""

    def __init__(self, report: Counts, roofline: Roofline | None) -> None:
        self.report = report
        self.roofline = roofline
        self.main = dominant(report.total)
        self._counters = [*([self.main] if self.main in OPERATIONS else []), "flops", "bytes"]
        self.measures = [*self._counters, *(["estimate"] if roofline is not None else []), "peak"]
        """Counters of `Cost`, seconds of the estimate where there is a roofline, and bytes alive at the peak."""

    @cached_property
    def alive(self) -> list[tuple[Instruction, int]]:
        """What is in memory at the worst moment, largest first."""
        return live_at_peak(self.report.module)

    @cached_property
    def shares(self) -> list[tuple[Of, list[float]]]:
        """Values in the order of `measures`; each column adds up to the program's total."""
        return list(self._shares())

    def _shares(self) -> Iterator[tuple[Of, list[float]]]:
        nothing = [0.0] * len(self.measures)
        for instruction, _, cost in self.report.rows:
            yield instruction, [*self._counted(cost), *nothing[len(self._counters) :]]
        if self.roofline is not None:
            at = self.measures.index("estimate")
            for kernel, row in self.roofline.kernels:
                yield kernel, [*nothing[:at], row.estimate, *nothing[at + 1 :]]
        gaps = (self.report.module.entry.root, self.report.peak.gaps)
        for instruction, size in (*self.alive, gaps):
            yield instruction, [*nothing[:-1], float(size)]

    def _counted(self, cost: Cost) -> list[float]:
        return [float(getattr(cost, counter)) for counter in self._counters]

    def path(self, by: str, instruction: Of) -> Path:
        """Where an instruction stands by one of PATHS, from the outermost inward; arguments of the program apart."""
        if instruction.opcode == "parameter" and instruction.computation.is_entry:
            return ("(arguments)", instruction.metadata.op_name or instruction.name)
        if by == "scope":
            return self.report.scopes.of(instruction)[:DEEPEST] or (NO_SCOPE,)
        if by == "calls":
            return self.report.places.calls(instruction)[:DEEPEST] or (NO_FUNCTION,)
        file, _, line = self.report.places.of(instruction).rpartition(":")
        return (file, f"line {line}") if file else (NO_SOURCE,)
