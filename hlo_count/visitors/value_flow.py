"""Where a value goes: its places among the operands of its users, and what fused and called computations do with it.

All of it is asked again and again, for each operand and each leaf, and found out once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from hlo_count.hlo.computation import Computation
from hlo_count.hlo.depth import post_order
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import ALIASES, COPIES
from hlo_count.hlo.shapes import leaf_span
from hlo_count.visitors.call_sites import Edge
from hlo_count.visitors.traffic import fusion_roots, through_names, updates_in_place
from hlo_count.visitors.walk import Walk

_TO_OUTPUT = ALIASES | COPIES | {"tuple"}
"""Opcodes behind which a copy is still what its computation gives."""
_ANY_LEAF = -1


@dataclass(frozen=True, slots=True)
class FusedBody:
    """What a fused computation does to what it is given: its outputs, which of them are updates in place, and these by
    the parameter that they update, with the number of the output."""

    roots: list[Instruction]
    in_place: set[Instruction]
    updates: dict[Instruction, list[tuple[int, Instruction]]]

    @staticmethod
    def of(callee: Computation) -> FusedBody:
        in_place = updates_in_place(callee)
        roots = fusion_roots(callee) if in_place else []
        updates: dict[Instruction, list[tuple[int, Instruction]]] = {}
        for n, root in enumerate(roots):
            if root in in_place:
                updates.setdefault(through_names(root.operands[0]), []).append((n, root))
        return FusedBody(roots, in_place, updates)


class ValueFlow:
    """What is found out of the instructions and computations of one module."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self._bodies: dict[Computation, FusedBody] = {}
        self._called: dict[Computation, dict[Instruction, list[Edge]]] = {}
        self._outputs: dict[Computation, set[Instruction]] = {}
        self._places: dict[Instruction, dict[Instruction, list[int]]] = {}
        self._starts: dict[Instruction, list[int]] = {}
        self._takers: dict[Instruction, dict[int, list[tuple[Instruction, int]]]] = {}

    def edges(self, instruction: Instruction) -> list[Edge]:
        computation = instruction.computation
        if computation not in self._called:
            self._called[computation] = dict(self._walk.edges(computation))
        return self._called[computation].get(instruction, [])

    def fused_body(self, callee: Computation) -> FusedBody:
        """Of what its first twin does, which is the same."""
        callee = callee.twin
        found = self._bodies.get(callee)
        if found is None:
            found = self._bodies[callee] = FusedBody.of(callee)
        return found

    def is_output(self, copy: Instruction) -> bool:
        """Whether a copy, or what follows of it, is what its computation gives."""
        computation = copy.computation
        found = self._outputs.get(computation)
        if found is None:
            found = self._outputs[computation] = set(
                post_order(computation.root, lambda value: value.operands if value.opcode in _TO_OUTPUT else ())
            )
        return copy in found

    def leaf_starts(self, value: Instruction) -> list[int]:
        """Where the leaves of each operand of a tuple begin among its own, and how many these are."""
        found = self._starts.get(value)
        if found is None:
            found = self._starts[value] = [0, *accumulate(len(operand.shape.leaves) for operand in value.operands)]
        return found

    def places(self, user: Instruction, value: Instruction) -> list[int]:
        """Where `value` stands among the operands of `user`: leaf positions of a tuple, operand numbers of a call."""
        places = self._places.get(user)
        if places is None:
            places = self._places[user] = {}
            starts = self.leaf_starts(user) if user.opcode == "tuple" else range(len(user.operands))
            for operand, at in zip(user.operands, starts, strict=False):
                places.setdefault(operand, []).append(at)
        return places.get(value, [])

    def users_of_leaf(self, value: Instruction, leaf: int) -> Iterator[tuple[Instruction, int]]:
        """The users of a value that may need one leaf of it, and which leaf of theirs it is where they take an
        element of a tuple."""
        takers = self._takers.get(value)
        if takers is None:
            takers = self._takers[value] = {}
            for user in value.computation.users[value]:
                if user.opcode == "get-tuple-element":
                    start = leaf_span(value.shape, (int(user.attributes["index"]),))[0]
                    for at in range(len(user.shape.leaves)):
                        takers.setdefault(start + at, []).append((user, at))
                else:
                    takers.setdefault(_ANY_LEAF, []).append((user, 0))
        yield from takers.get(leaf, ())
        yield from takers.get(_ANY_LEAF, ())
