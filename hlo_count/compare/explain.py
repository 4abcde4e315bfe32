"""A reason for every run of two matched programs.

A rule looks at runs that came, in `after`, and says why; runs that went are runs that came when the programs change
places, and get the opposite reason. So the comparison of B with A is that of A with B turned round.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hlo_count.compare.differences import cast, difference, minor
from hlo_count.compare.executed import REMATERIALIZED, Executed, ExecutedProgram
from hlo_count.compare.kernels import KernelGroup, kernel_groups, shared_reason
from hlo_count.compare.match import Pair, match
from hlo_count.compare.reasons import UNCHANGED, Reason
from hlo_count.hlo.computation import Computation
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import COLLECTIVES, halved
from hlo_count.report.breakdown import op_class
from hlo_count.visitors.cost import OP_COUNTERS, Cost, Times

_OPERATIONS = (*OP_COUNTERS, "network_bytes")
"""What an instruction costs wherever it stands; its bytes are those of its kernel."""


@dataclass(frozen=True, slots=True)
class Share:
    """What some runs of an instruction cost, or the bytes that they move, and why that is not what it was."""

    item: Executed
    cost: Cost
    reason: Reason
    stands: Executed
    """The item in whose row it stands: for the bytes of kernels that work together, the largest of them."""


def explain(before: ExecutedProgram, after: ExecutedProgram, *, optimization: bool) -> tuple[list[Share], list[Share]]:
    """What both programs cost, with reasons; `optimization`: `after` is what a compiler made of `before`."""
    pairs = match(before, after)
    view = _View(before, after, pairs, optimization)
    found = {pair: view.of_pair(pair) for pair in pairs if pair.after.opcode != "fusion"}
    both = zip(pairs, view.turned.pairs, strict=True)
    turned = {turn: -found[pair] for pair, turn in both if pair in found}
    came, went = view.contents(found), view.turned.contents(turned)
    runs: tuple[list[_Run], list[_Run]] = ([], [])
    for pair, reason in found.items():
        entering = pair.before.kernel != pair.after.kernel
        runs[0].append((pair.before, pair.times, reason, entering and pair.before.kernel))
        runs[1].append((pair.after, pair.times, reason, entering and pair.after.kernel))
    for item in after.items:
        if item.left and item.opcode != "fusion":
            reason = view.of_arrival(item, found)
            came[item.home].append((reason, item.shape.bytes))
            runs[1].append((item, item.left, reason, False))
    for item in before.items:
        if item.left and item.opcode != "fusion":
            reason = view.turned.of_arrival(item, turned)
            went[item.home].append((reason, item.shape.bytes))
            runs[0].append((item, item.left, -reason, False))
    for pair in pairs:
        if pair.after.opcode == "fusion":
            same = pair.before.cost.amounts == pair.after.cost.amounts
            reason = view.of_course(pair) if same else difference(pair)
            runs[0].append((pair.before, pair.times, reason, not same and pair.before in view.groups))
            runs[1].append((pair.after, pair.times, reason, not same and pair.after in view.groups))
    for item in after.fusions:
        if item.left:
            runs[1].append((item, item.left, view.of_new_fusion(came[item]), item in view.groups))
    for item in before.fusions:
        if item.left:
            runs[0].append((item, item.left, -view.turned.of_new_fusion(went[item]), item in view.groups))
    return _settled((_costs(runs[0]), _costs(runs[1])), view, came, went)


Contents = list[tuple[Reason, int]]
"""What a kernel does: the reason of each of its instructions, and the bytes that it makes."""
_Run = tuple[Executed, Times, Reason, bool]
"""Runs of an item, their reason, and whether their bytes have that of the kernels that share the work."""


def _costs(runs: list[_Run]) -> list[tuple[Executed, Cost, Reason, bool]]:
    """What each costs; where runs of one instruction have several reasons, the last takes what is left."""
    runs.sort(key=lambda run: run[0].order)
    costs: list[tuple[Executed, Cost, Reason, bool]] = []
    spent = Cost()
    for at, (item, times, reason, together) in enumerate(runs):
        last = at + 1 == len(runs) or runs[at + 1][0] is not item
        first = at == 0 or runs[at - 1][0] is not item
        if first and last:
            cost = item.cost * item.times
        else:
            spent = Cost() if first else spent
            cost = item.cost * item.times - spent if last else item.cost * times
            spent += cost
        costs.append((item, cost, reason, together))
    return costs


def _settled(
    sides: tuple[list[tuple[Executed, Cost, Reason, bool]], ...], view: _View, came: _Came, went: _Came
) -> tuple[list[Share], list[Share]]:
    """Shares, the bytes of kernels that share their work with one reason for all of them."""
    shares: tuple[list[Share], list[Share]] = ([], [])
    traffic: dict[KernelGroup, tuple[list[tuple[Executed, Cost]], list[tuple[Executed, Cost]]]] = defaultdict(
        lambda: ([], [])
    )
    for at, side in enumerate(sides):
        for item, cost, reason, together in side:
            if together:
                traffic[view.groups[item]][at].append((item, _bytes(cost)))
                cost = cost.only(*_OPERATIONS)
                if not cost:
                    continue
            shares[at].append(Share(item, cost, reason, item))
    for group, parts in traffic.items():
        moved = Cost.sum(cost for _, cost in parts[0]), Cost.sum(cost for _, cost in parts[1])
        reason = view.of_traffic(group, moved, came, went)
        largest = max((item for part in parts for item, _ in part), key=_prominence)
        for at, part in enumerate(parts):
            shares[at].extend(Share(item, cost, reason, largest) for item, cost in part)
    return shares


def _bytes(cost: Cost) -> Cost:
    return cost.only("bytes_read", "bytes_written")


def _prominence(item: Executed) -> tuple[Any, ...]:
    """Which of several kernels names them all: a fusion, the one that moves most, whichever program it is of."""
    cost = item.cost * item.times
    return (item.opcode == "fusion", cost.bytes, item.opcode, item.where, item.source, op_class(item.instruction, cost))


def _turn(pair: Pair) -> Pair:
    return Pair(pair.after, pair.before, pair.times)


_Came = dict[Executed, Contents]


class _View:
    """Two matched programs, seen from `before` to `after`."""

    def __init__(self, before: ExecutedProgram, after: ExecutedProgram, pairs: list[Pair], optimization: bool) -> None:
        self.before = before
        self.after = after
        self.pairs = pairs
        self.arrived = "inserted" if optimization else "only after"
        self._optimization = optimization
        self._turned: _View | None = None
        self._by_instruction: dict[Instruction, list[Reason]] | None = None

    @property
    def turned(self) -> _View:
        """The same, seen the other way round. What arrives there has departed here."""
        if self._turned is None:
            self._turned = _View(self.after, self.before, list(map(_turn, self.pairs)), self._optimization)
            self._turned._turned = self
        return self._turned

    @cached_property
    def groups(self) -> dict[Executed, KernelGroup]:
        return kernel_groups(self.pairs)

    # Runs that have a partner

    def of_pair(self, pair: Pair) -> Reason:
        """Of what two instructions compute, and where both or neither is a kernel of its own, of its bytes too."""
        one, other = pair.before, pair.after
        alike = one.cost.amounts == other.cost.amounts
        if one.kernel != other.kernel:
            alike = one.cost.only(*_OPERATIONS).amounts == other.cost.only(*_OPERATIONS).amounts
        if alike and one.opcode == other.opcode:
            return self.of_course(pair)
        reason = difference(pair)
        if reason.kind == "shape changed" and self._is_partitioning:
            return Reason("partitioned", reason.before, reason.after)
        return reason

    @cached_property
    def _is_partitioning(self) -> bool:
        """Whether one is the program of all devices, the other that of one."""
        return (self.before.report.stage == "unpartitioned") != (self.after.report.stage == "unpartitioned")

    def of_course(self, pair: Pair) -> Reason:
        """The same work: in a loop before, once for each trip now, or the other way round."""
        if self._is_rolled(pair):
            return Reason("rolled")
        if self.turned._is_rolled(_turn(pair)):
            return Reason("unrolled")
        return UNCHANGED

    def _is_rolled(self, pair: Pair) -> bool:
        """Whether one instruction in a loop of `after` does what several of `before` do, in none or a shorter one."""
        if pair.after.times <= pair.before.times or _around(pair.after) not in self.after.loops:
            return False
        if self._partners[pair.after] < 2:
            return False
        outside = _around(pair.before)
        return outside in self.before.loops or outside not in self.before.looped

    # Bytes of kernels

    def of_traffic(self, group: KernelGroup, moved: tuple[Cost, Cost], came: _Came, went: _Came) -> Reason:
        """Why kernels that share their work move what they do; never a reason that contradicts its change."""
        contents = [
            *(entry for kernel in group.after for entry in came.get(kernel, ())),
            *((-reason, size) for kernel in group.before for reason, size in went.get(kernel, ())),
        ]
        change = moved[1].bytes - moved[0].bytes
        possible = [entry for entry in contents if entry[0].direction * change >= 0]
        if not group.is_one_to_one:
            return shared_reason(group, moved, _usual(contents), _usual(possible))
        if moved[0].amounts == moved[1].amounts:
            return UNCHANGED
        assert group.pair is not None
        one, other = group.before[0], group.after[0]
        pair = Pair(one, other, one.times) if one.opcode == other.opcode == "fusion" else group.pair
        return _usual(possible) or difference(pair)

    # Runs that came

    def contents(self, found: dict[Pair, Reason]) -> _Came:
        """Kernel of `after`: the reasons of what it does."""
        contents: _Came = defaultdict(list)
        for pair, reason in found.items():
            if reason is not UNCHANGED:
                contents[pair.after.home].append((reason, pair.after.shape.bytes))
        return contents

    def of_new_fusion(self, contents: Contents) -> Reason:
        """Of a fusion that shares no work with the other program."""
        return _usual(entry for entry in contents if entry[0].direction >= 0) or Reason(self.arrived)

    def of_arrival(self, item: Executed, found: dict[Pair, Reason]) -> Reason:
        """Why these runs are in `after` and not in `before`."""
        opcode, instruction = item.opcode, item.instruction
        wrapped = halved(opcode)[0] or opcode
        if wrapped in COLLECTIVES:
            return Reason("collective inserted", after=wrapped)
        if item.left != item.times:
            folded = self.after.constants.folding(item.computation, item.index)
            if folded:
                return Reason("unfolded", after=folded)
            return Reason("rolled" if _around(item) in self._rolled else "more runs")
        if wrapped == "copy" or opcode == "transpose":
            moved = opcode == "transpose" or minor(instruction.operands[0].shape) != minor(instruction.shape)
            return Reason("layout copy inserted" if moved else "copy inserted", after=opcode if moved else "")
        if opcode == "convert":
            return self._of_convert(item, found)
        if self.after.is_dead(item.instruction):
            return Reason("inserted (dead)")
        folded = self.after.constants.folding(item.computation, item.index)
        if folded is not None and item.cost:
            return Reason("unfolded", after=folded)
        if REMATERIALIZED in item.op_name or self._is_again(instruction):
            return Reason("recomputed")
        if _around(item) in self._rolled:
            return Reason("rolled")
        rivals = self.turned._arrivals.get(item.where) if item.op_name else None
        if rivals:
            return Reason("rewritten", " and ".join(rivals), " and ".join(self._arrivals[item.where]))
        return Reason(self.arrived)

    def _of_convert(self, item: Executed, found: dict[Pair, Reason]) -> Reason:
        source, result = item.instruction.operands[0].shape.dtype, item.instruction.shape.dtype
        kind = cast(source, result)
        producer = self._producer(item)
        if kind == "downcast" and any(r.kind == "upcast" for r in self._reasons(found).get(producer, ())):
            kind = "upcast"  # back to the type that the program has there: a part of the same price
            source, result = result, source
        return Reason(kind, source, result)

    def _producer(self, item: Executed) -> Instruction:
        """The instruction whose value it takes, through the boundary of its fusion."""
        value = item.instruction.operands[0]
        if value.opcode == "parameter" and not item.kernel:
            outside = item.home.instruction.operands
            at = int(value.operand_text)
            value = outside[at] if at < len(outside) else value
            callee = value.callee("calls") if value.opcode == "fusion" else None
            value = callee.root if callee is not None else value
        return value

    def _reasons(self, found: dict[Pair, Reason]) -> dict[Instruction, list[Reason]]:
        if self._by_instruction is None:
            self._by_instruction = defaultdict(list)
            for pair, reason in found.items():
                self._by_instruction[pair.after.instruction].append(
                    reason if reason.kind == "upcast" else difference(pair)
                )
        return self._by_instruction

    @cached_property
    def _partners(self) -> Counter[Executed]:
        return Counter(pair.after for pair in self.pairs)

    def _is_again(self, instruction: Instruction) -> bool:
        """Whether its value is computed elsewhere in `after` too, by what `before` has as well."""
        return any(other in self._known for other in self.after.values.alike(instruction))

    @cached_property
    def _known(self) -> set[Instruction]:
        return {pair.after.instruction for pair in self.pairs}

    @cached_property
    def _arrivals(self) -> dict[tuple[bool, str, str], list[str]]:
        """Where runs came: their opcodes, those with the most operations and bytes first, two at most."""
        weights: dict[tuple[bool, str, str], Counter[str]] = defaultdict(Counter)
        for item in self.after.items:
            if item.left == item.times and item.op_name and item.opcode != "fusion":
                weights[item.where][item.opcode] += sum(item.cost.amounts.values())
        return {where: [name for name, _ in opcodes.most_common(2)] for where, opcodes in weights.items()}

    @cached_property
    def _rolled(self) -> set[Computation]:
        """Bodies and conditions of loops in `after` that do what `before` does without one."""
        bodies = {self.after.loops[_around(pair.after)] for pair in self.pairs if self._is_rolled(pair)}
        return {computation for computation, loop in self.after.loops.items() if loop in bodies}


def _around(item: Executed) -> Computation:
    """The computation whose kernel runs it."""
    return item.home.computation


def _usual(contents: Iterable[tuple[Reason, int]]) -> Reason | None:
    """The reason of most of the bytes that they make, leaving out what is unchanged."""
    counts: Counter[Reason] = Counter()
    for reason, size in contents:
        if reason.kind != "unchanged":
            counts[reason] += size
    # Of as many, the choice must be the same the other way round; of a reason and its opposite there is none.
    ranked = sorted(counts, key=lambda r: (-counts[r], *sorted((str(r), str(-r)))))
    if len(ranked) > 1 and counts[ranked[0]] == counts[ranked[1]] and ranked[0] == -ranked[1]:
        return None
    return ranked[0] if ranked else None
