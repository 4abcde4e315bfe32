"""The programs that calibration times do the work they claim, after all of the compiler's passes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hlo_count.roofline import kernels
from hlo_count.roofline.kernels import CHAIN, CHAINS, LAUNCHES, SPECIAL_CHAIN, missing_operations

N = 1024

ELEMENTWISE = {
    "multiply_add": (lambda: kernels.multiply_add("f32", N), 2 * (CHAIN * CHAINS + 2 * CHAINS - 1) * N),
    "multiply_add s32": (lambda: kernels.multiply_add("s32", N), 2 * (CHAIN * CHAINS + 2 * CHAINS - 1) * N),
    "multiply_add f64": (lambda: kernels.multiply_add("f64", N), 2 * (CHAIN * CHAINS + 2 * CHAINS - 1) * N),
    "add": (lambda: kernels.add("f32", N), (CHAIN * CHAINS + 2 * CHAINS - 1) * N),
    "integer": (lambda: kernels.integer("s32", N), (CHAIN * CHAINS + 2 * CHAINS - 1) * N),
    "integer s8": (lambda: kernels.integer("s8", N), (CHAIN * CHAINS + 2 * CHAINS - 1) * N),
    "minmax": (lambda: kernels.minmax("f32", N), CHAIN * CHAINS * N),
    "divide": (lambda: kernels.divide("f32", N), SPECIAL_CHAIN * CHAINS * N),
    **{
        opcode: (lambda opcode=opcode: kernels.special(opcode, "f32", N), SPECIAL_CHAIN * CHAINS * N)
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
    kernel = kernels.matmul(dtype, 16, into)
    assert kernel.work == 2 * 16**3
    result = kernel.run()
    assert result.dtype == kernels.NAMES[into or dtype]
    assert (np.asarray(result, "float64") == 16).all()  # ones times ones


def test_streams_move_the_bytes_they_claim():
    size, traffic = 2**20, 2**22
    sums, one_sum, fold, update, copy = kernels.streams("L2", size, traffic)
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
    assert [kernel.figure for kernel in kernels.streams("L1", 2**14, 2**16)].count("memory.L1.copy") == 0


def test_the_launch_chain_stays_a_kernel_a_step():
    *_, chain = kernels.overheads()
    assert chain.figure == f"launch.{LAUNCHES[1]}"

    def steps(x):
        for _ in range(LAUNCHES[1]):
            x = x * 0.5 + jnp.max(x)
        return x

    text = jax.jit(steps).lower(jnp.arange(8, dtype="float32")).compile().as_text()
    entry = text[text.index("ENTRY") :]
    assert entry.count(" fusion(") >= LAUNCHES[1]
