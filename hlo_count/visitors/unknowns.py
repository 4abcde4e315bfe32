"""What could not be told, and what a user can do about it: one by one, and those that are one thing together."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from hlo_count.harmless import LONGEST, harmless
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.visitors.cost import Status


@dataclass(frozen=True, slots=True)
class Unknown:
    """One instruction whose cost is not fully known: why, what was counted instead, and how to settle it."""

    instruction: str
    what: str
    """Its opcode, with the target of a custom call."""
    source: str
    """The user's `file:line`, "" where the text has none."""
    op_name: str
    reason: str
    remedy: str
    status: Status = "lower bound"
    """Of the count: "lower bound", "estimate", or "exact" for what was settled without being asked."""
    keyword: str = ""
    """The keyword of `count` that settles it, by name or op_name pattern: trip_counts, branches or costs."""
    value: str = ""
    """What to pass there: `n`, the branch that was counted, or `FLOP`."""

    def __str__(self) -> str:
        place = f" ({self.source})" if self.source else ""
        return harmless(f"{self.instruction}{place} {self.reason}. Settle it: {self.remedy}")


def unknown_of(instruction: Instruction, reason: str, remedy: str, status: Status = "lower bound") -> Unknown:
    metadata = instruction.metadata
    return Unknown(instruction.name, _what(instruction), metadata.source, metadata.op_name, reason, remedy, status)


def settled_by(
    instruction: Instruction, reason: str, keyword: str, value: str, status: Status = "lower bound"
) -> Unknown:
    """One that a keyword of `count` settles."""
    metadata = instruction.metadata
    remedy = call_of(keyword, [instruction.name], value)
    return Unknown(
        instruction.name, _what(instruction), metadata.source, metadata.op_name, reason, remedy, status, keyword, value
    )


def _what(instruction: Instruction) -> str:
    from hlo_count.hlo.attributes import unquote

    target = instruction.attribute("custom_call_target")
    return instruction.opcode if target is None else f"custom-call {unquote(target)}"


def signature(instruction: Instruction) -> str:
    """`(f32[8], s32[]) -> f32[8]`: operand and result shapes, without layouts."""
    from hlo_count.hlo.computation import bare_shape

    operands = ", ".join(bare_shape(operand.shape) for operand in instruction.operands)
    return f"({operands}) -> {bare_shape(instruction.shape)}"


# Settled together


@dataclass(frozen=True, slots=True)
class Settlement:
    """Unknowns that are one thing, and what settles all of them."""

    unknowns: tuple[Unknown, ...]
    keys: tuple[str, ...] = ()
    """An op_name pattern, or names, that stand for them in a keyword of `count`; none where no keyword settles them."""

    @property
    def call(self) -> str:
        """Python: a call of `count`, or what to do before."""
        first = self.unknowns[0]
        return call_of(first.keyword, self.keys, first.value) if self.keys else first.remedy

    @property
    def flags(self) -> str:
        """The same on the command line, for a POSIX shell; "" where it cannot be settled there."""
        return " ".join(self._flags())

    @property
    def can_be_pasted(self) -> bool:
        """Whether keys settle them that can be shown as they are: not too many or too long, all of them seen."""
        shown = (*self._items(), *self._flags())
        return 0 < len(self.keys) <= _MOST_KEYS and all(harmless(text, LONGEST - 100) == text for text in shown)

    @property
    def advice(self) -> str:
        """`call`, or where it stands when it cannot be shown as it is."""
        return self.call if self.can_be_pasted or not self.keys else _ELSEWHERE

    def call_lines(self, width: int) -> list[str]:
        """`advice` in lines that are broken between its items alone, so that it can be pasted."""
        if not self.can_be_pasted:
            return [self.advice]
        first, items = self.unknowns[0], self._items()
        ends = [*(f"{item}," for item in items[:-1]), items[-1] + "})"]
        return _filled(f"count(…, {first.keyword}={{", ends, "", width)

    def flag_lines(self, width: int) -> list[str]:
        """`flags` in lines that a shell takes for one."""
        return _filled("", self._flags(), " \\", width) if self.can_be_pasted else []

    def _items(self) -> list[str]:
        return [_item(key, self.unknowns[0].value) for key in self.keys]

    def _flags(self) -> list[str]:
        first = self.unknowns[0]
        option = {"trip_counts": "--trip-count", "branches": "--branch", "costs": "--cost"}.get(first.keyword, "")
        if first.value.startswith("{"):  # more than an option holds: a file does
            return []
        return [f"{option} {shlex.quote(f'{key}={first.value}')}" for key in self.keys]

    def __str__(self) -> str:
        first, more = self.unknowns[0], len(self.unknowns) - 1
        place = f" ({first.source})" if first.source else ""
        of_the_same = f", and {more:,} more of the same" if more else ""
        return harmless(f"{first.instruction}{place} {first.reason}") + of_the_same


_MOST_KEYS = 100
_ELSEWHERE = "the names in to_dict() or --json, which cannot be shown here as they are"


