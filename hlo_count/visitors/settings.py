"""What a user passes to settle unknowns: trip counts of loops, branches of conditionals, costs of custom calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from fractions import Fraction
from math import isfinite
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.hlo.opcodes import async_sugar
from hlo_count.visitors.cost import Times
from hlo_count.visitors.given_costs import Given

Branch = int | Sequence[float | Fraction]


@dataclass(frozen=True)
class Settings:
    """`trip_counts`, `branches` and `costs` by name or op_name of an instruction, or a pattern (`*` as in file names).

    A name goes before a pattern, and of several patterns the first; of those of `costs` only one may match.
    """

    trip_counts: Mapping[str, Times] = field(default_factory=dict)
    branches: Mapping[str, Branch] = field(default_factory=dict)
    costs: Mapping[str, Given] = field(default_factory=dict)
    of_several: bool = False
    """Whether a key may be of another program that is counted beside this one; `check_keys` is told all of them."""

    def __bool__(self) -> bool:
        """Whether anything is settled."""
        return bool(self.trip_counts or self.branches or self.costs)

    def check(self, module: Module) -> None:
        """Raise HloCountError for a value that cannot be, or a key that settles nothing in the module."""
        for key, count in self.trip_counts.items():
            if isinstance(count, bool) or not isinstance(count, int | Fraction) or count < 0:
                raise HloCountError(f"trip_counts[{key!r}] = {count!r}: pass a whole number, 0 or more")
        if self.costs:
            self._check_that_one_matches(_all([module], "custom-call"))
        if not self.of_several:
            self.check_keys([module])

    def check_keys(self, modules: Sequence[Module]) -> None:
        """Raise HloCountError for a key that settles nothing in any of the modules."""
        programs = "this program" if len(modules) == 1 else "these programs"
        for keyword, given, opcode in self._given:
            if given:
                self._check_used(_all(modules, opcode), given, keyword, f"{opcode} of {programs}")

    def without_used(self, module: Module) -> Settings:
        """What settles nothing in a module."""
        left: dict[str, Any] = {}
        for keyword, given, opcode in self._given:
            used = {_key(given, i) for i in _all([module], opcode)} if given else set()
            left[keyword] = {key: value for key, value in given.items() if key not in used}
        return Settings(**left)

    @property
    def _given(self) -> tuple[tuple[str, Mapping[str, Any], str], ...]:
        return (
            ("trip_counts", self.trip_counts, "while"),
            ("branches", self.branches, "conditional"),
            ("costs", self.costs, "custom-call"),
        )

    def _check_used(self, there: Sequence[Instruction], given: Mapping[str, object], keyword: str, what: str) -> None:
        used = {_key(given, i) for i in there}
        for key in given:
            if key in used:
                continue
            taken = next((i for i in there if _is_name(key, i) or _matches(key, i)), None)
            if taken is not None:
                raise HloCountError(
                    f"{keyword}: {key!r} settles nothing: {taken.name} has its value from {_key(given, taken)!r}"
                )
            raise HloCountError(f"{keyword}: {key!r} matches no {what}; {_near(key, there)}")

    def _check_that_one_matches(self, calls: Sequence[Instruction]) -> None:
        for call in calls:
            matching = [key for key in self.costs if _matches(key, call)]
            if len(matching) > 1 and not any(_is_name(key, call) for key in self.costs):
                raise HloCountError(
                    f"costs: {matching[0]!r} and {matching[1]!r} both match {call.name}: narrow one of them, or give "
                    f"{call.name!r} an entry of its own"
                )

    def cost(self, call: Instruction) -> Given | None:
        key = _key(self.costs, call)
        return None if key is None else self.costs[key]

    def trip_count(self, loop: Instruction) -> Times | None:
        key = _key(self.trip_counts, loop)
        return None if key is None else self.trip_counts[key]

    def weights(self, conditional: Instruction, number: int) -> list[Fraction] | None:
        """How often each of `number` branches runs, as the user said; None where nothing was said."""
        key = _key(self.branches, conditional)
        if key is None:
            return None
        chosen = self.branches[key]
        if isinstance(chosen, int):
            if not 0 <= chosen < number:
                raise HloCountError(
                    f"branches: {conditional.name} has no branch {int(chosen)}; it has 0 to {number - 1}"
                )
            return [Fraction(index == int(chosen)) for index in range(number)]
        weights = [Fraction(str(probability)) for probability in chosen] if all(map(isfinite, chosen)) else []
        if len(weights) != number or min(weights) < 0 or abs(sum(weights, Fraction()) - 1) > Fraction(1, 10**6):
            raise HloCountError(
                f"branches: {conditional.name} has {number} branches; pass an index, or {number} probabilities that "
                f"add up to 1, not {list(chosen)!r}"
            )
        return weights


def _key(given: Iterable[str], instruction: Instruction) -> str | None:
    """The key whose value an instruction takes."""
    by_name = next((key for key in given if _is_name(key, instruction)), None)
    return by_name or next((key for key in given if _matches(key, instruction)), None)


def _is_name(key: str, instruction: Instruction) -> bool:
    return key.lstrip("%") == instruction.name


def _matches(key: str, instruction: Instruction) -> bool:
    """An op_name as it stands is one of its patterns: `[` and `]` would stand for a choice of characters."""
    op_name = instruction.metadata.op_name
    return key == op_name or fnmatchcase(op_name, key) or fnmatchcase(instruction.name, key)


def _all(modules: Iterable[Module], opcode: str) -> list[Instruction]:
    return [i for module in modules for i in module.instructions() if i.opcode == opcode or _starts(i, opcode)]


def _starts(instruction: Instruction, opcode: str) -> bool:
    """Whether it is the start of an asynchronous one, which the text prints as one instruction."""
    return async_sugar(instruction.opcode) == (opcode, "start")


def _near(key: str, there: Sequence[Instruction]) -> str:
    """The names and op_names that are most like a key, else the first names."""
    if not there:
        return "it has none"
    names = dict.fromkeys(name for i in there for name in (i.name, i.metadata.op_name) if name)
    near = get_close_matches(key, names, 3, 0.7)
    if near:
        return f"did you mean {' or '.join(name for name in names if name in near)}?"
    more = f" and {len(there) - 8} more" if len(there) > 8 else ""
    return f"it has: {', '.join(i.name for i in there[:8])}{more}; {_place(there[0])}"


def _place(instruction: Instruction) -> str:
    op_name = instruction.metadata.op_name
    return f"the op_name of {instruction.name} is {op_name!r}" if op_name else f"{instruction.name} has no op_name"
