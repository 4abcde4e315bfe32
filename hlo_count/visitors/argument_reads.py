"""Bytes that must be read of a value: from its users back to the arguments, through what passes them on."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from math import ceil

from hlo_count.hlo.computation import Computation
from hlo_count.hlo.depth import post_order
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import ALIASES, COPIES, SLICES, UPDATES, WINDOWED, async_sugar, halved
from hlo_count.hlo.shapes import Shape, leaf_span
from hlo_count.visitors.call_sites import branches_of, kernels_below
from hlo_count.visitors.cost import Times
from hlo_count.visitors.output_writes import OutputWrites
from hlo_count.visitors.slices_over_trips import SlicesOverTrips
from hlo_count.visitors.traffic import part_read, sliced, touched
from hlo_count.visitors.value_flow import FusedBody, ValueFlow
from hlo_count.visitors.walk import Walk
from hlo_count.visitors.windows import share_touched

_PASSES_ON = ALIASES | COPIES | UPDATES | {"tuple", "get-tuple-element", "while"}
"""Opcodes of which less than a whole operand is read where less of their own value is; some fusions are another."""

_MAYBE_IN_PART = (
    SLICES | UPDATES | WINDOWED | {"fusion", "select", "ragged-dot", "cholesky", "triangular-solve", "custom-call"}
)
"""Opcodes of which a part of an operand may be enough inside a fusion."""

_TRIANGULAR = ("potrf", "trsm", "cholesky", "triangular", "syevd", "heevd", "eigh")
"""Routines, by what their custom-call targets hold, that read one triangle of a matrix."""


class ArgumentReads:
    """What the computations of one module read of what they are given, leaf by leaf, each found out once."""

    def __init__(
        self, walk: Walk, flow: ValueFlow, over_trips: SlicesOverTrips, writes: OutputWrites, *, certain_only: bool
    ) -> None:
        self._walk = walk
        self._flow = flow
        self._over_trips = over_trips
        self._writes = writes
        self._certain_only = certain_only
        self._reads: dict[Computation, dict[Instruction, list[int]]] = {}
        self._parts_read: dict[Instruction, int | None] = {}

    def of(self, computation: Computation) -> dict[Instruction, list[int]]:
        """For each parameter, and each value that one is passed on to, the bytes of each leaf that one run of the
        computation reads, wherever it is kept: what a copy on the chip is read for, its source is."""
        if computation not in self._reads:
            for each in post_order(computation, kernels_below, self._reads):
                found = self._reads[each] = {}
                for instruction in sorted(_followed(each), key=lambda i: -i.index):
                    found[instruction] = self._read_of(instruction, found)
        return self._reads[computation]

    def _read_of(self, value: Instruction, later: dict[Instruction, list[int]]) -> list[int]:
        leaves = value.shape.leaves
        sums = [0] * len(leaves)
        for user in value.computation.users[value]:
            start, parts = self._read_by(user, value, later)
            for n, size in enumerate(parts, start):
                sums[n] += size
            if len(sums) == 1 and sums[0] >= leaves[0].bytes:  # whole already
                break
        return [min(size, leaf.bytes) for size, leaf in zip(sums, leaves, strict=True)]

    def _read_by(
        self, user: Instruction, value: Instruction, later: dict[Instruction, list[int]]
    ) -> tuple[int, list[int]]:
        """Bytes of the leaves of `value`, from a first one on, that `user` and what it passes them on to read."""
        if user.opcode == "get-tuple-element":
            at = leaf_span(value.shape, (int(user.attributes["index"]),))[0]
            return at, later[user]
        return 0, self._read_from_the_first(user, value, later)

    def _read_from_the_first(
        self, user: Instruction, value: Instruction, later: dict[Instruction, list[int]]
    ) -> list[int]:
        leaves = value.shape.leaves
        opcode = user.opcode
        if opcode in ALIASES:
            return later[user] if len(later[user]) == len(leaves) else []
        if opcode == "tuple":
            return self._sum(later[user][at : at + len(leaves)] for at in self._flow.places(user, value))
        if opcode == "while":
            return self._read_by_loop(user, later[user])
        sugar = async_sugar(opcode)
        base = sugar[0] if sugar is not None and sugar[1] == "start" else opcode
        if sugar is None and len(leaves) == 1:
            part = self._part(user, value, value.shape)
            if part is not None:
                return [part]
        if base in ("call", "async-start"):
            return self._sum(self._parameter_reads(edge.callee, value, user) for edge in self._flow.edges(user))
        if opcode == "conditional":
            return self._read_by_conditional(user, value)
        if opcode == "fusion":
            return self._read_by_fusion(user, value, later)
        if opcode in UPDATES and user.operands[0] is value:
            changed = touched(user)
            kept = max(0, later[user][0] - changed)
            own = changed if opcode == "scatter" else 0
            others = leaves[0].bytes if value in user.operands[1:] else 0
            return [kept + own + others]
        if base in SLICES and user.operands[0] is value:
            taken_shape = user.shape.elements[1] if sugar is not None else user.shape
            return [taken_shape.bytes]
        if opcode in COPIES and not self._flow.is_output(user):
            return later[user][:1]
        if halved(opcode)[1] in ("update", "done"):
            return []
        if opcode == "custom-call" and (part := self._read_by_kernel(user, value)) is not None:
            return [min(part, leaf.bytes) for leaf in leaves]
        return [leaf.bytes for leaf in leaves]

    def _read_by_kernel(self, call: Instruction, value: Instruction) -> int | None:
        """Bytes that a custom call reads of an operand where its code tells; whatever is not known may read none."""
        kernel = self._walk.kernel_of(call)
        if kernel is not None:
            moved = [kernel.count.read[n] for n in self._flow.places(call, value)]
            return sum(each.certain if self._certain_only else each.touched for each in moved)
        return 0 if self._certain_only and self._walk.is_unknown(call) else None

    def _part(self, user: Instruction, value: Instruction, whole: Shape) -> int | None:
        """Bytes that an instruction needs of an operand, where that is a part; also for what is inside a fusion."""
        opcode, operands = user.opcode, user.operands
        certain = self._certain_only
        if opcode == "gather" and certain and operands[0] is value and value is not operands[1]:
            row = Shape(whole.dtype, user.dims("slice_sizes"))
            return min(row.bytes, user.shape.bytes)
        taken = sliced(user, value, whole)
        if taken is not None:
            return taken
        if opcode in WINDOWED:
            places = [n for n, operand in enumerate(operands) if operand is value]
            return int(whole.bytes * max(share_touched(user, n) for n in places))
        if not certain:
            return None
        if opcode == "select" and value is not operands[0]:
            return 0
        if opcode == "ragged-dot" and value is not operands[-1]:
            return 0
        named = opcode if opcode != "custom-call" else user.attributes.get("custom_call_target", "").lower()
        if opcode in ("cholesky", "triangular-solve", "custom-call") and any(t in named for t in _TRIANGULAR):
            return whole.bytes // 2 if value is operands[0] else None
        return None

    def _read_by_loop(self, loop: Instruction, after: list[int]) -> list[int]:
        """Invariant leaves are read in every trip and after the loop, the others until the first trip replaces them."""
        edges = {id(e.callee): e.times for e in self._flow.edges(loop)}
        body, condition = loop.callee("body"), loop.callee("condition")
        assert body is not None and condition is not None
        trips = edges.get(id(body), 0)
        in_body, in_condition = (self._parameter_read(c, 0, len(after)) for c in (body, condition))
        sums = []
        for n in range(len(after)):
            _, origin = self._writes.of(body.root, n) if trips else (0, (0, n))
            keeps = origin == (0, n)
            times: Times = min(trips, 1)
            if keeps and trips:
                whole = loop.shape.leaves[n].bytes
                times = trips if in_body[n] >= whole else self._over_trips.parts(loop, n, trips, "dynamic-slice")
            sums.append(ceil(in_body[n] * times) + in_condition[n] * bool(trips) + (after[n] if keeps else 0))
        return sums

    def _read_by_conditional(self, conditional: Instruction, value: Instruction) -> list[int]:
        """What the branches that run read; where it is not known which, the least that one of them reads."""
        branches = branches_of(conditional)
        weights = self._walk.settings.weights(conditional, len(branches))
        each = []
        for n, branch in enumerate(branches):
            leaves = len(value.shape.leaves)
            passed = conditional.operands[n + 1] is value
            each.append(self._parameter_read(branch, 0, leaves) if passed else [0] * leaves)
        if weights is None:
            return [min(column) for column in zip(*each, strict=True)]
        return [
            ceil(sum((w * n for w, n in zip(weights, c, strict=True)), Fraction())) for c in zip(*each, strict=True)
        ]

    def _read_by_fusion(
        self, fusion: Instruction, value: Instruction, later: dict[Instruction, list[int]]
    ) -> list[int]:
        callee = fusion.callee("calls")
        leaves = value.shape.leaves
        if callee is None or len(leaves) != 1 or _reads_all_whole(callee):
            return [leaf.bytes for leaf in leaves]
        body, parameters = self._flow.fused_body(callee), callee.twin.parameters
        total = 0
        for at in self._flow.places(fusion, value):
            if at >= len(parameters):
                continue
            part = self._part_read(parameters[at], body)
            if part is None:
                return [leaves[0].bytes]
            total += part
            for n, root in body.updates.get(parameters[at], ()):
                if n < len(later[fusion]):
                    total += max(0, later[fusion][n] - touched(root))
        return [total]

    def _parameter_reads(self, callee: Computation, value: Instruction, caller: Instruction) -> list[int]:
        leaves = len(value.shape.leaves)
        return self._sum(self._parameter_read(callee, at, leaves) for at in self._flow.places(caller, value))

    def _parameter_read(self, callee: Computation, number: int, leaves: int) -> list[int]:
        """Bytes that a callee reads of each leaf of a parameter; none for certain where it has other leaves."""
        found = self.of(callee)[callee.parameters[number]] if number < len(callee.parameters) else []
        return found if len(found) == leaves else [0] * leaves

    def _part_read(self, parameter: Instruction, body: FusedBody) -> int | None:
        """Bytes that a fused computation reads of a parameter; None where it reads it whole."""
        if parameter not in self._parts_read:
            self._parts_read[parameter] = part_read(parameter, body.in_place, self._part)
        return self._parts_read[parameter]

    @staticmethod
    def _sum(parts: Iterable[list[int]]) -> list[int]:
        return [sum(column) for column in zip(*parts, strict=True)]


def _followed(computation: Computation) -> set[Instruction]:
    """The parameters of a computation, and all that they are passed on to."""
    found = set(computation.parameters)
    left = list(found)
    while left:
        for user in computation.users[left.pop()]:
            if user not in found and _passes_on(user):
                found.add(user)
                left.append(user)
    return found


def _reads_all_whole(callee: Computation) -> bool:
    """Whether all that a fused computation is given leads to what reads it whole, seen without making instructions."""
    takes_all = callee.is_printed and callee.printed.outline.takes_all_but_root
    return takes_all and callee.opcodes.isdisjoint(_MAYBE_IN_PART)


def _passes_on(user: Instruction) -> bool:
    if user.opcode != "fusion":
        return user.opcode in _PASSES_ON
    callee = user.callee("calls")
    return callee is not None and not callee.opcodes.isdisjoint(UPDATES)
