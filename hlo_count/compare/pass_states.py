"""The states of a module from pass to pass of one compile: what each pass did to the counts."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.hlo import Module
from hlo_count.hlo.stage import Stage
from hlo_count.layout import number_of
from hlo_count.made_with import MadeWith
from hlo_count.report.export import EXPORTED_COUNTERS, cost_dict
from hlo_count.report.opening import read
from hlo_count.visitors.cost import Cost


@dataclass(frozen=True, slots=True)
class PassRow:
    """What one run of a pass did: the state that it found and the state that it left.

    A pass that XLA did not dump, because a filter left it out, is part of the next one that it did.
    """

    index: int
    pipeline: str
    name: str
    before: Cost
    after: Cost
    instructions: tuple[int, int]
    """Instructions of the module, before and after."""
    fusions: tuple[int, int]
    path: Path
    stage: Stage
    """That of the state it left; the counts of an "unpartitioned" one are those of all devices together."""

    @property
    def change(self) -> Cost:
        return self.after - self.before

    @property
    def changed(self) -> bool:
        """Whether flops, bytes or any other counter, the instructions or the fusions changed."""
        counts = self.before.amounts != self.after.amounts
        return counts or self.instructions[0] != self.instructions[1] or self.fusions[0] != self.fusions[1]


class PassStates(MadeWith):
    """The passes of one compile that changed something, in the order in which they ran.

    Their changes add up to the difference between the first state and the last.
    """

    def __init__(self, states: list[PassRow], module: str, skipped: list[Path], backend: str) -> None:
        self.states = states
        """Every state that was dumped; the first changes nothing."""
        self.module = module
        self.skipped = skipped
        """Files that could not be read."""
        self.backend = backend
        """What it was compiled for, which the text of an early pass does not tell."""

    @property
    def rows(self) -> list[PassRow]:
        return [row for row in self.states if row.changed]

    @property
    def partitioned(self) -> PassRow | None:
        """The pass that left the program of one device where it found that of all; None where none did."""
        pairs = pairwise(self.states)
        return next((b for a, b in pairs if a.stage == "unpartitioned" and b.stage != "unpartitioned"), None)

    @property
    def before(self) -> Cost:
        """The counts of the first state."""
        return self.states[0].after

    @property
    def after(self) -> Cost:
        """The counts of the last state."""
        return self.states[-1].after

    def at(self, name: str | int, *, run: int = -1) -> Module:
        """The module as a pass left it: by name, its last run unless `run` says which (0 the first), or by `row.index`.

        Two of them can be diffed: `hc.diff(p.at("algsimp"), p.at("fusion"))`. Raises HloCountError for a pass that did
        not run, or left nothing that was dumped.
        """
        if isinstance(name, int):
            found = [row for row in self.states if row.index == name]
        else:
            found = [row for row in self.states if row.name == name]
        if not found:
            names = dict.fromkeys(row.name for row in self.states)
            near = get_close_matches(str(name), names, 1) or [n for n in names if str(name) in n][:1]
            hint = f", did you mean {near[0]!r}?" if near else f"; there are: {', '.join(names)}"
            raise HloCountError(f"no pass {name!r} was dumped{hint}")
        if not -len(found) <= run < len(found):
            raise HloCountError(f"{name} has {number_of(len(found), 'dumped run')}: run={run} is none of them")
        module = read(found[run].path)
        module.backend = self.backend
        return module

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, for JSON."""
        return {
            "format": 1,
            "module": self.module,
            "before": cost_dict(self.before),
            "after": cost_dict(self.after),
            "partitioned_at": None if self.partitioned is None else self.partitioned.index,
            "skipped": [path.name for path in self.skipped],
            "passes": [
                {
                    "index": row.index,
                    "pipeline": row.pipeline,
                    "pass": row.name,
                    "before": cost_dict(row.before),
                    "after": cost_dict(row.after),
                    "change": {name: getattr(row.change, name) for name in EXPORTED_COUNTERS},
                    "instructions": list(row.instructions),
                    "fusions": list(row.fusions),
                    "stage": row.stage,
                    "file": row.path.name,
                }
                for row in self.rows
            ],
        }
