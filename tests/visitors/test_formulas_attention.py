"""Fused attention: products over the pairs that a mask lets by, which enumeration confirms."""

from __future__ import annotations

import pytest
from fixture_files import text
from hypothesis import given
from hypothesis import strategies as st
from visitors.formula_cases import cost, counted, parts

from hlo_count.hlo.parser import parse
from hlo_count.visitors.formulas.attention import visible_pairs
from hlo_count.visitors.walk import Walk

B, H, T, S, D, V = 2, 3, 64, 48, 16, 8
"""Batch, heads, queries, keys, sizes of a key and of a value."""
LENGTHS = st.integers(1, 30)


@given(LENGTHS, LENGTHS, st.booleans(), st.integers(0, 40))
def test_visible_pairs_are_those_of_the_mask(queries, keys, causal, window):
    def seen(i: int, j: int) -> bool:
        return (not causal or j <= i) and (window == 0 or j > i - window)

    pairs = sum(seen(i, j) for i in range(queries) for j in range(keys))
    assert visible_pairs(queries, keys, causal=causal, window=window) == pairs


def test_a_causal_mask_over_a_square():
    assert visible_pairs(512, 512, causal=True) == 512 * 513 // 2
    assert visible_pairs(512, 512, causal=True, window=1) == 512
    # The first 128 queries see up to themselves, all others 128 keys.
    assert visible_pairs(512, 512, causal=True, window=128) == 128 * 129 // 2 + (512 - 128) * 128


def numbers(lhs_contracting, rhs_contracting, lhs_batch, rhs_batch):
    names = ("lhs_contracting", "rhs_contracting", "lhs_batch", "rhs_batch")
    sides = (lhs_contracting, rhs_contracting, lhs_batch, rhs_batch)
    return {f"{name}_dimensions": [str(d) for d in side] for name, side in zip(names, sides, strict=True)}


def config(backward=False, btnh=True, **fields):
    """As JAX writes it: q, k and v by batch, time and head, or by batch, head and time."""
    batch, time = ([0, 2], [1]) if btnh else ([0, 1], [2])
    products = {
        "bmm1_grad_gemm1": numbers([2], time, [0, 1], batch),
        "bmm1_grad_gemm2": numbers([3], time, [0, 1], batch),
        "bmm2_grad_gemm1": numbers([2], time, [0, 1], batch),
        "bmm2_grad_gemm2": numbers([3], [3], batch, batch),
    }
    if not backward:
        products = {"bmm1": numbers([3], [3], batch, batch), "bmm2": numbers([3], time, [0, 1], batch)}
    scores = {"element_type": "BF16", "dimensions": [str(n) for n in (B, H, T, S)]}
    return {
        "cudnn_fmha_backend_config": {
            "fmha_scale": 0.25,
            "intermediate_tensor_shape": scores,
            "mask_type": "NO_MASK",
            "dropout_rate": 0.0,
            "sliding_window_length": 0,
            "max_seg_per_batch": 1,
            **{f"{name}_dot_dimension_numbers": value for name, value in products.items()},
            **fields,
        }
    }


def shape(time, size, btnh=True):
    return f"bf16[{B},{time},{H},{size}]" if btnh else f"bf16[{B},{H},{time},{size}]"


def forward(target="__cudnn$fmhaSoftmax", btnh=True, **fields):
    operands = [shape(T, D, btnh), shape(S, D, btnh), shape(S, V, btnh)]
    return cost(target, operands, f"({shape(T, V, btnh)}, u8[4096])", config(btnh=btnh, **fields))


CAUSAL = sum(min(i + 1, S) for i in range(T))
WINDOWED = sum(min(i, S - 1) - max(i - 9, 0) + 1 for i in range(T) if i - 9 < S)


