"""Who is to blame for an amount: the lines of source behind it, largest first."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hlo_count.hlo.instruction import Instruction
from hlo_count.report.bound_parts import bound_parts, compulsory
from hlo_count.report.breakdown import op_class
from hlo_count.report.counts import Counts
from hlo_count.report.limits import Limits, Measured, show, show_counter
from hlo_count.report.live_at_peak import live_at_peak
from hlo_count.report.operations import matching
from hlo_count.report.places import Places
from hlo_count.report.scopes import scope_path
from hlo_count.report.source_lines import SourceLines
from hlo_count.visitors.network import collective


@dataclass(frozen=True, slots=True)
class Contributor:
    """A part of an amount: the `file:line` that asked for it, its text where that may be shown, its scope."""

    amount: float
    source: str
    code: str
    what: str


def contributors(report: Counts, measured: Measured, limits: Limits) -> list[Contributor]:
    """The lines behind what a limit is on, largest first; empty where there is nothing to tell."""
    limit = measured.limit
    parts: list[tuple[Instruction, float, str]]
    if limit.kind in ("ops", "forbid"):
        parts = [(i, 1, _described(i)) for i in matching(report.module, limit.counter)]
    elif limit.kind == "bound":
        parts = [(i, seconds, f"{what}: {_described(i)}") for i, seconds, what in bound_parts(report, limits.device)]
    elif limit.kind == "counter" and report.convention == "default":
        parts = parts_of(report, limit.counter)
    else:
        return []
    return grouped(parts, report.places, report.source_lines)


def parts_of(report: Counts, counter: str) -> list[tuple[Instruction, float, str]]:
    """(instruction, amount, what it is) of a counter; bytes stand for the intensity."""
    if counter == "peak_bytes":
        found: list[tuple[Instruction, float, str]]
        found = [(i, size, _described(i)) for i, size in live_at_peak(report.module)]
        gaps = (report.module.entry.root, report.peak.gaps, "gaps between temporaries")
        return [*found, gaps] if report.peak.gaps else found
    if counter == "compulsory_bytes":
        return [(i, size, _described(i)) for i, size in compulsory(report)]
    if counter == "argument_bytes":
        return [(p, p.shape.bytes, _described(p)) for p in report.module.entry.parameters]
    if counter == "output_bytes":
        root = report.module.entry.root
        outputs = root.operands if root.opcode == "tuple" else [root]
        return [(i, i.shape.bytes, _described(i)) for i in outputs]
    counter = "bytes" if counter == "intensity" else counter
    found = []
    for instruction, _, cost in report.entries:
        amount = getattr(cost, counter)
        if amount:
            begun = collective(instruction)
            what = _described(instruction) if begun is not None else op_class(instruction, cost)
            found.append((instruction, amount, what))
    return found


def grouped(parts: list[tuple[Instruction, float, str]], places: Places, lines: SourceLines) -> list[Contributor]:
    """One contributor a line of source, under the scope and kind of its largest part."""
    groups: dict[str, list[tuple[float, Instruction, str]]] = {}
    for instruction, amount, what in parts:
        groups.setdefault(where(instruction, places), []).append((amount, instruction, what))
    found = []
    for source, members in groups.items():
        _, instruction, what = max(members, key=lambda member: member[0])
        scopes = scope_of(instruction)
        label = f"{what} in {scopes}" if scopes else what
        found.append(Contributor(sum(m[0] for m in members), source, lines.of(source), label))
    return sorted(found, key=lambda c: (-c.amount, not c.code, len(c.source), c.source))


def where(instruction: Instruction, places: Places) -> str:
    """Its `file:line`; for an argument of the program its path, such as `params['w']`; else `(opcode)`."""
    is_argument = instruction.opcode == "parameter" and instruction.computation.is_entry
    named = instruction.metadata.op_name if is_argument else ""
    return places.of(instruction) or named or f"({instruction.opcode})"


def scope_of(instruction: Instruction, depth: int = 4) -> str:
    """Its innermost scopes as people read them, "" where it has none."""
    return "/".join(scope_path(instruction.metadata.op_name)[-depth:])


def short_source(source: str) -> str:
    """A path as one would type it here, or by its last two parts."""
    file, colon, line = source.rpartition(":")
    if not colon or not os.path.isabs(file):
        return source
    path, here = Path(file), Path.cwd()
    shown = path.relative_to(here) if path.is_relative_to(here) else Path(*path.parts[-2:])
    return f"{shown}:{line}"


def _described(i: Instruction) -> str:
    shapes = [f"{leaf.dtype}[{','.join(map(str, leaf.dimensions))}]" for leaf in i.shape.leaves[:1]]
    name = i.metadata.op_name if i.opcode == "parameter" and i.metadata.op_name else i.opcode
    return " ".join([name, *shapes, *([use] if (use := _use_of_collective(i)) else ())])


def _use_of_collective(i: Instruction) -> str:
    """`for model.py:12`, the line that wants the result of a collective.

    The partitioner gives a collective the place of what it moves; what it is moved for stands elsewhere.
    """
    if collective(i) is None:
        return ""
    work, seen = [i], {i}
    for current in work:
        for user in i.computation.users[current]:
            source = user.metadata.source
            if source and source != i.metadata.source:
                return f"for {short_source(source)}"
            if user not in seen:
                seen.add(user)
                work.append(user)
    return ""


def amount_text(measured: Measured, value: Any) -> str:
    """A part in the unit of its whole."""
    if measured.limit.counter == "intensity":
        return show_counter("bytes", value)
    return show(measured.limit, value)
