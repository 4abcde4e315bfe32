"""Kernels that people write for GPUs: Pallas in Triton and Mosaic by the code that stands in the text, others not."""

from __future__ import annotations

from functools import lru_cache

from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.shapes import Shape
from hlo_count.lowering.mlir import MlirError, generic_form, string_bytes
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.formulas.reading import ffi_attributes, ffi_integer, kernel_cost
from hlo_count.visitors.kernels.kernel_code import kernel_code
from hlo_count.visitors.kernels.kernel_count import KernelCount, Open, arrays_of, moved_once
from hlo_count.visitors.kernels.mosaic_gpu_kernel import mosaic_gpu_count
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
    return triton_operations(kernel_code(generic_form(string_bytes(ir))), grid)


@custom_call("mosaic_gpu_v2", "mosaic_gpu")
def mosaic_gpu(instruction: Instruction) -> KernelCost:
    """The kernel's code, which stands in the attribute `module`, at each lane of each block of threads
    (JAX, mosaic/gpu/core.py)."""
    module = ffi_attributes(instruction).get("module")
    if module is None:
        raise UnknownCostOf("is a Mosaic GPU kernel whose text does not hold its code")
    try:
        count = _mosaic_gpu_count(module, *arrays_of(instruction))
    except (MlirError, ValueError) as problem:
        raise UnknownCostOf(f"is a Mosaic GPU kernel whose body {problem}") from None
    return kernel_cost(instruction, count, "gpu")


@lru_cache(maxsize=256)
def _mosaic_gpu_count(module: str, operands: tuple[Shape, ...], results: tuple[Shape, ...]) -> KernelCount:
    """A kernel that is called often is counted once."""
    return mosaic_gpu_count(kernel_code(generic_form(string_bytes(module))), operands, results)


@custom_call("__triton", "triton_kernel_call", "triton_kernel_call_ffi", "__gpu$xla.gpu.ptx")
def gpu_kernel(instruction: Instruction) -> Cost:
    """Not known: what stands in the text is machine code, or a form that nothing here reads."""
    raise UnknownCostOf("is a GPU kernel (Triton or PTX) whose text holds no code that can be read")
