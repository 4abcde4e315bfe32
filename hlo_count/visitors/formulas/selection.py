"""Sorting, selection, and scans."""

from __future__ import annotations

from hlo_count.hlo.instruction import Instruction
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.formulas.reading import operand, pointwise, traffic_without_scratch
from hlo_count.visitors.registry import custom_call


@custom_call(
    "TopK",
    "__gpu$TopK",
    "PartialReduce",
    "ApproxTopK",
    "stablehlo.dynamic_top_k",
    "stablehlo.dynamic_approx_top_k",
)
def top_k(instruction: Instruction) -> Cost:
    """N_in: each element is looked at, as for the opcode topk. PartialReduce is the TPU's approximate one."""
    shape = operand(instruction, 0, rank=1)
    return Cost.ops("other_ops", shape.size, "sort", shape.dtype)


@custom_call(
    *(f"xla.gpu.ext.cub_sort_{kind}" for kind in ("keys", "pairs", "unassigned_scratch_size")),
    *("__cub$DeviceRadixSort", "__cub$DeviceRadixSortUnassignedScratchSize"),
)
def radix_sort(instruction: Instruction) -> Cost:
    """N · ceil(log2(length)) compares, as for the opcode sort that CUB's radix sort stands for."""
    keys = operand(instruction, 0, rank=1)
    rounds = (keys.dimensions[-1] - 1).bit_length() if keys.dimensions[-1] > 1 else 0
    return Cost.ops("other_ops", keys.size * rounds, "sort", keys.dtype)


@custom_call("xla.gpu.ext.cub_scan", "xla.gpu.ext.cub_scan_unassigned_scratch_size")
def prefix_sum(instruction: Instruction) -> Cost:
    """N adds, as the opcode scan that it stands for: CUB's sum of what comes before each element (XLA,
    scan_rewriter.cc)."""
    return pointwise(operand(instruction, 0, rank=1), "add") + traffic_without_scratch(instruction)
