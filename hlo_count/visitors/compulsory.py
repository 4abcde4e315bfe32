"""Compulsory bytes: the parts of the arguments that are read and of the outputs that are written, each once.

What must move however good the compiler is: a value that is made and used inside the program may never reach memory,
its arguments and outputs must. Followed leaf by leaf through names for a value (bitcasts, tuples), copies, calls, loops
and updates in place. A loop that slices another part of an argument each time reads its parts, at most the whole.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from math import ceil

from hlo_count.hlo.computation import Computation
from hlo_count.hlo.depth import Task, finished, post_order
from hlo_count.hlo.garbage import no_garbage_collection
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.loop_slices import parts_touched
from hlo_count.hlo.opcodes import async_sugar, having
from hlo_count.hlo.shapes import Shape, leaf_span
from hlo_count.hlo.trace import Tracer
from hlo_count.visitors.call_sites import Edge, branches_of, kernels_below
from hlo_count.visitors.cost import MAIN, Times
from hlo_count.visitors.memory_spaces import space_name
from hlo_count.visitors.traffic import (
    SLICES,
    UPDATES,
    fusion_roots,
    is_name,
    part_read,
    sliced,
    through_names,
    touched,
    updates_in_place,
)
from hlo_count.visitors.walk import Walk
from hlo_count.visitors.windows import WINDOWED, share_touched

Origin = tuple[int, int]
"""(parameter number, leaf) that a value is a name for."""

Step = tuple[int, tuple[Instruction, int] | None]
"""Bytes that an instruction writes of a leaf, and the leaf of another value whose buffer it goes on from."""

_NAMES = having("name") | {"bitcast"}
_COPIES = having("copy")
_PASSES_ON = _NAMES | _COPIES | UPDATES | {"tuple", "get-tuple-element", "while"}
"""Opcodes of which less than a whole operand is read where less of their own value is; some fusions are another."""
_TO_OUTPUT = _NAMES | _COPIES | {"tuple"}
"""Opcodes behind which a copy is still what its computation gives."""
_MAYBE_IN_PART = (
    SLICES | UPDATES | WINDOWED | {"fusion", "select", "ragged-dot", "cholesky", "triangular-solve", "custom-call"}
)
"""Opcodes of which a part of an operand may be enough inside a fusion."""

_TRIANGULAR = ("potrf", "trsm", "cholesky", "triangular", "syevd", "heevd", "eigh")
"""Routines, by what their custom-call targets hold, that read one triangle of a matrix."""


def compulsory_bytes(walk: Walk) -> int:
    """Bytes of main memory that one execution of the entry must read and write."""
    return _Compulsory(walk).total()


def compulsory_parts(walk: Walk, *, whatever_the_data: bool = False) -> list[tuple[Instruction, int]]:
    """The same (or the certain bytes) part by part: each argument as it is read, the root once for each of its leaves.

    The leaves of the root come last, in their order.
    """
    return _Compulsory(walk, whatever_the_data=whatever_the_data).parts()


def certain_bytes(walk: Walk) -> int:
    """Those of them that must move whatever the data are, and however the same values are computed.

    All rows of a gather may be the same one, a select may take one side everywhere, a ragged product may have empty
    groups, and factorizations read one triangle of a matrix.
    """
    return _Compulsory(walk, whatever_the_data=True).total()


@dataclass(frozen=True, slots=True)
class _Body:
    """What a fused computation does to what it is given: its outputs, which of them are updates in place, and these by
    the parameter that they update, with the number of the output."""

    roots: list[Instruction]
    in_place: set[Instruction]
    updates: dict[Instruction, list[tuple[int, Instruction]]]

    @staticmethod
    def of(callee: Computation) -> _Body:
        in_place = updates_in_place(callee)
        roots = fusion_roots(callee) if in_place else []
        updates: dict[Instruction, list[tuple[int, Instruction]]] = {}
        for n, root in enumerate(roots):
            if root in in_place:
                updates.setdefault(through_names(root.operands[0]), []).append((n, root))
        return _Body(roots, in_place, updates)


class _Compulsory:
    def __init__(self, walk: Walk, *, whatever_the_data: bool = False) -> None:
        self.walk = walk
        self._certain_only = whatever_the_data
        self._tracer: Tracer | None = None
        self._reads: dict[Computation, dict[Instruction, list[int]]] = {}
        self._written: dict[tuple[Instruction, int], tuple[int, Origin | None]] = {}
        # what is found out of an instruction or a computation, once for all its operands and leaves
        self._bodies: dict[Computation, _Body] = {}
        self._parts_read: dict[Instruction, int | None] = {}
        self._called: dict[Computation, dict[Instruction, list[Edge]]] = {}
        self._outputs: dict[Computation, set[Instruction]] = {}
        self._places: dict[Instruction, dict[Instruction, list[int]]] = {}
        self._starts: dict[Instruction, list[int]] = {}
        self._takers: dict[Instruction, dict[int, list[tuple[Instruction, int]]]] = {}

    def total(self) -> int:
        return sum(size for _, size in self.parts())

    def parts(self) -> list[tuple[Instruction, int]]:
        with no_garbage_collection():
            return self._parts_of_entry()

    def _parts_of_entry(self) -> list[tuple[Instruction, int]]:
        entry = self.walk.module.entry
        reads = self.reads(entry)
        read = [
            (p, sum(min(n, self._size(leaf)) for n, leaf in zip(reads[p], p.shape.leaves, strict=True)))
            for p in entry.parameters
        ]
        leaves = entry.root.shape.leaves
        return [*read, *((entry.root, self.writes(entry.root, n)[0]) for n in range(len(leaves)))]

    def _size(self, leaf: Shape) -> int:
        return leaf.bytes if space_name(self.walk.backend, leaf.memory_space) == MAIN else 0

    # Reading: from the users back to the arguments

    def reads(self, computation: Computation) -> dict[Instruction, list[int]]:
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
        if opcode in _NAMES:
            return later[user] if len(later[user]) == len(leaves) else []
        if opcode == "tuple":
            return self._sum(later[user][at : at + len(leaves)] for at in self._positions(user, value))
        if opcode == "while":
            return self._read_by_loop(user, later[user])
        sugar = async_sugar(opcode)
        base = sugar[0] if sugar is not None and sugar[1] == "start" else opcode
        if sugar is None and len(leaves) == 1:
            part = self._part(user, value, value.shape)
            if part is not None:
                return [part]
        if base in ("call", "async-start"):
            return self._sum(self._parameter_reads(edge.callee, value, user) for edge in self._edges(user))
        if opcode == "conditional":
            return self._read_by_conditional(user, value)
        if opcode == "fusion":
            return self._read_by_fusion(user, value, later)
        if opcode in ("dynamic-update-slice", "scatter") and user.operands[0] is value:
            changed = touched(user)
            kept = max(0, later[user][0] - changed)
            own = changed if opcode == "scatter" else 0
            others = leaves[0].bytes if value in user.operands[1:] else 0
            return [kept + own + others]
        if base in ("slice", "dynamic-slice", "gather") and user.operands[0] is value:
            taken_shape = user.shape.elements[1] if sugar is not None else user.shape
            return [taken_shape.bytes]
        if opcode in _COPIES and not self._is_output(user):
            return later[user][:1]
        if opcode.endswith(("-done", "-update")):
            return []
        if opcode == "custom-call" and (part := self._read_by_kernel(user, value)) is not None:
            return [min(part, leaf.bytes) for leaf in leaves]
        return [leaf.bytes for leaf in leaves]

    def _read_by_kernel(self, call: Instruction, value: Instruction) -> int | None:
        """Bytes that a custom call reads of an operand where its code tells; whatever is not known may read none."""
        kernel = self.walk.kernel_of(call)
        if kernel is not None:
            moved = [kernel.count.read[n] for n in self._positions(call, value)]
            return sum(each.certain if self._certain_only else each.touched for each in moved)
        return 0 if self._certain_only and self.walk.is_unknown(call) else None

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
        edges = {id(e.callee): e.times for e in self._edges(loop)}
        body, condition = loop.callee("body"), loop.callee("condition")
        assert body is not None and condition is not None
        trips = edges.get(id(body), 0)
        in_body, in_condition = (self._parameter_read(c, 0, len(after)) for c in (body, condition))
        sums = []
        for n in range(len(after)):
            _, origin = self.writes(body.root, n) if trips else (0, (0, n))
            keeps = origin == (0, n)
            times: Times = min(trips, 1)
            if keeps and trips:
                whole = loop.shape.leaves[n].bytes
                times = trips if in_body[n] >= whole else self._parts(loop, n, trips, "dynamic-slice")
            sums.append(ceil(in_body[n] * times) + in_condition[n] * bool(trips) + (after[n] if keeps else 0))
        return sums

    def _read_by_conditional(self, conditional: Instruction, value: Instruction) -> list[int]:
        """What the branches that run read; where it is not known which, the least that one of them reads."""
        branches = branches_of(conditional)
        weights = self.walk.settings.weights(conditional, len(branches))
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
        body, parameters = self._body(callee), callee.twin.parameters
        total = 0
        for at in self._positions(fusion, value):
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
        return self._sum(self._parameter_read(callee, at, leaves) for at in self._positions(caller, value))

    def _parameter_read(self, callee: Computation, number: int, leaves: int) -> list[int]:
        """Bytes that a callee reads of each leaf of a parameter; none for certain where it has other leaves."""
        found = self.reads(callee)[callee.parameters[number]] if number < len(callee.parameters) else []
        return found if len(found) == leaves else [0] * leaves

    @staticmethod
    def _sum(parts: Iterable[list[int]]) -> list[int]:
        return [sum(column) for column in zip(*parts, strict=True)]

    # Writing: from the outputs back to what made them

    def writes(self, value: Instruction, leaf: int) -> tuple[int, Origin | None]:
        """Bytes written to make one leaf of a value, and the parameter whose buffer it still is, if it is one."""
        return finished(self._writes(value, leaf))

    def _writes(self, value: Instruction, leaf: int) -> Task[tuple[int, Origin | None]]:
        size = self._size(value.shape.leaves[leaf])
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

    def _write_step(self, value: Instruction, leaf: int) -> Task[Step]:
        """Bytes that the instruction itself writes of the leaf, and the value whose buffer it goes on from."""
        opcode = value.opcode
        if opcode in _NAMES:
            return 0, (value.operands[0], leaf)
        if opcode == "tuple":
            starts = self._leaf_starts(value)
            at = bisect_right(starts, leaf) - 1
            if at < len(value.operands):
                return 0, (value.operands[at], leaf - starts[at])
        if opcode == "get-tuple-element":
            source = value.operands[0]
            return 0, (source, leaf + leaf_span(source.shape, (int(value.attributes["index"]),))[0])
        if opcode in ("dynamic-update-slice", "scatter") and value.shape.is_array:
            return touched(value), (value.operands[0], leaf)
        if opcode == "while":
            return (yield from self._written_by_loop(value, leaf))
        if opcode in ("call", "fusion"):
            return (yield from self._written_by_call(value, leaf))
        if opcode == "conditional":
            written = []
            for branch in branches_of(value):
                written.append((yield self._writes(branch.root, leaf))[0])
            return min(written), None
        if opcode == "custom-call" and (kernel := self.walk.kernel_of(value)) is not None:
            moved = kernel.count.written[sum(each.is_array for each in value.shape.leaves[:leaf])]
            return moved.certain if self._certain_only else moved.touched, None
        return self._size(value.shape.leaves[leaf]), None

    def _written_by_loop(self, loop: Instruction, leaf: int) -> Task[Step]:
        body = loop.callee("body")
        assert body is not None
        trips = next((e.times for e in self._edges(loop) if e.callee is body), 0)
        if not trips:
            return 0, (loop.operands[0], leaf)
        written, origin = yield self._writes(body.root, leaf)
        if origin == (0, leaf):
            parts = self._parts(loop, leaf, trips, "dynamic-update-slice")
            return ceil(written * parts), (loop.operands[0], leaf)
        return self._size(loop.shape.leaves[leaf]), None

    def _parts(self, loop: Instruction, leaf: int, trips: Times, opcode: str) -> Times:
        """How many parts the slices (or updates) that a trip takes of a carried leaf touch in all trips; 1 where they
        are not certain to be others each time."""
        body = loop.callee("body")
        assert body is not None
        if self._tracer is None:
            self._tracer = Tracer(self.walk.module)
        counts = [
            Fraction(1) if slicing is None else parts_touched(self._tracer, loop, slicing, int(trips), fusion)
            for slicing, fusion in self._slicers(body.parameters[0], leaf, opcode)
        ]
        return min(counts, default=Fraction(1))

    def _written_by_call(self, call: Instruction, leaf: int) -> Task[Step]:
        callee = call.callee("calls") or call.callee("to_apply")
        whole = self._size(call.shape.leaves[leaf])
        if callee is None:
            return whole, None
        if call.opcode == "call":
            written, origin = yield self._writes(callee.root, leaf)
            return written, (call.operands[origin[0]], origin[1]) if origin is not None else None
        body = self._body(callee)
        roots = body.roots
        if leaf < len(roots) and len(roots) == len(call.shape.leaves) and roots[leaf] in body.in_place:
            parameter = through_names(roots[leaf].operands[0])
            return touched(roots[leaf]), (call.operands[int(parameter.operand_text)], 0)
        return whole, None

    def _slicers(
        self, carried: Instruction, leaf: int, opcode: str
    ) -> Iterator[tuple[Instruction | None, Instruction | None]]:
        """The slices (or updates) that are taken of one leaf of a value, and the fusion that each stands in;
        (None, None) for whatever else may read (or write) it."""
        other = "dynamic-update-slice" if opcode == "dynamic-slice" else "dynamic-slice"
        left: list[tuple[Instruction, int, Instruction | None]] = [(carried, leaf, None)]
        while left:
            value, leaf, fusion = left.pop()
            for user, at in self._users_of_leaf(value, leaf):
                if user.opcode == "get-tuple-element":
                    left.append((user, at, fusion))
                elif user.opcode == opcode and user.operands[0] is value:
                    yield user, fusion
                elif user.opcode == other and user.operands[0] is value and value not in user.operands[1:]:
                    continue
                elif is_name(user) or user.opcode in _NAMES:
                    left.append((user, leaf, fusion))
                elif user.opcode == "tuple" and user is user.computation.root:
                    continue
                elif user.opcode == "fusion" and fusion is None and (callee := user.callee("calls")) is not None:
                    left += [(callee.parameters[at], leaf, user) for at in self._positions(user, value)]
                else:
                    yield None, None

    # What is asked again and again

    def _edges(self, instruction: Instruction) -> list[Edge]:
        computation = instruction.computation
        if computation not in self._called:
            self._called[computation] = dict(self.walk.edges(computation))
        return self._called[computation].get(instruction, [])

    def _body(self, callee: Computation) -> _Body:
        """Of what its first twin does, which is the same."""
        callee = callee.twin
        found = self._bodies.get(callee)
        if found is None:
            found = self._bodies[callee] = _Body.of(callee)
        return found

    def _part_read(self, parameter: Instruction, body: _Body) -> int | None:
        """Bytes that a fused computation reads of a parameter; None where it reads it whole."""
        if parameter not in self._parts_read:
            self._parts_read[parameter] = part_read(parameter, body.in_place, self._part)
        return self._parts_read[parameter]

    def _is_output(self, copy: Instruction) -> bool:
        """Whether a copy, or what follows of it, is what its computation gives."""
        computation = copy.computation
        found = self._outputs.get(computation)
        if found is None:
            found = self._outputs[computation] = {computation.root}
            left = [computation.root]
            while left:
                value = left.pop()
                new = [o for o in value.operands if o not in found] if value.opcode in _TO_OUTPUT else []
                found.update(new)
                left += new
        return copy in found

    def _leaf_starts(self, value: Instruction) -> list[int]:
        """Where the leaves of each operand of a tuple begin among its own, and how many these are."""
        found = self._starts.get(value)
        if found is None:
            found = self._starts[value] = [0, *accumulate(len(operand.shape.leaves) for operand in value.operands)]
        return found

    def _positions(self, user: Instruction, value: Instruction) -> list[int]:
        """Where `value` stands among the operands of `user`: leaf positions of a tuple, operand numbers of a call."""
        places = self._places.get(user)
        if places is None:
            places = self._places[user] = {}
            starts = self._leaf_starts(user) if user.opcode == "tuple" else range(len(user.operands))
            for operand, at in zip(user.operands, starts, strict=False):
                places.setdefault(operand, []).append(at)
        return places.get(value, [])

    def _users_of_leaf(self, value: Instruction, leaf: int) -> Iterator[tuple[Instruction, int]]:
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


_ANY_LEAF = -1


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
