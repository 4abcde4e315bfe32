"""Kernels that people write, selection, and random numbers."""

from __future__ import annotations

import base64
import functools
import importlib

import pytest
from fixture_files import text
from mosaic_support import needs_mosaic
from visitors.formula_cases import call_text, cost, counted, parts
from visitors.kernels.kernel_texts import ONE_ADD, VMEM, module

from hlo_count.hlo.parser import parse
from hlo_count.lowering import tpu
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.settings import Settings
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
def test_a_pallas_kernel_that_cannot_be_read_costs_its_estimate(estimate, ops, accessed):
    found = cost("tpu_custom_call", OPERANDS, RESULT, estimated(**estimate), backend="tpu")
    assert (found.flops, found.transcendentals, found.bytes, found.status) == (*ops, accessed, "estimate")


def test_an_estimate_does_not_tell_the_memory_spaces_apart():
    operands = ["bf16[8,128]{1,0:S(1)}", "bf16[128,128]{1,0}"]
    found = cost("tpu_custom_call", operands, RESULT, estimated(flops="5", bytes_accessed="90000"), backend="tpu")
    assert found.bytes == 2 * 128 * 128 + 2 * 8 * 128  # what lies in main memory


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("TUzvUg==", "holds MLIR that this jaxlib cannot read"),
        ("", "holds no MLIR"),
        (5, "holds no MLIR"),
        ("no base64", "holds no MLIR"),
        (base64.b64encode(b"module {\n  foo.bar\n}").decode(), "holds MLIR that this jaxlib cannot read"),
        (base64.b64encode(b"module {}").decode(), "holds no function"),
        (
            base64.b64encode(b'module {\n  "new.op"() {a = #tpu.core_type<quantum>} : () -> ()\n}').decode(),
            "holds MLIR that this jaxlib cannot read",
        ),
    ],
)
def test_a_pallas_kernel_that_cannot_be_read_is_unknown(body, reason):
    config = {"custom_call_config": {"body": body}}
    total, (unknown,) = counted("tpu_custom_call", OPERANDS, RESULT, config, backend="tpu")
    assert unknown.reason.startswith(f"is a Pallas kernel whose body {reason}")
    assert "\n" not in str(unknown)
    assert (total.flops, total.bytes, total.status) == (0, sum(SIZES), "lower bound")


def test_a_kernel_that_does_not_fit_its_call_is_unknown():
    config = mosaic(module(ONE_ADD, arguments=f"%a: memref<8x128xbf16, {VMEM}>"))
    _, (unknown,) = counted("tpu_custom_call", OPERANDS, RESULT, config, backend="tpu")
    assert "takes 1 arrays, and the call has 3" in unknown.reason


@needs_mosaic
def test_the_pallas_kernels_of_the_tpu_fixtures():
    for name in ("pallas_matmul", "pallas_matmul_estimated"):
        product = Walk(parse(text("tpu-v5e", name)), "tpu").total
        assert product.flops == 2 * 512 * 128 * 512
        # 4 rows of blocks of x and out each once; y, which the inner dimension of the grid runs through, for each
        assert product.bytes == 4 * (512 * 128 + 4 * 128 * 512 + 512 * 512)
        assert product.status == "exact"


# Code of kernels


def mosaic(code, **more):
    return {"custom_call_config": {"body": base64.b64encode(code.encode()).decode(), **more}}


ROWS = """
  func.func @rows(%i0: i32, %i1: i32) -> (i32, i32) {
    %c0 = arith.constant 0 : i32
    return %i0, %c0 : i32, i32
  }"""
SCORES, VALUES, ATTENDED = "bf16[512,512]", "bf16[512,64]", "bf16[512,64]"
SOFTMAX = """
    %first = arith.cmpi eq, %i1, %c0 : i32
    scf.if %first {
      %none = arith.constant dense<0.0> : vector<256x1xbf16>
      vector.store %none, %sum[%zero, %zero] : memref<256x1xbf16, VMEM>, vector<256x1xbf16>
    }
    %s = vector.load %scores[%zero, %zero] : memref<256x128xbf16, VMEM>, vector<256x128xbf16>
    %low = arith.constant dense<0xFF80> : vector<256xbf16>
    %most = vector.multi_reduction <maximumf>, %s, %low [1] : vector<256x128xbf16> to vector<256xbf16>
    %wide = vector.shape_cast %most : vector<256xbf16> to vector<256x1xbf16>
    %all = vector.broadcast %wide : vector<256x1xbf16> to vector<256x128xbf16>
    %d = arith.subf %s, %all : vector<256x128xbf16>
    %e = math.exp %d : vector<256x128xbf16>
    %v = vector.load %values[%zero, %zero] : memref<128x64xbf16, VMEM>, vector<128x64xbf16>
    %acc = arith.constant dense<0.0> : vector<256x64xf32>
    %p = "tpu.matmul"(%e, %v, %acc) {dimension_numbers = #tpu.dot_dimension_numbers<[1], [0], [0], [1], [0, 0, 1, 1], \
[], []>, transpose_lhs_hint = false} : (vector<256x128xbf16>, vector<128x64xbf16>, vector<256x64xf32>) \
-> vector<256x64xf32>
    %r = arith.truncf %p : vector<256x64xf32> to vector<256x64xbf16>
    vector.store %r, %out[%zero, %zero] : memref<256x64xbf16, VMEM>, vector<256x64xbf16>"""
