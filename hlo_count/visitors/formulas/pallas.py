"""Kernels that people write: Pallas on TPU by its own code, else by its author's estimate.

The TPU compiler's own are calls of the same target.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from hlo_count.hlo.array_integers import integers_of
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.shapes import Shape
from hlo_count.lowering.mlir import MlirError, generic_form
from hlo_count.visitors.contractions import contraction_cost, contraction_dtype
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.formulas.reading import amount, kernel_cost
from hlo_count.visitors.given_costs import cost_of_amounts
from hlo_count.visitors.kernels.kernel_code import kernel_code
from hlo_count.visitors.kernels.kernel_count import KernelCount, arrays_of
from hlo_count.visitors.kernels.mosaic_kernel import Integers, mosaic_count
from hlo_count.visitors.raising import CALLBACKS
from hlo_count.visitors.registry import Estimate, UnknownCostOf, custom_call

_BY_AUTHOR = "counted by the cost estimate of its author"


@custom_call("tpu_custom_call")
def mosaic_tpu(instruction: Instruction) -> Cost:
    """The kernel's code times its grid (`kernels.mosaic_kernel`), a ragged dot of the compiler's by its shapes.

    Where the code cannot be read, or only the run knows how long its grid is, what `pl.CostEstimate` said of one call:
    an estimate, of the class `custom`, on the matrix unit, which is the fastest. Its `bytes_accessed` replaces the
    default traffic where every array lies in main memory, since it does not tell the spaces apart.
    """
    body, estimate = _body(instruction), _estimate_of(instruction)
    if body.startswith(b"module") and "ragged_dot_tiling" in (instruction.attributes.get("frontend_attributes") or ""):
        return _ragged_dot(instruction)
    operands, results = arrays_of(instruction)
    call = (body, operands, results, _integers(instruction))
    try:
        count = _count(*call)
    except (MlirError, ValueError) as problem:
        reason = f"is a Pallas kernel whose body {problem}"
        if estimate is None:
            raise UnknownCostOf(f"{reason}, without a cost estimate") from None
        return Estimate(_stated_cost(instruction, estimate), f"{reason}, {_BY_AUTHOR}")
    if not count.open.loops or estimate is None:
        return kernel_cost(instruction, count, "tpu")
    why = ", and ".join(count.open.unknown)
    steps = _steps_of(count, amount(instruction, estimate, "flops"))
    if steps is None:
        return Estimate(_stated_cost(instruction, estimate), f"is a kernel that {why}: {_BY_AUTHOR}")
    choice = f"{why}: {steps}, by the FLOP of its author's estimate"
    return kernel_cost(instruction, _count(*call, steps), "tpu", choice)


@lru_cache(maxsize=256)
def _count(
    body: bytes,
    operands: tuple[Shape, ...],
    results: tuple[Shape, ...],
    integers: tuple[Integers | None, ...],
    trips: int | None = None,
) -> KernelCount:
    """A kernel that is called often is counted once."""
    return mosaic_count(kernel_code(generic_form(body)), operands, results, integers, trips)


def _integers(instruction: Instruction) -> tuple[Integers | None, ...]:
    """The elements of each operand that the module determines, where they are integers."""
    return tuple(
        integers_of(each) if each.shape.is_array and each.shape.element_type.is_integer else None
        for each in instruction.operands
    )


def _steps_of(count: KernelCount, flops: int) -> int | None:
    """How long the one dimension of a grid is that only the run knows, where the author's FLOP are a multiple of what
    the products of one step come to."""
    products = count.counted.split(1, ("flops",)).get("matmul")
    if count.open.dynamic != 1 or products is None or flops % products.flops:
        return None
    return flops // products.flops


def _body(instruction: Instruction) -> bytes:
    """The MLIR that stands in a call's configuration; nothing where it has none."""
    config = (instruction.backend_config or {}).get("custom_call_config")
    body = config.get("body") if isinstance(config, dict) else None
    try:
        return base64.b64decode(body, validate=True) if isinstance(body, str) else b""
    except binascii.Error:
        return b""


def _stated_cost(instruction: Instruction, estimate: Mapping[str, Any]) -> Cost:
    amounts = {name: amount(instruction, estimate, name) for name in ("flops", "transcendentals")}
    accessed = amount(instruction, estimate, "bytes_accessed")
    arrays = [instruction.shape, *(operand.shape for operand in instruction.operands)]
    if accessed and not any(space for shape in arrays for space, _ in shape.bytes_by_space):
        written = min(instruction.shape.bytes, accessed)
        amounts |= {"bytes_read": accessed - written, "bytes_written": written}
    return cost_of_amounts(instruction, amounts)


def _ragged_dot(instruction: Instruction) -> Cost:
    """2 · elements of lhs · columns of rhs, as of a ragged-dot: lhs [m, k] and rhs [g, k, n] are the last operands."""
    lhs, rhs = (operand.shape for operand in instruction.operands[-2:])
    if len(lhs.dimensions) != 2 or len(rhs.dimensions) != 3 or instruction.shape.dimensions[:1] != lhs.dimensions[:1]:
        raise UnknownCostOf("is a ragged dot of shapes that no formula knows")
    return contraction_cost(lhs.size * instruction.shape.dimensions[-1], contraction_dtype(lhs, rhs))


def _estimate_of(instruction: Instruction) -> Mapping[str, Any] | None:
    config = (instruction.backend_config or {}).get("custom_call_config")
    estimate = config.get("cost_estimate") if isinstance(config, dict) else None
    return estimate if isinstance(estimate, dict) else None


@custom_call(*CALLBACKS)
def callback(instruction: Instruction) -> Cost:
    """Not known: Python code on the host."""
    raise UnknownCostOf("calls back into Python, whose cost no text tells")
