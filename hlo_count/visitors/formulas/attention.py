"""Fused attention of cuDNN and Transformer Engine, over the (query, key) pairs that a mask lets by."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from hlo_count.hlo.instruction import Instruction
from hlo_count.visitors.contractions import contraction_cost, contraction_dtype
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.elementwise import elementwise_cost
from hlo_count.visitors.formulas.reading import (
    dimension,
    ffi_attributes,
    ffi_integer,
    integers,
    json_config,
    missing,
    number,
    operand,
    traffic_without_scratch,
)
from hlo_count.visitors.registry import Estimate, custom_call


def below_diagonal(queries: int, keys: int) -> int:
    """(query, key) pairs with key <= query: n(n + 1)/2 for n of both."""
    both = min(max(queries, 0), keys)
    return both * (both + 1) // 2 + max(queries - keys, 0) * keys


def visible_pairs(queries: int, keys: int, *, causal: bool = False, window: int = 0) -> int:
    """(query, key) pairs that a mask lets by.

    A causal mask lets query i see the keys up to i, counted from the first of both (cuDNN's top-left
    alignment). A sliding window of `window` > 0 keys hides the keys up to i - window.
    """
    seen = below_diagonal(queries, keys) if causal else queries * keys
    return seen - (below_diagonal(queries - window, keys) if window > 0 else 0)


@dataclass(frozen=True, slots=True)
class Attention:
    """Batch times heads, their visible pairs and queries, the sizes of a head, what happens to each score."""

    heads: int
    pairs: int
    queries: int
    key_size: int
    value_size: int
    dtype: str
    bias: bool = False
    dropout: bool = False
    assumed: str = ""
    """What is not known before it runs, and how that counts; "" where all is known."""

    def forward(self) -> Cost:
        """Two products, 2 · pairs · (key size + value size); a softmax in float32.

        For each pair: scale, [add the bias,] compare with the maximum, subtract it, exponential, add to the
        sum. Each element of the output is divided by the sum once (Dao 2023, FlashAttention-2, algorithm
        1).
        """
        scores = self.heads * self.pairs
        cost = contraction_cost(scores * (self.key_size + self.value_size), self.dtype)
        cost += self._each("multiply", "maximum", "subtract", "exponential", "add")
        cost += elementwise_cost("divide", "f32", self.heads * self.queries * self.value_size)
        return self._settled(cost)

    def backward(self) -> Cost:
        """Five products, 2 · pairs · (3 key sizes + 2 value sizes): the scores and four gradients.

        For each pair: scale, [bias,] subtract the logarithm of the sum, exponential; subtract the row's sum
        of gradient · output, multiply by the probability, scale. That sum is a multiply and an add for each
        element of the output (Dao 2023, algorithm 2).
        """
        scores = self.heads * self.pairs
        cost = contraction_cost(scores * (3 * self.key_size + 2 * self.value_size), self.dtype)
        cost += self._each("multiply", "subtract", "exponential", "subtract", "multiply", "multiply")
        outputs = self.heads * self.queries * self.value_size
        cost += elementwise_cost("multiply", "f32", outputs) + elementwise_cost("add", "f32", outputs)
        return self._settled(cost)

    def _each(self, *opcodes: str) -> Cost:
        return Cost.sum(elementwise_cost(opcode, "f32", self.heads * self.pairs) for opcode in opcodes)

    def _settled(self, cost: Cost) -> Cost:
        if self.bias:
            cost += self._each("add")
        if self.dropout:  # a random number, a select, a multiply by 1 / (1 - rate)
            scores = self.heads * self.pairs
            cost += Cost.ops("other_ops", scores, "random", "f32") + self._each("select", "multiply")
        return cost

    def counted(self, instruction: Instruction, cost: Cost) -> Cost:
        """The cost of a call, with the traffic of its operands and results."""
        cost += traffic_without_scratch(instruction)
        return Estimate(cost, self.assumed) if self.assumed else cost


def _assumed(padded: bool, segments: bool = False, paged: bool = False, modified: bool = False) -> str:
    """What the text leaves open, and how it counts."""
    lengths = {"padding": padded, "packed segments": segments, "paged keys": paged}
    unknown = " and ".join(name for name, there in lengths.items() if there)
    parts = [f"has {unknown}, of lengths that only the run knows: counted in full"] if unknown else []
    if modified:
        parts.append("applies a function of its own to the scores, which is not counted")
    return ", and ".join(parts)


# cuDNN

_MASKS = {
    "NO_MASK": (False, False),
    "PADDING": (False, True),
    "CAUSAL": (True, False),
    "PADDING_CAUSAL": (True, True),
    "ALIBI": (False, False),
}
"""Whether a mask is causal, and whether it depends on lengths that are only known when it runs."""


def _cudnn(instruction: Instruction, backward: bool) -> Attention:
    """What `cudnn_fmha_backend_config` and the shapes of q and v say (XLA, CudnnfMHABackendConfig).

    The intermediate tensor is [batch, heads, queries, keys]. Lengths known only at run time (padding masks,
    packed segments, paged keys) count in full, and a function applied to the scores not at all: an
    estimate.
    """
    path = "cudnn_fmha_backend_config"
    config = json_config(instruction, path)
    scores = integers(instruction, json_config(instruction, path, "intermediate_tensor_shape"), "dimensions")
    if len(scores) != 4:
        raise missing(instruction, f"whose scores have {len(scores)} dimensions instead of batch, heads, queries, keys")
    batch, heads, queries, keys = scores
    q, v = operand(instruction, 0), operand(instruction, 2)

    def numbers(name: str, side: str) -> tuple[int, ...]:
        return integers(instruction, json_config(instruction, path, name), side)

    if backward:
        # bmm1_grad_gemm1 is dS · q: the head is the rest of q; bmm2_grad_gemm2 is dO · v, over the head.
        taken = numbers("bmm1_grad_gemm1_dot_dimension_numbers", "rhs_contracting_dimensions")
        taken += numbers("bmm1_grad_gemm1_dot_dimension_numbers", "rhs_batch_dimensions")
        key_size = prod(size for d, size in enumerate(q.dimensions) if d not in taken)
        of_head = numbers("bmm2_grad_gemm2_dot_dimension_numbers", "rhs_contracting_dimensions")
        value_size = prod(dimension(instruction, v, d) for d in of_head)
    else:
        of_head = numbers("bmm1_dot_dimension_numbers", "lhs_contracting_dimensions")
        key_size = prod(dimension(instruction, q, d) for d in of_head)
        taken = numbers("bmm2_dot_dimension_numbers", "rhs_contracting_dimensions")
        taken += numbers("bmm2_dot_dimension_numbers", "rhs_batch_dimensions")
        value_size = prod(size for d, size in enumerate(v.dimensions) if d not in taken)

    mask = str(config.get("mask_type", "NO_MASK"))
    if mask not in _MASKS:
        raise missing(instruction, f"with the mask {mask}, which is not known")
    causal, padded = _MASKS[mask]
    segments = number(instruction, config, "max_seg_per_batch") > 1
    paged = config.get("is_paged_attention") is True
    window = int(number(instruction, config, "sliding_window_length"))
    target = instruction.attributes["custom_call_target"]
    return Attention(
        heads=batch * heads,
        pairs=visible_pairs(queries, keys, causal=causal or config.get("is_causal_mask") is True, window=window),
        queries=queries,
        key_size=key_size,
        value_size=value_size,
        dtype=contraction_dtype(q, v),
        bias="Bias" in target or mask == "ALIBI",
        dropout="Dropout" in target and number(instruction, config, "dropout_rate") > 0,
        assumed=_assumed(padded, segments, paged, bool(instruction.called)),
    )


@custom_call(
    "__cudnn$fmhaSoftmax",
    "__cudnn$fmhaSoftmaxF8",
    "__cudnn$fmhaSoftmaxDropout",
    "__cudnn$fmhaScaleBiasSoftmax",
    "__cudnn$fmhaScaleBiasSoftmaxDropout",
)
def cudnn_attention(instruction: Instruction) -> Cost:
    """Two products over the visible pairs, and the softmax between them: `Attention.forward`."""
    attention = _cudnn(instruction, backward=False)
    return attention.counted(instruction, attention.forward())


@custom_call(
    "__cudnn$fmhaSoftmaxBackward",
    "__cudnn$fmhaSoftmaxBackwardF8",
    "__cudnn$fmhaSoftmaxDropoutBackward",
    "__cudnn$fmhaScaleBiasSoftmaxBackward",
    "__cudnn$fmhaScaleBiasSoftmaxDropoutBackward",
)
def cudnn_attention_backward(instruction: Instruction) -> Cost:
    """Five products over the visible pairs, and the softmax's gradient: `Attention.backward`."""
    attention = _cudnn(instruction, backward=True)
    return attention.counted(instruction, attention.backward())


