"""Kernels that people write, selection, and random numbers."""

from __future__ import annotations

import base64
import functools
import importlib

import pytest
from fixture_files import text
from visitors.formula_cases import cost, counted, parts

from hlo_count.hlo.parser import parse
from hlo_count.lowering import tpu
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.walk import Walk

# Pallas on TPU


def estimated(**estimate):
    return {"custom_call_config": {"body": "TUzvUg==", "cost_estimate": estimate}}


OPERANDS, RESULT = ["bf16[8,128]", "bf16[128,128]"], "bf16[8,128]"
SIZES = 2 * (8 * 128 + 128 * 128), 2 * 8 * 128


@pytest.mark.parametrize(
    ("estimate", "ops", "accessed"),
    [
        ({"flops": "1000", "transcendentals": "10", "bytes_accessed": "90000"}, (1000, 10), 90000),
        ({"flops": 1000, "transcendentals": 0, "bytes_accessed": 0}, (1000, 0), sum(SIZES)),
        ({"flops": "1000"}, (1000, 0), sum(SIZES)),
        ({}, (0, 0), sum(SIZES)),
    ],
)
def test_a_pallas_kernel_costs_its_estimate(estimate, ops, accessed):
    found = cost("tpu_custom_call", OPERANDS, RESULT, estimated(**estimate), backend="tpu")
    assert (found.flops, found.transcendentals, found.bytes, found.status) == (*ops, accessed, "estimate")


def test_an_estimate_does_not_tell_the_memory_spaces_apart():
    operands = ["bf16[8,128]{1,0:S(1)}", "bf16[128,128]{1,0}"]
    found = cost("tpu_custom_call", operands, RESULT, estimated(flops="5", bytes_accessed="90000"), backend="tpu")
    assert found.bytes == 2 * 128 * 128 + 2 * 8 * 128  # what lies in main memory


def test_a_pallas_kernel_without_an_estimate_is_unknown():
    config = {"custom_call_config": {"body": "TUzvUg=="}}
    total, (unknown,) = counted("tpu_custom_call", OPERANDS, RESULT, config, backend="tpu")
    assert "without a cost estimate" in unknown.reason
    assert "pl.CostEstimate(flops=" in unknown.remedy
    assert (total.flops, total.bytes, total.status) == (0, sum(SIZES), "lower bound")


def test_the_pallas_kernels_of_the_tpu_fixtures():
    product = Walk(parse(text("tpu-v5e", "pallas_matmul_estimated")), "tpu").total
    assert product.flops == 2 * 512 * 128 * 512
    assert product.bytes == 4 * (2 * 512 * 128 + 512 * 512)
    assert Walk(parse(text("tpu-v5e", "pallas_matmul")), "tpu").total.status == "lower bound"


# Kernels that the TPU compiler writes

ONLINE_SOFTMAX = """module {
  func.func @main(%arg0: i32, %arg1: i32, %arg2: memref<256x128xbf16, #tpu.memory_space<vmem>>) attributes {BOUNDS} {
    %c0_i32 = arith.constant 0 : i32
    %0 = arith.cmpi eq, %c0_i32, %arg1 : i32
    scf.if %0 {
      %cst_4 = arith.constant dense<0xFF80> : vector<256x1xbf16>
      vector.store %cst_4, %arg5[%c0, %c0] : memref<256x1xbf16, #tpu.memory_space<vmem>>, vector<256x1xbf16>
    }
    %1 = vector.load %arg2[%c0, %c0] : memref<256x128xbf16, #tpu.memory_space<vmem>>, vector<256x128xbf16>
    %2 = vector.multi_reduction <maximumf>, %1, %cst [1] : vector<256x128xbf16> to vector<256xbf16>
    %9 = vector.broadcast %2 : vector<256xbf16> to vector<256x128xbf16>
    %10 = arith.subf %1, %9 : vector<256x128xbf16>
    %11 = math.exp %10 : vector<256x128xbf16>
    %28 = tpu.matmul %11, %24, %27 {dimension_numbers = #tpu.dot_dimension_numbers<[1], [0], [0], [1], [0, 0, 1, 1], [], []>, transpose_lhs_hint = false} : vector<256x128xbf16>, vector<128x64xbf16>, vector<256x64xf32> -> vector<256x64xf32>
    %29 = arith.truncf %28 : vector<256x64xf32> to vector<256x64xbf16>
    return
  }
  func.func @qk_fn(%arg0: i32, %arg1: i32) -> (i32, i32) {
    return %arg0, %arg1 : i32, i32
  }
}
"""
"""What the compiler puts in place of softmax(q @ k.T) @ v, without the sums over the steps: a step is 256 rows by 128 keys."""
SCORES, VALUES, ATTENDED = "bf16[512,512]", "bf16[512,64]", "bf16[512,64]"


def written_by_compiler(code, bounds="2, 4", **more):
    code = code.replace("BOUNDS", f"iteration_bounds = array<i64: {bounds}>, scratch_operands = 2 : i64")
    return {"custom_call_config": {"body": base64.b64encode(code.encode()).decode(), **more}}


def test_a_kernel_of_the_compiler_is_counted_by_its_code():
    config = written_by_compiler(ONLINE_SOFTMAX)
    found = cost("tpu_custom_call", [SCORES, VALUES], ATTENDED, config, backend="tpu")
    assert parts(found) == {
        "matmul.flops": 2 * 512 * 512 * 64,
        "add.flops": 512 * 512,
        "minmax.flops": 512 * 512 - 4 * 512,  # each of 4 steps leaves the maxima of its own keys
        "transcendental.transcendentals": 512 * 512,
        "convert.other_ops": 4 * 512 * 64,
    }
    assert found.status == "estimate"
    stated = written_by_compiler(ONLINE_SOFTMAX, cost_estimate={"flops": "7"})
    assert cost("tpu_custom_call", [SCORES, VALUES], ATTENDED, stated, backend="tpu").flops == 7


