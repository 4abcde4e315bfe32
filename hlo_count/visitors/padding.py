"""What a convolution would do on the padding: taps that fall outside its input, which published figures count."""

from __future__ import annotations

from math import prod

from hlo_count.hlo.attributes import parse_window, unquote
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.shapes import Shape
from hlo_count.visitors.contractions import convolution_cost
from hlo_count.visitors.windows import valid_pairs

_FORWARD = ("__cudnn$convForward", "__cudnn$convBiasActivationForward", "__cudnn$convForwardGraph")
"""cuDNN's convolutions, whose operands are the input and the kernel."""
CONVOLVING = frozenset(("convolution", "custom-call"))
"""Opcodes of what may be a convolution."""


def flops_on_padding(instruction: Instruction) -> int:
    """FLOP of one run with every tap of every output counted, less those of taps on real input.

    Taps on the holes of a dilated input, as a backward pass has them, stay out: those are no padding. 0 of what is no
    convolution, and of a product that is written as one.
    """
    shapes = _shapes(instruction)
    if shapes is None:
        return 0
    lhs, rhs, result = shapes
    flops = convolution_cost(instruction, lhs, rhs, result).only("flops")
    if not flops or any(key[1] == "matmul" for key in flops.amounts):
        return 0
    lhs_labels, _, rest = instruction.attributes["dim_labels"].partition("_")
    rhs_labels, _, out_labels = rest.partition("->")
    spatial = sorted(label for label in lhs_labels if label.isdigit())
    valid, taken = [], []
    for label, window in zip(spatial, parse_window(instruction.attribute("window"), len(spatial)), strict=True):
        taps, outputs = rhs.dimensions[rhs_labels.index(label)], result.dimensions[out_labels.index(label)]
        pairs, _, _ = valid_pairs(lhs.dimensions[lhs_labels.index(label)], taps, outputs, window)
        valid.append(pairs)
        taken.append(taps * outputs if window.base_dilation == 1 else pairs)
    return flops.flops // prod(valid) * (prod(taken) - prod(valid)) if prod(valid) else 0


def _is_forward(instruction: Instruction) -> bool:
    return unquote(instruction.attribute("custom_call_target") or "") in _FORWARD


def _shapes(instruction: Instruction) -> tuple[Shape, Shape, Shape] | None:
    """Input, kernel and result of a convolution."""
    if instruction.opcode == "convolution":
        result = instruction.shape
    elif _is_forward(instruction) and len(instruction.operands) > 1 and instruction.attribute("dim_labels"):
        result = instruction.shape.leaves[0]
    else:
        return None
    return instruction.operands[0].shape, instruction.operands[1].shape, result
