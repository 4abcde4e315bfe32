"""What XLA counts for a convolution: the positions of the kernel that meet an input element."""

from __future__ import annotations

from math import prod

from hlo_count.hlo import Instruction
from hlo_count.hlo.attributes import WindowDimension, parse_window
from hlo_count.visitors.windows import valid_pairs
from hlo_count.visitors.xla.float32 import int64


def convolution_flops(instruction: Instruction) -> int:
    """2 · (input features / feature groups) · output features · (batch / batch groups) · valid positions.

    The positions of the spatial dimensions are multiplied (`HloCostAnalysis::GetConvolutionFlops`).
    """
    lhs, rhs = instruction.operands[0].shape.dimensions, instruction.operands[1].shape.dimensions
    out = instruction.shape.dimensions
    lhs_labels, _, rest = instruction.attributes["dim_labels"].partition("_")
    rhs_labels, _, out_labels = rest.partition("->")
    positions = [
        valid_positions(
            lhs[lhs_labels.index(str(n))],
            rhs[rhs_labels.index(str(n))],
            out[out_labels.index(str(n))],
            window,
        )
        for n, window in enumerate(parse_window(instruction.attribute("window")))
    ]
    feature_groups = int(instruction.attribute("feature_group_count") or 1)
    batch_groups = int(instruction.attribute("batch_group_count") or 1)
    features = lhs[lhs_labels.index("f")] // feature_groups * out[out_labels.index("f")]
    return int64(2 * features * (lhs[lhs_labels.index("b")] // batch_groups) * prod(positions))


def valid_positions(inputs: int, kernel: int, outputs: int, window: WindowDimension) -> int:
    """Pairs of a kernel and an output index of one dimension that land on an input, no padding or hole."""
    low, stride, holes = window.padding_low, window.stride, window.base_dilation
    one_each = window.window_dilation == 1 and kernel == outputs
    # A batch dimension written as a spatial one; XLA takes its size without looking further.
    if one_each and inputs == outputs == holes and stride == max(1, inputs - 1) and low == window.padding_high == 0:
        return inputs
    return valid_pairs(inputs, kernel, outputs, window)[0]
