"""A reason for every run of two matched programs.

A rule looks at runs that came, in `after`, and says why; runs that went are runs that came when the programs change
places, and get the opposite reason. So the comparison of B with A is that of A with B turned round.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from hlo_count.compare.items import REMATERIALIZED, Item, Program
from hlo_count.compare.match import Pair, match
from hlo_count.compare.reasons import UNCHANGED, UNMATCHED, Reason
from hlo_count.hlo.computation import Computation
from hlo_count.hlo.dtypes import DTYPES
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import COLLECTIVES, async_sugar
from hlo_count.hlo.shapes import Shape
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.walk import Times


@dataclass(frozen=True, slots=True)
class Share:
    """Some runs of an instruction, what they cost, and why that is not what it was."""

    item: Item
    times: Times
    cost: Cost
    reason: Reason
    matched: bool


def explain(before: Program, after: Program, *, optimization: bool) -> tuple[list[Share], list[Share]]:
    """The runs of both programs, each with its reason; `optimization`: `after` is what a compiler made of `before`."""
    pairs = match(before, after)
    view = _View(before, after, pairs, optimization)
    runs: tuple[list[_Run], list[_Run]] = ([], [])
    found = {pair: view.of_pair(pair) for pair in pairs if pair.after.opcode != "fusion"}
    turned = {_turn(pair): -reason for pair, reason in found.items()}
    came, went = view.contents(found), view.turned.contents(turned)
    for item in after.items:
        if item.left and item.opcode != "fusion":
            reason = view.of_arrival(item, found)
            came[item.home].append((reason, item.instruction.shape.bytes))
            runs[1].append((item, item.left, reason, False))
    for item in before.items:
        if item.left and item.opcode != "fusion":
            reason = view.turned.of_arrival(item, turned)
            went[item.home].append((reason, item.instruction.shape.bytes))
            runs[0].append((item, item.left, -reason, False))
    for pair in pairs:
        if pair.after.opcode == "fusion":
            found[pair] = view.of_fusions(pair, came, went)
    for pair, reason in found.items():
        runs[0].append((pair.before, pair.times, reason, True))
        runs[1].append((pair.after, pair.times, reason, True))
    for item in after.fusions:
        if item.left:
            runs[1].append((item, item.left, view.of_new_fusion(item, came), False))
    for item in before.fusions:
        if item.left:
            runs[0].append((item, item.left, -view.turned.of_new_fusion(item, went), False))
    return _shares(runs[0]), _shares(runs[1])


Contents = list[tuple[Reason, int]]
"""What a kernel does: the reason of each of its instructions, and the bytes that it makes."""
_Run = tuple[Item, Times, Reason, bool]


def _shares(runs: list[_Run]) -> list[Share]:
    """What each costs; where runs of one instruction have several reasons, the last takes what is left."""
    runs.sort(key=lambda run: run[0].order)
    shares: list[Share] = []
    spent = Cost()
    for at, (item, times, reason, matched) in enumerate(runs):
        last = at + 1 == len(runs) or runs[at + 1][0] is not item
        first = at == 0 or runs[at - 1][0] is not item
        if first and last:
            cost = item.cost * item.times
        else:
            spent = Cost() if first else spent
            cost = item.cost * item.times - spent if last else item.cost * times
            spent += cost
        shares.append(Share(item, times, cost, reason, matched))
    return shares


def _turn(pair: Pair) -> Pair:
    return Pair(pair.after, pair.before, pair.times)


class _View:
    """Two matched programs, seen from `before` to `after`."""

    def __init__(self, before: Program, after: Program, pairs: list[Pair], optimization: bool) -> None:
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
    def origins(self) -> dict[Item, dict[Item, Times]]:
        """Kernel of `after`: the kernels of `before` that did what it does, and how often they ran for it."""
        runs: Counter[tuple[Item, Item]] = Counter()
        for pair in self.pairs:
            if pair.before.opcode != "fusion":
                runs[pair.before, pair.after.home] += pair.times  # type: ignore[assignment]
        found: dict[Item, dict[Item, Times]] = defaultdict(dict)
        for (item, kernel), times in runs.items():
            origins = found[kernel]
            origins[item.home] = max(origins.get(item.home, 0), times)
        return found

    def joined(self, kernel: Item) -> Fraction:
        """How many runs of kernels of `before` each of its runs does the work of."""
        return Fraction(sum(self.origins.get(kernel, {}).values())) / kernel.times

    def joins(self, kernel: Item) -> bool:
        """Whether it does the work of several kernels, or of several runs of one."""
        return self.joined(kernel) > 1

    def _wraps(self, kernel: Item) -> Item | None:
        """The one instruction, a kernel of its own before, that a fusion wraps and nothing else."""
        origins = self.origins.get(kernel, {})
        if len(origins) != 1 or self.joins(kernel):
            return None
        (origin,) = origins
        alone = origin.opcode != "fusion" and len(self.turned.origins.get(origin, {})) == 1
        return origin if alone else None

    # Runs that have a partner

    def of_pair(self, pair: Pair) -> Reason:
        one, other = pair.before, pair.after
        if one.kernel and not other.kernel:
            return self._of_entering(pair)
        if other.kernel and not one.kernel:
            return -self.turned._of_entering(_turn(pair))
        if one.cost.amounts == other.cost.amounts and one.opcode == other.opcode:
            return self._of_course(pair)
        return difference(pair)

    def _of_entering(self, pair: Pair) -> Reason:
        """A kernel becomes part of a fusion, or merely gets one as its wrapper."""
        home = pair.after.home
        if self._wraps(home) is pair.before:
            whole = pair.after.cost + home.cost
            if whole.amounts == pair.before.cost.amounts and pair.before.opcode == pair.after.opcode:
                return UNCHANGED
            reason = difference(pair)
            return Reason("fused") if reason.kind == "operands changed" else reason
        return Reason("fused")

    def _of_course(self, pair: Pair) -> Reason:
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

    def of_fusions(self, pair: Pair, came: dict[Item, Contents], went: dict[Item, Contents]) -> Reason:
        one, other = pair.before, pair.after
        if one.cost.amounts == other.cost.amounts:
            return self._of_course(pair)
        joined, split = self.joined(other), self.turned.joined(one)
        if joined != split:
            return Reason("fused" if joined > split else "unfused")
        within = _usual([*came.get(other, ()), *((-reason, size) for reason, size in went.get(one, ()))])
        return within or difference(pair)

    # Runs that came

    def contents(self, found: dict[Pair, Reason]) -> dict[Item, Contents]:
        """Kernel of `after`: the reasons of what it does."""
        contents: dict[Item, Contents] = defaultdict(list)
        for pair, reason in found.items():
            contents[pair.after.home].append((reason, pair.after.instruction.shape.bytes))
        return contents

    def of_new_fusion(self, fusion: Item, came: dict[Item, Contents]) -> Reason:
        if self.joins(fusion):
            return Reason("fused")
        wrapped = self._wraps(fusion)
        inside = came.get(fusion, [])
        if wrapped is not None:
            return next((r for r, _ in inside if r.kind not in UNMATCHED), UNCHANGED)
        if any(self.turned.joins(origin) for origin in self.origins.get(fusion, ())):
            return Reason("unfused")
        return _usual(inside) or Reason(self.arrived)

    def of_arrival(self, item: Item, found: dict[Pair, Reason]) -> Reason:
        """Why these runs are in `after` and not in `before`."""
        opcode, instruction = item.opcode, item.instruction
        wrapped, _ = async_sugar(opcode) or (opcode.removesuffix("-start").removesuffix("-done"), "")
        if wrapped in COLLECTIVES:
            return Reason("collective inserted", after=wrapped)
        if item.left != item.times:
            folded = self.after.constants.folding(instruction)
            return Reason("unfolded", after=folded) if folded else Reason("more runs")
        if wrapped == "copy" or opcode == "transpose":
            moved = opcode == "transpose" or _minor(instruction.operands[0].shape) != _minor(instruction.shape)
            return Reason("layout copy inserted" if moved else "copy inserted", after=opcode if moved else "")
        if opcode == "convert":
            return self._of_convert(item, found)
        if item.instruction in self.after.dead:
            return Reason("inserted (dead)")
        folded = self.after.constants.folding(instruction)
        if folded is not None and item.cost:
            return Reason("unfolded", after=folded)
        if item.instruction in self.after.duplicates:
            return Reason("duplicated")
        if item.op_name and (REMATERIALIZED in item.op_name or item.family in self._families):
            return Reason("recomputed")
        if _around(item) in self._rolled:
            return Reason("rolled")
        rivals = self.turned._arrivals.get(item.where) if item.op_name else None
        if rivals:
            return Reason("rewritten", " and ".join(rivals), " and ".join(self._arrivals[item.where]))
        return Reason(self.arrived)

    def _of_convert(self, item: Item, found: dict[Pair, Reason]) -> Reason:
        source, result = item.instruction.operands[0].shape.dtype, item.instruction.shape.dtype
        kind = _cast(source, result)
        producer = self._producer(item)
        if kind == "downcast" and any(r.kind == "upcast" for r in self._reasons(found).get(producer, ())):
            kind = "upcast"  # back to the type that the program has there: a part of the same price
            source, result = result, source
        return Reason(kind, source, result)

    def _producer(self, item: Item) -> Instruction:
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
    def _partners(self) -> Counter[Item]:
        return Counter(pair.after for pair in self.pairs)

    @cached_property
    def _families(self) -> set[object]:
        return {pair.before.family for pair in self.pairs if pair.before.op_name}

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


def difference(pair: Pair) -> Reason:
    """What tells two instructions apart that do the same work."""
    one, other = pair.before.instruction, pair.after.instruction
    if one.opcode != other.opcode:
        return Reason("rewritten", _called(pair.before), _called(pair.after))
    sides = list(zip((one, *one.operands), (other, *other.operands), strict=False))
    for a, b in ((_type(a), _type(b)) for a, b in sides):
        if a is not None and b is not None and a != b:
            return Reason(_cast(a, b), a, b)
    if pair.before.dims != pair.after.dims:
        return Reason("shape changed", _dims(one.shape), _dims(other.shape))
    if any(a.shape.memory_space != b.shape.memory_space for a, b in sides):
        return Reason("memory space changed")
    if _minor(one.shape) != _minor(other.shape):
        return Reason("layout changed")
    return Reason("operands changed")


def _around(item: Item) -> Computation:
    """The computation whose kernel runs it."""
    return item.home.instruction.computation


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


def _called(item: Item) -> str:
    if item.opcode != "custom-call":
        return item.opcode
    return (item.instruction.attribute("custom_call_target") or item.opcode).strip('"')


def _type(instruction: Instruction) -> str | None:
    leaf = instruction.shape.first_leaf
    return leaf.dtype if leaf is not None else None


def _cast(source: str, result: str) -> str:
    if source not in DTYPES or result not in DTYPES or DTYPES[source].bits == DTYPES[result].bits:
        return "dtype changed"
    if DTYPES[source].is_integer != DTYPES[result].is_integer or DTYPES[source].kind == "pred":
        return "dtype changed"
    return "upcast" if DTYPES[result].bits > DTYPES[source].bits else "downcast"


def _minor(shape: Shape) -> tuple[int, ...]:
    leaf = shape.first_leaf
    return leaf.minor_to_major if leaf is not None else ()


def _dims(shape: Shape) -> str:
    leaf = shape.first_leaf
    return f"[{','.join(map(str, leaf.dimensions))}]" if leaf is not None else "()"
