"""Calibration: what becomes of samples, where the profile goes. Rates are not tested, arithmetic is."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from hlo_count.errors import DeviceError
from hlo_count.roofline import calibrate as calibrate_module
from hlo_count.roofline import catalog, machine, timed_kernels
from hlo_count.roofline.calibrate import calibrate, time_kernels
from hlo_count.roofline.calibration_samples import Samples, keep_fastest, profile_document
from hlo_count.roofline.calibration_suite import Level, Machine, accelerator_levels, cpu_levels
from hlo_count.roofline.machine import Cache
from hlo_count.roofline.profile_file import from_document, load_profile, to_toml
from hlo_count.roofline.timed_kernels import LAUNCHES, Kernel


def samples(figure, work, seconds, **keywords):
    kernel = Kernel(figure=figure, of=figure, work=work, run=lambda: None, **keywords)
    return Samples(kernel=kernel, seconds=list(seconds), rounds=list(seconds))


DRAM = Level(name="DRAM", kind="main", size_bytes=2**34, source="a test", working_sets=())
L2 = Level(name="L2", kind="cache", size_bytes=2**21, source="a test", working_sets=())
CPU = Machine(backend="cpu", kind="cpu", levels=(L2, DRAM))


def overheads(call=1e-6):
    return [
        samples("call", 1, [call, 2 * call, 3 * call]),
        samples(f"launch.{LAUNCHES[0]}", 1, [LAUNCHES[0] * t for t in (1e-6, 2e-6, 4e-6)]),
        samples(f"launch.{LAUNCHES[1]}", 1, [LAUNCHES[1] * t for t in (1e-6, 2e-6, 4e-6)]),
    ]


def profile(*measured, here=CPU, tmp="local.toml"):
    from pathlib import Path

    document = profile_document([*overheads(), *measured], here)
    return from_document(tomllib.loads(to_toml(document)), Path(tmp))


def test_the_fastest_sample_is_the_ceiling_and_the_median_is_typical():
    found = profile(samples("matrix.s8", 6e9, [3.0, 1.0, 2.0]))
    rate = found.peak("s8")
    assert (rate.value, rate.typical) == (6e9 / 1.0, 6e9 / 2.0)
    # quartiles 1.5 and 2.5 around a median of 2
    assert found.matrix["s8"].spread == 0.5
    assert found.calibration == {}


def test_overheads():
    found = profile()
    assert found.call_overhead_s == pytest.approx(2e-6)  # the median; the fastest is a ceiling
    assert found.call_overhead.value == pytest.approx(1e-6)
    assert found.launch_overhead_s == pytest.approx(2e-6)  # (long - short) / kernels more


def test_waking_threads_is_what_a_program_takes_longer_than_one_without():
    found = profile(
        samples("dispatch", 1, [t + 10e-6 for t in (1e-6, 3e-6, 2e-6)]),
        samples("split", 1, [t + 40e-6 for t in (1e-6, 2e-6, 3e-6)]),
    )
    assert found.dispatch_overhead.typical == pytest.approx(10e-6)
    assert found.split_overhead.typical == pytest.approx(30e-6)
    assert profile().dispatch_overhead is None


def test_routines():
    found = profile(samples("routine.sort", 6e9, [3.0, 2.0]))
    assert (found.routine["sort"].value, found.routine["sort"].typical) == (6e9 / 2, 6e9 / 2.5)


def test_the_best_of_each_round_is_typical():
    kernel = Kernel(figure="matrix.s8", of="a test", work=6e9, run=lambda: None)
    cold_and_warm = Samples(kernel=kernel, seconds=[9.0, 3.0, 9.0, 2.0, 9.0, 1.0], rounds=[3.0, 2.0, 1.0])
    assert profile(cold_and_warm).peak("s8").typical == 6e9 / 2.0


def test_the_fastest_of_several_programs_counts():
    found = profile(samples("matrix.bf16", 1e9, [1.0, 1.0]), samples("matrix.bf16", 8e9, [2.0, 4.0]))
    assert found.peak("bf16").value == 8e9 / 2.0


def test_the_time_of_a_call_is_taken_off_where_a_run_is_one_call():
    found = profile(
        samples("vector.f32.add", 1e9, [1.0]),
        samples("memory.DRAM.read", 1e4, [5e-6, 5e-6], less_call=True),
    )
    assert found.bandwidth().value == pytest.approx(1e4 / 4e-6)


@pytest.mark.parametrize(
    ("matmul", "fma", "add", "ceilings"),
    [
        # on a CPU a matmul is made of FMAs: both get the faster rate; a slot does an FMA or a lone operation
        (300, 200, 110, (300, 300, 150)),
        (100, 200, 90, (200, 200, 100)),
        (100, 200, 130, (200, 200, 130)),
        (100, 200, 250, (200, 250, 250)),  # an integer unit, say, that has no FMA
    ],
)
def test_ceilings_of_the_same_units_agree(matmul, fma, add, ceilings):
    found = profile(
        samples("matrix.f32", matmul * 1e9, [1.0]),
        samples("vector.f32.fma", fma * 1e9, [1.0]),
        samples("vector.f32.add", add * 1e9, [1.0]),
    )
    peaks = found.peak("f32"), found.peak("f32", "vector"), found.peak("f32", "vector", fma=False)
    assert tuple(peak.value / 1e9 for peak in peaks) == ceilings
    assert found.peak("f32").typical == matmul * 1e9  # what was measured stays what is expected


def test_an_operation_can_be_asked_for_by_name():
    found = profile(
        samples("vector.f32.fma", 8e9, [1.0]),
        samples("vector.f32.add", 4e9, [1.0]),
        samples("vector.f32.minmax", 1e9, [1.0]),
        samples("special.f32.exponential", 2e9, [1.0]),
        samples("special.f32.sqrt", 3e9, [1.0]),
    )
    assert found.peak("f32", "vector", op="minmax").value == 1e9
    assert found.peak("f32", "vector", op="select", fma=False).value == 4e9
    assert found.peak("f32", "special", op="exponential").value == 2e9
    assert found.peak("f32", "special").value == 3e9  # the fastest of them


def test_memory_levels():
    found = profile(
        samples("memory.L2.read", 100e9, [1.0]),
        samples("memory.DRAM.read", 40e9, [1.0]),
        samples("memory.DRAM.update", 200e9, [1.0]),
        samples("memory.DRAM.copy", 20e9, [1.0]),
    )
    l2, dram = found.memory
    assert dram.bandwidth.value == 200e9  # the fastest of all streams
    assert dram.read.value == 40e9
    # a copy's time is that of its reading half and its writing half: 2/20 = 1/40 + 1/w
    assert dram.write.value == pytest.approx(1 / (2 / 20e9 - 1 / 40e9), rel=1e-3)  # four digits are written
    assert l2.bandwidth.value == 200e9  # what streams from afar could stream from near
    assert l2.write is None


def test_a_known_gpu_keeps_what_one_device_cannot_measure():
    h100 = catalog.shipped_as("NVIDIA H100 80GB HBM3")
    levels = accelerator_levels(h100, 2**36)
    found = profile(
        samples("matrix.f32", 400e9, [1.0]),
        samples("vector.f32.fma", 60e9, [1.0]),
        samples("vector.f32.add", 30e9, [1.0]),
        here=Machine(backend="gpu", kind="NVIDIA H100 80GB HBM3", levels=levels, known=h100),
    )
    assert found.network == h100.network
    assert found.cache_bytes == h100.cache_bytes == 50 * 2**20
    # an f32 matmul has run in TF32; in full f32 it runs on the vector unit
    assert (found.peak("f32").value, found.peak("f32").dtype) == (400e9, "tf32")
    assert found.peak("f32", precision="highest").value == 60e9
    assert catalog.shipped_as("cpu") is None


def test_every_kernel_runs_in_every_round():
    calls = []
    names = ("a", "b")
    found = time_kernels([Kernel(figure=n, of=n, work=1.0, run=lambda n=n: calls.append(n)) for n in names], seconds=0)
    assert [len(s.rounds) for s in found] == [calibrate_module.LEAST_ROUNDS] * 2
    assert all(len(s.seconds) >= len(s.rounds) for s in found)
    # rounds take turns: no kernel has all of its samples in one stretch
    turns = [name for name, _ in itertools.groupby(calls)]
    assert turns[-6:] == ["a", "b"] * 3


def test_a_kernel_that_the_compiler_has_shortened_is_not_measured():
    def never():
        raise AssertionError

    whole = Kernel(figure="a", of="a", work=1.0, run=lambda: None)
    gone = Kernel(figure="b", of="b", work=1.0, run=never, missing="1 of 2 add")
    assert [s.kernel for s in time_kernels([whole, gone], seconds=0)] == [whole]
    with pytest.raises(DeviceError, match="nothing to measure"):
        time_kernels([gone], seconds=0)


@pytest.fixture
def small_suite(monkeypatch):
    """Real kernels, few and small; a busy machine is no matter here."""
    monkeypatch.setattr(calibrate_module, "BUSY", float("inf"))

    def suite(_):
        yield from timed_kernels.overheads("cpu")
        yield timed_kernels.matmul("f32", 64)
        yield timed_kernels.multiply_add("f32", 4096)
        yield timed_kernels.add("f32", 4096)
        yield timed_kernels.special("exponential", "f32", 4096)
        yield from timed_kernels.product_reductions(4096)
        yield from timed_kernels.streams("DRAM", 2**20, 2**21)

    monkeypatch.setattr(calibrate_module, "suite", suite)


def test_calibrate_writes_a_profile_that_is_found_as_local(small_suite, monkeypatch, tmp_path):
    for module in (catalog, calibrate_module):
        monkeypatch.setattr(module, "user_directory", lambda: tmp_path / "devices")
    monkeypatch.delenv(catalog.SEARCH_PATH_VARIABLE, raising=False)
    returned = calibrate(seconds=0, progress=False)
    path = tmp_path / "devices" / "local.toml"
    assert os.listdir(path.parent) == ["local.toml"]
    assert returned == load_profile(path) == catalog.device("local")
    assert returned.calibration["rounds"] == calibrate_module.LEAST_ROUNDS
    assert {"date", "jax", "jaxlib", "processor", "cores"} <= returned.calibration.keys()
    # shapes, not rates: what must hold on any machine, loaded or not
    fma, lone = (returned.peak("f32", "vector", fma=fma).value for fma in (True, False))
    assert lone <= fma <= 2 * lone * 1.001  # four digits are written
    assert returned.peak("f32").value >= returned.peak("f32").typical
    assert returned.peak("f32", "special", op="exponential").value < fma
    assert returned.bandwidth().value >= returned.main_memory.read.value
    assert {"sum_product", "max_product"} <= returned.vector["f32"].keys()
    assert all(f.spread is None or f.spread >= 0 for f in returned.matrix.values())


def calibration(**rates):
    return {
        "matrix": {
            dtype: {"gflop_per_s": rate, "typical_gflop_per_s": 1.0, "source": "measured"}
            for dtype, rate in rates.items()
        },
        "memory": [{"name": "DRAM", "bandwidth": {"gb_per_s": min(rates.values()), "source": "measured"}}],
        "calibration": {"date": "today", "processor": "P", "cores": 2, "device_kind": "cpu", "jaxlib": "1"},
    }


def test_calibrating_again_never_lowers_a_ceiling_of_the_same_machine():
    now, before = calibration(f32=3.0, bf16=9.0), calibration(f32=4.0, bf16=8.0, f64=1.0)
    keep_fastest(now, before)
    assert {dtype: figure["gflop_per_s"] for dtype, figure in now["matrix"].items()} == {"f32": 4, "bf16": 9}
    assert now["matrix"]["f32"]["source"] == "measured; faster in a calibration before today"
    assert now["matrix"]["f32"]["typical_gflop_per_s"] == 1.0
    assert now["memory"][0]["bandwidth"]["gb_per_s"] == 3.0


@pytest.mark.parametrize("key", ["processor", "cores", "device_kind", "jaxlib"])
def test_another_machine_is_another_matter(key):
    now, before = calibration(f32=3.0), calibration(f32=4.0)
    before["calibration"][key] = "other"
    keep_fastest(now, before)
    assert now == calibration(f32=3.0)


def test_a_profile_is_replaced_whole_or_not_at_all(small_suite, monkeypatch, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('name = "what was there"')

    def broken(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(KeyboardInterrupt):
        calibrate(path=path, seconds=0, progress=False)
    assert os.listdir(tmp_path) == ["mine.toml"]
    assert path.read_text() == 'name = "what was there"'


def test_a_file_that_is_no_profile_is_not_written_over(tmp_path):
    path = tmp_path / "notes.toml"
    path.write_text("these are my notes")
    with pytest.raises(DeviceError, match=r"notes\.toml: not a TOML file"):
        calibrate(path=path)


@pytest.fixture
def nothing_is_measured(monkeypatch):
    def refuse(_):
        raise AssertionError("measured before the place to write was known to be good")

    monkeypatch.setattr(calibrate_module, "suite", refuse)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("taken/local.toml", r"taken/local\.toml: cannot be written: .*; say where else: path="),
        ("local.txt", r"local\.txt: a profile is a TOML file and known by its suffix: give it \.toml"),
        ("local", r"local: a profile is a TOML file"),
    ],
)
def test_a_bad_place_is_told_before_anything_is_measured(nothing_is_measured, tmp_path, name, message):
    (tmp_path / "taken").write_text("a file, no directory")
    with pytest.raises(DeviceError, match=message):
        calibrate(path=tmp_path / name)


def test_a_disk_that_fills_up_meanwhile_is_a_device_error(small_suite, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(DeviceError, match=r"mine\.toml: cannot be written: No space left on device"):
        calibrate(path=tmp_path / "mine.toml", seconds=0, progress=False)
    assert os.listdir(tmp_path) == []


def test_the_bar_goes_to_standard_error(small_suite, tmp_path, capsys):
    pytest.importorskip("tqdm", reason="the bar is tqdm's")
    calibrate(path=tmp_path / "a.toml", seconds=0, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "calibrating" in shown.err


def test_without_platformdirs_a_path_is_needed(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "platformdirs", None)
    with pytest.raises(DeviceError, match=r"pip install 'hlo-count\[calibrate\]', or say where to write"):
        calibrate()


@pytest.mark.parametrize(("share", "busy"), [(0.09, False), (0.11, True)])
def test_a_busy_machine_is_warned_about(share, busy, recwarn):
    assert calibrate_module._busy(share) == {"others_percent": round(100 * share, 1)}
    assert [str(w.message).startswith("the machine was busy") for w in recwarn] == [True] * busy


def test_where_the_system_does_not_tell_nothing_is_said(recwarn):
    assert calibrate_module._busy(None) == {}
    assert not recwarn


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="only Linux tells how long its processors were at work")
def test_the_work_of_others_is_seen_and_ones_own_is_not():
    """A process that does nothing but count, on a machine of a few processors: at least half of one of them."""
    mine = machine.OtherWork()
    script = "import time; end = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass"
    with subprocess.Popen([sys.executable, "-c", script]):
        time.sleep(1.4)
        seen = mine.share()
    assert seen is not None and seen >= 0.3 / (os.cpu_count() or 1)


@pytest.mark.parametrize(("others", "typical"), [(40.0, 90), (2.0, 60)])
def test_a_busy_hour_does_not_pass_for_what_is_typical(others, typical):
    """The ceiling of 100 stays in both; what is typical is that of the quieter of the two."""

    def profile(ceiling, typical, share, date):
        return {
            "matrix": {"f32": {"gflop_per_s": ceiling, "typical_gflop_per_s": typical, "source": "measured"}},
            "calibration": {"date": date, "others_percent": share},
        }

    now = profile(80, 60, others, "2026-02-02")
    keep_fastest(now, profile(100, 90, 1.0, "2026-02-01"))
    assert now["matrix"]["f32"]["gflop_per_s"] == 100
    assert now["matrix"]["f32"]["typical_gflop_per_s"] == typical
    assert now["calibration"].get("typical_of") == ("2026-02-01" if others == 40.0 else None)


def test_caches_are_read_from_the_system(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "usable_cpus", lambda: [0, 1])
    for cpu in (0, 1):
        for at, (level, kind, size, shared) in enumerate(
            [
                (1, "Data", "48K", f"{cpu}"),
                (1, "Instruction", "32K", f"{cpu}"),
                (2, "Unified", "2048K", f"{cpu}"),
                (3, "Unified", "32M", "0-1"),
            ]
        ):
            index = tmp_path / f"cpu{cpu}" / "cache" / f"index{at}"
            index.mkdir(parents=True)
            for name, value in (
                ("level", level),
                ("type", kind),
                ("size", size),
                ("shared_cpu_list", shared),
            ):
                (index / name).write_text(f"{value}\n")
    assert machine.caches(tmp_path) == [
        Cache(level=1, instance_bytes=48 * 2**10, instances=2),
        Cache(level=2, instance_bytes=2 * 2**20, instances=2),
        Cache(level=3, instance_bytes=32 * 2**20, instances=1),
    ]
    assert machine.caches(tmp_path / "none") == []


def test_working_sets_fit_their_level_and_no_nearer_one():
    caches = [
        Cache(level=1, instance_bytes=48 * 2**10, instances=2),
        Cache(level=2, instance_bytes=2 * 2**20, instances=2),
        Cache(level=3, instance_bytes=32 * 2**20, instances=1),
    ]
    l1, l2, l3, dram = cpu_levels(caches, 16 * 2**30)
    for level, nearer in ((l1, None), (l2, l1), (l3, l2)):
        assert level.working_sets
        assert max(level.working_sets) <= level.size_bytes / 2
        if nearer:
            assert min(level.working_sets) >= 4 * nearer.size_bytes
    assert dram.working_sets == (2**28,)  # at least 256 MiB
    assert dram.working_sets[0] > 2 * l3.size_bytes
    (only,) = cpu_levels([], None)
    assert (only.kind, only.working_sets) == ("main", (2**28,))


def test_a_cache_larger_than_the_memory_to_spare_is_admitted():
    huge = Cache(level=3, instance_bytes=2**30, instances=1)
    *_, dram = cpu_levels([huge], 6 * 2**30)
    assert dram.working_sets == (2**29,)
    assert "measured with 512 MiB, less than the last cache holds" in dram.source
