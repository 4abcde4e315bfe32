"""Estimates by arithmetic: kernels in a row, levels of memory, overlap, and what a roofline answers."""

from __future__ import annotations

import dataclasses
import json
import math

import fixture_files
import pytest
from test_bound import ADD, TOY, UNCACHED, copy_of, entry, figure, fusion, roofline

import hlo_count
from hlo_count.errors import DeviceError, HloCountError
from hlo_count.roofline.catalog import device
from hlo_count.roofline.device import Figure
from hlo_count.roofline.roofline import device_of, what_if

TYPICAL = 0.5  # of every ceiling of the toy devices


# Kernels


def test_a_kernel_takes_as_long_as_its_slowest_resource() -> None:
    found = roofline(fusion("  t = f32[8] tanh(x)\n  ROOT r = f32[8] add(t, y)"))
    special, memory = 8 / (2 * TYPICAL), 3 * 4 * 8 / (8 * TYPICAL)
    assert found.estimate == pytest.approx(max(special, memory))


def test_kernels_run_one_after_another_with_a_launch_each() -> None:
    launching = dataclasses.replace(UNCACHED, launch_overhead=figure(100.0))
    text = entry("  x = f32[8] parameter(0)\n  c = f32[8] copy(x)\n  ROOT d = f32[8] copy(c)")
    one = 2 * 4 * 8 / (8 * TYPICAL)
    assert roofline(text, launching).estimate == pytest.approx(2 * (one + 100 * TYPICAL))


def test_a_call_is_counted_once_with_the_launch_that_is_in_it() -> None:
    slow = Figure(value=1000.0, typical=1500.0, source="test")
    calling = dataclasses.replace(UNCACHED, launch_overhead=figure(100.0), call_overhead=slow)
    one = 2 * 4 * 8 / (8 * TYPICAL)
    assert roofline(copy_of(8), calling).estimate == pytest.approx(1500 + one)


@pytest.mark.parametrize(("elements", "bandwidth"), [(12, 80), (13, 8)], ids=["in-cache", "beyond"])
def test_memory_is_the_nearest_level_that_holds_the_working_set(elements: int, bandwidth: int) -> None:
    moved = 2 * 4 * elements  # 96 bytes fit in a cache of 100, 104 do not
    assert roofline(copy_of(elements), TOY).estimate == pytest.approx(moved / (bandwidth * TYPICAL))


def test_windows_that_overlap_share_their_work() -> None:
    """A window over everything is how TPU prints a reduction that is broadcast again: 2047 wide, 11
    doublings."""
    text = entry(
        "  x = f32[1024] parameter(0)\n  z = f32[] constant(0)\n"
        "  ROOT r = f32[1024] reduce-window(x, z), window={size=2047 pad=1023_1023}, to_apply=add",
        "f32[1024]",
        add=ADD,
    )
    assert roofline(text).estimate < 2 * 11 * 1024 / (10 * TYPICAL) + 1
    assert hlo_count.count(text).flops == 1024 * 1024 - 1024


# Overlap


def starts(between: str) -> str:
    return entry(
        "  x = f32[1000] parameter(0)\n  y = f32[100] parameter(1)\n"
        "  s = (f32[1000], f32[1000], u32[]) copy-start(x)\n"
        f"{between}"
        "  d = f32[1000] copy-done(s)\n  ROOT t = (f32[1000], f32[100]) tuple(d, c)",
        "(f32[1000], f32[100])",
    )


def test_an_asynchronous_copy_runs_beside_what_stands_between_its_halves() -> None:
    tanh = "  c = f32[100] tanh(y)\n"
    copy, work = 2 * 4 * 1000 / (8 * TYPICAL), 100 / (2 * TYPICAL)
    moved = copy + 2 * 4 * 100 / (8 * TYPICAL)
    assert work < moved
    # beside one another, but over one memory: no less than all the bytes take
    assert roofline(starts(tanh)).estimate == pytest.approx(moved)
    in_a_row = starts("").replace("  ROOT", tanh + "  ROOT")
    assert roofline(in_a_row).estimate == pytest.approx(copy + max(work, moved - copy))


def test_a_collective_overlaps_with_what_is_computed_meanwhile() -> None:
    text = entry(
        "  x = f32[100] parameter(0)\n  y = f32[1000] parameter(1)\n"
        "  s = f32[100] all-reduce-start(x), replica_groups={{0,1}}, to_apply=add\n"
        "  c = f32[1000] tanh(y)\n  d = f32[100] all-reduce-done(s)\n"
        "  ROOT t = (f32[1000], f32[100]) tuple(c, d)",
        "(f32[1000], f32[100])",
        add=ADD,
    )
    quick = dataclasses.replace(UNCACHED, memory=(dataclasses.replace(UNCACHED.memory[0], bandwidth=figure(1e9)),))
    sent, computed = 4 * 100 / (4 * TYPICAL), 1000 / (2 * TYPICAL)
    assert roofline(text, quick).estimate == pytest.approx(max(sent, computed), rel=1e-3)  # the memory's 1e-5


