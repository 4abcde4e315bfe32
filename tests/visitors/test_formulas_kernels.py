"""Kernels that people write, selection, and random numbers."""

from __future__ import annotations

import functools
import importlib

import pytest
from fixture_files import text
from visitors.formula_cases import cost, counted, parts

from hlo_count.hlo.parser import parse
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
