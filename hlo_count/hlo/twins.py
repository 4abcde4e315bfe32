"""Fused bodies that say the same: compilers for accelerators print some dozens of them a thousand times.

They are told by their text, before a line of it is read: its names are numbered in the order in which they occur, and
metadata left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from hlo_count.errors import HloCountError
from hlo_count.hlo.computation import Computation
from hlo_count.hlo.metadata import without_scheduling_names
from hlo_count.hlo.opcodes import HALVES, LOOKS_AROUND

_NEVER_ALIKE = (LOOKS_AROUND - {"fusion"}) | HALVES
"""Opcodes of which more than shapes, operands and attributes is asked: names, neighbours, formulas of users."""
_LONGEST = 1 << 13
"""Characters of a body that is looked at: what repeats is short, and looking at a long one costs more than it saves."""
# One of two on a line is left, where the attribute stands twice.
_METADATA = r'(, metadata=\{(?:[^"{}\n]++|"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+")*+\})(?=,|[ \t]*$)(?![^\n]*, metadata=\{)'
_ANY_METADATA = re.compile(_METADATA, re.M)
_METADATA_OUTSIDE_STRINGS = re.compile(rf'^([^"\n]*?){_METADATA}', re.M)
_NAME = re.compile(r"%([A-Za-z_][0-9A-Za-z_.\-]*+)")
_CALLEE = re.compile(r"=%([\w.\-]+)")

_Content = tuple[str, tuple[int, ...]]
"""A body without its names and metadata, and which of its names, by number, stands in each of the gaps."""


class Said(NamedTuple):
    """What the lines of a computation say."""

    content: _Content
    callees: list[str]
    """The names of the computations that they call, in the order of the text."""


class Twins:
    """The computations of a module by what they say, names and metadata aside."""

    def __init__(self, computations: Mapping[str, Computation], text: str) -> None:
        self._computations = computations
        self._firsts: dict[_Content, Computation] = {}
        self._has_scheduling_names = "scheduling_name=" in text
        self.metadata: set[str] = set()
        """All metadata of what was looked at, without scheduling names."""

    def said(self, body: str) -> Said | None:
        """What the lines of a computation say; None where that is not looked at."""
        if len(body) > _LONGEST:
            return None
        if self._has_scheduling_names:
            body = without_scheduling_names(body)
        parts = _ANY_METADATA.split(body)
        said, metadata = "".join(parts[::2]), parts[1::2]
        if '"' in said:
            parts = _METADATA_OUTSIDE_STRINGS.split(body)
            metadata = parts[2::3]
            del parts[2::3]
            said = "".join(parts)
            if "\\" in said or "%" in "".join(said.split('"')[1::2]):
                return None
        self.metadata.update(metadata)
        callees: list[str] = []
        if "=%" in said:
            said, callees = twins_called(said, self._computations)
        parts = _NAME.split(said)
        names = parts[1::2]
        numbers: dict[str, int] = {}
        content = "%".join(parts[::2]), tuple([numbers.setdefault(name, len(numbers)) for name in names])
        return Said(content, callees)

    def first(self, said: Said | None) -> Computation | None:
        """The first computation that says so; None where there is none yet."""
        return self._firsts.get(said.content) if said is not None else None

    def add(self, said: Said | None, computation: Computation, body: str) -> None:
        """Take a computation as the first that says so, where all that counts of it is in its text."""
        if said is None or not computation.opcodes.isdisjoint(_NEVER_ALIKE):
            return
        # Names without % are not numbered.
        lines = "\n" + body
        if lines.count("\n  %") + lines.count("\n  ROOT %") == len(computation) and _calls(computation) == said.callees:
            self._firsts[said.content] = computation


def _calls(computation: Computation) -> list[str] | None:
    try:
        return [call.name for call in computation.printed.calls]
    except HloCountError:
        return None  # which whoever checks the calls says


def twins_called(attributes: str, computations: Mapping[str, Computation]) -> tuple[str, list[str]]:
    """The text of attributes with the first of its twins for each computation that they call; the names of these."""
    parts = _CALLEE.split(attributes)
    callees = parts[1::2]
    for number, name in enumerate(callees):
        called = computations.get(name)
        parts[2 * number + 1] = f"=?{name}" if called is None else f"={called.twin.name}"
    return "".join(parts), callees
