"""`report.check`, on HLO texts whose counts are arithmetic."""

from __future__ import annotations

import pytest

import hlo_count as hc

TEXT = """
HloModule jit_step, is_scheduled=true, num_partitions=8

%sum (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %add.1 = f32[] add(%a, %b)
}

%fused (p0: f32[16,8]) -> f32[16,8] {
  %p0 = f32[16,8]{1,0} parameter(0)
  %convert.1 = f64[16,8]{1,0} convert(%p0), metadata={op_name="jit(step)/mlp/convert" source_file="/src/model.py" source_line=7}
  ROOT %convert.2 = f32[16,8]{1,0} convert(%convert.1)
}

ENTRY %main (x: f32[16,32], w: f32[32,8]) -> f32[16,8] {
  %x = f32[16,32]{1,0} parameter(0), metadata={op_name="x"}
  %w = f32[32,8]{1,0} parameter(1), metadata={op_name="params[\\'w\\']"}
  %dot.1 = f32[16,8]{1,0} dot(%x, %w), lhs_contracting_dims={1}, rhs_contracting_dims={0}, metadata={op_name="jit(step)/mlp/dot_general" source_file="/src/model.py" source_line=5}
  %ar = f32[16,8]{1,0} all-reduce(%dot.1), channel_id=1, replica_groups={{0,1,2,3,4,5,6,7}}, use_global_device_ids=true, to_apply=%sum, metadata={op_name="jit(step)/psum" source_file="/src/model.py" source_line=6}
  %fusion.1 = f32[16,8]{1,0} fusion(%ar), kind=kLoop, calls=%fused, metadata={op_name="jit(step)/mlp/convert" source_file="/src/model.py" source_line=7}
  ROOT %call.1 = f32[16,8]{1,0} custom-call(%fusion.1), custom_call_target="xla_ffi_python_cpu_callback", metadata={op_name="jit(step)/log" source_file="/src/model.py" source_line=8}
}
"""
MATMUL = 2 * 16 * 8 * 32
REDUCED = 16 * 8 * 7 // 8
"""FLOP of one device of 8 in a ring."""
SENT = 2 * (4 * 16 * 8) * 7 // 8


@pytest.fixture(scope="module")
def report() -> hc.Report:
    return hc.count(TEXT)


def test_the_text_is_counted_as_reckoned(report):
    assert (report.flops, report.network_bytes) == (MATMUL + REDUCED, SENT)


@pytest.mark.parametrize(
    "limits",
    [
        {"flops": MATMUL + REDUCED},
        {"min_flops": MATMUL + REDUCED},
        {"network_bytes": SENT, "flops": "8.4 kFLOP"},
        {"max_ops": {"all-gather": 0, "fusion": 1, "custom-call:*": 1, "custom-call:*cudnn*": 0}},
        {"min_ops": {"custom-call:*callback*": 1, "all-reduce": 1, "all-*": 1}},
        {"forbid": ["bf16", "while", "custom-call:*cholesky*"]},
    ],
)
def test_limits_that_hold(report, limits):
    report.check(**limits, allow_lower_bound=True)


@pytest.mark.parametrize(
    ("limits", "first", "place"),
    [
        ({"flops": MATMUL}, "flops 8.304 kFLOP is over 8.192 kFLOP (+1.4 %)", "src/model.py:5"),
        ({"flops": MATMUL + REDUCED - 1}, "flops 8.304 kFLOP is over 8.303 kFLOP (+1)", "src/model.py:5"),
        ({"min_flops": "10 kFLOP"}, "flops 8.304 kFLOP is below 10 kFLOP (-17.0 %)", "src/model.py:5"),
        ({"network_bytes": 0}, "network_bytes 896 B is over 0 B (+896 B)", "src/model.py:6"),
        ({"max_ops": {"all-reduce": 0}}, "ops all-reduce 1 is over 0 (+1)", "src/model.py:6"),
        ({"min_ops": {"fusion": 2}}, "ops fusion 1 is below 2 (-50.0 %)", "src/model.py:7"),
        ({"forbid": "f64"}, "forbidden f64: 1 in the program", "src/model.py:7"),
        (
            {"forbid": ["custom-call:*callback*"]},
            "forbidden custom-call:*callback*: 1 in the program",
            "src/model.py:8",
        ),
        ({"argument_bytes": "2 KiB"}, "argument_bytes 3.072 kB is over 2 KiB (+50.0 %)", "params['w']"),
    ],
)
def test_limits_that_are_passed(report, limits, first, place):
    with pytest.raises(hc.BudgetExceeded) as caught:
        report.check(**limits, allow_lower_bound=True)
    lines = str(caught.value).splitlines()
    assert lines[0] == first
    assert place in str(caught.value).partition("by source line")[2]
    assert all(len(line) <= 92 for line in lines)


def test_the_first_line_leaves_room_for_the_name_of_the_error(report):
    pattern = "custom-call:*_python_cpu_callback_of_a_very_long_name*"
    limits = {"min_ops": {pattern: 1}, "flops": 1, "bytes": 1, "network_bytes": 1}
    with pytest.raises(hc.BudgetExceeded) as caught:
        report.check(**limits)
    first = str(caught.value).splitlines()[0]
    assert len(f"E       hlo_count.errors.BudgetExceeded: {first}") <= 100
    assert first.endswith(", 4 more")


def test_a_lower_bound_passes_no_limit_unless_allowed(report):
    with pytest.raises(hc.BudgetExceeded, match="the count is a lower bound: 1 unknown") as caught:
        report.check(flops="1 GFLOP")
    assert "call.1 (src/model.py:8)" in str(caught.value)
    report.check(flops="1 GFLOP", allow_lower_bound=True)


def test_a_time_is_held_on_a_device(report):
    report.check(bound="1 ms", device="tpu-v5e", allow_lower_bound=True)
    with pytest.raises(hc.BudgetExceeded, match=r"bound .* is over 1 ns"):
        report.check(bound="1 ns", device="tpu-v5e", allow_lower_bound=True)
    with pytest.raises(hc.DeviceError):
        report.check(bound="1 ms", device="tpu-v99", allow_lower_bound=True)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"flop": 3}, "did you mean 'flops'"),
        ({"bytez": 3}, "did you mean 'bytes'"),
        ({"zzz": 3}, "there are flops, transcendentals"),
        ({}, "no limit was given"),
        ({"device": "tpu-v5e", "flops": 1}, "device= is for a limit of time"),
        ({"max_ops": ["all-gather"]}, "give a dict"),
        ({"max_ops": {"all-gather": -1}}, "no number of instructions"),
        ({"max_ops": {"all-gater": 0}}, "did you mean 'all-gather'"),
        ({"forbid": [3]}, "no name of an operation"),
        ({"forbid": 3}, "give a list"),
        ({"forbid": ["float32"]}, "did you mean 'f32'"),
    ],
)
def test_limits_that_are_none(report, limits, message):
    with pytest.raises(hc.HloCountError, match=message) as caught:
        report.check(**limits)
    assert not isinstance(caught.value, hc.BudgetExceeded)


def test_the_convention_of_xla_has_few_counters():
    report = hc.count(TEXT, convention="xla")
    report.check(flops="1 MFLOP", allow_lower_bound=True)
    with pytest.raises(hc.HloCountError, match="convention of XLA has no such count"):
        report.check(int_ops=5, allow_lower_bound=True)
