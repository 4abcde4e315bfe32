"""The parts that explain a peak and a bound add up to it."""

from __future__ import annotations

import fixture_files
import jax
import jax.numpy as jnp
import pytest

import hlo_count as hc
from hlo_count.report.bound_parts import bound_parts, compulsory
from hlo_count.report.live_at_peak import live_at_peak

STORED = sorted(fixture_files.FIXTURES.rglob("*.hlo.gz"))


def f32(*dimensions: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(dimensions, "float32")


@pytest.mark.parametrize("path", STORED, ids=lambda path: "/".join(path.relative_to(fixture_files.FIXTURES).parts))
def test_of_stored_programs(path):
    report = hc.count(path)
    found = [size for _, size in live_at_peak(report.module)]
    assert sum(found) == report.peak_bytes - report.peak.gaps
    assert min(found, default=1) > 0
    assert sum(size for _, size in compulsory(report)) == report.compulsory_bytes
    for device in ("h100-sxm", "tpu-v5e"):
        try:
            bound = report.roofline(device).bound
        except hc.DeviceError:  # it has no network, or no f64
            continue
        assert sum(seconds for _, seconds, _ in bound_parts(report, device)) == pytest.approx(bound)


def test_a_value_in_the_buffer_of_an_output_counts_once():
    report = hc.count(lambda x, w: jnp.tanh(x @ w), f32(64, 64), f32(64, 64), target="cpu")
    assert [size for _, size in live_at_peak(report.module)] == [4 * 64 * 64] * 3  # x, w, and what both products share


def test_a_donated_argument_and_the_output_in_its_place_count_once():
    step = jax.jit(lambda x, y: (x + 1, y * 2), donate_argnums=0)
    report = hc.count(step, f32(256), f32(256), target="cpu")
    assert report.peak.aliased == 4 * 256
    named = [(i.metadata.op_name if i.opcode == "parameter" else "", size) for i, size in live_at_peak(report.module)]
    assert sorted(named) == [("", 4 * 256), ("x", 4 * 256), ("y", 4 * 256)]


def message(report: hc.Report, **limits) -> str:
    with pytest.raises(hc.BudgetExceeded) as caught:
        report.check(**limits)
    return str(caught.value).partition("what sets the bound, by source line\n")[2]


def test_a_bound_of_memory_is_of_arguments_and_outputs():
    report = hc.count(lambda x: jnp.tanh(x) + 1, f32(1 << 16), target="cpu")
    assert report.roofline("tpu-v5e").bottleneck == "memory bandwidth"
    shown = message(report, bound="1 ns", device="tpu-v5e")
    assert shown.count("memory bandwidth") == 2
    assert shown.count("50.0 %") == 2
    assert " x  memory bandwidth: x f32[65536]" in shown


def test_a_bound_of_a_unit_is_of_the_kernels_on_it():
    def two(a, b):
        first = a @ b
        return first @ b @ b

    report = hc.count(two, f32(1024, 1024), f32(1024, 1024), target="cpu")
    assert report.roofline("tpu-v5e").bottleneck.startswith("matrix")
    shown = message(report, bound="1 ns", device="tpu-v5e")
    assert "33.3 %" in shown
    assert "66.7 %" in shown
    assert shown.count("matrix") == 2


def test_a_bound_holds_no_launch():
    report = hc.count(lambda x, w: jnp.tanh(x @ w), f32(64, 64), f32(64, 64), target="cpu")
    shown = message(report, bound="0.001 ns", device="h100-sxm")
    assert "launch" not in shown
    assert shown.count("L2 bandwidth") == 3
