"""What XLA cannot compile without a GPU to try things on is compiled with another option, and the report says so."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import pytest
from environment import compiled_for

import hlo_count as hc
from hlo_count.lowering.fallbacks import FALLBACKS, compile_with_fallbacks

BATCH, TIME, HEADS, HEAD, WIDTH = 8, 127, 4, 64, 256
TOKENS = BATCH * TIME
DTYPES = {"bf16": jnp.bfloat16, "f32": jnp.float32}


def flops(dtype):
    """Query, key, value and output; q·kᵀ and the weighted sum of v, whose rows and columns XLA pads to eights in bf16."""
    time = -(-TIME // 8) * 8 if dtype == "bf16" else TIME
    return 2 * TOKENS * 4 * WIDTH * WIDTH + 2 * (2 * BATCH * HEADS * time * time * HEAD)


def attention(x, qkv, out):
    x = x[:, :-1]
    q, k, v = jnp.einsum("btw,wchd->cbthd", x, qkv)
    return jnp.einsum("bthd,hdw->btw", jax.nn.dot_product_attention(q, k, v, is_causal=True), out)


def arguments(dtype):
    shapes = ((BATCH, TIME + 1, WIDTH), (WIDTH, 3, HEADS, HEAD), (HEADS, HEAD, WIDTH))
    return [jax.ShapeDtypeStruct(shape, DTYPES[dtype]) for shape in shapes]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("target", compiled_for("h100-sxm"))
def test_an_odd_sequence_length(target, dtype, capfd):
    report = hc.count(attention, *arguments(dtype), target=target)
    assert report.by("class")["matmul"].flops == flops(dtype)
    (note,) = report.notes
    assert "xla_gpu_enable_triton_gemm=false" in note
    assert f"note: {note[:60]}" in str(report)
    assert max(map(len, str(report).splitlines())) <= 100
    assert json.loads(report.to_json())["notes"] == [note]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("target", compiled_for("h100-sxm"))
def test_the_user_s_own_option_stays(target):
    options = {"xla_gpu_enable_triton_gemm": True}
    with pytest.raises(hc.TargetError, match="^cannot be compiled for h100-sxm: .*Couldn't find output tile sizes"):
        hc.count(attention, *arguments("bf16"), target=target, compiler_options=options)


@pytest.mark.parametrize("target", compiled_for("h100-sxm"))
def test_passes_are_those_of_the_compile_that_succeeded(target):
    passes = hc.passes(attention, *arguments("bf16"), target=target)
    assert passes.at(passes.rows[-1].name).entry.root is not None
    assert len({row.path.name.split(".")[0] for row in passes.rows if row.path}) == 1


def test_no_note_without_a_fallback():
    assert hc.count(jnp.tanh, jax.ShapeDtypeStruct((8,), jnp.float32)).notes == []


def test_a_fallback_is_tried_once_and_other_errors_pass():
    (known, *_) = FALLBACKS
    tried = []

    def compile(options):
        tried.append(dict(options))
        raise RuntimeError(known.message)

    with pytest.raises(RuntimeError, match=known.message):
        compile_with_fallbacks(compile, {"other": 1})
    assert tried == [{"other": 1}, {"other": 1, known.option: known.value}]
