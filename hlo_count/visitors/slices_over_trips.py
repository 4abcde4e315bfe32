"""What all trips of a loop together touch of what it carries, of which each takes a slice."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.loop_slices import parts_touched
from hlo_count.hlo.opcodes import ALIASES
from hlo_count.hlo.trace import Tracer
from hlo_count.visitors.cost import Times
from hlo_count.visitors.traffic import is_name
from hlo_count.visitors.value_flow import ValueFlow
from hlo_count.visitors.walk import Walk


class SlicesOverTrips:
    """How many parts the slices (or updates) of one trip make in all of them, of the loops of one module."""

    def __init__(self, walk: Walk, flow: ValueFlow) -> None:
        self._walk = walk
        self._flow = flow
        self._tracer: Tracer | None = None

    def parts(self, loop: Instruction, leaf: int, trips: Times, opcode: str) -> Times:
        """How many parts the slices (or updates) that a trip takes of a carried leaf touch in all trips; 1 where they
        are not certain to be others each time."""
        body = loop.callee("body")
        assert body is not None
        if self._tracer is None:
            self._tracer = Tracer(self._walk.module)
        counts = [
            Fraction(1) if slicing is None else parts_touched(self._tracer, loop, slicing, int(trips), fusion)
            for slicing, fusion in self._slicers(body.parameters[0], leaf, opcode)
        ]
        return min(counts, default=Fraction(1))

    def _slicers(
        self, carried: Instruction, leaf: int, opcode: str
    ) -> Iterator[tuple[Instruction | None, Instruction | None]]:
        """The slices (or updates) that are taken of one leaf of a value, and the fusion that each stands in;
        (None, None) for whatever else may read (or write) it."""
        other = "dynamic-update-slice" if opcode == "dynamic-slice" else "dynamic-slice"
        left: list[tuple[Instruction, int, Instruction | None]] = [(carried, leaf, None)]
        while left:
            value, leaf, fusion = left.pop()
            for user, at in self._flow.users_of_leaf(value, leaf):
                if user.opcode == "get-tuple-element":
                    left.append((user, at, fusion))
                elif user.opcode == opcode and user.operands[0] is value:
                    yield user, fusion
                elif user.opcode == other and user.operands[0] is value and value not in user.operands[1:]:
                    continue
                elif is_name(user) or user.opcode in ALIASES:
                    left.append((user, leaf, fusion))
                elif user.opcode == "tuple" and user is user.computation.root:
                    continue
                elif user.opcode == "fusion" and fusion is None and (callee := user.callee("calls")) is not None:
                    left += [(callee.parameters[at], leaf, user) for at in self._flow.places(user, value)]
                else:
                    yield None, None