"""As the compiler puts it in place of softmax(q @ k.T) @ v, without the sums over the steps: a step is 256 rows by 128
keys."""


def softmax(bounds=(2, 4), body=SOFTMAX):
    """Scores go by row and column, values by the column alone, results by the row."""
    functions = f"""{ROWS}
  func.func @both(%i0: i32, %i1: i32) -> (i32, i32) {{
    return %i0, %i1 : i32, i32
  }}
  func.func @keys(%i0: i32, %i1: i32) -> (i32, i32) {{
    %c0 = arith.constant 0 : i32
    return %i1, %c0 : i32, i32
  }}"""
    blocks = (("both", 256, 128), ("keys", 128, 64), ("rows", 256, 64))
    params = (f"{{transform_indices = @{f}, window_bounds = array<i64: {m}, {n}>}}" for f, m, n in blocks)
    arguments = (
        f"%scores: memref<256x128xbf16, {VMEM}>, %values: memref<128x64xbf16, {VMEM}>, "
        f"%out: memref<256x64xbf16, {VMEM}>, %sum: memref<256x1xbf16, {VMEM}>"
    )
    attributes = f"scratch_operands = 1 : i64, window_params = [{', '.join(params)}]"
    body = body.replace("VMEM", VMEM)
    return module(body, arguments=arguments, bounds=bounds, attributes=attributes, functions=functions)


@needs_mosaic
def test_a_kernel_is_counted_by_its_code():
    found = cost("tpu_custom_call", [SCORES, VALUES], ATTENDED, mosaic(softmax()), backend="tpu")
    assert parts(found) == {
        "matmul.flops": 2 * 512 * 512 * 64,
        "add.flops": 512 * 512,
        "minmax.flops": 512 * 512 - 4 * 512,  # each of 4 steps leaves the maxima of its own keys
        "transcendental.transcendentals": 512 * 512,
        "convert.other_ops": 4 * 512 * 64,
    }
    assert found.status == "exact"
    # Each score once, the values for both rows of blocks, the results once when their row ends.
    assert (found.bytes_read, found.bytes_written) == (2 * (512 * 512 + 2 * 512 * 64), 2 * 512 * 64)


@needs_mosaic
def test_an_estimate_says_nothing_beside_the_code():
    stated = mosaic(softmax(), cost_estimate={"flops": "7"})
    assert cost("tpu_custom_call", [SCORES, VALUES], ATTENDED, stated, backend="tpu").flops > 2 * 512 * 512 * 64


@needs_mosaic
def test_arrays_on_the_chip_are_no_traffic_of_main_memory():
    on_chip = [f"{SCORES}{{1,0:S(1)}}", VALUES]
    found = cost("tpu_custom_call", on_chip, ATTENDED, mosaic(softmax()), backend="tpu")
    assert found.bytes == 2 * 2 * 512 * 64 + 2 * 512 * 64


DYNAMIC = -(2**63)


@needs_mosaic
def test_a_grid_that_only_the_run_knows_is_an_unknown():
    """Its length is the first operand of the call."""
    config = mosaic(softmax((2, DYNAMIC)))
    total, (unknown,) = counted("tpu_custom_call", ["s32[]", SCORES, VALUES], ATTENDED, config, backend="tpu")
    assert "has a grid whose dimension 1 only the run knows, counted as one step" in unknown.reason
    assert parts(total)["matmul.flops"] == 2 * 512 * 128 * 64
    assert total.status == "lower bound"


@needs_mosaic
def test_what_a_kernel_moves_is_asked_for_where_its_code_does_not_tell():
    """FLOP do not settle a grid that only the run knows, since its blocks are not known either; both do."""
    text = call_text("tpu_custom_call", ["s32[]", SCORES, VALUES], ATTENDED, mosaic(softmax((2, DYNAMIC))))

    def of(given):
        return Walk(parse(text), "tpu", Settings(costs={"call": given}))

    flops = of({"flops": 10**9})
    (unknown,) = flops.unknowns
    assert (flops.total.flops, flops.status) == (10**9, "lower bound")
    assert unknown.reason.startswith("costs what you say, and is a kernel that has a grid whose dimension 1")
    assert unknown.remedy == 'count(…, costs={"call": {"flops": FLOP, "bytes_read": B, "bytes_written": B}})'
    both = of({"flops": 10**9, "bytes_read": 600, "bytes_written": 400})
    assert (both.total.flops, both.total.bytes, both.status, both.unknowns) == (10**9, 1000, "exact", [])


