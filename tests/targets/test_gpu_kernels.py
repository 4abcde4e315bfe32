"""Pallas kernels of the jax package for GPUs, in Triton and in Mosaic: the closed form of each."""

from __future__ import annotations

import functools
import os
import pathlib
import subprocess
import sys

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


# In Mosaic

SHORT = 256
"""Queries and keys: what Mosaic makes of a kernel takes seconds."""


def mosaic_attention(**blocks):
    from jax.experimental.pallas.ops.gpu import attention_mgpu

    config = attention_mgpu.TuningConfig(block_q=64, block_kv=64, max_concurrent_steps=2, **blocks)
    return lambda *qkv: attention_mgpu.attention(*qkv, config)


@pytest.mark.parametrize("target", GPUS)
def test_attention_in_mosaic(target):
    """Each block of 128 queries reads all keys and values."""
    qkv = (jax.ShapeDtypeStruct((B, SHORT, H, D), F16),) * 3
    report = hc.count(mosaic_attention(), *qkv, target=target)
    assert (matmul_of(report), report.status) == (4 * B * H * SHORT**2 * D, "exact")
    array = 2 * B * H * SHORT * D
    assert (report.bytes_read, report.bytes_written) == (array * (1 + 2 * SHORT // 128), array)
    assert report.transcendentals >= B * H * SHORT**2
    kernels = [report.walk.kernel_of(i) for i in report.module.instructions() if i.opcode == "custom-call"]
    assert [sum(each.certain for each in kernel.count.read) for kernel in kernels if kernel] == [
        3 * array
    ]  # each byte once


@pytest.mark.parametrize("target", GPUS)
def test_the_gradient_of_attention_in_mosaic(target):
    """2 products forward, 3 for queries, 4 for keys and values."""
    attend = mosaic_attention(block_q_dkv=64, block_kv_dkv=64, block_q_dq=64, block_kv_dq=64)
    length = 128
    qkv = (jax.ShapeDtypeStruct((1, length, 2, D), F16),) * 3
    report = hc.count(jax.grad(lambda *qkv: attend(*qkv).astype(F32).sum(), argnums=(0, 1, 2)), *qkv, target=target)
    assert (matmul_of(report), report.status) == (9 * 2 * 2 * length**2 * D, "exact")


@pytest.mark.parametrize("target", GPUS)
@pytest.mark.parametrize("shared", ["neither", "M", "N"])
def test_a_matmul_in_mosaic(target, shared):
    """Two blocks of a cluster can share the tile that both need: each fetches half of it for both."""
    from jax.experimental.pallas.ops.gpu import hopper_matmul_mgpu as hopper

    m, k, n, tile_m, tile_n = 512, 256, 512, 128, 2 * 64  # two groups of warps side by side
    cluster = None if shared == "neither" else hopper.MatmulDimension[shared]
    config = hopper.TuningConfig(tile_m=128, tile_n=64, tile_k=64, max_concurrent_steps=2, cluster_dimension=cluster)
    arrays = [jax.ShapeDtypeStruct(shape, F16) for shape in ((m, k), (k, n))]
    report = hc.count(lambda a, b: hopper.matmul(a, b, None, config), *arrays, target=target)
    assert (matmul_of(report), report.flops, report.status) == (2 * m * k * n, 2 * m * k * n, "exact")
    lhs, rhs = (2 * m * k * (n // tile_n), 2 * k * n * (m // tile_m))  # bytes, with each tile fetched for each block
    assert report.bytes_read == {"neither": lhs + rhs, "M": lhs + rhs // 2, "N": lhs // 2 + rhs}[shared]
    assert report.bytes_written == 2 * m * n


@pytest.mark.parametrize("target", GPUS)
def test_groups_in_mosaic(target):
    """Which tiles two groups share is data's: at most one for each group after the first."""
    from jax.experimental.pallas.ops.gpu.ragged_dot_mgpu import ragged_dot

    m, k, n, groups, tile = 512, 128, 256, 4, 64
    shapes = [((m, k), F16), ((groups, k, n), F16), ((groups,), jnp.int32)]
    arrays = [jax.ShapeDtypeStruct(*each) for each in shapes]
    blocks = {"block_m": tile, "block_n": tile, "block_k": tile, "max_concurrent_steps": 2, "grid_block_n": 2}
    report = hc.count(lambda a, b, sizes: ragged_dot(a, b, group_sizes=sizes, **blocks), *arrays, target=target)
    assert matmul_of(report) == 2 * k * n * (m + (groups - 1) * tile)
    assert report.status == "estimate"


@pytest.mark.parametrize("target", GPUS)
def test_a_loop_with_copies_of_one_s_own_in_mosaic(target):
    """Sums of 16 tiles of a row of tiles, by a bulk copy of each."""
    from jax import lax
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import mosaic_gpu as plgpu

    rows, tile, tiles = 256, 64, 16

    def kernel(x, out, room, sums, arrived):
        def step(j, total):
            plgpu.copy_gmem_to_smem(x.at[pl.ds(first, tile), pl.ds(j * tile, tile)], room, arrived)
            plgpu.barrier_wait(arrived)
            return total + room[...]

        first = lax.axis_index("rows") * tile
        layout = plgpu.Layout.WG_STRIDED((tile, tile), 2)
        sums[...] = lax.fori_loop(0, tiles, step, plgpu.layout_cast(jnp.zeros((tile, tile), F32), layout))
        plgpu.commit_smem()
        plgpu.copy_smem_to_gmem(sums, out.at[pl.ds(first, tile)])
        plgpu.wait_smem_to_gmem(0)

    room = plgpu.SMEM((tile, tile), F32)
    added = plgpu.kernel(
        kernel,
        out_type=jax.ShapeDtypeStruct((rows, tile), F32),
        grid=(rows // tile,),
        grid_names=("rows",),
        scratch_types=[room, room, plgpu.Barrier()],
    )
    report = hc.count(added, jax.ShapeDtypeStruct((rows, tile * tiles), F32), target=target)
    assert (report.flops, report.status) == (rows * tile * tiles, "exact")
    assert (report.bytes_read, report.bytes_written) == (4 * rows * tile * tiles, 4 * rows * tile)


@pytest.mark.parametrize("target", compiled_for("h100-sxm:8"))
def test_what_reaches_other_devices_is_an_unknown(target):
    """Also: effects of a kernel name variables, which move to the target's mesh with it."""
    from jax.experimental.pallas.ops.gpu.all_gather_mgpu import all_gather
    from jax.sharding import PartitionSpec as P

    mesh = jax.sharding.AbstractMesh((8,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    gather = functools.partial(all_gather, axis_name="x", num_blocks=16)
    step = jax.shard_map(gather, mesh=mesh, in_specs=P("x"), out_specs=P(None), check_vma=False)
    report = hc.count(step, jax.ShapeDtypeStruct((1024, 512), F16), target=target)
    (unknown,) = report.unknowns
    assert "reaches other devices by multimem" in unknown.reason
    assert report.status == "lower bound"
    sent = 2 * 1024 * 512 * 7 // 8
    told = hc.count(
        step,
        jax.ShapeDtypeStruct((1024, 512), F16),
        target=target,
        costs={unknown.instruction: {"network_bytes": sent, "bytes_read": sent, "bytes_written": sent}},
    )
    assert (told.network_bytes, told.status) == (sent, "exact")


BLACKWELL = """
import jax, jax.numpy as jnp, hlo_count as hc
from jax.experimental.pallas.ops.gpu import blackwell_matmul_mgpu as blackwell
arrays = [jax.ShapeDtypeStruct(shape, jnp.float16) for shape in ((512, 256), (256, 512))]
for pair in (False, True):
    config = blackwell.TuningConfig(tile_m=128, tile_n=64, tile_k=64, max_concurrent_steps=2, collective=pair)
    report = hc.count(lambda a, b: blackwell.matmul_kernel(a, b, config), *arrays, target="b200")
    print(report.by("class")["matmul"].flops, report.bytes_read, report.bytes_written, report.status)
"""


@pytest.mark.parametrize("target", compiled_for("b200"))
def test_a_matmul_on_blackwell(target):
    """In a process of its own: the plugin compiles Mosaic for the first kind of GPU alone. A pair of blocks shares both
    tiles of 256 by 128, and blocks take over those that have not begun."""
    environment = os.environ | {"PYTHONPATH": str(pathlib.Path(hc.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", BLACKWELL], stdout=subprocess.PIPE, text=True, check=True, env=environment
    )
    m, k, n = 512, 256, 512
    alone = 2 * m * k * (n // 64) + 2 * k * n * (m // 128)
    pairs = 2 * m * k * (n // 128) + 2 * k * n * (m // 256)
    assert done.stdout.splitlines() == [f"{2 * m * k * n} {read} {2 * m * n} exact" for read in (alone, pairs)]
