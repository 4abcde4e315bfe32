"""oneDNN on CPU: products, convolutions, softmax and layer normalization with what is fused behind them."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from hlo_count.hlo.attributes import WindowDimension
from hlo_count.hlo.instruction import Instruction
from hlo_count.visitors.contractions import contraction_cost, contraction_dtype
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.formulas.cublas import GELU
from hlo_count.visitors.formulas.reading import (
    dimension,
    integers,
    json_config,
    missing,
    operand,
    pointwise,
    result,
    traffic_without_scratch,
)
from hlo_count.visitors.registry import custom_call
from hlo_count.visitors.windows import valid_pairs

_FUSED: dict[str, tuple[str, ...]] = {
    "BIAS": ("add",),
    "RELU": ("maximum",),
    "TANH": ("tanh",),
    "GELU_ERF": ("multiply", "erf", "add", "multiply", "multiply"),
    "GELU_TANH": GELU,
    "BINARY_ADD": ("add",),
    "SUM": ("add",),
    "LINEAR": ("multiply", "add"),
    "ELU": ("exponential-minus-one", "multiply", "select"),
    "RELU6": ("clamp",),
    "SIGMOID": ("logistic",),
    "SWISH": ("logistic", "multiply"),
}
"""What each fused operation does to an element (XLA, onednn_config.proto, OneDnnFusionConfig.FusionKind)."""


def _fused(instruction: Instruction, config: Mapping[str, Any]) -> Cost:
    fusions = config.get("fusions", {})
    named = fusions.get("ops", []) if isinstance(fusions, dict) else []
    older = config.get("fused_ops", [])  # XLA of 2024
    kinds = named or (older if isinstance(older, list) else [])
    unknown = [str(kind) for kind in kinds if kind not in _FUSED]
    if unknown:
        raise missing(instruction, f"with {', '.join(unknown)} fused, which is not known")
    return pointwise(result(instruction), *(opcode for kind in kinds for opcode in _FUSED[kind]))


@custom_call("__onednn$matmul")
def matmul(instruction: Instruction) -> Cost:
    """2 · N · k, k the last dimension of lhs, or the one before with `transpose_a`; then what is fused."""
    config = json_config(instruction, "onednn_matmul_config")
    lhs, rhs, product = operand(instruction, 0, rank=1), operand(instruction, 1, rank=1), result(instruction)
    transposed = config.get("transpose_a") is True and lhs.rank >= 2
    contracted = lhs.dimensions[-2 if transposed else -1]
    cost = contraction_cost(product.size * contracted, contraction_dtype(lhs, rhs))
    return cost + _fused(instruction, config) + traffic_without_scratch(instruction)


@custom_call("__onednn$convolution")
def convolution(instruction: Instruction) -> Cost:
    """2 · kernel's in channels · out channels · batch · valid pairs; then what is fused.

    Class `matmul` where each output has one valid tap. Older XLA adds 1 to every number of the config,
    because protocol buffers leave out what is 0 (XLA, onednn_contraction_rewriter.cc).
    """
    path = "onednn_conv_config"
    config = json_config(instruction, path)
    lhs, rhs, output = operand(instruction, 0), operand(instruction, 1), result(instruction)
    data = json_config(instruction, path, "input", "data")
    kernel = json_config(instruction, path, "kernel", "filter")
    window = json_config(instruction, path, "window")
    out = json_config(instruction, path, "output", "data")

    def one(layout: Mapping[str, Any], name: str) -> int:
        return integers(instruction, {name: [layout.get(name, 0)]}, name)[0]

    places = [integers(instruction, layout, "spatial_dims") for layout in (data, kernel, out)]
    shift = min(one(data, "batch_dim"), one(data, "feature_dim"), *places[0])
    pairs = dimension(instruction, lhs, one(data, "batch_dim") - shift)
    pairs *= dimension(instruction, rhs, one(kernel, "input_feature_dim") - shift)
    pairs *= dimension(instruction, rhs, one(kernel, "output_feature_dim") - shift)
    names = ("strides", "pad_left", "pad_right", "window_dilations")
    fields = [integers(instruction, window, name) for name in names]
    if len({len(each) for each in (*fields, *places)}) != 1:
        raise missing(instruction, "whose window and layouts have different numbers of dimensions")
    if any(value <= shift for values in (fields[0], fields[3]) for value in values):
        raise missing(instruction, "whose window has a stride or dilation of 0")
    is_matmul = True
    for d, (stride, low, high, dilation) in enumerate(zip(*fields, strict=True)):
        size, taps, outputs = (
            dimension(instruction, shape, place[d] - shift)
            for shape, place in zip((lhs, rhs, output), places, strict=True)
        )
        one_window = WindowDimension(taps, stride - shift, low - shift, high - shift, 1, dilation - shift)
        valid, one_each, _ = valid_pairs(size, taps, outputs, one_window)
        pairs *= valid
        is_matmul = is_matmul and one_each
    cost = contraction_cost(pairs, contraction_dtype(lhs, rhs), "matmul" if is_matmul else "convolution")
    return cost + _fused(instruction, config) + traffic_without_scratch(instruction)


@custom_call("__onednn$softmax")
def softmax(instruction: Instruction) -> Cost:
    """For each element: compare with the maximum, subtract it, exponential, add to the sum, divide by it."""
    return pointwise(operand(instruction, 0), "maximum", "subtract", "exponential", "add", "divide")


@custom_call("__onednn$layernorm")
def layernorm(instruction: Instruction) -> Cost:
    """7 an element (sums of the mean and of the squares, centre, normalize, scale, shift), an rsqrt a row.

    By its definition (Ba, Kiros and Hinton 2016), over the last dimension.
    """
    x = operand(instruction, 0, rank=1)
    rows = prod(x.dimensions[:-1])
    cost = Cost.ops("flops", 7 * x.size, "norm", x.dtype)
    return cost + Cost.ops("transcendentals", rows, "norm", x.dtype, "special")