@needs_mosaic
def test_flops_settle_a_kernel_whose_code_tells_what_it_moves():
    """An operation that no rule knows; the blocks are those of the code."""
    body = SOFTMAX.replace("math.exp %d", '"new.exp"(%d)').replace(
        "vector<256x128xbf16>\n    %v", "(vector<256x128xbf16>) -> vector<256x128xbf16>\n    %v"
    )
    text = call_text("tpu_custom_call", [SCORES, VALUES], ATTENDED, mosaic(softmax(body=body)))
    unsettled = Walk(parse(text), "tpu")
    assert [unknown.remedy for unknown in unsettled.unknowns] == ['count(…, costs={"call": FLOP})']
    settled = Walk(parse(text), "tpu", Settings(costs={"call": {"flops": 10**9}}))
    assert (settled.total.flops, settled.status) == (10**9, "exact")
    assert settled.total.bytes == unsettled.total.bytes == 2 * (512 * 512 + 2 * 512 * 64) + 2 * 512 * 64


@needs_mosaic
def test_the_estimate_of_an_author_tells_how_long_a_grid_is():
    config = mosaic(softmax((2, DYNAMIC)), cost_estimate={"flops": 2 * 512 * 512 * 64})
    found = cost("tpu_custom_call", ["s32[]", SCORES, VALUES], ATTENDED, config, backend="tpu")
    assert parts(found)["matmul.flops"] == 2 * 512 * 512 * 64
    assert found.transcendentals == 512 * 512
    assert found.status == "estimate"
    odd = mosaic(softmax((2, DYNAMIC)), cost_estimate={"flops": 2 * 512 * 512 * 64 + 1})
    found = cost("tpu_custom_call", ["s32[]", SCORES, VALUES], ATTENDED, odd, backend="tpu")
    assert parts(found) == {"custom.flops": 2 * 512 * 512 * 64 + 1}


def test_a_kernel_that_works_on_addresses_alone_does_nothing_that_is_counted():
    # ragged_dot: one kernel of the compiler looks for the groups, another multiplies.
    product = Walk(parse(text("tpu-v5e", "ragged_dot")), "tpu").total
    assert (product.flops, product.status) == (2 * 256 * 512 * 128, "exact")


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
    assert unknown.remedy == 'count(…, costs={"call": FLOP})'


GRID = "grid_x = 4 : i32, grid_y = 2 : i32, grid_z = 1 : i32"


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (f'{{{GRID}, ir = "ML\\EFR\\0D"}}', "is a Triton kernel whose body holds MLIR that this jaxlib cannot read"),
        (f'{{{GRID}, ir = "no code"}}', "is a Triton kernel whose body holds no MLIR"),
        (f'{{{GRID}, ir = "module {{}}"}}', "is a Triton kernel whose body holds no function"),
        (
            f'{{{GRID}, ir = "{"module {" * 9999}{"}" * 9999}"}}',
            "is a Triton kernel whose body holds MLIR whose brackets",
        ),
        ('{ir = "module {}"}', "is a custom call of '__gpu$xla.gpu.triton' whose attributes have no grid_x"),
        (f"{{{GRID}}}", "is a Triton kernel whose text does not hold its code"),
    ],
)
def test_a_triton_kernel_that_cannot_be_read_is_unknown(config, reason):
    total, (unknown,) = counted("__gpu$xla.gpu.triton", OPERANDS, RESULT, config)
    assert unknown.reason.startswith(reason)
    assert "\n" not in str(unknown)
    assert (total.flops, total.bytes, total.status) == (0, sum(SIZES), "lower bound")


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


@pytest.mark.parametrize("target", ["xla.gpu.ext.cub_scan", "xla.gpu.ext.cub_scan_unassigned_scratch_size"])
def test_a_prefix_sum_is_an_add_for_each_element(target):
    config = "{vector_length = 1 : i64, row_length = 100 : i64, column_length = 8 : i64, kind = 1 : i64}"
    found = cost(target, ["f32[8,100]"], "(f32[8,100], u8[767])", config)
    assert parts(found) == {"add.flops": 8 * 100}
    assert found.bytes == 2 * 4 * 8 * 100  # the scratch is room


@pytest.mark.parametrize(
    ("target", "operands", "result", "moved"),
    [
        ("PinToDevice", ["f32[64]"], "f32[64]", 0),
        ("SetBound", ["s32[]", "s32[]"], "s32[]", 0),
        ("__nop", [], "s8[4096]", 0),
        ("_SPMDInternalOp_RotateRight", ["f32[64]"], "f32[64]", 2 * 4 * 64),
    ],
)
def test_what_computes_nothing(target, operands, result, moved):
    found = cost(target, operands, result)
    assert (found.bytes, parts(found), found.status) == (moved, {}, "exact")


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
