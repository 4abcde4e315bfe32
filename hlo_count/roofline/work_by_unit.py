"""The work of one kernel, by what runs it: unit, dtype, and how.

`Works.least` is what any way of computing the same values must do, `Works.counted` the counts as they are.
Both are maps from (unit, dtype, how) to an amount of FLOP, operations or evaluations: "matrix" by
precision or dot algorithm, "vector" by "fma" or the op class, "special" by opcode.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator
from math import ceil, log2, prod
from typing import NamedTuple

from hlo_count.hlo.computation import Computation
from hlo_count.hlo.depth import post_order
from hlo_count.hlo.dtypes import DTYPES
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import COMPUTING, INLINED, MOVEMENT, TRANSCENDENTAL
from hlo_count.roofline.needed_shares import NeededShares
from hlo_count.visitors.cost import OP_COUNTERS, Cost
from hlo_count.visitors.walk import Walk
from hlo_count.visitors.window_reductions import shares_sums, window_applications

WorkKey = tuple[str, str, str]
Work = dict[WorkKey, float]

FLOP_PER_SLOT = 2

_CERTAIN = COMPUTING | frozenset("reduce map dot scaled-dot convolution custom-call".split())
"""Opcodes whose operations no algorithm avoids, windows that do not overlap too. Others can share their sums, a
scatter may drop its updates, a ragged product rows that are in no group, and sort, fft, linear algebra and
random numbers have other ways."""
_STEADY = frozenset("exponential exponential-minus-one log log-plus-one logistic tanh erf sqrt rsqrt".split())
"""Special functions that take as long for any argument. Others (sine, power, atan2 ...) are faster for some, and two
of one argument share work: no more of them is certain than the fastest function there is."""
_CONTRACTIONS = ("matmul", "convolution")
_PRECISIONS = ("default", "high", "highest")
_OPERAND_PRECISION = re.compile(r'operand_precision"?[=:][{\[]([^}\]]*)[}\]]')
_ALGORITHM = re.compile(r'algorithm(?:=|":"ALG_)(dot_\w+)', re.I)


def precision_of(instruction: Instruction) -> str:
    """`default`, `high` or `highest`, the lower of its operands', or the name of its dot algorithm."""
    text = instruction.attribute_text
    algorithm = _ALGORITHM.search(text)
    if algorithm is not None:
        return algorithm[1].lower()
    stated = _OPERAND_PRECISION.search(text)
    if stated is None:
        return "default"
    named = [name.strip().strip('"').lower() for name in stated[1].split(",")]
    return min((name for name in named if name in _PRECISIONS), key=_PRECISIONS.index, default="default")


Terms = tuple[tuple[WorkKey, float], ...]

_PAIR = "pair"
"""The unit of additions and multiplications of floats until it is known whether a device fuses them."""


class Operations(NamedTuple):
    """An instruction that costs something, and the terms of work that come of it."""

    instruction: Instruction
    cost: Cost
    least: Terms
    counted: Terms


