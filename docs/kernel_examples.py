"""Kernels that docs/kernels.md counts: those of the jax package, and some of one's own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

BF16, F16, F32, S32 = jnp.bfloat16, jnp.float16, jnp.float32, jnp.int32
M, K, N = 1024, 2048, 512
B, H, T, D = 2, 4, 1024, 128
SEQUENCES, PAGES, SIZE, EACH = 8, 65536, 16, 64
GROUPS, COLUMNS = 4, 256
"""Of grouped matmuls, [M, N] by GROUPS of [N, COLUMNS]."""
Made = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function and its arguments."""


def shapes(*each: tuple[tuple[int, ...], Any]) -> tuple[Any, ...]:
    return tuple(jax.ShapeDtypeStruct(*one) for one in each)


def over(devices: int) -> Any:
    """A mesh of one axis."""
    return jax.sharding.AbstractMesh((devices,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))


def gradient(attend: Callable[..., Any]) -> Callable[..., Any]:
    return jax.grad(lambda *qkv: attend(*qkv).astype(F32).sum(), argnums=(0, 1, 2))


def matmul() -> Made:
    from jax.experimental.pallas.ops.tpu.matmul import matmul

    return functools.partial(matmul, block_shape=(256, 256), block_k=512), shapes(((M, K), BF16), ((K, N), BF16))


def flash(causal: bool = False, differentiated: bool = False) -> Made:
    from jax.experimental.pallas.ops.tpu.flash_attention import flash_attention

    attend = functools.partial(flash_attention, causal=causal)
    return gradient(attend) if differentiated else attend, shapes(*[((B, H, T, D), BF16)] * 3)


def splash(mask: str, differentiated: bool = False) -> Made:
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel, splash_attention_mask

    heads = [getattr(splash_attention_mask, mask)((T, T))] * H
    attend = splash_attention_kernel.make_splash_mha(
        splash_attention_mask.MultiHeadMask(heads), head_shards=1, q_seq_shards=1
    )
    return (
        gradient(lambda *qkv: attend(*qkv)) if differentiated else lambda *qkv: attend(*qkv),
        shapes(*[((H, T, D), BF16)] * 3),
    )


def grouped(differentiated: bool = False) -> Made:
    from jax.experimental.pallas.ops.tpu.megablox import gmm

    both = jax.grad(lambda *args: gmm(*args).astype(F32).sum(), argnums=(0, 1))
    return both if differentiated else gmm, shapes(((M, N), BF16), ((GROUPS, N, COLUMNS), BF16), ((GROUPS,), S32))


def paged() -> Made:
    from jax.experimental.pallas.ops.tpu.paged_attention import paged_attention

    pool = ((8, PAGES, SIZE, D), BF16)
    lengths, indices = ((SEQUENCES,), S32), ((SEQUENCES, EACH), S32)
    attend = functools.partial(paged_attention, pages_per_compute_block=4)
    return attend, shapes(((SEQUENCES, 16, D), BF16), pool, pool, lengths, indices)


def ragged(**blocks: int) -> Made:
    from jax.experimental.pallas.ops.tpu.ragged_paged_attention import ragged_paged_attention

    indices, starts = ((SEQUENCES, EACH), S32), ((SEQUENCES + 1,), S32)
    return functools.partial(ragged_paged_attention, **blocks), shapes(
        ((512, 16, D), BF16), ((1024, SIZE, 16, D), BF16), ((SEQUENCES,), S32), indices, starts, ((1,), S32)
    )