# What a roofline answers


def test_rows_add_up_and_stand_in_the_order_of_their_time() -> None:
    report = hlo_count.count(fixture_files.text("h100", "transformer_step"))
    found = report.roofline("h100-sxm")
    assert [row.estimate for row in found.rows] == sorted((row.estimate for row in found.rows), reverse=True)
    assert sum(row.flops for row in found.rows) == report.flops
    assert sum(row.bytes for row in found.rows) == report.bytes
    assert all(row.bound <= row.estimate for row in found.rows)


def test_utilization() -> None:
    report = hlo_count.count(fixture_files.text("tpu-v5e", "matmul_bf16"))
    found = report.roofline("v5e")
    assert found.hfu(2 * found.bound) == pytest.approx(0.5)
    assert found.mfu(1e-3, model_flops=1e9) == pytest.approx(1e9 / (1e-3 * 197e12))
    assert found.mfu(1e-3, model_flops=1e9, dtype="s8") == pytest.approx(1e9 / (1e-3 * 393e12))
    with pytest.raises(HloCountError, match="more than 0"):
        found.hfu(0)


def test_utilization_without_matrix_flop() -> None:
    found = roofline(copy_of(8))
    assert found.hfu(1.0) == 0
    with pytest.raises(HloCountError, match=r"has no matrix FLOP.*pass dtype"):
        found.mfu(1.0, model_flops=1)


def test_model_flops_are_those_of_all_devices() -> None:
    report = hlo_count.count(fixture_files.text("tpu-v5e", "transformer_step_tensor"))
    found = report.roofline("v5e")
    assert found.num_devices == fixture_files.entry("tpu-v5e", "transformer_step_tensor")["devices"]
    assert found.mfu(1.0, model_flops=found.num_devices * 197e12) == pytest.approx(1.0)


def test_only_tpu_programs_carry_the_compilers_estimate() -> None:
    assert hlo_count.count(fixture_files.text("h100", "matmul_bf16")).roofline("h100-sxm").compiler_estimate is None


def test_a_table_within_100_columns() -> None:
    for backend, name, on in (
        ("tpu-v5e", "transformer_step", "v5e"),
        ("h100", "transformer_step_fsdp", "h100-sxm"),
        ("cpu", "transformer_step", "cpu-avx512"),
    ):
        text = str(hlo_count.count(fixture_files.text(backend, name)).roofline(on))
        assert max(map(len, text.splitlines())) <= 100
        assert "everything else" in text


def test_it_exports_as_json() -> None:
    found = hlo_count.count(fixture_files.text("tpu-v5e", "mlp_grad")).roofline("v5e")
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["bound_s"] == found.bound
    assert len(document["rows"]) == len(found.rows)


def test_one_report_on_every_device() -> None:
    found = what_if(hlo_count.count(fixture_files.text("h100", "matmul_bf16")))
    by_name = {row.device: row for row in found}
    flops = 2 * 2048**3
    assert by_name["h100-sxm"].bound == pytest.approx(flops / 989e12, rel=0.01)  # the profile's digits
    assert by_name["tpu-v5e"].bound == pytest.approx(flops / 197e12)
    bounds = [row.bound for row in found if row.bound is not None]
    assert bounds == sorted(bounds)
    assert all(math.isfinite(bound) for bound in bounds)
    assert max(map(len, str(found).splitlines())) <= 100


def test_what_if_says_which_figure_a_profile_lacks() -> None:
    report = hlo_count.count(copy_of(1000))
    dark = dataclasses.replace(UNCACHED, memory=(dataclasses.replace(UNCACHED.memory[0], bandwidth=None),))
    (row,) = what_if(report, [dark])
    assert row.bound is None
    assert "no bandwidth of HBM" in row.problem
    assert row.problem.split(":")[0] in str(what_if(report, [dark]))


@pytest.mark.parametrize(
    ("target", "name"), [("tpu:v5e:2x4", "tpu-v5e"), ("h100-sxm:8", "h100-sxm"), ("trillium", "tpu-v6e")]
)
def test_a_target_names_its_device(target: str, name: str) -> None:
    assert device_of(target) is device(name)


def test_an_unknown_device_lists_near_names() -> None:
    with pytest.raises(DeviceError, match="did you mean h100-sxm"):
        hlo_count.count(copy_of(8)).roofline("h100-sxn")
