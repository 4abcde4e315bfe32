"""What a user passes to settle unknowns: trip counts of loops, branches of conditionals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from fractions import Fraction

from hlo_count.errors import HloCountError
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module

Branch = int | Sequence[float]


@dataclass(frozen=True)
class Settings:
    """`trip_counts` and `branches` by instruction name or op_name pattern (`*` as in file names)."""

    trip_counts: Mapping[str, int] = field(default_factory=dict)
    branches: Mapping[str, Branch] = field(default_factory=dict)

    def check(self, module: Module) -> None:
        """Raise HloCountError for a value that cannot be, or a key that names nothing in the module."""
        for key, count in self.trip_counts.items():
            if isinstance(count, bool) or not isinstance(count, int) or count < 0:
                raise HloCountError(f"trip_counts[{key!r}] = {count!r}: pass a whole number, 0 or more")
        self._check_keys(module, self.trip_counts, "trip_counts", "while")
        self._check_keys(module, self.branches, "branches", "conditional")

    def _check_keys(self, module: Module, given: Mapping[str, object], keyword: str, opcode: str) -> None:
        if not given:
            return
        there = [i for i in module.instructions() if i.opcode == opcode]
        for key in given:
            if not any(_matches(key, i) for i in there):
                names = ", ".join(i.name for i in there[:8]) or "none"
                raise HloCountError(f"{keyword}: {key!r} matches no {opcode} of this program; it has: {names}")

    def trip_count(self, loop: Instruction) -> int | None:
        return next((count for key, count in self.trip_counts.items() if _matches(key, loop)), None)

    def weights(self, conditional: Instruction, number: int) -> list[Fraction] | None:
        """How often each of `number` branches runs, as the user said; None where nothing was said."""
        chosen = next((value for key, value in self.branches.items() if _matches(key, conditional)), None)
        if chosen is None:
            return None
        if isinstance(chosen, int):
            if not 0 <= chosen < number:
                raise HloCountError(
                    f"branches: {conditional.name} has no branch {int(chosen)}; it has 0 to {number - 1}"
                )
            return [Fraction(index == int(chosen)) for index in range(number)]
        weights = [Fraction(str(probability)) for probability in chosen]
        if len(weights) != number or min(weights) < 0 or abs(sum(weights, Fraction()) - 1) > Fraction(1, 10**6):
            raise HloCountError(
                f"branches: {conditional.name} has {number} branches; pass an index, or {number} probabilities that "
                f"add up to 1, not {list(chosen)!r}"
            )
        return weights


def _matches(key: str, instruction: Instruction) -> bool:
    return key.lstrip("%") == instruction.name or fnmatchcase(instruction.metadata.op_name, key)