def pipeline() -> Any:
    from jax.experimental.pallas import tpu as pltpu

    def step(x: Any, y: Any, out: Any) -> None:
        @pl.when(pl.program_id(2) == 0)
        def _() -> None:
            out[...] = jnp.zeros_like(out)

        out[...] += jnp.dot(x[...], y[...], preferred_element_type=F32)

    def kernel(x: Any, y: Any, out: Any) -> None:
        blocks = [lambda i, j, k: (i, k), lambda i, j, k: (k, j), lambda i, j, k: (i, j)]
        x_spec, y_spec, out_spec = (pl.BlockSpec((256, 256), each) for each in blocks)
        grid = (M // 256, N // 256, K // 256)
        pltpu.emit_pipeline(step, grid=grid, in_specs=[x_spec, y_spec], out_specs=[out_spec])(x, y, out)

    whole = pl.BlockSpec(memory_space=pl.ANY)
    made = pl.pallas_call(kernel, out_shape=jax.ShapeDtypeStruct((M, N), F32), in_specs=[whole] * 2, out_specs=whole)
    return made, shapes(((M, K), BF16), ((K, N), BF16))


def gpu_attention(causal: bool = False, differentiated: bool = False) -> Made:
    from jax.experimental.pallas.ops.gpu.attention import mha

    attend = functools.partial(mha, segment_ids=None, causal=causal)
    return gradient(attend) if differentiated else attend, shapes(*[((B, T, H, D), F16)] * 3)


def gpu_decoding() -> Made:
    from jax.experimental.pallas.ops.gpu.decode_attention import mqa

    return mqa, shapes(((8, 32, D), F16), *[((8, T, D), F16)] * 2)


# Of one's own, on TPU


def prefetched() -> Made:
    """A matmul of each block of rows with the one of K / 256 weights that a scalar chooses."""
    from jax.experimental.pallas import tpu as pltpu

    def kernel(which: Any, x: Any, w: Any, out: Any) -> None:
        out[...] = jnp.dot(x[...], w[0], preferred_element_type=F32)

    made = pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((M, N), F32),
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=1,
            grid=(M // 256,),
            in_specs=[
                pl.BlockSpec((256, 256), lambda i, which: (i, 0)),
                pl.BlockSpec((1, 256, N), lambda i, which: (which[i], 0, 0)),
            ],
            out_specs=pl.BlockSpec((256, N), lambda i, which: (i, 0)),
        ),
    )
    return made, shapes(((M // 256,), S32), ((M, 256), BF16), ((K // 256, 256, N), BF16))


def manual() -> Made:
    """A matmul that fetches each tile itself, in a loop: one tile ahead, into the other of two buffers."""
    from jax.experimental.pallas import tpu as pltpu

    tile = 256

    def kernel(x: Any, y: Any, out: Any, x_tiles: Any, y_tiles: Any, arrived: Any) -> None:
        def copies(k: Any) -> tuple[Any, Any]:
            slot = lax.rem(k, 2)
            part = pl.ds(k * tile, tile)
            return (
                pltpu.make_async_copy(x.at[:, part], x_tiles.at[slot], arrived.at[0, slot]),
                pltpu.make_async_copy(y.at[part, :], y_tiles.at[slot], arrived.at[1, slot]),
            )

        def start(k: Any) -> None:
            for copy in copies(k):
                copy.start()

        def step(k: Any, _: None) -> None:
            pl.when(k + 1 < K // tile)(lambda: start(k + 1))
            for copy in copies(k):
                copy.wait()
            slot = lax.rem(k, 2)
            out[...] += jnp.dot(x_tiles[slot], y_tiles[slot], preferred_element_type=F32)

        out[...] = jnp.zeros_like(out)
        start(0)
        lax.fori_loop(0, K // tile, step, None)

    anywhere = pl.BlockSpec(memory_space=pl.ANY)
    made = pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((M, N), F32),
        in_specs=[anywhere] * 2,
        scratch_shapes=[
            pltpu.VMEM((2, M, tile), BF16),
            pltpu.VMEM((2, tile, N), BF16),
            pltpu.SemaphoreType.DMA((2, 2)),
        ],
    )
    return made, shapes(((M, K), BF16), ((K, N), BF16))


def ring() -> Made:
    """Each of four devices gathers what the others have: every chunk goes on to the right until all have it."""
    from jax.experimental.pallas import tpu as pltpu

    devices = 4

    def kernel(x: Any, out: Any, local: Any, sent: Any, received: Any) -> None:
        me = lax.axis_index("x")
        mine = pltpu.make_async_copy(x, out.at[me], local)
        mine.start()
        mine.wait()

        def step(i: Any, _: None) -> None:
            chunk = out.at[lax.rem(me - i + devices, devices)]
            to = (lax.rem(me + 1, devices),)
            copy = pltpu.make_async_remote_copy(
                src_ref=chunk, dst_ref=chunk, send_sem=sent, recv_sem=received, device_id=to,
                device_id_type=pl.DeviceIdType.MESH,
            )  # fmt: skip
            copy.start()
            copy.wait()

        lax.fori_loop(0, devices - 1, step, None)

    anywhere = pl.BlockSpec(memory_space=pl.ANY)
    gather = pl.pallas_call(
        kernel,
        out_shape=jax.ShapeDtypeStruct((devices, M // devices, K), BF16),
        in_specs=[anywhere],
        out_specs=anywhere,
        scratch_shapes=[pltpu.SemaphoreType.DMA] * 3,
    )
    made = jax.shard_map(
        gather,
        mesh=over(devices),
        in_specs=jax.P("x"),
        out_specs=jax.P(None),
        check_vma=False,
    )
    return made, shapes(((M, K), BF16))


def sparse_cores() -> Made:
    """Every subcore of the SparseCores copies the same 1024 numbers through its own memory."""
    from jax.experimental.pallas import tpu as pltpu
    from jax.experimental.pallas import tpu_sc

    def copied(x: Any) -> Any:
        mesh = tpu_sc.VectorSubcoreMesh(core_axis_name="core", subcore_axis_name="subcore")

        @functools.partial(
            pl.kernel,
            out_type=jax.ShapeDtypeStruct(x.shape, x.dtype),
            mesh=mesh,
            scratch_types=[pltpu.VMEM(x.shape, F32)],
        )
        def kernel(source: Any, target: Any, room: Any) -> None:
            pltpu.sync_copy(source, room)
            pltpu.sync_copy(room, target)

        return kernel(x)

    return copied, shapes(((1024,), F32))


# In Mosaic, on GPUs


def mosaic_attention(differentiated: bool = False) -> Made:
    from jax.experimental.pallas.ops.gpu import attention_mgpu

    back = dict.fromkeys(("block_q_dkv", "block_kv_dkv", "block_q_dq", "block_kv_dq"), 64) if differentiated else {}
    config = attention_mgpu.TuningConfig(block_q=64, block_kv=64, max_concurrent_steps=2, **back)

    def attend(*qkv: Any) -> Any:
        return attention_mgpu.attention(*qkv, config)

    return gradient(attend) if differentiated else attend, shapes(*[((B, T, H, D), F16)] * 3)


def hopper() -> Made:
    from jax.experimental.pallas.ops.gpu import hopper_matmul_mgpu

    config = hopper_matmul_mgpu.TuningConfig(tile_m=128, tile_n=128, tile_k=64, max_concurrent_steps=4)
    return lambda x, y: hopper_matmul_mgpu.matmul(x, y, None, config), shapes(((M, K), F16), ((K, N), F16))


def blackwell(pairs: bool) -> Made:
    from jax.experimental.pallas.ops.gpu import blackwell_matmul_mgpu

    config = blackwell_matmul_mgpu.TuningConfig(
        tile_m=128, tile_n=128, tile_k=64, max_concurrent_steps=4, collective=pairs
    )
    return lambda x, y: blackwell_matmul_mgpu.matmul_kernel(x, y, config), shapes(((M, K), F16), ((K, N), F16))


TILE = 64
"""Rows and columns of a tile of grouped matmuls on GPUs."""


def ragged_dot(transposed: bool = False) -> Made:
    from jax.experimental.pallas.ops.gpu import ragged_dot_mgpu, transposed_ragged_dot_mgpu

    blocks = {"block_m": TILE, "block_n": TILE, "block_k": TILE, "max_concurrent_steps": 4, "grid_block_n": 2}
    product = transposed_ragged_dot_mgpu.transposed_ragged_dot if transposed else ragged_dot_mgpu.ragged_dot
    rhs = (N, COLUMNS) if transposed else (GROUPS, N, COLUMNS)
    lhs = (N, M) if transposed else (M, N)
    return lambda x, y, sizes: product(x, y, group_sizes=sizes, **blocks), shapes(
        (lhs, F16), (rhs, F16), ((GROUPS,), S32)
    )


def mixed() -> Made:
    from jax.experimental.pallas.ops.gpu import hopper_mixed_type_matmul_mgpu as mixed_type

    config = mixed_type.TuningConfig(tile_m=64, tile_n=128, tile_k=64, max_concurrent_steps=4)
    product = functools.partial(mixed_type.mixed_matmul_kernel, out_dtype=BF16, config=config)
    return product, shapes(((M, K), jnp.int8), ((K, N), BF16))


def all_gather() -> Made:
    from jax.experimental.pallas.ops.gpu.all_gather_mgpu import all_gather

    gather = functools.partial(all_gather, axis_name="x", num_blocks=132)
    made = jax.shard_map(gather, mesh=over(8), in_specs=jax.P("x"), out_specs=jax.P(None), check_vma=False)
    return made, shapes(((M, N), F16))
