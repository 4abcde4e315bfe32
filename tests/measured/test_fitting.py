"""Typical figures fitted to measured kernels."""

from __future__ import annotations

import tomllib

import pytest
from measured.conftest import needs_thunks

import hlo_count as hc
from hlo_count.cli import main
from hlo_count.measured.results.fitting import fit
from hlo_count.roofline import profile_file

PROFILE = """
name = "mine"
backend = "cpu"
description = "a machine whose figures are twice too good"
launch_overhead = { ns = 1, source = "a guess" }

[vector]
f32.fma = { gflop_per_s = 4000, source = "a guess" }
f32.add = { gflop_per_s = 2000, source = "a guess" }
s32.add = { gop_per_s = 2000, source = "a guess" }

[special]
f32.any = { gop_per_s = 500, source = "a guess" }

[[memory]]
name = "DRAM"
kind = "main"
bandwidth = { gb_per_s = 2000, source = "a guess" }
"""


class Kernels:
    """A program of elementwise sums, each of which takes as long as 100 GB/s do."""

    def __init__(self, device: hc.device) -> None:
        sizes = [1_000_000 * n for n in range(1, 13)]
        lines = [f"  p{n} = f32[{size}] parameter({n})" for n, size in enumerate(sizes)]
        lines += [f"  a{n} = f32[{size}] add(p{n}, p{n})" for n, size in enumerate(sizes)]
        results = ", ".join(f"a{n}" for n in range(len(sizes)))
        shape = ", ".join(f"f32[{size}]" for size in sizes)
        lines.append(f"  ROOT r = ({shape}) tuple({results})")
        self.name = "sums"
        self.report = hc.count("HloModule sums, is_scheduled=true\nENTRY e {\n" + "\n".join(lines) + "\n}\n")
        self.limits = self.report.roofline(device)
        self.runs = 1
        # an add of x to itself reads it once and writes as much: 8 bytes an element
        self.rows = [Row(f"a{n}", 8 * size / 100e9) for n, size in enumerate(sizes)]


class Row:
    def __init__(self, name: str, seconds: float) -> None:
        self.name, self.elapsed, self.runs, self.op_class = name, seconds, 1, "add"


@pytest.fixture
def profile(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(PROFILE)
    return hc.device(path)


def test_a_bandwidth_that_kernels_do_not_reach_is_fitted(profile):
    found = fit([Kernels(profile)], profile)
    assert found.before == pytest.approx(2000 / 100, rel=0.01)  # but for the launch
    assert found.after == pytest.approx(1, rel=0.05)
    assert found.used + found.held_back == 12 and found.held_back >= 3
    main_memory = found.device.main_memory.bandwidth
    assert main_memory.typical == pytest.approx(100e9, rel=0.05)
    assert main_memory.value == 2000e9  # the ceiling, which bounds are made of, stays
    assert [figure.name for figure in found.figures] == ["DRAM"]


def test_what_is_written_is_a_profile(profile, tmp_path):
    path = tmp_path / "fitted.toml"
    found = fit([Kernels(profile)], profile)
    found.write(path)
    again = profile_file.load_profile(path)
    assert again.main_memory.bandwidth.typical == found.device.main_memory.bandwidth.typical
    assert "fitted to measured kernels" in tomllib.loads(path.read_text())["memory"][0]["bandwidth"]["source"]


def test_too_little_to_learn_from_is_refused(profile):
    program = Kernels(profile)
    program.rows = program.rows[:3]
    with pytest.raises(hc.DeviceError, match="too few kernels to learn from"):
        fit([program], profile)


@needs_thunks
def test_the_error_on_kernels_that_were_not_used_shrinks(folder, tmp_path, capsys):
    """The kernels of this machine, from a datasheet of another: nothing of it is right."""
    path = tmp_path / "fitted.toml"
    assert main(["calibrate", "--from", str(folder), "--device", "cpu-avx512", "--output", str(path)]) == 0
    assert "times before" in capsys.readouterr().out
    trace = hc.read_trace(folder, device="cpu-avx512")
    found = fit(trace.programs, trace.device)
    assert found.after < found.before
    assert hc.device(path).main_memory.bandwidth.value == trace.device.main_memory.bandwidth.value


def test_a_profile_to_fit_needs_a_trace(capsys):
    assert main(["calibrate", "--device", "cpu-avx512"]) == 2
    assert "--from TRACE" in capsys.readouterr().err
