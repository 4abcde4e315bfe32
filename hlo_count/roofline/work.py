"""The work of one kernel, by what runs it: unit, dtype, and how.

`least_work` is what any way of computing the same values must do, `counted_work` the counts as they are.
Both are maps from (unit, dtype, how) to an amount of FLOP, operations or evaluations: "matrix" by
precision or dot algorithm, "vector" by "fma" or the op class, "special" by opcode.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator
from math import ceil, log2, prod

from hlo_count.hlo.attributes import parse_window
from hlo_count.hlo.computation import Computation
from hlo_count.hlo.dtypes import DTYPES
from hlo_count.hlo.instruction import Instruction
from hlo_count.roofline.lazy import shares
from hlo_count.visitors.cost import OP_COUNTERS, Cost
from hlo_count.visitors.elementwise import ELEMENTWISE, TRANSCENDENTAL
from hlo_count.visitors.walk import Walk

WorkKey = tuple[str, str, str]
Work = dict[WorkKey, float]

FLOP_PER_SLOT = 2

_CERTAIN = ELEMENTWISE | frozenset("reduce map dot scaled-dot convolution custom-call".split())
"""Opcodes whose operations no algorithm avoids. Overlapping windows can share their sums, a scatter may
drop its updates, a ragged product rows that are in no group, and sort, fft, linear algebra and random
numbers have other ways."""
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


def least_work(walk: Walk, kernel: Instruction, fuses: Callable[[str], bool]) -> Work:
    """Work that no way of computing the kernel's values can leave out.

    Dots and convolutions by direct algorithms; additions and multiplications in issue slots, of which each
    pair shares one where the dtype's unit `fuses`; evaluations of special functions. Compares, selects,
    converts and signs can be part of other instructions, integers form a ring with identities that compilers
    use (a hundred `x ^ y` are none), and what is not among the opcodes of `_CERTAIN` has other algorithms:
    none of their own.
    """
    work: Work = {}
    pairs: dict[str, list[float]] = {}
    for instruction, cost, share in _operations(walk, kernel):
        if cost.status == "estimate" or instruction.opcode not in _CERTAIN:
            continue
        for (counter, op_class, dtype, unit), n in _ops(cost):
            amount = n * share
            if op_class in _CONTRACTIONS and unit == "matrix":
                _add(work, ("matrix", dtype, precision_of(instruction)), amount)
            elif op_class == "transcendental":
                steady = instruction.opcode in _STEADY
                _add(work, ("special", dtype, instruction.opcode if steady else "any"), amount)
            elif counter == "flops" and op_class in ("add", "multiply", "divide", "minmax"):
                if DTYPES[dtype].is_complex:  # a complex product is made of fused pairs
                    _add(work, ("vector", dtype, "add"), amount / FLOP_PER_SLOT)
                elif op_class in ("add", "multiply") and fuses(dtype):
                    pairs.setdefault(dtype, [0.0, 0.0])[op_class == "add"] += amount
                else:
                    _add(work, ("vector", dtype, "add"), amount)
    for dtype, (multiplied, added) in pairs.items():
        _add(work, ("vector", dtype, "add"), max(multiplied, added))
    return work


def counted_work(
    walk: Walk, kernel: Instruction, fuses: Callable[[str], bool], *, leaving_out: Container[Instruction] = ()
) -> Work:
    """All that was counted but for the instructions `leaving_out`; multiplications and additions of one kernel
    in pairs where the dtype's unit `fuses`."""
    work: Work = {}
    pairs: dict[str, list[float]] = {}
    for instruction, cost, times in _operations(walk, kernel, lazily=False):
        if instruction in leaving_out:
            continue
        part = times * _shared_windows(instruction)
        for (counter, op_class, dtype, unit), count in _ops(cost):
            n = count * part
            if unit == "matrix":
                _add(work, ("matrix", dtype, precision_of(instruction)), n)
            elif unit == "special":
                _add(work, ("special", dtype, _function(instruction)), n)
            elif counter == "flops" and op_class in ("add", "multiply") and fuses(dtype):
                pairs.setdefault(dtype, [0.0, 0.0])[op_class == "add"] += n
            else:
                how = op_class if counter == "flops" and op_class in ("minmax", "divide") else "add"
                _add(work, ("vector", dtype, how), n)
    for dtype, (multiplied, added) in pairs.items():
        _add(work, ("vector", dtype, "fma"), FLOP_PER_SLOT * min(multiplied, added))
        _add(work, ("vector", dtype, "add"), abs(multiplied - added))
    return work


def _shared_windows(instruction: Instruction) -> float:
    """What is left of a reduce-window whose windows are built by doubling: log2 of the size for each
    output."""
    if instruction.opcode != "reduce-window":
        return 1.0
    sizes = [w.size for w in parse_window(instruction.attribute("window"))]
    return min(1.0, sum(ceil(log2(size)) for size in sizes) / max(1, prod(sizes) - 1))


def _ops(cost: Cost) -> Iterator[tuple[tuple[str, str, str, str], int]]:
    for key, n in cost.amounts.items():
        if key[0] in OP_COUNTERS:
            yield (key[0], key[1], key[2], key[3]), n


def _add(work: Work, key: WorkKey, amount: float) -> None:
    if amount:
        work[key] = work.get(key, 0.0) + amount


def _function(instruction: Instruction) -> str:
    """The special function that it evaluates; "any" where it applies one in its body."""
    return instruction.opcode if instruction.opcode in TRANSCENDENTAL else "any"


def _operations(walk: Walk, kernel: Instruction, *, lazily: bool = True) -> Iterator[tuple[Instruction, Cost, float]]:
    """The instructions of a kernel with their operations, and what share of these has to be done."""
    if kernel.opcode != "fusion":
        yield kernel, walk.cost_of(kernel, False), 1.0
        return
    callee = kernel.callee("calls")
    if callee is not None:
        yield from _inside(walk, callee, 1.0, lazily)


def _inside(
    walk: Walk, computation: Computation, share: float, lazily: bool
) -> Iterator[tuple[Instruction, Cost, float]]:
    evaluated = shares(computation) if lazily else {}
    for instruction in computation.instructions:
        part = share * evaluated.get(instruction, 1.0)
        cost = walk.cost_of(instruction, False)
        if cost and part:
            yield instruction, cost, part
    for caller, edges in walk.edges(computation):
        # how often a loop inside a fusion turns is not worked out: nothing of it is certain
        certain = evaluated.get(caller, 1.0) if caller.opcode in ("fusion", "call") or not lazily else 0.0
        for edge in edges:
            yield from _inside(walk, edge.callee, share * certain * float(edge.times), lazily)
