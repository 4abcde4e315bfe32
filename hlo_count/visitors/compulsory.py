"""Compulsory bytes: the parts of the arguments that are read and of the outputs that are written, each once.

What must move however good the compiler is: a value that is made and used inside the program may never reach memory,
its arguments and outputs must. Followed leaf by leaf through names for a value (bitcasts, tuples), copies, calls, loops
and updates in place. A loop that slices another part of an argument each time reads its parts, at most the whole.
"""

from __future__ import annotations

from hlo_count.hlo.garbage import no_garbage_collection
from hlo_count.hlo.instruction import Instruction
from hlo_count.visitors.argument_reads import ArgumentReads
from hlo_count.visitors.memory_spaces import main_bytes
from hlo_count.visitors.output_writes import OutputWrites
from hlo_count.visitors.slices_over_trips import SlicesOverTrips
from hlo_count.visitors.value_flow import ValueFlow
from hlo_count.visitors.walk import Walk


def compulsory_bytes(walk: Walk) -> int:
    """Bytes of main memory that one execution of the entry must read and write."""
    return sum(size for _, size in compulsory_parts(walk))


def certain_bytes(walk: Walk) -> int:
    """Those of them that must move whatever the data are, and however the same values are computed.

    All rows of a gather may be the same one, a select may take one side everywhere, a ragged product may have empty
    groups, and factorizations read one triangle of a matrix.
    """
    return sum(size for _, size in compulsory_parts(walk, whatever_the_data=True))


def compulsory_parts(walk: Walk, *, whatever_the_data: bool = False) -> list[tuple[Instruction, int]]:
    """The same (or the certain bytes) part by part: each argument as it is read, the root once for each of its leaves.

    The leaves of the root come last, in their order.
    """
    flow = ValueFlow(walk)
    over_trips = SlicesOverTrips(walk, flow)
    writes = OutputWrites(walk, flow, over_trips, certain_only=whatever_the_data)
    reads = ArgumentReads(walk, flow, over_trips, writes, certain_only=whatever_the_data)
    entry = walk.module.entry
    with no_garbage_collection():
        read_of = reads.of(entry)
        read = [
            (p, sum(min(n, main_bytes(walk.backend, leaf)) for n, leaf in zip(read_of[p], p.shape.leaves, strict=True)))
            for p in entry.parameters
        ]
        written = [(entry.root, writes.of(entry.root, n)[0]) for n in range(len(entry.root.shape.leaves))]
    return [*read, *written]
