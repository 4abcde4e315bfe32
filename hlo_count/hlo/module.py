"""Module: the computations of an HLO text and what its header says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from hlo_count.errors import HloCountError
from hlo_count.harmless import harmless
from hlo_count.hlo.compiler_marks import marked_backend
from hlo_count.hlo.computation import Computation
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.lines import Lines
from hlo_count.hlo.metadata import MetadataTable, SourceTables
from hlo_count.hlo.printed import DistinctLines, Kinds
from hlo_count.hlo.slices import devices_in_order, place_in_slice, slice_of_id, slices_named
from hlo_count.hlo.stage import Stage, sharded_for, stage_of

if TYPE_CHECKING:
    import networkx as nx

    from hlo_count.hlo.trip_counts import TripCounts


class Module:
    """An HLO module: its computations by name, in the order of the text, and what its header says."""

    def __init__(self, text: str, filename: str | None = None, lines: Lines | None = None) -> None:
        self.text = text
        self.filename = filename
        self.lines = lines or Lines(text)
        """Where its text stands in the file."""
        self.name = ""
        self.attributes: dict[str, str] = {}
        self.tables_text = ""
        self.computations: dict[str, Computation] = {}
        self.entry: Computation
        self.kinds = Kinds()
        self.distinct_lines = DistinctLines(self.kinds)
        self.taking_alike: set[int] = set()
        """Contents of lines (`Printed.contents`) of which two operands are of one opcode and shape."""
        self.backend: str | None = None
        """Which backend's compiler it is of, where whoever read it knows more than the text tells."""
        self.assignment: tuple[int, ...] = ()
        """The ids of its devices as the compiler numbers them, in the program's order, where they lie in several slices
        and whoever compiled it knows them."""
        self.integers: dict[str, tuple[int, ...]] = {}
        """The elements of small integer arrays that the text leaves out, by the name of the instruction, where whoever
        compiled it knows them."""
        self.callees: dict[Computation, Sequence[Computation]] = {}
        """The computations that each of them names, none of which leads back to itself."""
        self.contradictions: list[tuple[Computation, int, str]] = []
        """Instructions, by computation and index, that XLA's parser takes and its verifier does not, each with why."""

    @cached_property
    def marked_backend(self) -> str:
        """Which backend's compiler wrote the text, by its marks alone: tpu, gpu, cpu, unknown."""
        return marked_backend(self.text)

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
        """Devices that run it together: slices times replicas times partitions."""
        return self.num_slices * self.devices_of_slice

    @property
    def devices_of_slice(self) -> int:
        """Those of them that are in one slice."""
        return max(self.num_partitions, self.shares) * self.replica_count

    # A text is verified before whoever compiled it can say its assignment: what is kept follows from one of the two.

    @property
    def num_slices(self) -> int:
        """Slices of TPUs that it runs on; 1 on anything else."""
        return self._slices_assigned if self.assignment else self._slices_named

    @cached_property
    def _slices_assigned(self) -> int:
        return len(set(map(slice_of_id, self.assignment)))

    @cached_property
    def _slices_named(self) -> int:
        return slices_named(self.text)

    def device_of_id(self, number: int) -> int:
        """The device, slice by slice, that libtpu gives this id in a program over several slices."""
        found = self._devices_in_order.get(number) if self.assignment else None
        return slice_of_id(number) * self.devices_of_slice + place_in_slice(number) if found is None else found

    @cached_property
    def _devices_in_order(self) -> Mapping[int, int]:
        return devices_in_order(self.assignment)

    @cached_property
    def places_in_mesh(self) -> tuple[int, ...] | None:
        """For each device its place in the order of the program's mesh; None where that is its id."""
        places = tuple(self._devices_in_order[number] for number in self.assignment)
        if places == tuple(range(len(places))):
            return None
        return tuple(sorted(range(len(places)), key=places.__getitem__))

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
    def call_sites(self) -> dict[Computation, list[tuple[Instruction, str]]]:
        """For each computation that is called what calls it, and in which role."""
        found: dict[Computation, list[tuple[Instruction, str]]] = {}
        for computation in self.computations.values():
            for instruction in computation.instructions if computation.calls else ():
                for role, callee in instruction.called:
                    found.setdefault(callee, []).append((instruction, role))
        return found

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
