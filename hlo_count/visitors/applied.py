"""Rules for opcodes that apply a computation to elements: reductions, windows, scatters, maps, sorts."""

from __future__ import annotations

from fractions import Fraction
from math import prod

from hlo_count.hlo.attributes import parse_window
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.replica_groups import group_size
from hlo_count.visitors.cost import OP_COUNTERS, Cost
from hlo_count.visitors.registry import Body, UnknownCostOf, backend_rule, rule
from hlo_count.visitors.window_reductions import window_applications


def reclassed(cost: Cost, op_class: str) -> Cost:
    """The same operations under another op class."""
    parts = [Cost.ops(k[0], n, op_class, k[2], k[3]) for k, n in cost.amounts.items() if k[0] in OP_COUNTERS]
    return Cost.sum(parts)


@rule("reduce")
def reduce(instruction: Instruction, body: Body) -> Cost:
    """body · max(0, N_in - N_out) of the first operand."""
    applications = instruction.operands[0].shape.size - instruction.shape.size
    return body(instruction.callee("to_apply")) * max(0, applications)


@rule("reduce-window")
def reduce_window(instruction: Instruction, body: Body) -> Cost:
    """body · (a reduction for each dimension whose window always holds all of it, n - 1 per row; of the others the sum
    over outputs of max(valid window elements - 1, 0)); padding is not counted.

    CPU and GPU walk the window of each output (`EmitElementalReduceWindow`, xla/service/elemental_ir_emitter.cc), that
    of a cumulative sum too, which both write as windows of 16 (`ReduceWindowRewriter`).
    """
    return body(instruction.callee("to_apply")) * window_applications(instruction).total


@backend_rule("tpu", "reduce-window")
def running_reduce_window(instruction: Instruction, body: Body) -> Cost:
    """The same, but a prefix window (a cumulative sum) runs on from output to output: n - 1 per row.

    `estimated_cycles` of f32[64,n,128] grow with n: 2369, 3454, 5129 and 8478 for n = 16, 32, 64 and 128 on v5e. The
    code of a row of 128 has 127 additions on v5e, v6e and v7, and where v4 does not fuse the window; a suffix window's
    has 8128, all pairs (libtpu's own listing, --xla_jf_dump_llo_text).
    """
    return body(instruction.callee("to_apply")) * window_applications(instruction, running=True).total


@rule("select-and-scatter")
def select_and_scatter(instruction: Instruction, body: Body) -> Cost:
    """select · N_source · (window size - 1) + scatter · N_source."""
    source = instruction.operands[1].shape.size
    window = prod(w.size for w in parse_window(instruction.attribute("window"), instruction.shape.rank))
    select, scatter = body(instruction.callee("select")), body(instruction.callee("scatter"))
    return select * (source * (window - 1)) + scatter * source


@rule("scatter")
def scatter(instruction: Instruction, body: Body) -> Cost:
    """body · N_updates, of the first updates operand where there are several."""
    operands = instruction.operands
    updates = operands[len(operands) // 2 + 1].shape
    return body(instruction.callee("to_apply")) * updates.size


@rule("map")
def map_(instruction: Instruction, body: Body) -> Cost:
    """body · N."""
    return body(instruction.callee("to_apply")) * instruction.shape.size


@rule("scan")
def scan(instruction: Instruction, body: Body) -> Cost:
    """body · length of the scanned dimension of the first scanned operand."""
    carries = int(instruction.attribute("num_carries") or 0)
    scanned = instruction.operands[: len(instruction.operands) - carries]
    axis = next(iter(instruction.dims("dimensions")), 0)
    if not scanned or not scanned[0].shape.rank:
        raise UnknownCostOf("a scan without a scanned operand: its length is not in the text")
    return body(instruction.callee("to_apply")) * scanned[0].shape.dimensions[axis]


@rule("sort")
def sort(instruction: Instruction, body: Body) -> Cost:
    """N · ceil(log2(length of the sorted dimension)) comparators, all their operations in `other_ops`."""
    shape = instruction.operands[0].shape
    axes = instruction.dims("dimensions")
    length = shape.dimensions[axes[0] if axes else shape.rank - 1] if shape.rank else 1
    comparator = body(instruction.callee("to_apply"))
    each = sum(getattr(comparator, counter) for counter in OP_COUNTERS)
    rounds = (length - 1).bit_length() if length > 1 else 0
    return Cost.ops("other_ops", each * shape.size * rounds, "sort", shape.dtype)


@rule("topk")
def topk(instruction: Instruction, body: Body) -> Cost:
    """N_in: each element is looked at."""
    shape = instruction.operands[0].shape
    return Cost.ops("other_ops", shape.size, "sort", shape.dtype)


@rule("all-reduce", "all-reduce-start", "reduce-scatter", "collective-reduce")
def reducing_collective(instruction: Instruction, body: Body) -> Cost:
    """body · N_in · (g - 1) / g: the adds that one device does in a ring of g."""
    size = group_size(instruction)
    if size is None:
        raise UnknownCostOf("its replica_groups do not tell how many devices take part")
    elements = sum(leaf.size for operand in instruction.operands for leaf in operand.shape.leaves if leaf.is_array)
    applied = body(instruction.callee("to_apply"))
    return reclassed(applied * Fraction(elements * (size - 1), size), "collective")
