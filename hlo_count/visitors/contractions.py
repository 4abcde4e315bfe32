"""Rules for dots and convolutions: two operations for each pair of elements that meets."""

from __future__ import annotations

from math import prod

from hlo_count.hlo.attributes import parse_window
from hlo_count.hlo.dtypes import DTYPES
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.shapes import Shape
from hlo_count.visitors.cost import FLOP_PER_FMA, Cost
from hlo_count.visitors.registry import Body, rule
from hlo_count.visitors.windows import valid_pairs

_ALGORITHM_DTYPES = {
    "dot_any_f8_any_f8_f32": "f8e4m3fn",
    "dot_any_f8_any_f8_any": "f8e4m3fn",
    "dot_any_f8_any_f8_f32_fast_accum": "f8e4m3fn",
    "dot_any_f8_any_f8_any_fast_accum": "f8e4m3fn",
    "dot_f16_f16_f16": "f16",
    "dot_f16_f16_f32": "f16",
    "dot_bf16_bf16_bf16": "bf16",
    "dot_bf16_bf16_f32": "bf16",
    "dot_bf16_bf16_f32_x3": "bf16",
    "dot_bf16_bf16_f32_x6": "bf16",
    "dot_bf16_bf16_f32_x9": "bf16",
    "dot_tf32_tf32_f32": "tf32",
    "dot_tf32_tf32_f32_x3": "tf32",
    "dot_f32_f32_f32": "f32",
    "dot_f64_f64_f64": "f64",
}
"""`algorithm=` of a dot: the type in which the matrix unit multiplies (xla_data.proto, PrecisionConfig.Algorithm)."""


def contraction_dtype(lhs: Shape, rhs: Shape, algorithm: str | None = None) -> str:
    """The type a contraction runs in: the wider operand's, unless `algorithm=` names another."""
    if algorithm in _ALGORITHM_DTYPES:
        return _ALGORITHM_DTYPES[algorithm]
    return lhs.dtype if lhs.element_type.bits >= rhs.element_type.bits else rhs.dtype


def contraction_cost(pairs: int, dtype: str, op_class: str = "matmul") -> Cost:
    """`pairs` multiply-adds of `dtype` on the matrix unit: 2 each, 8 for complex numbers; int_ops for integers."""
    kind = DTYPES.get(dtype)
    each = FLOP_PER_FMA * (4 if kind is not None and kind.is_complex else 1)
    counter = "int_ops" if kind is not None and (kind.is_integer or kind.kind == "pred") else "flops"
    return Cost.ops(counter, each * pairs, op_class, dtype, "matrix")


@rule("dot", "scaled-dot")
def dot(instruction: Instruction, body: Body) -> Cost:
    """2 · N · prod(contracting dimensions of lhs)."""
    lhs, rhs = instruction.operands[0].shape, instruction.operands[1].shape
    contracted = prod(lhs.dimensions[d] for d in instruction.dims("lhs_contracting_dims"))
    dtype = contraction_dtype(lhs, rhs, instruction.attribute("algorithm"))
    return contraction_cost(instruction.shape.size * contracted, dtype)


@rule("ragged-dot")
def ragged_dot(instruction: Instruction, body: Body) -> Cost:
    """2 · m · k · n times the batch dimensions: each row of lhs meets one group.

    The three kinds differ in the dimension that is ragged; in each, an element of lhs meets every column of rhs that
    is neither contracted, batch nor group: 2 · elements of lhs · those columns.
    """
    lhs, rhs = instruction.operands[0].shape, instruction.operands[1].shape
    shared = {
        *instruction.dims("rhs_contracting_dims"),
        *instruction.dims("rhs_batch_dims"),
        *instruction.dims("rhs_group_dims"),
    }
    columns = prod(n for d, n in enumerate(rhs.dimensions) if d not in shared)
    return contraction_cost(lhs.size * columns, contraction_dtype(lhs, rhs, instruction.attribute("algorithm")))


@rule("convolution")
def convolution(instruction: Instruction, body: Body) -> Cost:
    """2 · kernel's in channels · out channels · (batch / batch groups) · prod over dimensions of valid pairs.

    A pair of kernel tap and output is valid when it lands on a real input element. Class `matmul` when every spatial
    dimension gives each output exactly one valid tap (TPU prints every dot this way), or has a single output, which
    contracts the dimension whole, as a dot over two dimensions is printed.
    """
    lhs, rhs = instruction.operands[:2]
    return convolution_cost(instruction, lhs.shape, rhs.shape, instruction.shape)


def convolution_cost(instruction: Instruction, lhs: Shape, rhs: Shape, result: Shape) -> Cost:
    """That of a convolution of `lhs` with the kernel `rhs`, whose window and `dim_labels` the instruction has.

    A dimension labelled `?` holds a few channels side by side (cuDNN's vectorized layouts).
    """
    labels = instruction.attributes["dim_labels"]
    lhs_labels, _, rest = labels.partition("_")
    rhs_labels, _, out_labels = rest.partition("->")
    spatial = sorted(label for label in lhs_labels if label.isdigit())
    windows = parse_window(instruction.attribute("window"), len(spatial))
    batch = lhs.dimensions[lhs_labels.index("b")] // int(instruction.attribute("batch_group_count") or 1)
    pairs = rhs.dimensions[rhs_labels.index("i")] * rhs.dimensions[rhs_labels.index("o")] * batch
    pairs *= prod(size for size, label in zip(rhs.dimensions, rhs_labels, strict=True) if label == "?")
    is_matmul = True
    for label, window in zip(spatial, windows, strict=True):
        size = lhs.dimensions[lhs_labels.index(label)]
        out = result.dimensions[out_labels.index(label)]
        valid, one_each, _ = valid_pairs(size, rhs.dimensions[rhs_labels.index(label)], out, window)
        pairs *= valid
        contracted_whole = out == 1 and valid == size
        is_matmul = is_matmul and (one_each or contracted_whole)
    dtype = contraction_dtype(lhs, rhs, instruction.attribute("algorithm"))
    return contraction_cost(pairs, dtype, "matmul" if is_matmul else "convolution")