# Transformer Engine

_ENGINE_MASKS = {0: "none", 1: "none", 2: "causal", 3: "causal", 4: "bottom right", 5: "bottom right"}
"""NVTE_Mask_Type of Transformer Engine, fused_attn.h; the odd ones have padding besides."""


def _engine(instruction: Instruction) -> Attention:
    """What the attributes say; lengths known only at run time count in full, an estimate."""
    attributes = ffi_attributes(instruction)

    def read(name: str) -> int:
        return ffi_integer(instruction, attributes, name)

    queries, keys, mask, left = (
        read("q_max_seqlen"),
        read("kv_max_seqlen"),
        read("mask_type"),
        read("window_size_left"),
    )
    if mask not in _ENGINE_MASKS:
        raise missing(instruction, f"with the mask {mask}, which is not known")
    kind = _ENGINE_MASKS[mask]
    window = left + 1 if left >= 0 else 0
    if kind == "bottom right" and queries != keys:
        if window:
            raise missing(instruction, "with a window along the diagonal of its last query and key")
        pairs = queries * keys - below_diagonal(queries - 1, keys)
    else:
        pairs = visible_pairs(queries, keys, causal=kind != "none", window=window)
    return Attention(
        heads=read("input_batch") * read("attn_heads"),
        pairs=pairs,
        queries=queries,
        key_size=read("qk_head_dim"),
        value_size=read("v_head_dim"),
        dtype=operand(instruction, 0).dtype,
        bias=read("bias_type") != 0,
        dropout=attributes.get("is_training") == "true" and float(attributes.get("dropout_probability", "0")) > 0,
        assumed=_assumed(bool(mask % 2), read("max_segments_per_seq") > 1),
    )


