"""cuDNN: convolutions in all directions with what is fused behind them, and normalization."""

from __future__ import annotations

import re
from collections.abc import Callable

from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.shapes import Shape
from hlo_count.visitors.contractions import convolution_cost
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.formulas.reading import (
    json_config,
    missing,
    number,
    operand,
    pointwise,
    result,
    target,
    traffic_without_scratch,
)
from hlo_count.visitors.registry import custom_call

Roles = tuple[Shape, Shape, Shape]
"""Input, filter and output of the forward convolution, whichever of them is computed."""

_ACTIVATIONS: dict[str, tuple[str, ...]] = {
    "kNone": (),
    "kSigmoid": ("logistic",),
    "kRelu": ("maximum",),
    "kRelu6": ("clamp",),
    "kReluX": ("clamp",),
    "kTanh": ("tanh",),
    "kBandPass": ("clamp",),
    "kElu": ("exponential-minus-one", "multiply", "select"),
    "kLeakyRelu": ("multiply", "maximum"),
    "kGeluExact": ("multiply", "erf", "add", "multiply", "multiply"),
}
"""What an activation does to an element, in the order of the enum (XLA, dnn.proto, ActivationMode)."""
_GRAPH_OPS = {
    "scale": "multiply",
    "invscale": "divide",
    "bias": "add",
    "add": "add",
    "relu": "maximum",
    "amax": "maximum",
}
"""Pointwise nodes of a convolution's graph (XLA, cudnn_fused_conv_rewriter.cc)."""
_GRAPH_NODE = re.compile(r"\[\w+\](\w+)\(")


def _convolution(instruction: Instruction, roles: Roles) -> Cost:
    """2 · kernel's in channels · out channels · batch · valid pairs of the forward convolution."""
    labels = instruction.attribute("dim_labels")
    if labels is None:
        raise missing(instruction, "without dim_labels")
    try:
        return convolution_cost(instruction, *roles)
    except (IndexError, ValueError) as problem:
        raise missing(instruction, f"whose dim_labels={labels} do not fit its operands ({problem})") from None


def _forward(instruction: Instruction) -> Roles:
    return operand(instruction, 0), operand(instruction, 1), result(instruction)


def _backward_input(instruction: Instruction) -> Roles:
    return result(instruction), operand(instruction, 1), operand(instruction, 0)


def _backward_filter(instruction: Instruction) -> Roles:
    return operand(instruction, 0), result(instruction), operand(instruction, 1)


def _register(target: str, roles: Callable[[Instruction], Roles]) -> None:
    @custom_call(target)
    def convolution(instruction: Instruction) -> Cost:
        """The pairs of the forward convolution: a gradient multiplies each of them once more.

        `window` and `dim_labels` are the forward convolution's in all three directions (XLA, cublas_cudnn.h).
        `conv_result_scale` other than 1 is a multiply for each result.
        """
        cost = _convolution(instruction, roles(instruction)) + traffic_without_scratch(instruction)
        return cost + _scale(instruction)


def _scale(instruction: Instruction) -> Cost:
    if instruction.backend_config is None:
        return Cost()
    config = instruction.backend_config.get("cudnn_conv_backend_config", {})
    scaled = isinstance(config, dict) and number(instruction, config, "conv_result_scale", 1) not in (0, 1)
    return pointwise(result(instruction), "multiply") if scaled else Cost()


_register("__cudnn$convForward", _forward)
_register("__cudnn$convBackwardInput", _backward_input)
_register("__cudnn$convBackwardFilter", _backward_filter)


