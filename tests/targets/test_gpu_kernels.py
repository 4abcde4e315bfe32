"""Pallas kernels of the jax package that are written in Triton, compiled for an H100: the closed form of each."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import pytest
from targets.environment import compiled_for

import hlo_count as hc

jax_version = tuple(map(int, jax.__version__.split(".")[:2]))
pytestmark = pytest.mark.skipif(
    jax_version < (0, 10), reason="older versions cannot compile these kernels without a GPU"
)

GPUS = compiled_for("h100-sxm")
F16, F32 = jnp.float16, jnp.float32
B, H, T, D = 2, 4, 1024, 64
QKV = (jax.ShapeDtypeStruct((B, T, H, D), F16),) * 3
ATTENTION = 4 * B * H * T**2 * D
BLOCK = 128
STEPS = T // BLOCK
BELOW = (STEPS * (STEPS + 1) // 2) / STEPS**2
"""Of the blocks of queries and keys, those that a causal mask leaves something of."""


def matmul_of(report: hc.Report) -> int:
    return report.by("class")["matmul"].flops


@pytest.mark.parametrize("target", GPUS)
@pytest.mark.parametrize("causal", [False, True])
def test_attention(target, causal):
    """Forward 2 products; backward 4 for keys and values, 3 for queries. Programs skip blocks above the diagonal."""
    from jax.experimental.pallas.ops.gpu.attention import mha

    attend = functools.partial(mha, segment_ids=None, causal=causal)
    forward = hc.count(attend, *QKV, target=target)
    assert matmul_of(forward) == ATTENTION * (BELOW if causal else 1)
    assert forward.status == "exact"
    assert forward.bytes == 4 * 2 * B * T * H * D  # q, k, v read, the output written
    both = hc.count(jax.grad(lambda *qkv: attend(*qkv).astype(F32).sum(), argnums=(0, 1, 2)), *QKV, target=target)
    if causal:  # blocks of the gradient are smaller, 32 by 32: fewer of them lie on the diagonal
        steps = T // 32
        below = (steps * (steps + 1) // 2) / steps**2
        assert matmul_of(both) == ATTENTION * BELOW + ATTENTION * below * 7 / 2
    else:
        assert matmul_of(both) == ATTENTION * (2 + 4 + 3) // 2


@pytest.mark.parametrize("target", GPUS)
def test_a_matmul_of_one_s_own(target):
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import triton

    m, k, n, block = 512, 64, 256, 128

    def kernel(x, y, out):
        out[...] = triton.dot(x[...], y[...]).astype(out.dtype)

    product = pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((m, n), F16),
        grid=(m // block, n // block),
        in_specs=[pl.BlockSpec((block, k), lambda i, j: (i, 0)), pl.BlockSpec((k, block), lambda i, j: (0, j))],
        out_specs=pl.BlockSpec((block, block), lambda i, j: (i, j)),
        compiler_params=triton.CompilerParams(num_warps=4, num_stages=2),
    )
    report = hc.count(product, jax.ShapeDtypeStruct((m, k), F16), jax.ShapeDtypeStruct((k, n), F16), target=target)
    assert (matmul_of(report), report.status) == (2 * m * k * n, "exact")
    assert report.bytes == 2 * (m * k + k * n + m * n)
    # Nothing tells what pointers reach: a bound takes the product and what is written alone.
    kernels = [report.walk.kernel_of(i) for i in report.module.instructions() if i.opcode == "custom-call"]
    assert [sum(each.certain for each in kernel.count.read) for kernel in kernels if kernel] == [0]


@pytest.mark.parametrize("target", GPUS)
def test_a_decoding_step(target):
    """One query of each of 32 heads over all keys, whose ends the kernel splits among its programs."""
    from jax.experimental.pallas.ops.gpu.decode_attention import mqa

    batch, heads, keys = 8, 32, 1024
    q, kv = jax.ShapeDtypeStruct((batch, heads, D), F16), jax.ShapeDtypeStruct((batch, keys, D), F16)
    report = hc.count(mqa, q, kv, kv, target=target)
    assert matmul_of(report) == 4 * batch * heads * keys * D