@pytest.mark.parametrize("btnh", [True, False])
@pytest.mark.parametrize(
    ("fields", "pairs", "status"),
    [
        ({}, T * S, "exact"),
        ({"mask_type": "CAUSAL"}, CAUSAL, "exact"),
        ({"is_causal_mask": True}, CAUSAL, "exact"),
        ({"mask_type": "CAUSAL", "sliding_window_length": 10}, WINDOWED, "exact"),
        ({"mask_type": "PADDING"}, T * S, "estimate"),
        ({"mask_type": "PADDING_CAUSAL"}, CAUSAL, "estimate"),
        ({"max_seg_per_batch": 4}, T * S, "estimate"),
    ],
    ids=str,
)
def test_forward_is_two_products_over_the_visible_pairs(btnh, fields, pairs, status):
    found = forward(btnh=btnh, **fields)
    scores = B * H * pairs
    assert parts(found) == {
        "matmul.flops": 2 * scores * D + 2 * scores * V,
        "multiply.flops": scores,  # the scale
        "minmax.flops": scores,
        "add.flops": 2 * scores,  # less the maximum, and the sum
        "transcendental.transcendentals": scores,
        "divide.flops": B * H * T * V,
    }
    assert found.status == status


def test_a_bias_and_dropout_are_operations_a_score():
    plain, scores = parts(forward()), B * H * T * S
    biased = parts(forward("__cudnn$fmhaScaleBiasSoftmax"))
    assert biased == {**plain, "add.flops": 3 * scores}
    dropped = parts(forward("__cudnn$fmhaSoftmaxDropout", dropout_rate=0.5))
    more = {"random.other_ops": scores, "select.other_ops": scores, "multiply.flops": 2 * scores}
    assert dropped == {**plain, **more}


def test_backward_is_five_products_over_the_visible_pairs():
    q, k, v, o = shape(T, D), shape(S, D), shape(S, V), shape(T, V)
    operands = [q, k, v, f"f32[{B},{H},{T}]", o, o]
    found = cost(
        "__cudnn$fmhaSoftmaxBackward",
        operands,
        f"({q}, {k}, {v}, u8[4096])",
        config(backward=True, mask_type="CAUSAL"),
    )
    scores = B * H * CAUSAL
    outputs = B * H * T * V
    assert parts(found) == {
        # q·kᵀ, dS·k and dSᵀ·q along the key; dO·vᵀ and Pᵀ·dO along the value
        "matmul.flops": 3 * 2 * scores * D + 2 * 2 * scores * V,
        "multiply.flops": 3 * scores + outputs,
        "add.flops": 2 * scores + outputs,
        "transcendental.transcendentals": scores,
    }


def test_scratch_of_an_attention_is_no_traffic():
    found = forward()
    assert found.bytes_read == 2 * B * H * (T * D + S * D + S * V)
    assert found.bytes_written == 2 * B * H * T * V


def test_float8_is_multiplied_as_float8():
    operands = [f"f8e4m3fn[{B},{T},{H},{D}]", f"f8e4m3fn[{B},{S},{H},{D}]", f"f8e4m3fn[{B},{S},{H},{D}]"]
    found = cost("__cudnn$fmhaSoftmaxF8", operands, f"(f8e4m3fn[{B},{T},{H},{D}], f32[], f32[], u8[0])", config())
    assert {key[2] for key in found.amounts if key[1] == "matmul"} == {"f8e4m3fn"}


