"""Custom calls: every one that JAX and XLA emit is known, and no text of one is an exception."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from fixture_files import compiled_names, text
from mosaic_support import READS_MOSAIC
from visitors.formula_cases import call, call_text, cost, counted, parts

from hlo_count.errors import HloCountError
from hlo_count.hlo.attributes import unquote
from hlo_count.hlo.parser import parse
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.custom_calls import custom_call_cost
from hlo_count.visitors.registry import FORMULAS, MOVES_NOTHING, Estimate, UnknownCostOf, custom_call
from hlo_count.visitors.walk import Walk

BACKENDS = ("cpu", "h100", "tpu-v5e")


def result_of(instruction):
    try:
        return custom_call_cost(instruction)
    except UnknownCostOf as unknown:
        return unknown


# No text breaks a formula

ODD_CONFIGS = [
    None,
    "{mode = 86 : ui8}",
    "{conv_result_scale:1}",
    '"not json at all"',
    {},
    {"gemm_backend_config": {}},
    {"gemm_backend_config": {"dot_dimension_numbers": {"lhs_contracting_dimensions": ["7"]}}},
    {"gemm_backend_config": {"dot_dimension_numbers": {"lhs_contracting_dimensions": "x"}, "beta": "y"}},
    {"cudnn_fmha_backend_config": {"intermediate_tensor_shape": {"dimensions": ["2"]}}},
    {"cudnn_conv_backend_config": {"conv_result_scale": "z", "activation_mode": "kNew"}},
    {"onednn_conv_config": {"input": {"data": {}}, "window": {}}, "onednn_matmul_config": {"fusions": 3}},
    {"custom_call_config": {"cost_estimate": {"flops": "many"}}},
]
ODD_OPERANDS = [[], ["f32[]"], ["s32[4]"], ["(f32[2], s32[])"], ["f32[0,0]", "f32[0]"], ["token[]", "f32[3]"]]


@pytest.mark.parametrize("target", sorted(FORMULAS))
def test_no_text_breaks_a_formula(target):
    for operands in [*ODD_OPERANDS, ["f32[4,4]", "f32[4,4]", "f32[4]", "f32[4,4]"]]:
        for config in ODD_CONFIGS:
            for result in ("f32[4,4]", "(f32[4,4], u8[0])", "()", "f32[]"):
                for attributes in ("", "window={size=3x3}, dim_labels=bf01_oi01->bf01"):
                    found = result_of(call(target, operands, result, config, attributes))
                    if isinstance(found, UnknownCostOf):
                        assert found.reason
                    else:
                        assert isinstance(found, Cost)
                        assert found.status == "exact" or (isinstance(found, Estimate) and found.reason)


@pytest.mark.parametrize(
    ("target", "config", "reason"),
    [
        ("__cublas$gemm", None, "without a backend config"),
        ("__cublas$gemm", "{mode = 86 : ui8}", "no JSON"),
        ("__cublas$gemm", {"gemm_backend_config": {}}, "no gemm_backend_config.dot_dimension_numbers"),
        ("__cudnn$fmhaSoftmax", "{scale = 1.0 : f32}", "no JSON"),
        ("__onednn$matmul", {}, "no onednn_matmul_config"),
        ("__cudnn$convForward", None, "without dim_labels"),
    ],
)
def test_a_config_that_does_not_tell_is_an_unknown_with_that_reason(target, config, reason):
    total, (unknown,) = counted(target, ["f32[8,4]", "f32[4,2]", "f32[4,2]"], "f32[8,2]", config)
    assert reason in unknown.reason
    assert target in unknown.reason
    assert "(f32[8,4], f32[4,2], f32[4,2]) -> f32[8,2]" in unknown.reason
    assert unknown.remedy == 'count(…, costs={"call": FLOP})'
    assert total.status == "lower bound"
    assert total.bytes == 4 * (8 * 4 + 2 * 4 * 2 + 8 * 2)  # the operands and the output still count


# Every target that the compilers of the fixtures emit is known


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_custom_calls_of_the_fixtures_are_known(backend):
    if not READS_MOSAIC and backend != "cpu":
        pytest.skip("the Mosaic dialect of jaxlib 0.4.30 is older than these bodies")
    unknown, known = set(), set()
    for name in compiled_names(backend):
        for instruction in parse(text(backend, name)).instructions():
            if instruction.opcode == "custom-call":
                target = unquote(instruction.attributes["custom_call_target"])
                found = result_of(instruction)
                (known if isinstance(found, Cost) else unknown).add((backend, target))
    assert not unknown
    assert known


def test_a_qr_is_counted_on_three_backends():
    n = 96
    factored = 4 * n**3 // 3 + (4 * n**3 % 3 > 0)
    totals = {b: Walk(parse(text(b, "qr")), {"h100": "gpu", "tpu-v5e": "tpu"}.get(b, b)).total for b in BACKENDS}
    linalg = {backend: parts(total)["linalg.flops"] for backend, total in totals.items()}
    assert linalg["cpu"] == linalg["h100"] == 2 * factored  # R, and as much for Q
    assert linalg["tpu-v5e"] == factored + n**3 // 3  # one block, and the T of its compact WY form
    assert parts(totals["tpu-v5e"])["matmul.flops"] == 4 * 2 * n**3
    assert {total.status for total in totals.values()} == {"exact"}


# What JAX registers is known

_NAMES = """
import json, sys
from jaxlib import lapack
print(json.dumps(sorted(lapack._lapack.registrations())))
"""


def test_every_lapack_call_of_the_installed_jaxlib_has_a_formula():
    done = subprocess.run([sys.executable, "-c", _NAMES], capture_output=True, text=True, check=True)
    names = json.loads(done.stdout)
    assert len(names) > 40
    assert [name for name in names if name not in FORMULAS] == []


STABLE_ELSEWHERE = {
    # no program of theirs is HLO of one device, or they are opcodes by then
    "tf.call_tf_function",
    "stablehlo.dynamic_reduce_window",
    "stablehlo.dynamic_rng_bit_generator",
}


def test_every_call_that_jax_guarantees_has_a_formula():
    program = """