@custom_call("__cudnn$convBiasActivationForward")
def fused_convolution(instruction: Instruction) -> Cost:
    """activation(scale · convolution + side scale · side input + bias), each part an operation an element.

    Operands are input, filter, bias and, where there is one, the side input (XLA, GpuConvParams).
    """
    config = json_config(instruction, "cudnn_conv_backend_config")
    activation = str(config.get("activation_mode", "kNone"))
    if activation.isdigit() and int(activation) < len(_ACTIVATIONS):  # an enum's number, as older texts have it
        activation = list(_ACTIVATIONS)[int(activation)]
    if activation not in _ACTIVATIONS:
        raise missing(instruction, f"with the activation {activation}, which is not known")
    behind = ["add", *_ACTIVATIONS[activation]]
    side_scale = number(instruction, config, "side_input_scale")
    if len(instruction.operands) > 3 and side_scale:
        behind += ["add"] if side_scale == 1 else ["multiply", "add"]
    cost = _convolution(instruction, _forward(instruction)) + _scale(instruction)
    return cost + pointwise(result(instruction), *behind) + traffic_without_scratch(instruction)


@custom_call("__cudnn$convForwardGraph")
def convolution_graph(instruction: Instruction) -> Cost:
    """The convolution, and for each element of the result what the nodes of the graph behind it do."""
    graph = json_config(instruction, "cudnn_conv_backend_config").get("serialized_graph", "")
    nodes = [node for node in _GRAPH_NODE.findall(str(graph)) if node != "conv"]
    unknown = [node for node in nodes if node not in _GRAPH_OPS]
    if unknown:
        raise missing(instruction, f"whose graph has {', '.join(unknown)}, which is not known")
    cost = _convolution(instruction, _forward(instruction)) + traffic_without_scratch(instruction)
    return cost + pointwise(result(instruction), *(_GRAPH_OPS[node] for node in nodes))


@custom_call("__cudnn$convReorderFilter", "__cudnn$convReorderFilterAndBias")
def reorder(instruction: Instruction) -> Cost:
    """Bytes only: int8 filters put in the order that the tensor cores want."""
    return Cost()


_NORM = {"LAYER_FWD_INFER": 7, "LAYER_FWD_TRAIN": 7, "LAYER_BWD": 9}
"""Operations an element. Forward: the sums of the mean and of the squares (3 with the square), centre,
normalize, scale, bias. Backward: centre, normalize, gradients of scale (2), bias and input (4), as for
batch-norm-grad."""


@custom_call("__cudnn$norm")
def norm(instruction: Instruction) -> Cost:
    """By its definition (Ba, Kiros and Hinton 2016): a few operations an element, an rsqrt a row."""
    kind = json_config(instruction, "cudnn_norm_backend_config").get("kind", "LAYER_FWD_INFER")
    if kind not in _NORM:
        raise missing(instruction, f"of the kind {kind}, which is not known")
    x, scale = operand(instruction, 0), operand(instruction, 1)
    cost = Cost.ops("flops", _NORM[kind] * x.size, "norm", x.dtype)
    if kind != "LAYER_BWD":  # the backward pass is given the rsqrt of the forward one
        cost += Cost.ops("transcendentals", x.size // max(scale.size, 1), "norm", x.dtype, "special")
    return cost + traffic_without_scratch(instruction)


_BATCH_NORM = {"ForwardTraining": 7, "ForwardInference": 4, "Backward": 9}
"""Operations an element, as of the opcodes that they stand for."""


@custom_call(*(f"__cudnn$batchNormalization{kind}" for kind in _BATCH_NORM))
def batch_norm(instruction: Instruction) -> Cost:
    """As the opcodes batch-norm-training, -inference and -grad, which XLA handed to cuDNN until 2023: operands are the
    input, scale, and what is of each feature; the last two are epsilon and the feature's index."""
    x, scale = operand(instruction, 0), operand(instruction, 1)
    kind = target(instruction).removeprefix("__cudnn$batchNormalization")
    of_each_feature = 1 if kind == "ForwardInference" else 3  # variance + epsilon; in training the means' divisions
    cost = Cost.ops("flops", _BATCH_NORM[kind] * x.size + of_each_feature * scale.size, "norm", x.dtype)
    cost += Cost.ops("transcendentals", scale.size, "norm", x.dtype, "special")
    return cost + traffic_without_scratch(instruction)
