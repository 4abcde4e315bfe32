"""Results leave their process: pickled, copied and compared they stay what they are."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import fixture_files
import jax
import pytest

import hlo_count as hc

PROGRAMS = [("cpu", "scan_matmul"), ("tpu-v5e", "transformer_step"), ("h100", "psum_subgroups")]
"""A loop, a training step with tables of source lines, a program of several devices."""


def text(backend: str, name: str) -> str:
    return fixture_files.load(backend, name)[0]


def there_and_back(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize(("backend", "name"), PROGRAMS, ids=lambda each: str(each))
def test_a_report_arrives_as_it_left(backend: str, name: str) -> None:
    report = hc.count(text(backend, name))
    arrived = there_and_back(report)
    assert arrived == report
    assert arrived.to_json() == report.to_json()
    assert str(arrived) == str(report)
    assert there_and_back(arrived) == report  # once more, without having been read in between


def test_what_the_compiler_says_of_memory_arrives() -> None:
    struct = jax.ShapeDtypeStruct((64, 64), "float32")
    report = hc.count(lambda x, y: x @ y, struct, struct)
    assert there_and_back(report).compiler_peak_bytes == report.compiler_peak_bytes == 3 * 64 * 64 * 4


def test_totals_arrive_without_the_text_being_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    report = hc.count(text("cpu", "scan_matmul"))
    arrived = there_and_back(report)
    monkeypatch.setattr("hlo_count.report.totals.unpack", None)  # calling it would fail
    assert (arrived.flops, arrived.bytes, arrived.status) == (report.flops, report.bytes, report.status)


def test_a_report_is_small() -> None:
    source = text("tpu-v5e", "transformer_step")
    # HLO text is names and shapes over and over: a quarter is far above what zlib needs at its fastest.
    assert len(pickle.dumps(hc.count(source))) < len(source) / 4


def test_settings_travel_and_tell_reports_apart() -> None:
    source = text("cpu", "while_dynamic")
    unknown = hc.count(source)
    loop = unknown.unknowns[0].instruction
    settled = hc.count(source, trip_counts={loop: 7})
    assert there_and_back(settled) == settled != unknown
    assert there_and_back(settled).by("opcode") == settled.by("opcode")
    assert hc.count(source, convention="xla") != unknown
    assert there_and_back(hc.count(source, convention="xla")).flops == hc.count(source, convention="xla").flops


def test_modules_computations_instructions_costs() -> None:
    module = hc.parse(text("h100", "psum_subgroups"))
    arrived = there_and_back(module)
    assert arrived == module and arrived.to_text() == module.to_text()
    root = there_and_back(module.entry.root)
    assert root.content() == module.entry.root.content()
    assert there_and_back(module.entry).name == module.entry.name
    cost = hc.count(module).total
    assert there_and_back(cost) == cost == copy.deepcopy(cost)


def test_copies() -> None:
    report = hc.count(text("cpu", "scan_matmul"))
    assert copy.copy(report) == report == copy.deepcopy(report)
    assert copy.copy(report).module is report.module
    assert copy.deepcopy(report.module) == report.module


def test_a_diff_arrives_with_its_direction() -> None:
    before, after = hc.count(text("cpu", "mlp_forward")), hc.count(text("cpu", "mlp_grad"))
    difference = hc.diff(before, after)
    for each in (difference, -difference):
        arrived = there_and_back(each)
        assert arrived == each
        assert arrived.to_dict() == each.to_dict()
    assert there_and_back(-difference) != difference


def test_what_if_arrives() -> None:
    report = hc.count(text("h100", "attention"))
    devices = hc.what_if(report)
    assert there_and_back(devices) == devices == copy.deepcopy(devices)
    assert str(there_and_back(devices)) == str(devices)


def test_counting_in_other_processes() -> None:
    texts = [text(*each) for each in PROGRAMS]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        assert list(pool.map(hc.count, texts)) == [hc.count(each) for each in texts]


def test_errors_cross_processes() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool, pytest.raises(hc.ParseError) as found:
        pool.submit(hc.count, "HloModule m\nENTRY e { r = f32[8,x] parameter(0) }").result()
    with pytest.raises(hc.ParseError) as here:
        hc.count("HloModule m\nENTRY e { r = f32[8,x] parameter(0) }")
    assert str(found.value) == str(here.value)


@pytest.mark.parametrize(("backend", "name", "on"), [("tpu-v5e", "mlp_grad", "v5e"), ("h100", "softmax", "h100-sxm")])
def test_a_roofline_arrives_as_it_left(backend: str, name: str, on: str) -> None:
    source = text(backend, name)
    roofline = hc.count(source).roofline(on)
    arrived = there_and_back(roofline)
    assert arrived == roofline
    assert copy.deepcopy(roofline) == roofline
    assert (arrived.bound, arrived.rows, str(arrived)) == (roofline.bound, roofline.rows, str(roofline))
    assert arrived != hc.count(source).roofline("a100")
    # A device profile with its sources takes some kilobytes; the text shrinks to less than a quarter.
    assert len(pickle.dumps(roofline)) < len(source) / 4 + len(pickle.dumps(roofline.device)) + 1000


def test_a_program_on_many_devices_arrives_as_it_left() -> None:
    found = hc.what_if(hc.count(text("cpu", "scan_matmul")), [hc.device("h100-sxm"), hc.device("v5e")])
    arrived = there_and_back(found)
    assert arrived == found
    assert str(arrived) == str(found)


def dumped(folder: Path, *names: str) -> Path:
    """A folder as XLA leaves it, with a module of each of these programs."""
    folder.mkdir()
    for number, name in enumerate(names, 1):
        file = folder / f"module_{number:04}.jit_f{number}.cpu_after_optimizations.txt"
        file.write_text(text("cpu", name))
    return folder


def test_a_job_and_what_became_of_it_arrive(tmp_path: Path) -> None:
    one = hc.read_job(dumped(tmp_path / "one", "mlp_forward", "scan_matmul"))
    other = hc.read_job(dumped(tmp_path / "other", "mlp_grad", "scan_matmul"))
    for value in (one, one.diff(other)):
        assert there_and_back(value) == value == copy.deepcopy(value)
        assert there_and_back(value).to_dict() == value.to_dict()
    assert there_and_back(other) != one
    assert one.diff(other) != other.diff(one)


def test_a_size_and_passes_arrive(tmp_path: Path) -> None:
    struct = jax.ShapeDtypeStruct((64, 64), "float32")
    size = hc.size(lambda x: x @ x, struct, on=["cpu"], cache=False)
    for name, state in (("mlp_forward", "before_optimizations"), ("mlp_grad", "0001.p.after_fusion.before_end")):
        (tmp_path / f"module_0001.jit_f.{state}.txt").write_text(text("cpu", name))
    passes = hc.read_dumps(tmp_path)
    for value in (size, passes):
        assert there_and_back(value) == value == copy.copy(value)
        assert str(there_and_back(value)) == str(value)
        assert there_and_back(value).to_dict() == value.to_dict()


def test_what_each_device_does_arrives() -> None:
    devices = hc.count(text("h100", "psum_subgroups")).devices
    assert there_and_back(devices) == devices and str(there_and_back(devices)) == str(devices)
    assert list(there_and_back(devices).costs) == list(devices.costs)


def test_a_device_is_the_same_wherever_it_lies() -> None:
    device = hc.device("h100-sxm")
    assert device.path is not None and str(device.path.parent).encode() not in pickle.dumps(device)
    arrived = there_and_back(device)
    assert arrived == device and arrived.is_shipped and arrived.path == device.path
