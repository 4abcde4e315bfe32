"""Module: the computations of an HLO text and what its header says."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from hlo_count.errors import HloCountError
from hlo_count.harmless import harmless
from hlo_count.hlo.computation import Computation
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.metadata import MetadataTable, SourceTables
from hlo_count.hlo.printed import DistinctLines, Kinds
from hlo_count.hlo.stage import Stage, sharded_for, stage_of

if TYPE_CHECKING:
    import networkx as nx

    from hlo_count.hlo.trip_counts import TripCounts


class Module:
    """An HLO module: its computations by name, in the order of the text, and what its header says."""

    def __init__(self, text: str, filename: str | None = None) -> None:
        self.text = text
        self.filename = filename
        self.name = ""
        self.attributes: dict[str, str] = {}
        self.tables_text = ""
        self.computations: dict[str, Computation] = {}
        self.entry: Computation
        self.kinds = Kinds()
        self.distinct_lines = DistinctLines(self.kinds)
        self.backend: str | None = None
        """Which backend's compiler it is of, where whoever read it knows more than the text tells."""
        self.call_depth = 0
        """How deep its calls nest."""
        self.contradictions: list[tuple[Computation, int, str]] = []
        """Instructions, by computation and index, that XLA's parser takes and its verifier does not, each with why."""

    @cached_property
    def metadata(self) -> MetadataTable:
        """What the instructions say of where they come from, by its text."""
        return MetadataTable(self.source_tables)

    @cached_property
    def source_tables(self) -> SourceTables:
        """The tables of files, functions, locations and stack frames at the top of newer texts."""
        return SourceTables.parse(self.tables_text)

    @property
    def is_scheduled(self) -> bool:
        return self.attributes.get("is_scheduled") == "true"

    @property
    def num_partitions(self) -> int:
        return self._header_number("num_partitions")

    @property
    def replica_count(self) -> int:
        return self._header_number("replica_count")

    def _header_number(self, name: str) -> int:
        value = self.attributes.get(name, "1")
        if not value.isdecimal() or int(value) < 1:
            raise HloCountError(
                f"{self.filename or 'the HLO text'}: {name}={value} in the header is no number of devices"
            )
        return int(value)

    @property
    def num_devices(self) -> int:
        """Devices that run it together: replicas times partitions."""
        return max(self.num_partitions, self.shares) * self.replica_count

    @cached_property
    def stage(self) -> Stage:
        """ "optimized", "unoptimized", or "unpartitioned": the program of all devices of a replica together."""
        return stage_of(self)

    @cached_property
    def shares(self) -> int:
        """Devices that share what the text is the program of: 1 once the partitioner ran."""
        return sharded_for(self) if self.stage == "unpartitioned" else 1

    @property
    def num_instructions(self) -> int:
        return sum(map(len, self.computations.values()))

    def instructions(self) -> Iterator[Instruction]:
        for computation in self.computations.values():
            yield from computation.instructions

    @cached_property
    def call_graph(self) -> nx.MultiDiGraph[str]:
        """Caller -> callee, an edge a call site, with `role`, `instruction`, and `runs` where it can be told."""
        from hlo_count.hlo.graphs import call_graph

        return call_graph(self)

    @cached_property
    def trip_counts(self) -> TripCounts:
        """How often its loops run, each worked out when it is first asked for."""
        from hlo_count.hlo.trip_counts import TripCounts

        return TripCounts(self)

    def to_text(self) -> str:
        """The module as HLO text; parsing it gives an equal module."""
        header = f"HloModule {self.name}" + "".join(f", {k}={v}" for k, v in self.attributes.items())
        parts = [header]
        if self.tables_text:
            parts.append(self.tables_text.strip())
        parts += [computation.to_text() for computation in self.computations.values()]
        return "\n\n".join(parts) + "\n"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Module) and self._content() == other._content()

    __hash__ = object.__hash__

    def _content(self) -> tuple[object, ...]:
        return (
            self.name,
            self.attributes,
            self.source_tables,
            self.entry.name,
            [
                (c.name, c.root.name, c.attributes, [i.content() for i in c.instructions])
                for c in self.computations.values()
            ],
        )

    def __repr__(self) -> str:
        shown = f"<Module {self.name}, {len(self.computations)} computations, {self.num_instructions} instructions>"
        return harmless(shown)
