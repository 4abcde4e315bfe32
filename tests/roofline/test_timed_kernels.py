"""The programs that calibration times do the work they claim, after all of the compiler's passes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hlo_count.roofline import routine_kernels, timed_kernels
from hlo_count.roofline.cpu_runtime import DISPATCHED_FLOPS, MOST_IN_A_ROW
from hlo_count.roofline.timed_kernels import CHAIN, CHAINS, DISPATCHED, LAUNCHES, SPECIAL_CHAIN, missing_operations

N = 1024

ELEMENTWISE = {
    "multiply_add": (lambda: timed_kernels.multiply_add("f32", N), 2 * (CHAIN * CHAINS + 2 * CHAINS - 1) * N),
    "multiply_add s32": (lambda: timed_kernels.multiply_add("s32", N), 2 * (CHAIN * CHAINS + 2 * CHAINS - 1) * N),
    "multiply_add f64": (lambda: timed_kernels.multiply_add("f64", N), 2 * (CHAIN * CHAINS + 2 * CHAINS - 1) * N),
    "add": (lambda: timed_kernels.add("f32", N), (CHAIN * CHAINS + 2 * CHAINS - 1) * N),
    "integer": (lambda: timed_kernels.integer("s32", N), (CHAIN * CHAINS + 2 * CHAINS - 1) * N),
    "integer s8": (lambda: timed_kernels.integer("s8", N), (CHAIN * CHAINS + 2 * CHAINS - 1) * N),
    "minmax": (lambda: timed_kernels.minmax("f32", N), CHAIN * CHAINS * N),
    "divide": (lambda: timed_kernels.divide("f32", N), SPECIAL_CHAIN * CHAINS * N),
    **{
        opcode: (lambda opcode=opcode: timed_kernels.special(opcode, "f32", N), SPECIAL_CHAIN * CHAINS * N)
        for opcode in ("exponential", "log", "tanh", "sqrt", "sine")
    },
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_nothing_of_an_elementwise_kernel_is_simplified_away(name):
    build, work = ELEMENTWISE[name]
    kernel = build()
    assert kernel.missing == ""
    assert kernel.work == work
    assert np.isfinite(np.asarray(kernel.run(), "float64")).all()


def test_what_the_compiler_took_out_is_noticed():
    def shortened(x):
        for _ in range(4):
            x = x + 1  # integers: one addition of 4 is left
        return x

    text = jax.jit(shortened).lower(jnp.ones(8, "int32")).compile().as_text()
    assert missing_operations(text, {"add": 4}) == "1 of 4 add"
    assert missing_operations(text, {"add": 1}) == ""


@pytest.mark.parametrize(("dtype", "into"), [("f32", None), ("bf16", "f32"), ("s8", "s32"), ("f64", None)])
def test_a_matmul_is_2_n_cubed_in_its_dtype(dtype, into):
    kernel = timed_kernels.matmul(dtype, 16, into)
    assert kernel.work == 2 * 16**3
    result = kernel.run()
    assert result.dtype == timed_kernels.NAMES[into or dtype]
    assert (np.asarray(result, "float64") == 16).all()  # ones times ones


def test_streams_move_the_bytes_they_claim():
    size, traffic = 2**20, 2**22
    sums, one_sum, fold, update, copy = timed_kernels.streams("L2", size, traffic)
    loops = traffic // size
    assert (sums.work, one_sum.work) == (size * loops, size)
    assert fold.work == loops * (size + 2 * size / 8)  # all of it read, an eighth read and written
    assert update.work == loops * 2 * size
    assert copy.work == 2 * size
    assert [float(np.asarray(k.run()).max()) for k in (one_sum, copy)] == [size / 4, 1.5]
    # y/2 + 8 ones, `loops` times a run, each run going on from the last: 16 - 15 / 2**steps
    for runs in (1, 2):
        assert np.asarray(fold.run())[0] == 16 - 15 / 2 ** (loops * runs)
    # 0.999 x + 0.001 stays at 1, whatever the rounding (f32: 2**-23 a step)
    assert np.asarray(update.run()) == pytest.approx(1, abs=1e-5)
    assert np.isfinite(np.asarray(sums.run()))


def test_a_small_stream_has_no_copy():
    assert [kernel.figure for kernel in timed_kernels.streams("L1", 2**14, 2**16)].count("memory.L1.copy") == 0


def test_the_launch_chain_stays_a_kernel_a_step():
    figures = [kernel.figure for kernel in timed_kernels.overheads("gpu")]
    assert figures == ["call", *(f"launch.{count}" for count in LAUNCHES)]

    def steps(x):
        for _ in range(LAUNCHES[1]):
            x = x * 0.5 + jnp.max(x)
        return x

    text = jax.jit(steps).lower(jnp.arange(8, dtype="float32")).compile().as_text()
    entry = text[text.index("ENTRY") :]
    assert entry.count(" fusion(") >= LAUNCHES[1]
    assert entry.count(" fusion(") <= MOST_IN_A_ROW  # more would be handed to other threads


def test_a_program_is_dispatched_and_one_is_split():
    """By the rules that estimates apply: by FLOP, and by the loops that XLA splits or a library runs."""
    *_, dispatched, split = timed_kernels.overheads("cpu")
    assert (dispatched.figure, split.figure) == ("dispatch", "split")
    update = jax.jit(lambda x: x * 0.5 + 1).lower(jnp.ones(DISPATCHED)).compile().as_text()
    assert 2 * DISPATCHED >= DISPATCHED_FLOPS
    assert "outer_dimension_partitions" not in update
    assert "fusion_config" not in update


@pytest.fixture(scope="module")
def routines():
    return {kernel.figure: kernel for kernel in routine_kernels.routines("cpu", 1)}


@pytest.mark.parametrize(
    ("routine", "work"),
    [
        ("sort", None),  # whose work depends on how jax spells the comparison
        ("top_k", 128 * 8192),
        ("fft", 5 * 64 * 4096 * 12),
        ("linalg", 384**3 / 3),
        ("batched_matmul", 2 * 32 * 192**3),
        ("reduce_tuple", 1024 * 1536),
        ("transpose", 1536 * 1024),
        ("fused_transpose", 1536 * 1024),
    ],
)
def test_routines_do_the_work_they_claim(routines, routine, work):
    found = routines[f"routine.{routine}"]
    if found.missing:
        pytest.skip(f"XLA makes something else of it here: {found.missing}")
    assert found.work > 0
    if work is not None:
        assert found.work == pytest.approx(work, rel=0.02)  # LAPACK's count has terms of lower order
    timed_kernels.wait_for(found.run())