class Works:
    """The work of a program's kernels on any device: each computation looked through once, whatever calls it."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self.needed = NeededShares(walk)
        self._operations: dict[Computation, list[Operations]] = {}
        self._elementwise: dict[tuple[str, int], tuple[Cost, Terms, Terms]] = {}
        self._bodies: dict[tuple[Computation, bool], Work] = {}

    def least(self, kernel: Instruction, fuses: Callable[[str], bool]) -> Work:
        """Work that no way of computing the kernel's values can leave out.

        Dots and convolutions by direct algorithms; additions and multiplications in issue slots, of which each
        pair shares one where the dtype's unit `fuses`; evaluations of special functions. Compares, selects,
        converts and signs can be part of other instructions, integers form a ring with identities that compilers
        use (a hundred `x ^ y` are none), and what is not among the opcodes of `_CERTAIN` has other algorithms:
        none of their own.
        """
        work, pairs = _paired(self._of(kernel, least=True), fuses)
        for dtype, (multiplied, added) in pairs.items():
            _add(work, ("vector", dtype, "add"), max(multiplied, added))
        return work

    def counted(
        self, kernel: Instruction, fuses: Callable[[str], bool], *, leaving_out: Container[Instruction] = ()
    ) -> Work:
        """All that was counted but for the instructions `leaving_out`; multiplications and additions of one kernel
        in pairs where the dtype's unit `fuses`."""
        work, pairs = _paired(self.unpaired(kernel, leaving_out), fuses)
        for dtype, (multiplied, added) in pairs.items():
            _add(work, ("vector", dtype, "fma"), FLOP_PER_SLOT * min(multiplied, added))
            _add(work, ("vector", dtype, "add"), abs(multiplied - added))
        return work

    def unpaired(self, kernel: Instruction, leaving_out: Container[Instruction] = ()) -> Work:
        """The same before it is known what a device fuses."""
        return self._of(kernel, least=False, leaving_out=leaving_out)

    def operations(self, kernel: Instruction) -> list[Operations]:
        """The instructions of a kernel that have a cost of their own, without those of fusions inside it: of the first
        kernel that is counted as it is."""
        callee = kernel.callee("calls") if kernel.opcode == "fusion" else None
        return self._inside(self.walk.counted_as(callee)) if callee is not None else self._costly([kernel])

    def _inside(self, computation: Computation) -> list[Operations]:
        found = self._operations.get(computation)
        if found is None:
            found = self._operations[computation] = self._costly(computation.instructions)
        return found

    def _costly(self, instructions: list[Instruction]) -> list[Operations]:
        found = []
        for instruction in instructions:
            opcode = instruction.opcode
            ours = opcode not in self.walk.foreign
            if ours and opcode in MOVEMENT and opcode != "copy-start":  # which moves between devices' memories
                continue
            if ours and opcode in COMPUTING:  # one of a shape costs what another does
                kind = (opcode, id(instruction.shape))
                terms = self._elementwise.get(kind)
                if terms is None:
                    terms = self._elementwise[kind] = _terms(instruction, self.walk.cost_of(instruction, False))
            else:
                terms = self._terms(instruction)
            if terms[0]:
                found.append(Operations(instruction, *terms))
        return found

    def _terms(self, instruction: Instruction) -> tuple[Cost, Terms, Terms]:
        kernel = self.walk.kernel_of(instruction)
        cost = self.walk.cost_of(instruction, False)
        return _terms(instruction, cost, None if kernel is None else kernel.count.least)

    def _of(self, kernel: Instruction, *, least: bool, leaving_out: Container[Instruction] = ()) -> Work:
        if kernel.opcode != "fusion":
            work: Work = {}
            _put(work, self._costly([kernel]), self.needed.shares if least else {}, least, leaving_out)
            return work
        callee = kernel.callee("calls")
        if callee is None:
            return {}
        if not leaving_out:  # which are instructions of this very body
            callee = self.walk.counted_as(callee)
        if (callee, least) not in self._bodies:
            for node in post_order((callee, least), self._below, self._bodies):
                self._bodies[node] = self._body(*node, ())
        return self._body(callee, least, leaving_out) if leaving_out else self._bodies[(callee, least)]

    def _below(self, node: tuple[Computation, bool]) -> list[tuple[Computation, bool]]:
        return [(self.walk.counted_as(edge.callee), node[1]) for _, edges in self.walk.edges(node[0]) for edge in edges]

    def _body(self, computation: Computation, least: bool, leaving_out: Container[Instruction]) -> Work:
        """One run of a computation, with what it calls."""
        shares = self.needed.shares if least else {}
        work: Work = {}
        _put(work, self._inside(computation), shares, least, leaving_out)
        for caller, edges in self.walk.edges(computation):
            if least and caller.opcode not in INLINED:
                continue  # how often a loop inside a fusion turns is not worked out: nothing of it is certain
            for edge in edges:
                times = float(edge.times)
                for key, amount in self._bodies[(self.walk.counted_as(edge.callee), least)].items():
                    _add(work, key, times * amount)
        return work


def _put(
    work: Work,
    operations: list[Operations],
    shares: dict[Instruction, float],
    least: bool,
    leaving_out: Container[Instruction],
) -> None:
    if least:
        for o in operations:
            share = shares.get(o.instruction, 1.0)
            for key, n in o.least:
                _add(work, key, n * share)
    else:
        for o in operations:
            if not leaving_out or o.instruction not in leaving_out:
                for key, n in o.counted:
                    _add(work, key, n)