@custom_call("te_fused_attn_forward_ffi")
def engine_attention(instruction: Instruction) -> Cost:
    """As cuDNN's, which it calls."""
    attention = _engine(instruction)
    return attention.counted(instruction, attention.forward())


@custom_call("te_fused_attn_backward_ffi")
def engine_attention_backward(instruction: Instruction) -> Cost:
    """As cuDNN's, which it calls."""
    attention = _engine(instruction)
    return attention.counted(instruction, attention.backward())


def _softmax(kind: str) -> None:
    names = [f"te_scaled_{kind}softmax_{{way}}{suffix}" for suffix in ("", "_ffi")]

    @custom_call(*(name.format(way="forward") for name in names))
    def forward(instruction: Instruction) -> Cost:
        """Of each score: scale, [hide what the mask hides,] compare with the maximum, subtract it, exponential, add to
        the sum, divide by it. A causal mask leaves those on and below the diagonal."""
        hidden = ("select",) if kind == "masked_" else ()
        return _of_scores(
            instruction,
            "multiply",
            *hidden,
            "maximum",
            "subtract",
            "exponential",
            "add",
            "divide",
            causal="triang" in kind,
        )

    @custom_call(*(name.format(way="backward") for name in names))
    def backward(instruction: Instruction) -> Cost:
        """Of each score: gradient · probability and its sum, subtract that · probability, scale."""
        return _of_scores(instruction, "multiply", "add", "multiply", "subtract", "multiply", causal="triang" in kind)


def _of_scores(instruction: Instruction, *opcodes: str, causal: bool) -> Cost:
    """Operations in float32 on the scores [..., queries, keys] that a causal mask leaves, or on all."""
    scores = operand(instruction, 0, rank=2)
    *batch, queries, keys = scores.dimensions
    number = prod(batch) * visible_pairs(queries, keys, causal=causal)
    return Cost.sum(elementwise_cost(opcode, "f32", number) for opcode in opcodes)


for _kind in ("", "masked_", "upper_triang_masked_"):
    _softmax(_kind)
