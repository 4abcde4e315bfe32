"""Bytes that must be written to make a value: from the outputs back to what made them, through updates in place."""

from __future__ import annotations

from bisect import bisect_right
from math import ceil

from hlo_count.hlo.depth import Task, finished
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import ALIASES, INLINED, UPDATES
from hlo_count.hlo.shapes import leaf_span
from hlo_count.visitors.call_sites import branches_of
from hlo_count.visitors.memory_spaces import main_bytes
from hlo_count.visitors.slices_over_trips import SlicesOverTrips
from hlo_count.visitors.traffic import through_names, touched
from hlo_count.visitors.value_flow import ValueFlow
from hlo_count.visitors.walk import Walk

LeafOrigin = tuple[int, int]
"""(parameter number, leaf) that a value is a name for."""

WriteStep = tuple[int, tuple[Instruction, int] | None]
"""Bytes that an instruction writes of a leaf, and the leaf of another value whose buffer it goes on from."""


class OutputWrites:
    """What the values of one module are written for, leaf by leaf, each found out once."""

    def __init__(self, walk: Walk, flow: ValueFlow, over_trips: SlicesOverTrips, *, certain_only: bool) -> None:
        self._walk = walk
        self._flow = flow
        self._over_trips = over_trips
        self._certain_only = certain_only
        self._written: dict[tuple[Instruction, int], tuple[int, LeafOrigin | None]] = {}

    def of(self, value: Instruction, leaf: int) -> tuple[int, LeafOrigin | None]:
        """Bytes written to make one leaf of a value, and the parameter whose buffer it still is, if it is one."""
        return finished(self._task(value, leaf))

    def _task(self, value: Instruction, leaf: int) -> Task[tuple[int, LeafOrigin | None]]:
        size = main_bytes(self._walk.backend, value.shape.leaves[leaf])
        passed: list[tuple[tuple[Instruction, int], int]] = []
        here: tuple[Instruction, int] | None = (value, leaf)
        while here is not None and here not in self._written and here[0].opcode != "parameter":
            step, before = yield from self._write_step(*here)
            passed.append((here, step))
            here = before
        written, origin = 0, None
        if here is not None:
            written, origin = self._written.get(here) or (0, (int(here[0].operand_text), here[1]))
        for at, step in reversed(passed):
            written += step
            self._written[at] = written, origin
        return min(written, size), origin

    def _write_step(self, value: Instruction, leaf: int) -> Task[WriteStep]:
        """Bytes that the instruction itself writes of the leaf, and the value whose buffer it goes on from."""
        opcode = value.opcode
        if opcode in ALIASES:
            return 0, (value.operands[0], leaf)
        if opcode == "tuple":
            starts = self._flow.leaf_starts(value)
            at = bisect_right(starts, leaf) - 1
            if at < len(value.operands):
                return 0, (value.operands[at], leaf - starts[at])
        if opcode == "get-tuple-element":
            source = value.operands[0]
            return 0, (source, leaf + leaf_span(source.shape, (int(value.attributes["index"]),))[0])
        if opcode in UPDATES and value.shape.is_array:
            return touched(value), (value.operands[0], leaf)
        if opcode == "while":
            return (yield from self._written_by_loop(value, leaf))
        if opcode in INLINED:
            return (yield from self._written_by_call(value, leaf))
        if opcode == "conditional":
            written = []
            for branch in branches_of(value):
                written.append((yield self._task(branch.root, leaf))[0])
            return min(written), None
        if opcode == "custom-call" and (kernel := self._walk.kernel_of(value)) is not None:
            moved = kernel.count.written[sum(each.is_array for each in value.shape.leaves[:leaf])]
            return moved.certain if self._certain_only else moved.touched, None
        return main_bytes(self._walk.backend, value.shape.leaves[leaf]), None

    def _written_by_loop(self, loop: Instruction, leaf: int) -> Task[WriteStep]:
        body = loop.callee("body")
        assert body is not None
        trips = next((e.times for e in self._flow.edges(loop) if e.callee is body), 0)
        if not trips:
            return 0, (loop.operands[0], leaf)
        written, origin = yield self._task(body.root, leaf)
        if origin == (0, leaf):
            parts = self._over_trips.parts(loop, leaf, trips, "dynamic-update-slice")
            return ceil(written * parts), (loop.operands[0], leaf)
        return main_bytes(self._walk.backend, loop.shape.leaves[leaf]), None

    def _written_by_call(self, call: Instruction, leaf: int) -> Task[WriteStep]:
        callee = call.callee("calls") or call.callee("to_apply")
        whole = main_bytes(self._walk.backend, call.shape.leaves[leaf])
        if callee is None:
            return whole, None
        if call.opcode == "call":
            written, origin = yield self._task(callee.root, leaf)
            return written, (call.operands[origin[0]], origin[1]) if origin is not None else None
        body = self._flow.fused_body(callee)
        roots = body.roots
        if leaf < len(roots) and len(roots) == len(call.shape.leaves) and roots[leaf] in body.in_place:
            parameter = through_names(roots[leaf].operands[0])
            return touched(roots[leaf]), (call.operands[int(parameter.operand_text)], 0)
        return whole, None