import json
from jax._src.export import _export
print(json.dumps(sorted(_export._CUSTOM_CALL_TARGETS_GUARANTEED_STABLE)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this JAX keeps its list elsewhere: {done.stderr.splitlines()[-1]}")
    names = set(json.loads(done.stdout))
    assert "Sharding" in names
    assert names - set(FORMULAS) - STABLE_ELSEWHERE == set()


# What costs nothing


@pytest.mark.parametrize("target", sorted(MOVES_NOTHING))
def test_what_is_no_work_moves_no_bytes(target):
    assert cost(target, ["f32[1024]"], "f32[1024]") == Cost()


@pytest.mark.parametrize(
    ("target", "operands", "result", "read", "written"),
    [
        ("X64SplitLow", ["f64[100]"], "f32[100]", 800, 400),
        ("X64SplitHigh", ["c64[100]"], "f32[100]", 800, 400),
        ("X64Combine", ["u32[100]", "u32[100]"], "u64[100]", 800, 800),
        ("cu_lu_pivots_to_permutation", ["s32[96]"], "s32[96]", 384, 384),
        ("SliceToDynamic", ["f32[10]", "s32[]"], "f32[<=10]", 44, 40),
    ],
)
def test_what_only_moves_bytes(target, operands, result, read, written):
    assert cost(target, operands, result) == Cost.traffic(read=read, written=written)


# Users' formulas


@pytest.fixture
def mine():
    """A target of a user's, gone after the test."""
    yield "my_kernel"
    FORMULAS.pop("my_kernel", None)
    MOVES_NOTHING.discard("my_kernel")


def test_a_target_without_a_formula_is_an_unknown_that_its_cost_settles():
    total, (unknown,) = counted("nobody_knows", ["f32[4]"], "f32[4]")
    assert unknown.what == "custom-call nobody_knows"
    assert unknown.remedy == 'count(…, costs={"call": FLOP})'
    assert (total.status, total.bytes) == ("lower bound", 2 * 16)


def test_a_formula_of_a_user_counts(mine):
    @custom_call(mine)
    def formula(instruction):
        return Cost.ops("flops", 7 * instruction.shape.size, "matmul", "f32", "matrix")

    found = cost(mine, ["f32[4]"], "f32[4]")
    assert (found.flops, found.bytes, found.status) == (28, 32, "exact")


def test_a_formula_can_say_the_bytes_or_that_there_are_none(mine):
    custom_call(mine)(lambda instruction: Cost.traffic(read=5, written=3))
    assert cost(mine, ["f32[4]"], "f32[4]").bytes == 8
    custom_call(mine, override=True, moves_bytes=False)(lambda instruction: Cost())
    assert cost(mine, ["f32[4]"], "f32[4]") == Cost()
    custom_call(mine, override=True)(lambda instruction: Cost())
    assert cost(mine, ["f32[4]"], "f32[4]").bytes == 32


def test_registering_twice_needs_override(mine):
    custom_call(mine)(lambda instruction: Cost())
    with pytest.raises(HloCountError, match="'my_kernel' has a formula already; pass override=True"):
        custom_call(mine)(lambda instruction: Cost())
    custom_call(mine, override=True)(lambda instruction: Cost.ops("flops", 1, "add", "f32"))
    assert cost(mine, ["f32[4]"], "f32[4]").flops == 1


def test_a_formula_that_raises_is_an_error_that_names_target_and_formula(mine):
    @custom_call(mine)
    def broken(instruction):
        return instruction.shape.no_such_thing

    with pytest.raises(HloCountError, match=r"formula .*broken of custom call 'my_kernel' failed on call: Attribute"):
        counted(mine, ["f32[4]"], "f32[4]")


def test_a_formula_that_gives_no_cost_is_an_error_that_says_so(mine):
    @custom_call(mine)
    def number(instruction):
        return 12

    with pytest.raises(HloCountError, match=r"formula .*number of custom call 'my_kernel' gave 12, which is no Cost"):
        counted(mine, ["f32[4]"], "f32[4]")


def test_a_formula_can_say_that_it_cannot_tell(mine):
    @custom_call(mine)
    def shy(instruction):
        raise UnknownCostOf("depends on the weather", "wait")

    _, (unknown,) = counted(mine, ["f32[4]"], "f32[4]")
    assert unknown.reason.startswith("depends on the weather")
    assert unknown.remedy == "wait"


def test_bytes_of_a_call_inside_a_fusion_are_those_of_the_fusion(mine):
    custom_call(mine)(lambda instruction: Cost.ops("flops", 9, "add", "f32") + Cost.traffic(read=500, written=500))
    module = """HloModule m
%f (p: f32[4]) -> f32[4] {
  %p = f32[4] parameter(0)
  ROOT %c = f32[4] custom-call(%p), custom_call_target="my_kernel"
}
ENTRY %main (x: f32[4]) -> f32[4] {
  %x = f32[4] parameter(0)
  ROOT %fused = f32[4] fusion(%x), kind=kCustom, calls=%f
}
"""
    total = Walk(parse(module), "gpu").total
    assert (total.flops, total.bytes) == (9, 16 + 16)


def test_the_text_of_a_case_is_what_xla_would_print():
    module = parse(call_text("TopK", ["f32[4,8]"], "(f32[4,2], s32[4,2])"))
    assert module.entry.root.attributes["custom_call_target"] == '"TopK"'


def test_a_formula_of_the_user_s_that_estimates_is_said_to():
    custom_call("users_guess")(lambda i: Cost.ops("flops", 5, "custom", "f32", status="estimate"))
    total, (unknown,) = counted("users_guess", ["f32[4]"], "f32[4]")
    assert (total.flops, total.status, unknown.status) == (5, "estimate", "estimate")
    assert "a formula of yours, which says that it is an estimate" in unknown.reason
    del FORMULAS["users_guess"]
