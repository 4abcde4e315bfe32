"""Kernels that people write: Pallas on TPU by its cost estimate; the text tells nothing of any other.

The TPU compiler's own are calls of the same target.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hlo_count.hlo.instruction import Instruction
from hlo_count.visitors.contractions import contraction_cost, contraction_dtype
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.formulas.mosaic import compiler_kernel, kernel_cost
from hlo_count.visitors.formulas.reading import amount, estimated, target
from hlo_count.visitors.raising import CALLBACKS
from hlo_count.visitors.registry import UnknownCostOf, custom_call

_ESTIMATE = "pl.pallas_call(…, cost_estimate=pl.CostEstimate(flops=…, transcendentals=…, bytes_accessed=…))"


@custom_call("tpu_custom_call")
def mosaic_tpu(instruction: Instruction) -> Cost:
    """What `pl.CostEstimate` said of one call: an estimate, of the class `custom`, on the matrix unit.

    A kernel of the compiler's that has none is counted by its code (`kernel_cost`), one that is a ragged dot by its
    shapes.

    Which unit a kernel uses is not in the text; the matrix unit is the fastest. `bytes_accessed` replaces
    the default traffic where every array lies in main memory, since it does not tell the spaces apart.
    """
    estimate, code = _estimate_of(instruction), compiler_kernel(instruction)
    if code is not None and "ragged_dot_tiling" in (instruction.attributes.get("frontend_attributes") or ""):
        return _ragged_dot(instruction)
    if estimate is None:
        if code is not None:
            return kernel_cost(instruction, code)
        raise UnknownCostOf("is a Pallas kernel without a cost estimate", _ESTIMATE)
    leaf = instruction.shape.first_leaf
    dtype = leaf.dtype if leaf is not None and leaf.element_type.is_float else "f32"
    cost = Cost.ops("flops", amount(instruction, estimate, "flops"), "custom", dtype, "matrix")
    evaluations = amount(instruction, estimate, "transcendentals")
    cost += Cost.ops("transcendentals", evaluations, "custom", dtype, "special")
    accessed = amount(instruction, estimate, "bytes_accessed")
    arrays = [instruction.shape, *(operand.shape for operand in instruction.operands)]
    if accessed and not any(space for shape in arrays for space, _ in shape.bytes_by_space):
        written = min(instruction.shape.bytes, accessed)
        cost += Cost.traffic(read=accessed - written, written=written)
    return estimated(instruction, cost, "is a Pallas kernel, counted by the cost estimate of its author")


def _ragged_dot(instruction: Instruction) -> Cost:
    """2 · elements of lhs · columns of rhs, as of a ragged-dot: lhs [m, k] and rhs [g, k, n] are the last operands."""
    lhs, rhs = (operand.shape for operand in instruction.operands[-2:])
    if len(lhs.dimensions) != 2 or len(rhs.dimensions) != 3 or instruction.shape.dimensions[:1] != lhs.dimensions[:1]:
        raise UnknownCostOf("is a ragged dot of shapes that no formula knows", _ESTIMATE)
    return contraction_cost(lhs.size * instruction.shape.dimensions[-1], contraction_dtype(lhs, rhs))


def _estimate_of(instruction: Instruction) -> Mapping[str, Any] | None:
    config = (instruction.backend_config or {}).get("custom_call_config")
    estimate = config.get("cost_estimate") if isinstance(config, dict) else None
    return estimate if isinstance(estimate, dict) else None


@custom_call(
    *(
        "mosaic_gpu_v2",
        "mosaic_gpu",
        "__gpu$xla.gpu.triton",
        "__triton",
        "triton_kernel_call",
        "triton_kernel_call_ffi",
    ),
    "__gpu$xla.gpu.ptx",
)
def gpu_kernel(instruction: Instruction) -> Cost:
    """Not known: a GPU kernel's text is its code, and carries no cost estimate."""
    name = target(instruction)
    raise UnknownCostOf(
        "is a GPU kernel (Pallas, Triton or PTX), whose text carries no cost estimate",
        f'@hlo_count.custom_call("{name}", override=True) on a function that gives its Cost, '
        f"the one of pl.CostEstimate where you have it",
    )


@custom_call(*CALLBACKS)
def callback(instruction: Instruction) -> Cost:
    """Not known: Python code on the host."""
    raise UnknownCostOf(
        "calls back into Python, whose cost no text tells",
        f'@hlo_count.custom_call("{target(instruction)}", override=True) on a function that gives its Cost',
    )