@pytest.mark.parametrize(
    ("code", "bounds", "reason"),
    [
        (ONLINE_SOFTMAX, "1, -9223372036854775808", "whose number of steps its code does not tell"),
        (ONLINE_SOFTMAX.replace("math.exp ", "tpu.guess "), "2, 4", "a kernel with a tpu.guess"),
        (ONLINE_SOFTMAX.replace("scf.if %0", "scf.for %i = %a to %b step %c"), "2, 4", "a kernel with a scf.for"),
        (ONLINE_SOFTMAX.replace("%10 : vector<256x128xbf16>", "%10 : vector<8xindex>"), "2, 4", "math.exp of index"),
        ("module {}", "1", "whose number of steps its code does not tell"),
    ],
)
def test_a_kernel_of_the_compiler_that_cannot_be_counted_is_no_pallas_call_of_the_users(code, bounds, reason):
    config = written_by_compiler(code, bounds)
    _, (unknown,) = counted("tpu_custom_call", [SCORES, VALUES], ATTENDED, config, backend="tpu")
    assert reason in unknown.reason
    assert '@hlo_count.custom_call("tpu_custom_call", override=True)' in unknown.remedy
    assert "pallas" not in str(unknown)


def test_a_kernel_that_works_on_addresses_alone_does_nothing_that_is_counted():
    # ragged_dot: one kernel of the compiler looks for the groups, another, with an estimate, multiplies.
    product = Walk(parse(text("tpu-v5e", "ragged_dot")), "tpu").total
    assert (product.flops, product.status) == (2 * 256 * 512 * 128, "estimate")


@pytest.mark.skipif(not tpu.installed(), reason=f"libtpu is not installed: {tpu.REMEDY}")
def test_attention_on_tpu_has_both_products_and_the_softmax():
    import jax
    import jax.numpy as jnp

    import hlo_count as hc

    def attention(q, k, v):
        return jax.nn.softmax(q @ k.T).astype(v.dtype) @ v

    q = jax.ShapeDtypeStruct((512, 64), jnp.bfloat16)
    report = hc.count(attention, q, q, q, target="tpu:v5e:2x2")
    assert report.total.split(1)["matmul"].flops == 2 * 2 * 512 * 512 * 64
    assert report.transcendentals == pytest.approx(512 * 512, rel=0.01)  # and a few for each row, to rescale its sum
    assert report.status != "lower bound"


@pytest.mark.parametrize(
    "target", ["mosaic_gpu_v2", "__gpu$xla.gpu.triton", "triton_kernel_call_ffi", "__gpu$xla.gpu.ptx"]
)
def test_gpu_kernels_are_unknown_and_say_how_to_settle_it(target):
    _, (unknown,) = counted(target, OPERANDS, RESULT, '{module = "IR", num_warps = 4 : i32}')
    assert f'custom_call("{target}", override=True)' in unknown.remedy
    assert "pl.CostEstimate" in unknown.remedy


@pytest.mark.parametrize("target", ["xla_ffi_python_cpu_callback", "xla_python_gpu_callback"])
def test_callbacks_are_unknown(target):
    _, (unknown,) = counted(target, ["f32[4]"], "f32[4]", "{index = 0 : ui64}")
    assert unknown.reason.startswith("calls back into Python")


# Sorting and selection


@pytest.mark.parametrize("target", ["TopK", "__gpu$TopK", "PartialReduce", "ApproxTopK"])
def test_top_k_looks_at_each_element(target):
    found = cost(target, ["f32[16,4096]"], "(f32[16,8], s32[16,8])")
    assert parts(found) == {"sort.other_ops": 16 * 4096}
    assert found.bytes == 4 * (16 * 4096 + 2 * 16 * 8)


@pytest.mark.parametrize(
    ("operands", "amount"), [(["u32[8,1000]"], 8 * 1000 * 10), (["f32[1024]", "s32[1024]"], 1024 * 10)]
)
def test_a_radix_sort_costs_as_a_sort(operands, amount):
    result = f"({', '.join(operands)}, u8[77])"
    assert parts(cost("xla.gpu.ext.cub_sort_pairs", operands, result)) == {"sort.other_ops": amount}


# Random numbers


def test_threefry_is_what_jax_writes_out():
    """JAX's own implementation of the cipher, not optimized: as many operations on integers."""
    import jax

    try:
        cipher = importlib.import_module("jax._src.random.threefry2x32")._threefry2x32_lowering
    except ModuleNotFoundError:  # where JAX of before 0.10 has it
        cipher = importlib.import_module("jax._src.prng")._threefry2x32_lowering
    words = jax.ShapeDtypeStruct((64,), "uint32")
    program = jax.jit(functools.partial(cipher, use_rolled_loops=False)).lower(words, words, words, words)
    written = Walk(parse(program.as_text("hlo")), "cpu").total
    assert cost("cu_threefry2x32_ffi", ["u32[64]"] * 4, "(u32[64], u32[64])").int_ops == written.int_ops


def test_a_cost_estimate_of_nothing_is_still_an_estimate():
    found = cost("tpu_custom_call", [], "()", estimated(), backend="tpu")
    assert found == Cost({}, "estimate")
