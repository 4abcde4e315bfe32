"""Every number of one program: what tables, exports, limits and comparisons are made of."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from hlo_count.errors import DeviceError, HloCountError
from hlo_count.hlo import Instruction
from hlo_count.hlo.garbage import no_garbage_collection
from hlo_count.hlo.making_sense import making_sense_of
from hlo_count.report.breakdown import Group, Naming, breakdown
from hlo_count.report.collectives import CollectiveRow, collective_rows
from hlo_count.report.places import Places, Scopes
from hlo_count.report.source_lines import SourceLines
from hlo_count.report.totals import Totals
from hlo_count.visitors.alike import Entry
from hlo_count.visitors.cost import Cost, Times
from hlo_count.visitors.devices import Devices, all_devices

if TYPE_CHECKING:
    from hlo_count.roofline.device import Device
    from hlo_count.roofline.roofline import Roofline


class Counts(Totals):
    """What one execution of a program costs on one device, and where: totals, their parts, and their time there."""

    # Breakdowns

    @cached_property
    def entries(self) -> list[tuple[Instruction, Times, Cost]]:
        """Every instruction that costs anything, how often it runs, and what all its runs cost together."""
        with making_sense_of(self.module), no_garbage_collection():
            return list(self.walk.executed())

    @cached_property
    def rows(self) -> list[Entry]:
        """As `entries`, but what is alike in a fused body is one row: tables are summed from them."""
        with making_sense_of(self.module), no_garbage_collection():
            return list(self.walk.rows())

    @cached_property
    def places(self) -> Places:
        """The line of source behind each instruction, inferred where the compiler gave it none."""
        return Places(self.module, self._lost_lines)

    @cached_property
    def source_lines(self) -> SourceLines:
        """The text of lines of source, of the files that may be read for this program."""
        return SourceLines(traced_here=self._traced_here)

    @cached_property
    def scopes(self) -> Scopes:
        """The user's scopes of each instruction, inferred where the compiler gave it none."""
        return Scopes(self.module)

    @overload
    def by(self, key: str, /, *, depth: int = 2) -> dict[str, Cost]: ...
    @overload
    def by(self, key: str, second: str, /, *more: str, depth: int = 2) -> dict[tuple[str, ...], Cost]: ...
    def by(self, key: str, /, *more: str, depth: int = 2) -> dict[str, Cost] | dict[tuple[str, ...], Cost]:
        """The total by "opcode", "class", "dtype", "unit", "scope", "source", "function", "stack", "computation",
        "instruction", "collective" or "memory_space", largest first; by several keys, `by("scope", "class")`, each
        group's name is a tuple.

        "source" is the user's own line, "function" the function that it stands in, "stack" all calls that led to it
        from the outermost inward, libraries' too. An instruction that the compiler gave no source or scope has that of
        what it holds or is made from (`Places`, `Scopes`). Adds up to the total exactly ("collective" and
        "memory_space" hold their own part alone). `depth` is the number of levels of a scope or stack. Raises
        HloCountError for another key, and in the `xla` convention, which has no breakdown.
        """
        groups = self.groups((key, *more), depth)
        return groups if more else {name: cost for (name,), cost in groups.items()}

    def groups(self, keys: tuple[str, ...], depth: int = 2) -> dict[Group, Cost]:
        """As `by`, each name a tuple however many keys there are."""
        if self.convention == "xla":
            raise HloCountError("by() breaks down our own count; in the 'xla' convention use reconcile()")
        with making_sense_of(self.module), no_garbage_collection():
            rows = self.rows if {"instruction", "computation"}.isdisjoint(keys) else self.entries
            return breakdown(rows, keys, self.naming(depth))

    def naming(self, depth: int = 2) -> Naming:
        """What names of groups are made from, beside an instruction."""
        return Naming(self.places, self.scopes, dict(self.mesh), self.backend, depth)

    @cached_property
    def collectives(self) -> list[CollectiveRow]:
        """The collectives that are alike, with their group size, axes of the mesh, and how often they run."""
        with making_sense_of(self.module):
            return collective_rows(self.rows, dict(self.mesh))

    @cached_property
    def devices(self) -> Devices:
        """What each device does, and all of them together; they differ where some send less or branch by their id."""
        with making_sense_of(self.module):
            return all_devices(self.walk)

    def roofline(self, device: str | Path | Device | None = None, **options: Any) -> Roofline:
        """Time bounds on a device, by name, profile file or Device; without one, on the device of the target."""
        from hlo_count.roofline.roofline import roofline

        name = device if device is not None else self.target or self.device_kind or self._this_machine()
        with making_sense_of(self.module):
            return roofline(self.walk, name, compiled_on=self.target, **options)

    def _this_machine(self) -> str:
        """The device that is meant where none is named: this machine, unless the program is of an accelerator."""
        if self.backend in ("gpu", "tpu"):
            from hlo_count.roofline.catalog import devices

            known = ", ".join(each.name for each in devices() if each.backend == self.backend)
            raise DeviceError(f"{self.name} is a program of a {self.backend.upper()}, of which one? Name it: {known}")
        return "local"
