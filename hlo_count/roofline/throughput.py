"""How much of its peak a vector unit reaches when registers run short.

The model is that of the article "Sizing Up Neural Nets": an instruction's result is ready `latency` cycles
after it was issued and `issue_width` of them start each cycle, so `latency * issue_width` independent
operations must be in flight to keep the unit busy. An operation that needs r of the R vector registers leaves
room for floor(R / r) of them, hence the fraction of peak min(1, floor(R / r) / (latency * issue_width)).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hlo_count.errors import DeviceError


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorOperation:
    """What one step of a vector loop takes: issue slots per element and registers held while in flight."""

    slots: int
    registers: int


MULTIPLY_ADD = VectorOperation(slots=1, registers=2)  # one FMA; its third operand can be in memory
MULTIPLY_MAXIMUM = VectorOperation(slots=2, registers=3)  # two instructions, nothing fuses


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorPipeline:
    """A vector unit: architectural registers, latency in cycles, instructions issued per cycle."""

    registers: int
    latency: int
    issue_width: int

    def __post_init__(self) -> None:
        for name in ("registers", "latency", "issue_width"):
            if getattr(self, name) < 1:
                raise DeviceError(f"a vector pipeline needs {name} >= 1, not {getattr(self, name)}")

    def in_flight(self, operation: VectorOperation) -> int:
        """How many independent operations the registers hold: floor(R / r)."""
        return self.registers // operation.registers

    def fraction_of_peak(self, operation: VectorOperation) -> Fraction:
        """The share of the issue slots that `operation` can fill: min(1, floor(R/r) / (L * W)), exact."""
        return min(Fraction(1), Fraction(self.in_flight(operation), self.latency * self.issue_width))

    def steps_per_cycle(self, operation: VectorOperation) -> Fraction:
        """Vector steps of `operation` finished per cycle: W * fraction of peak / slots."""
        return self.issue_width * self.fraction_of_peak(operation) / operation.slots

    def speedup(self, fast: VectorOperation, slow: VectorOperation) -> Fraction:
        """How many times as fast as `slow` the operation `fast` runs over the same elements.

        Raises DeviceError when `slow` does not fit in the registers at all.
        """
        steps = self.steps_per_cycle(slow)
        if not steps:
            raise DeviceError(
                f"{slow.registers} registers are needed and {self.registers} are there: no such loop can run"
            )
        return self.steps_per_cycle(fast) / steps