def _terms(instruction: Instruction, cost: Cost, least: Cost | None = None) -> tuple[Cost, Terms, Terms]:
    """Its cost, and the terms of the least and of the counted work that come of it.

    `least` is what is certain of a kernel; of another instruction all is, unless it is an estimate.
    """
    if least is None and _is_certain(instruction) and cost.status != "estimate":
        least = cost
    certain = tuple(_least_terms(instruction, least)) if least is not None else ()
    return cost, certain, tuple(_counted_terms(instruction, cost))


def _is_certain(instruction: Instruction) -> bool:
    if instruction.opcode == "reduce-window":
        return not shares_sums(instruction)
    return instruction.opcode in _CERTAIN


def _least_terms(instruction: Instruction, cost: Cost) -> Iterator[tuple[WorkKey, float]]:
    for (counter, op_class, dtype, unit), n in _ops(cost):
        if op_class in _CONTRACTIONS and unit == "matrix":
            yield ("matrix", dtype, precision_of(instruction)), n
        elif op_class == "transcendental":
            steady = instruction.opcode in _STEADY
            yield ("special", dtype, instruction.opcode if steady else "any"), n
        elif counter == "flops" and op_class in ("add", "multiply", "divide", "minmax"):
            if DTYPES[dtype].is_complex:  # a complex product is made of fused pairs
                yield ("vector", dtype, "add"), n / FLOP_PER_SLOT
            elif op_class in ("add", "multiply"):
                yield (_PAIR, dtype, op_class), n
            else:
                yield ("vector", dtype, "add"), n


def _counted_terms(instruction: Instruction, cost: Cost) -> Iterator[tuple[WorkKey, float]]:
    part = _shared_windows(instruction) if instruction.opcode == "reduce-window" else 1.0
    for (counter, op_class, dtype, unit), count in _ops(cost):
        n = count * part
        if unit == "matrix":
            yield ("matrix", dtype, precision_of(instruction)), n
        elif unit == "special":
            yield ("special", dtype, _function(instruction)), n
        elif counter == "flops" and op_class in ("add", "multiply"):
            yield (_PAIR, dtype, op_class), n
        else:
            how = op_class if counter == "flops" and op_class in ("minmax", "divide") else "add"
            yield ("vector", dtype, how), n


def _ops(cost: Cost) -> Iterator[tuple[tuple[str, str, str, str], int]]:
    for key, n in cost.amounts.items():
        if key[0] in OP_COUNTERS:
            yield (key[0], key[1], key[2], key[3]), n


def _paired(unpaired: Work, fuses: Callable[[str], bool]) -> tuple[Work, dict[str, list[float]]]:
    """The work without the multiplications and additions that a device fuses, and those, by dtype."""
    work: Work = {}
    pairs: dict[str, list[float]] = {}
    for (unit, dtype, how), amount in unpaired.items():
        if unit != _PAIR:
            _add(work, (unit, dtype, how), amount)
        elif fuses(dtype):
            pairs.setdefault(dtype, [0.0, 0.0])[how == "add"] += amount
        else:
            _add(work, ("vector", dtype, "add"), amount)
    return work, pairs


def _shared_windows(reduce_window: Instruction) -> float:
    """What is left of a reduce-window whose windows are built by doubling: log2 of the size for each
    output. Dimensions that are reductions share all there is to share."""
    counted = window_applications(reduce_window)
    if not counted.windows:
        return 1.0
    doubled = min(1.0, sum(ceil(log2(size)) for size in counted.sizes) / max(1, prod(counted.sizes) - 1))
    return (counted.reductions + counted.windows * doubled) / counted.total


def _add(work: Work, key: WorkKey, amount: float) -> None:
    if amount:
        work[key] = work.get(key, 0.0) + amount


def _function(instruction: Instruction) -> str:
    """The special function that it evaluates; "any" where it applies one in its body."""
    return instruction.opcode if instruction.opcode in TRANSCENDENTAL else "any"