def _filled(head: str, items: Sequence[str], joint: str, width: int) -> list[str]:
    """Items in lines of at most `width`, an item longer than that alone; `joint` ends a line that another continues."""
    lines = [head]
    for item in items:
        blank = "" if lines[-1] in (head, "") else " "
        if lines[-1] not in ("", head) and len(lines[-1]) + len(blank + item) > width - len(joint):
            lines[-1] += joint
            lines.append("")
            blank = ""
        lines[-1] += blank + item
    return lines


def settlements(unknowns: Iterable[Unknown], module: Module) -> list[Settlement]:
    """The unknowns in groups that are settled in one move, in the order of their first.

    Loops, conditionals and custom calls are one thing where their op_names differ in numbers and in transformations
    (`jvp(…)`) alone, custom calls where their kernel and shapes are the same too; a pattern stands for them that
    matches no other of the module, or else all their names do.
    """
    alike: dict[tuple[str, ...], list[Unknown]] = {}
    for unknown in unknowns:
        alike.setdefault(_kind(unknown), []).append(unknown)
    return [_settlement(group, module) for group in alike.values()]


def _kind(unknown: Unknown) -> tuple[str, ...]:
    if not unknown.keyword:
        return unknown.what, unknown.instruction, unknown.status
    place = "/".join(_plain(unknown.op_name)) or unknown.instruction
    kernel = (_kernel(unknown.instruction), unknown.reason) if unknown.keyword == "costs" else ()
    return unknown.what, unknown.source, place, unknown.value, unknown.status, *kernel


def _settlement(group: Sequence[Unknown], module: Module) -> Settlement:
    first = group[0]
    names = tuple(unknown.instruction for unknown in group)
    if not first.keyword or len(group) == 1:
        return Settlement(tuple(group), names if first.keyword else ())
    opcode = first.what.partition(" ")[0]
    there = {i.name: i.metadata.op_name for i in module.instructions() if i.opcode == opcode}
    by_kernel = [f"{escaped(_kernel(first.instruction))}*"] if first.keyword == "costs" else []
    for pattern in (*by_kernel, *_patterns([unknown.op_name for unknown in group])):
        matched = {
            name
            for name, op_name in there.items()
            if op_name == pattern or fnmatchcase(op_name, pattern) or fnmatchcase(name, pattern)
        }
        if matched == set(names) and pattern not in there:
            return Settlement(tuple(group), (pattern,))
    return Settlement(tuple(group), names)


def call_of(keyword: str, keys: Iterable[str], value: str) -> str:
    """`count(…, trip_counts={"*/while": n})`."""
    return f"count(…, {keyword}={{{', '.join(_item(key, value) for key in keys)}}})"


def _item(key: str, value: str) -> str:
    return f"{json.dumps(key, ensure_ascii=False)}: {value}"


def _patterns(op_names: Sequence[str]) -> Iterator[str]:
    """Patterns that all of them match, the shortest first; then the same with `?` for single characters."""
    paths = [op_name.split("/") for op_name in op_names]
    shortest = min(map(len, paths))
    start = "*/" if max(map(len, paths)) > shortest else ""
    columns = list(zip(*(path[-shortest:] for path in paths), strict=True))
    for joined in (_joined, _joined_alike):
        ends = [joined(parts) for parts in columns]
        for length in range(1, shortest):
            yield "*/" + "/".join(ends[-length:])
        yield start + "/".join(ends)


def _kernel(instruction: str) -> str:
    """The name of a kernel, to which XLA adds a number for each call."""
    return instruction.partition(".")[0]


def _joined(parts: Sequence[str]) -> str:
    """What all begin and end with, and `*` for what is between."""
    head, tail = _ends(parts)
    return escaped(head) if all(part == head for part in parts) else f"{escaped(head)}*{escaped(tail)}"


def _joined_alike(parts: Sequence[str]) -> str:
    """The same with a `?` for each character between, where they are as many."""
    if len({len(part) for part in parts}) > 1:
        return _joined(parts)
    head, tail = _ends(parts)
    return escaped(head) + "?" * (len(parts[0]) - len(head + tail)) + escaped(tail)


def _ends(parts: Sequence[str]) -> tuple[str, str]:
    """What all begin with, and what the rest of all of them ends with."""
    first = min(parts, key=len)
    head = next((n for n in range(len(first)) if len({part[n] for part in parts}) > 1), len(first))
    room = len(first) - head
    tail = next((n for n in range(room) if len({part[-1 - n] for part in parts}) > 1), room)
    return first[:head], first[len(first) - tail :]


def escaped(text: str) -> str:
    """Text as a pattern that matches it alone."""
    return re.sub(r"([*?[])", r"[\1]", text)


_WRAPPED = re.compile(r"[\w.<>=]+\((.*)\)")
_NUMBER = re.compile(r"\d+")


def _plain(op_name: str) -> list[str]:
    """The parts of an op_name without the transformations around them and without their numbers."""
    parts = []
    for part in op_name.split("/"):
        while (wrapped := _WRAPPED.fullmatch(part)) is not None:
            part = wrapped[1]
        if part:
            parts.append(_NUMBER.sub("#", part))
    return parts