def test_a_causal_attention_and_its_gradient_on_h100():
    batch, time, heads, head = 2, 512, 8, 64
    product = 2 * batch * heads * head * (time * (time + 1) // 2)
    totals = [Walk(parse(text("h100", name)), "gpu").total for name in ("attention_cudnn", "attention_cudnn_grad")]
    assert [parts(total)["matmul.flops"] for total in totals] == [2 * product, (2 + 5) * product]
    assert [total.status for total in totals] == ["exact", "exact"]


# Transformer Engine


def engine(**fields):
    values = {
        "attn_heads": H,
        "bias_type": 0,
        "dropout_probability": 0.0,
        "input_batch": B,
        "is_training": True,
        "kv_max_seqlen": S,
        "mask_type": 0,
        "max_segments_per_seq": 1,
        "q_max_seqlen": T,
        "qk_head_dim": D,
        "v_head_dim": V,
        "window_size_left": -1,
        **fields,
    }
    kinds = {bool: "{}", int: "{} : i64", float: "{:e} : f64"}
    written = [
        f"{name} = {kinds[type(value)].format(str(value).lower() if isinstance(value, bool) else value)}"
        for name, value in values.items()
    ]
    return "{" + ", ".join(written) + "}"


@pytest.mark.parametrize(
    ("fields", "pairs", "status"),
    [
        ({}, T * S, "exact"),
        ({"mask_type": 2}, CAUSAL, "exact"),
        ({"mask_type": 3}, CAUSAL, "estimate"),  # with padding
        ({"mask_type": 2, "window_size_left": 9}, WINDOWED, "exact"),
        ({"mask_type": 4}, sum(max(min(i + 1 + S - T, S), 0) for i in range(T)), "exact"),  # bottom right
    ],
    ids=str,
)
def test_transformer_engine_says_all_in_its_attributes(fields, pairs, status):
    operands = [shape(T, D), shape(S, D), shape(S, V)]
    ahead = cost("te_fused_attn_forward_ffi", operands, f"({shape(T, V)}, u8[48])", engine(**fields))
    back = cost("te_fused_attn_backward_ffi", operands, f"({shape(T, D)}, u8[48])", engine(**fields))
    assert parts(ahead)["matmul.flops"] == 2 * B * H * pairs * (D + V)
    assert parts(back)["matmul.flops"] == 2 * B * H * pairs * (3 * D + 2 * V)
    assert ahead.status == back.status == status


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"mask_type": "PADDING"}, "has padding, of lengths that only the run knows: counted in full"),
        ({"max_seg_per_batch": 4}, "has packed segments, of lengths that only the run knows: counted in full"),
        ({"mask_type": "PADDING", "is_paged_attention": True}, "has padding and paged keys, of lengths"),
    ],
)
def test_an_estimate_says_what_is_not_known_of_a_mask(fields, words):
    operands = [shape(T, D), shape(S, D), shape(S, V)]
    _, (unknown,) = counted("__cudnn$fmhaSoftmax", operands, f"({shape(T, V)}, u8[4096])", config(**fields))
    assert (unknown.status, words in unknown.reason) == ("estimate", True)


def test_an_engine_s_estimate_says_what_is_not_known_of_a_mask():
    operands = [shape(T, D), shape(S, D), shape(S, V)]
    _, (unknown,) = counted("te_fused_attn_forward_ffi", operands, f"({shape(T, V)}, u8[48])", engine(mask_type=3))
    assert "has padding, of lengths that only the run knows: counted in full" in unknown.reason


@pytest.mark.parametrize("suffix", ["", "_ffi"])
@pytest.mark.parametrize(
    ("kind", "pairs", "other"),
    [("", T * S, 0), ("masked_", T * S, T * S), ("upper_triang_masked_", T * (T + 1) // 2, 0)],
)
def test_a_softmax_of_transformer_engine_is_over_what_its_mask_leaves(kind, pairs, other, suffix):
    keys = T if "triang" in kind else S
    scores = f"bf16[{B},{H},{T},{keys}]"
    masks = [f"u8[{B},1,{T},{keys}]"] if kind == "masked_" else []
    ahead = cost(f"te_scaled_{kind}softmax_forward{suffix}", [scores, *masks], scores, "{scale_factor = 0.2 : f64}")
    assert (ahead.flops, ahead.transcendentals, ahead.other_ops) == tuple(B * H * n for n in (5 * pairs, pairs, other))
    back = cost(f"te_scaled_{kind}softmax_backward{suffix}", [scores] * 2, scores, "{scale_factor = 0.2 : f64}")
    assert (back.flops, back.transcendentals) == (B * H * 5 * pairs, 0)
    assert back.bytes == 3 * 2 * B * H * T * keys
