"""cuBLAS and cuBLASLt: matrix products with what is fused behind them, grouped and block-scaled ones."""

from __future__ import annotations

from math import prod

from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.shapes import Shape
from hlo_count.visitors.contractions import contraction_cost, contraction_dtype
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.formulas.reading import (
    dimension,
    integers,
    json_config,
    missing,
    number,
    operand,
    pointwise,
    result,
    traffic_without_scratch,
)
from hlo_count.visitors.registry import custom_call

GELU = ("multiply",) * 6 + ("add",) * 2 + ("tanh",)
"""x/2 · (1 + tanh(c · (x + 0.044715 · x³))), the approximation of cuBLASLt (Hendrycks and Gimpel 2016)."""
_EPILOGUES: dict[str, tuple[str, ...]] = {
    "DEFAULT": (),
    "BIAS": ("add",),
    "RELU": ("maximum",),
    "BIAS_RELU": ("add", "maximum"),
    "GELU": GELU,
    "GELU_AUX": GELU,
    "BIAS_GELU": ("add", *GELU),
    "BIAS_GELU_AUX": ("add", *GELU),
    "SILU": ("logistic", "multiply"),
    "BIAS_SILU": ("add", "logistic", "multiply"),
}
"""What each epilogue does to an element (XLA, backend_configs.proto, GemmBackendConfig.Epilogue)."""


@custom_call("__cublas$gemm", "__cublas$lt$matmul", "__cublas$lt$matmul$f8", "__cublas$lt$matmul$mx")
def gemm(instruction: Instruction) -> Cost:
    """2 · N · prod(contracting dimensions of lhs), then the epilogue for each of the N results.

    D = epilogue(alpha · A·B + beta · C): alpha other than 1, beta other than 0 (an add) and 1 (a multiply
    as well), bias, activation and the maximum that `damax_output` asks for are an operation an element
    each. The scales of 8-bit operands are one factor, folded into alpha (cuBLAS documentation,
    cublasLtMatmul).
    """
    wrapper = () if _is_bare(instruction) else ("gemm_backend_config",)
    config = json_config(instruction, *wrapper)
    numbers = json_config(instruction, *wrapper, "dot_dimension_numbers")
    lhs, rhs, product = operand(instruction, 0), operand(instruction, 1), result(instruction)
    contracted = prod(
        dimension(instruction, lhs, d) for d in integers(instruction, numbers, "lhs_contracting_dimensions")
    )
    precision = config.get("precision_config")
    algorithm = str(precision.get("algorithm", "")) if isinstance(precision, dict) else ""
    dtype = contraction_dtype(lhs, rhs, algorithm.removeprefix("ALG_").lower())
    cost = contraction_cost(product.size * contracted, dtype)

    scaled = lhs.element_type.is_float and lhs.element_type.bits <= 8
    alpha = (
        number(instruction, config, "alpha_real", number(instruction, config, "alpha", 1)),
        number(instruction, config, "alpha_imag"),
    )
    beta = number(instruction, config, "beta")
    epilogue = str(config.get("epilogue", "DEFAULT"))
    if epilogue not in _EPILOGUES:
        raise missing(instruction, f"with the epilogue {epilogue}, which is not known")
    behind = [*_EPILOGUES[epilogue]]
    behind += ["multiply"] if alpha != (1, 0) or scaled else []
    behind += ["add"] if beta else []
    behind += ["multiply"] if beta not in (0, 1) else []
    behind += ["maximum"] if config.get("damax_output") is True else []
    return cost + pointwise(product, *behind) + traffic_without_scratch(instruction)


def _is_bare(instruction: Instruction) -> bool:
    """Whether the config is that of 2019 to 2023, which has no `gemm_backend_config` around it; it says `alpha` first,
    then `alpha_real`."""
    return "dot_dimension_numbers" in (instruction.backend_config or {})


@custom_call("__cublas$lt$groupedMatmul")
def grouped_gemm(instruction: Instruction) -> Cost:
    """2 · elements of lhs · columns of rhs: each row meets one group, as in a ragged-dot.

    The columns are the dimensions of rhs that are neither contracted, batch nor group.
    """
    path = ("grouped_gemm_backend_config", "ragged_dot_dimension_numbers")
    ragged = json_config(instruction, *path)
    numbers = json_config(instruction, *path, "dot_dimension_numbers")
    lhs, rhs = operand(instruction, 0), operand(instruction, 1)
    shared = {
        *integers(instruction, numbers, "rhs_contracting_dimensions"),
        *integers(instruction, numbers, "rhs_batch_dimensions"),
        *integers(instruction, ragged, "rhs_group_dimensions"),
    }
    columns = prod(size for d, size in enumerate(rhs.dimensions) if d not in shared)
    return contraction_cost(lhs.size * columns, contraction_dtype(lhs, rhs)) + traffic_without_scratch(instruction)


@custom_call("__cudnn$blockScaledDot", "__op$block_scaled_dot")
def block_scaled_dot(instruction: Instruction) -> Cost:
    """2 · N · k of [batch,] m × k by [batch,] n × k; tensor cores apply the scales (JAX, scaled_matmul)."""
    lhs, rhs = operand(instruction, 0, rank=2), operand(instruction, 1, rank=2)
    product: Shape = result(instruction)
    pairs = product.size * lhs.dimensions[-1]
    return contraction_cost(pairs, contraction_dtype(lhs, rhs)) + traffic_without_scratch(instruction)
