"""Pallas kernels of the jax package and of one's own, compiled for TPUs: the closed form of each, to the operation."""

from __future__ import annotations

import functools
import pickle

import jax
import jax.numpy as jnp
import pytest
from targets.environment import compiled_for

import hlo_count as hc

jax_version = tuple(map(int, jax.__version__.split(".")[:2]))
pytestmark = pytest.mark.skipif(
    jax_version < (0, 8), reason="the kernels of older versions of jax take other arguments"
)

TPUS = compiled_for("tpu:v5e", "tpu:v6e")
BF16, F32, S32 = jnp.bfloat16, jnp.float32, jnp.int32
B, H, T, D = 2, 4, 1024, 128
BLOCK = 128
QKV = (jax.ShapeDtypeStruct((B, H, T, D), BF16),) * 3
ATTENTION = 4 * B * H * T**2 * D
"""Two products of every query with every key."""
STEPS = T // BLOCK
BELOW = (STEPS * (STEPS + 1) // 2) / STEPS**2
"""Of the blocks of queries and keys, those that a causal mask leaves something of."""


def matmul_of(report: hc.Report) -> int:
    return report.by("class")["matmul"].flops


def code_of(report: hc.Report):
    """What the code of the one kernel of a program tells."""
    found = [report.walk.kernel_of(i) for i in report.module.instructions() if i.opcode == "custom-call"]
    (kernel,) = (each for each in found if each is not None)
    return kernel.count


def gradient(attend):
    return jax.grad(lambda *qkv: attend(*qkv).astype(F32).sum(), argnums=(0, 1, 2))


@pytest.mark.parametrize("target", TPUS)
def test_matmul(target):
    from jax.experimental.pallas.ops.tpu.matmul import matmul

    m, k, n, bm, bn, bk = 1024, 2048, 512, 256, 256, 512
    x, y = jax.ShapeDtypeStruct((m, k), BF16), jax.ShapeDtypeStruct((k, n), BF16)
    report = hc.count(lambda x, y: matmul(x, y, block_shape=(bm, bn), block_k=bk), x, y, target=target)
    assert matmul_of(report) == 2 * m * k * n
    assert report.status == "exact"
    # x once for each column of blocks of the result, y for each row, the result once
    assert report.bytes == 2 * (m * k * (n // bn) + k * n * (m // bm) + m * n)
    assert report.compulsory_bytes == 2 * (m * k + k * n + m * n)


@pytest.mark.parametrize("target", TPUS)
def test_flash_attention_forward(target):
    from jax.experimental.pallas.ops.tpu.flash_attention import flash_attention

    report = hc.count(flash_attention, *QKV, target=target)
    assert matmul_of(report) == ATTENTION
    assert report.transcendentals == B * H * (T * T + T * BLOCK * STEPS)  # of scores, and to rescale each row's sum
    assert report.status == "exact"


@pytest.mark.parametrize("target", TPUS)
def test_flash_attention_backward(target):
    """Forward 2 products; for keys and values 4 (scores, dV, dP, dK), for queries 3 (scores, dP, dQ)."""
    from jax.experimental.pallas.ops.tpu.flash_attention import flash_attention

    report = hc.count(gradient(flash_attention), *QKV, target=target)
    assert matmul_of(report) == ATTENTION * (2 + 4 + 3) // 2


@pytest.mark.parametrize("target", TPUS)
def test_causal_flash_attention(target):
    """Blocks above the diagonal are skipped by the kernel itself, on the indices of its grid; on it they run whole."""
    from jax.experimental.pallas.ops.tpu.flash_attention import flash_attention

    causal = functools.partial(flash_attention, causal=True)
    forward, both = (hc.count(f, *QKV, target=target) for f in (causal, gradient(causal)))
    assert matmul_of(forward) == ATTENTION * BELOW
    assert matmul_of(both) == ATTENTION * BELOW * (2 + 4 + 3) / 2
    assert ATTENTION / 2 < matmul_of(forward) < ATTENTION


@functools.cache
def splash(mask_name, heads=H):
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel, splash_attention_mask

    mask = getattr(splash_attention_mask, mask_name)((T, T))
    return splash_attention_kernel.make_splash_mha(
        splash_attention_mask.MultiHeadMask([mask] * heads), head_shards=1, q_seq_shards=1
    )


ONE = (jax.ShapeDtypeStruct((H, T, D), BF16),) * 3


@pytest.mark.parametrize("target", TPUS)
def test_splash_attention(target):
    attend = splash("FullMask")
    report = hc.count(lambda *qkv: attend(*qkv), *ONE, target=target)
    assert (matmul_of(report), report.status) == (ATTENTION // B, "exact")
    both = hc.count(gradient(lambda *qkv: attend(*qkv)), *ONE, target=target)
    assert (matmul_of(both), both.status) == (ATTENTION // B * (2 + 4 + 3) // 2, "exact")


@pytest.mark.parametrize("target", TPUS)
def test_causal_splash_attention(target):
    """The kernel is told which blocks its mask leaves, by arrays that the program's text leaves out."""
    attend = splash("CausalMask")
    report = hc.count(lambda *qkv: attend(*qkv), *ONE, target=target)
    assert (matmul_of(report), report.status) == (ATTENTION // B * BELOW, "exact")
    both = hc.count(gradient(lambda *qkv: attend(*qkv)), *ONE, target=target)
    assert (matmul_of(both), both.status) == (ATTENTION // B * BELOW * (2 + 4 + 3) / 2, "exact")
    # Of the queries each block once, of keys and values one for each block that the mask leaves something of; but the
    # second row of blocks begins with the one that the first ended with.
    moved = [each.counted for each in code_of(report).read]
    blocks = H * (STEPS * (STEPS + 1) // 2 - 1)
    assert moved[2:5] == [H * T * D * 2, blocks * BLOCK * D * 2, blocks * BLOCK * D * 2]
    # The text alone does not tell: the larger branch of each step, an estimate.
    alone = hc.count(report.module.text)
    assert (matmul_of(alone), alone.status) == (ATTENTION // B, "estimate")


@pytest.mark.parametrize("target", compiled_for("tpu:v5e"))
def test_causal_splash_attention_in_layers(target):
    """In the body of a loop, which carries the arrays that say what the mask leaves."""
    attend = splash("CausalMask")

    def layers(q, k, v):
        return jax.lax.scan(lambda x, _: (attend(x, k, v), None), q, None, length=4)[0]

    report = hc.count(layers, *ONE, target=target)
    assert (matmul_of(report), report.status) == (4 * ATTENTION // B * BELOW, "exact")
    again = pickle.loads(pickle.dumps(report))
    assert again.flops == report.flops


@pytest.mark.parametrize("target", TPUS)
def test_grouped_matmul(target):
    """Each row meets one group: 2·m·k·n, and as much for the gradient of either side."""
    from jax.experimental.pallas.ops.tpu.megablox import gmm

    m, k, n, groups = 1024, 512, 256, 4
    x, w = jax.ShapeDtypeStruct((m, k), BF16), jax.ShapeDtypeStruct((groups, k, n), BF16)
    sizes = jax.ShapeDtypeStruct((groups,), S32)
    report = hc.count(gmm, x, w, sizes, target=target)
    assert matmul_of(report) == 2 * m * k * n
    assert report.status == "estimate"
    (unknown,) = report.unknowns
    assert "has a grid whose dimension 1 only the run knows" in unknown.reason
    both = hc.count(jax.grad(lambda *a: gmm(*a).astype(F32).sum(), argnums=(0, 1)), x, w, sizes, target=target)
    assert matmul_of(both) == 2 * 2 * m * k * n  # the result itself is not needed


# Kernels of one's own


def pallas_call(kernel, shape, **options):
    from jax.experimental import pallas as pl

    return pl.pallas_call(kernel, out_shape=jax.ShapeDtypeStruct(shape, F32), **options)


SQUARE = jax.ShapeDtypeStruct((1024, 1024), F32)


@pytest.mark.parametrize("target", TPUS)
def test_a_loop_with_manual_dmas(target):
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import tpu as pltpu

    def kernel(x, out, buffer, semaphore):
        def body(i, _):
            copy = pltpu.make_async_copy(x.at[pl.ds(2 * i * 128, 128)], buffer, semaphore)
            copy.start()
            copy.wait()
            out[...] += jnp.exp(buffer[...])

        out[...] = jnp.zeros_like(out)
        jax.lax.fori_loop(0, 4, body, None)

    every_other = pallas_call(
        kernel,
        (128, 1024),
        in_specs=[pl.BlockSpec(memory_space=pl.ANY)],
        out_specs=pl.BlockSpec(memory_space=pltpu.VMEM),
        scratch_shapes=[pltpu.VMEM((128, 1024), F32), pltpu.SemaphoreType.DMA],
    )
    report = hc.count(every_other, SQUARE, target=target)
    part = 128 * 1024
    assert (report.flops, report.transcendentals, report.status) == (4 * part, 4 * part, "exact")
    assert (report.bytes_read, report.bytes_written) == (4 * 4 * part, 4 * part)
    assert report.compulsory_bytes == 4 * 4 * part + 4 * part  # half of the argument is never read


@pytest.mark.parametrize("target", TPUS)
def test_scalar_prefetch(target):
    """Rows of blocks that data choose: each step may want another one, and none is certain but one."""
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import tpu as pltpu

    steps = 6

    def kernel(rows, x, out):
        out[...] = x[...] * 2

    chosen = pallas_call(
        kernel,
        (steps * 8, 1024),
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=1,
            grid=(steps,),
            in_specs=[pl.BlockSpec((8, 1024), lambda i, rows: (rows[i], 0))],
            out_specs=pl.BlockSpec((8, 1024), lambda i, rows: (i, 0)),
        ),
    )
    report = hc.count(chosen, jax.ShapeDtypeStruct((steps,), S32), SQUARE, target=target)
    block = 8 * 1024
    scalars = 512  # six of them take a tile
    assert report.flops == steps * block
    assert report.bytes_read == 4 * steps * block + scalars
    assert report.bytes_written == 4 * steps * block
    assert report.status == "estimate"
    (unknown,) = report.unknowns
    assert "moves blocks that data choose" in unknown.reason
    assert certain_bytes(report) == 4 * block + 4 * steps * block + scalars


def certain_bytes(report: hc.Report) -> int:
    from hlo_count.visitors.compulsory import certain_bytes

    return certain_bytes(report.walk)


@pytest.mark.parametrize("target", TPUS)
def test_a_remote_dma_sends(target):
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import tpu as pltpu
    from jax.sharding import PartitionSpec as P

    def kernel(x, out, sent, received):
        me = jax.lax.axis_index("x")
        copy = pltpu.make_async_remote_copy(
            src_ref=x, dst_ref=out, send_sem=sent, recv_sem=received, device_id=((me + 1) % 4,),
            device_id_type=pl.DeviceIdType.MESH,
        )  # fmt: skip
        copy.start()
        copy.wait()

    whole = pl.BlockSpec(memory_space=pl.ANY)
    shift = pallas_call(
        kernel, (256, 1024), in_specs=[whole], out_specs=whole, scratch_shapes=[pltpu.SemaphoreType.DMA] * 2
    )

    mesh = jax.sharding.AbstractMesh((4,), ("x",))
    step = jax.shard_map(shift, mesh=mesh, in_specs=P("x"), out_specs=P("x"), check_vma=False)
    report = hc.count(step, SQUARE, target=f"{target}:2x2")
    size = 4 * 256 * 1024
    assert report.network_bytes == size
    kernel = code_of(report)  # the compiler may keep either side on the chip
    assert (kernel.read[0].counted, kernel.written[0].counted) == (size, size)


@pytest.mark.parametrize("target", TPUS)
def test_a_branch_on_data_is_an_interval(target):
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import tpu as pltpu

    def kernel(flags, x, out):
        @pl.when(flags[pl.program_id(0)] > 0)
        def _():
            out[...] = jnp.dot(x[...], x[...], preferred_element_type=F32)

    sometimes = pallas_call(
        kernel,
        (8 * 128, 128),
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=1,
            grid=(8,),
            in_specs=[pl.BlockSpec((128, 128), lambda i, flags: (i, 0))],
            out_specs=pl.BlockSpec((128, 128), lambda i, flags: (i, 0)),
        ),
    )
    x = jax.ShapeDtypeStruct((8 * 128, 128), F32)
    report = hc.count(sometimes, jax.ShapeDtypeStruct((8,), S32), x, target=target)
    assert matmul_of(report) == 8 * 2 * 128**3
    assert report.status == "estimate"
    assert code_of(report).least.flops == 0


@pytest.mark.parametrize("target", TPUS)
def test_paged_attention_over_a_large_pool(target):
    """A pool of 4.3 GB of which a call reads pages: no bound of a roofline above what the DMAs of the kernel allow."""
    from jax.experimental.pallas.ops.tpu.paged_attention import paged_attention

    sequences, heads, kv_heads, pages, page, per_sequence, per_block = 8, 16, 8, 65536, 16, 64, 4
    q = jax.ShapeDtypeStruct((sequences, heads, D), BF16)
    pool = jax.ShapeDtypeStruct((kv_heads, pages, page, D), BF16)
    lengths, indices = (jax.ShapeDtypeStruct(s, S32) for s in ((sequences,), (sequences, per_sequence)))

    report = hc.count(
        functools.partial(paged_attention, pages_per_compute_block=per_block),
        q, pool, pool, lengths, indices, target=target,
    )  # fmt: skip
    assert report.status == "lower bound"
    # A trip of each loop, for each sequence and head, copies a block of keys and one of values, and may copy the next.
    trip = 2 * sequences * kv_heads * per_block * page * D * 2
    kernel = report.by("opcode")["custom-call"]
    assert 2 * trip < kernel.bytes < 2.1 * trip  # queries, results and page indices beside
    # 2 products of the heads of a group of queries with a block of keys and values
    assert matmul_of(report) == 4 * sequences * heads * per_block * page * D
    most = 2 * sequences * kv_heads * per_sequence * page * D * 2 + 10**6  # every page, and small arrays beside
    roofline = report.roofline(target)
    assert roofline.bound <= most / roofline.device.bandwidth().value
    assert report.compulsory_bytes <= most


# Totals by arithmetic, every operation of them


@pytest.mark.parametrize("target", TPUS)
def test_every_operation_of_a_layer_normalization(target):
    """Of a row of C: two sums of C - 1, two divisions by C, an add of epsilon and an rsqrt; of an element: centre, square,
    normalize, scale, shift."""
    from jax.experimental import pallas as pl

    batch, rows, c, block = 4, 256, 512, 64

    def kernel(x, scale, shift, out):
        centred = x[...] - x[...].mean(-1, keepdims=True)
        variance = (centred * centred).mean(-1, keepdims=True)
        out[...] = centred * jax.lax.rsqrt(variance + 1e-5) * scale[...] + shift[...]

    each, once = pl.BlockSpec((1, block, c), lambda i, j: (i, j, 0)), pl.BlockSpec((1, 1, c), lambda i, j: (0, 0, 0))
    normalized = pallas_call(
        kernel, (batch, rows, c), grid=(batch, rows // block), in_specs=[each, once, once], out_specs=each
    )
    shapes = [(batch, rows, c), (1, 1, c), (1, 1, c)]
    report = hc.count(normalized, *(jax.ShapeDtypeStruct(shape, F32) for shape in shapes), target=target)
    size, lines = batch * rows * c, batch * rows
    assert (report.flops, report.transcendentals) == (5 * size + lines * (2 * (c - 1) + 2 + 1), lines)
    assert (report.bytes_read, report.bytes_written, report.status) == (4 * (size + 2 * c), 4 * size, "exact")


@pytest.mark.parametrize("target", TPUS)
def test_every_operation_of_a_masked_softmax_with_loops(target):
    """Program i of 4 goes twice over i + 1 tiles of 128 by 128: with the maximum and the sum so far, then for what comes
    out. Tiles above the diagonal are never computed."""
    from jax import lax
    from jax.experimental import pallas as pl

    side, programs = 128, 4
    whole = side * programs

    def kernel(x, out):
        i = pl.program_id(0)

        def seen(j):
            columns = j * side + lax.broadcasted_iota(S32, (side, side), 1)
            return columns <= i * side + lax.broadcasted_iota(S32, (side, side), 0)

        def add(j, carry):
            most, total = carry
            scores = jnp.where(seen(j), x[:, pl.ds(j * side, side)], -1e30)
            now = jnp.maximum(most, scores.max(-1, keepdims=True))
            return now, total * jnp.exp(most - now) + jnp.exp(scores - now).sum(-1, keepdims=True)

        def give(j, _):
            scores = x[:, pl.ds(j * side, side)]
            out[:, pl.ds(j * side, side)] = jnp.where(seen(j), jnp.exp(scores - most) / total, 0.0)

        most, total = lax.fori_loop(0, i + 1, add, (jnp.full((side, 1), -1e30, F32), jnp.zeros((side, 1), F32)))
        out[...] = jnp.zeros_like(out)
        lax.fori_loop(0, i + 1, give, None)

    block = pl.BlockSpec((side, whole), lambda i: (i, 0))
    softmax = pallas_call(kernel, (whole, whole), grid=(programs,), in_specs=[block], out_specs=block)
    report = hc.count(softmax, jax.ShapeDtypeStruct((whole, whole), F32), target=target)
    tiles, tile = 1 + 2 + 3 + 4, side * side
    of_rows = side * (side - 1)  # a maximum, or a sum, over the columns of each row
    first = of_rows + 4 * side + tile + of_rows  # four on what is carried: maximum, subtract, multiply, add
    assert report.flops == tiles * (first + 2 * tile)
    assert report.transcendentals == tiles * (side + 2 * tile)
    assert (report.bytes_read, report.bytes_written, report.status) == (4 * whole**2, 4 * whole**2, "exact")


@pytest.mark.parametrize("target", TPUS)
def test_a_ring_of_remote_dmas_gathers(target):
    """Each of four devices copies its own part into place, and sends three parts on that lie there."""
    import importlib.util
    import pathlib

    place = pathlib.Path(__file__).parents[2] / "docs" / "kernel_examples.py"
    spec = importlib.util.spec_from_file_location("kernel_examples", place)
    examples = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(examples)
    gather, (array,) = examples.ring()
    report = hc.count(gather, array, target=f"{target}:2x2")
    part = 2 * array.size // 4
    kernel = code_of(report)
    assert (report.network_bytes, report.status) == (3 * part, "exact")
    assert (kernel.read[-1].counted, kernel.read_results[0].counted) == (part, 3 * part)
    assert kernel.written[0].counted == 4 * part
