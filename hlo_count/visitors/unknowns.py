"""What could not be told, and what a user can do about it: one by one, and those that are one thing together."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

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
    """The keyword of `count` that settles it, by name or op_name pattern: trip_counts or branches."""
    value: str = ""
    """What to pass there: `n`, or the branch that was counted."""

    def __str__(self) -> str:
        place = f" ({self.source})" if self.source else ""
        return f"{self.instruction}{place} {self.reason}. Settle it: {self.remedy}"


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
        instruction.name, instruction.opcode, metadata.source, metadata.op_name, reason, remedy, status, keyword, value
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
    """Unknowns that are one thing, and what settles all of them: a call of `count`, and flags of the command line."""

    unknowns: tuple[Unknown, ...]
    call: str
    """Python: keywords of `count`, or what to register before."""
    flags: str
    """For a POSIX shell; "" where the command line cannot settle it."""

    @property
    def reason(self) -> str:
        """What is not known, in words, of the first of them."""
        return self.unknowns[0].reason

    def __str__(self) -> str:
        first, more = self.unknowns[0], len(self.unknowns) - 1
        place = f" ({first.source})" if first.source else ""
        return f"{first.instruction}{place} {first.reason}" + (f", and {more:,} more of the same" if more else "")


def settlements(unknowns: Iterable[Unknown], module: Module) -> list[Settlement]:
    """The unknowns in groups that are settled in one move, in the order of their first.

    Loops and conditionals are one thing where their op_names differ in numbers and in transformations (`jvp(…)`) alone;
    a pattern stands for them that matches no other loop or conditional of the module, or else all their names do.
    """
    alike: dict[tuple[str, ...], list[Unknown]] = {}
    for unknown in unknowns:
        alike.setdefault(_kind(unknown), []).append(unknown)
    return [_settlement(group, module) for group in alike.values()]


def _kind(unknown: Unknown) -> tuple[str, ...]:
    if not unknown.keyword:
        same = unknown.remedy if unknown.what.startswith("custom-call") else unknown.instruction
        return unknown.what, same, unknown.status
    place = "/".join(_plain(unknown.op_name)) or unknown.instruction
    return unknown.what, unknown.source, place, unknown.value, unknown.status


def _settlement(group: Sequence[Unknown], module: Module) -> Settlement:
    first = group[0]
    if not first.keyword:
        return Settlement(tuple(group), first.remedy, "")
    keys = [unknown.instruction for unknown in group]
    if len(group) > 1:
        there = {i.name: i.metadata.op_name for i in module.instructions() if i.opcode == first.what}
        wanted = set(keys)
        fits = (
            pattern
            for pattern in _patterns([unknown.op_name for unknown in group])
            if {name for name, op_name in there.items() if fnmatchcase(op_name, pattern)} == wanted
            and pattern not in there
        )
        found = next(fits, None)
        keys = keys if found is None else [found]
    option = {"trip_counts": "--trip-count", "branches": "--branch"}[first.keyword]
    flags = " ".join(f"{option} {shlex.quote(f'{key}={first.value}')}" for key in keys)
    return Settlement(tuple(group), call_of(first.keyword, keys, first.value), flags)


def call_of(keyword: str, keys: Iterable[str], value: str) -> str:
    """`count(…, trip_counts={"*/while": n})`."""
    pairs = ", ".join(f"{json.dumps(key, ensure_ascii=False)}: {value}" for key in keys)
    return f"count(…, {keyword}={{{pairs}}})"


def _patterns(op_names: Sequence[str]) -> Iterator[str]:
    """Patterns that all of them match, the shortest first."""
    paths = [op_name.split("/") for op_name in op_names]
    shortest = min(map(len, paths))
    ends = [_joined(parts) for parts in zip(*(path[-shortest:] for path in paths), strict=True)]
    longer = max(map(len, paths)) > shortest
    for length in range(1, shortest):
        yield "*/" + "/".join(ends[-length:])
    yield ("*/" if longer else "") + "/".join(ends)


def _joined(parts: Sequence[str]) -> str:
    """The characters that all begin and end with, and `*` for what is between."""
    first = min(parts, key=len)
    if all(part == first for part in parts):
        return escaped(first)
    head = next((n for n in range(len(first)) if len({part[n] for part in parts}) > 1), len(first))
    room = len(first) - head
    tail = next((n for n in range(room) if len({part[-1 - n] for part in parts}) > 1), room)
    return escaped(first[:head]) + "*" + (escaped(first[-tail:]) if tail else "")


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
