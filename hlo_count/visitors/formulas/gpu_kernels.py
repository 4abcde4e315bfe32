"""Kernels that people write for GPUs: Pallas and Triton by the code that stands in the text, others not."""

from __future__ import annotations

import re
from functools import lru_cache

from hlo_count.hlo.instruction import Instruction
from hlo_count.lowering.mlir import MlirError, generic_form
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.formulas.reading import ffi_attributes, ffi_integer, kernel_cost
from hlo_count.visitors.kernels.kernel_code import kernel_code
from hlo_count.visitors.kernels.kernel_count import Open, moved_once
from hlo_count.visitors.kernels.triton_kernel import triton_operations
from hlo_count.visitors.registry import KernelCost, UnknownCostOf, custom_call


@custom_call("__gpu$xla.gpu.triton")
def triton(instruction: Instruction) -> KernelCost:
    """The kernel's code, which stands in the attribute `ir`, at each point of `grid_x` · `grid_y` · `grid_z`
    (XLA, gpu/triton_call.cc)."""
    attributes = ffi_attributes(instruction)
    if "ir" not in attributes:
        raise UnknownCostOf("is a Triton kernel whose text does not hold its code")
    grid = tuple(ffi_integer(instruction, attributes, f"grid_{axis}") for axis in "xyz")
    try:
        least, counted, left_open = _operations(attributes["ir"], grid)
    except (MlirError, ValueError) as problem:
        raise UnknownCostOf(f"is a Triton kernel whose body {problem}") from None
    return kernel_cost(instruction, moved_once(instruction, least, counted, left_open), "gpu")


@lru_cache(maxsize=256)
def _operations(ir: str, grid: tuple[int, ...]) -> tuple[Cost, Cost, Open]:
    """A kernel that is called often is counted once."""
    return triton_operations(kernel_code(generic_form(_unescaped(ir))), grid)


def _unescaped(text: str) -> bytes:
    """The bytes of a string of MLIR, where `\\0A` and `\\n` are signs that cannot stand there (MLIR, LangRef)."""

    def byte(match: re.Match[bytes]) -> bytes:
        sign = match[1]
        return bytes.fromhex(sign.decode()) if len(sign) == 2 else {b"n": b"\n", b"t": b"\t"}.get(sign, sign)

    return re.sub(rb"\\([0-9A-Fa-f]{2}|.)", byte, text.encode())


@custom_call(
    *("mosaic_gpu_v2", "mosaic_gpu", "__triton", "triton_kernel_call", "triton_kernel_call_ffi"),
    "__gpu$xla.gpu.ptx",
)
def gpu_kernel(instruction: Instruction) -> Cost:
    """Not known: what stands in the text is machine code, or a form that nothing here reads."""
    raise UnknownCostOf("is a GPU kernel (Mosaic GPU, Triton or PTX) whose text holds no code that can be read")
