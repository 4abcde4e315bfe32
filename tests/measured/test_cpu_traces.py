"""What this machine's CPU did, against what the programs say that it had to do."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from measured.conftest import DEVICES, needs_thunks
from measured.recorded_programs import BATCH, COLLATZ, DECODED, OUT, SIZE, STEPS, TAKEN, TRIPS, WIDTH

import hlo_count as hc

pytestmark = needs_thunks
TRACED_PROGRAM = {
    "name", "report", "runs", "seconds", "rows", "roofline", "hfu", "mfu", "share", "idle", "flops_per_s", "bytes_per_s",
}  # fmt: skip
MEASURED_ROW = {
    "name", "source", "scope", "runs", "seconds", "share", "flops", "bytes", "bound", "estimate", "flops_per_s",
    "bytes_per_s", "times_bound", "limit",
}  # fmt: skip
SLACK = 1e-9
"""Of sums of some thousand floats."""


def program(trace, name):
    return next(each for each in trace.programs if each.name == f"jit_{name}")


def test_a_program_ran_as_often_as_it_was_called(trace):
    runs = {each.name: each.runs for each in trace.programs}
    assert runs["jit_step"] == STEPS
    assert runs["jit_conditional"] == len(TAKEN)
    assert runs["jit_scan"] == runs["jit_loop"] == runs["jit_collatz"] == runs["jit_decode"] == 1
    assert all(len(each.seconds) == each.runs and min(each.seconds) > 0 for each in trace.programs)


def test_kernels_and_the_time_between_them_add_up_to_the_program(trace, sharded):
    for each in (*trace.programs, *sharded.programs):
        assert sum(row.seconds for row in each.rows) + each.idle == pytest.approx(each.total_seconds, rel=SLACK)
        assert sum(row.share for row in each.rows) <= 1 + SLACK


def test_programs_and_the_time_between_them_add_up_to_the_trace(trace):
    """Of one device, which runs one program at a time."""
    assert sum(each.total_seconds for each in trace.programs) + trace.idle == pytest.approx(trace.seconds, rel=SLACK)


def test_what_is_seen_is_all_that_is_counted(trace):
    # where the trips are written down a CPU never asks whether there is another: s32 < s32 gives a pred
    never_ran = {"scan": (TRIPS + 1) * (4 + 4 + 1)}
    for name in ("step", "scan", "loop"):
        each = program(trace, name)
        assert each.report.status == "exact"
        assert sum(row.flops for row in each.rows) == each.report.flops * each.runs
        assert sum(row.bytes for row in each.rows) == each.report.bytes * each.runs - never_ran.get(name, 0)


def test_loops_ran_as_often_as_python_says(trace):
    def collatz(n):
        return 0 if n == 1 else 1 + collatz(n // 2 if n % 2 == 0 else 3 * n + 1)

    assert [*program(trace, "loop").courses.trip_counts.values()] == [TRIPS]
    assert [*program(trace, "collatz").courses.trip_counts.values()] == [collatz(COLLATZ)]
    assert [*program(trace, "decode").courses.trip_counts.values()] == [DECODED]
    assert program(trace, "loop").report.by("class")["matmul"].flops == TRIPS * 2 * SIZE**3
    assert not any(each.courses.problems for each in trace.programs)


def test_branches_are_those_that_were_taken(trace):
    each = program(trace, "conditional")
    yes = Fraction(sum(TAKEN), len(TAKEN))
    assert [*each.courses.branches.values()] == [[1 - yes, yes]]
    assert sum(row.flops for row in each.rows if row.op_class == "matmul") == sum(TAKEN) * 2 * SIZE**3


def test_a_kernel_has_its_work_and_its_place(trace):
    # forward x @ w and its gradient x^T @ dy; x needs none
    dots = [row for row in program(trace, "step").rows if row.op_class == "matmul"]
    assert sum(row.flops for row in dots) >= STEPS * 2 * 2 * BATCH * WIDTH * OUT
    assert all(row.runs == STEPS and row.flops_per_s == row.flops / row.elapsed for row in dots)
    assert all("recorded_programs.py:" in row.source and "loss" in row.scope for row in dots)


def test_nothing_is_faster_than_its_bound(trace):
    """Of a CPU with 32 cores as its datasheet has it, which no machine of tests beats on programs of microseconds."""
    for each in trace.programs:
        assert each.total_seconds >= each.bound * each.runs
        assert all(row.times_bound >= 1 for row in each.rows if row.bound)
    assert any(row.bound for row in program(trace, "step").rows)


def test_a_loop_has_only_what_its_body_leaves(trace):
    for name in ("loop", "scan"):
        rows = program(trace, name).rows
        loop = next(row for row in rows if row.opcode == "while")
        assert loop.calls_kernels and loop.flops == 0
        assert loop.seconds < loop.elapsed
        assert loop.elapsed <= sum(row.seconds for row in rows) + SLACK


def test_devices_are_taken_together(sharded):
    (each,) = (each for each in sharded.programs if each.runs == STEPS)
    assert each.devices == each.report.num_devices == DEVICES
    sent = next(row for row in each.rows if row.op_class == "collective")
    assert sent.runs == STEPS
    # a ring sends 2 (n - 1) / n of the gradient
    assert sent.network_bytes >= STEPS * 2 * (DEVICES - 1) * WIDTH * OUT * 4 // DEVICES
    assert each.exposed_communication == pytest.approx(sent.seconds)
    assert sum(each.seconds) <= sharded.seconds
    assert each.bound is None and "the profile has no network" in each.limits
    assert "no bounds of" in sharded.table()


def test_another_process_reads_the_same(trace, folder):
    script = f"import hlo_count as hc; print(hc.read_trace({str(folder)!r}, device='cpu-avx512'))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ, "PYTHONIOENCODING": "utf-8"}
    )
    assert done.stdout == f"{trace}\n"


def test_the_table_fits_and_says_what_was_settled(trace):
    for by in ("kernel", "scope", "source", "class"):
        text = trace.table(by)
        assert max(map(len, text.splitlines())) <= 100
        assert "(between kernels)" in text and "(between programs)" in text
    with pytest.raises(hc.HloCountError, match="kernel, scope, source, class"):
        trace.table("colour")
    names = [each["name"] for each in trace.to_dict()["programs"]]
    assert names == [each.name for each in trace.programs]
    assert len(trace.to_pandas()) == sum(len(each.rows) for each in trace.programs)


def test_without_a_profile_of_this_machine_there_are_times_and_no_bounds(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    found = hc.read_trace(folder)
    assert found.device is None and found.programs[0].rows[0].bound is None
    assert any("hlo-count calibrate" in problem for problem in found.problems)


def test_the_latest_profile_of_a_folder_is_read(folder: Path, trace):
    (file,) = folder.rglob("*.xplane.pb")
    assert hc.read_trace(file).seconds == trace.seconds


def test_programs_and_rows_have_the_surface(trace):
    each = trace.programs[0]
    assert set(dir(each)) >= TRACED_PROGRAM and set(dir(each.rows[0])) >= MEASURED_ROW


def test_the_time_is_in_parts_that_add_up(trace, sharded):
    for each in (*trace.programs, *sharded.programs):
        parts = {part.name: part.seconds for part in each.parts}
        assert sum(parts.values()) == pytest.approx(each.total_seconds, rel=SLACK)
        assert min(parts.values()) >= -SLACK
    each = program(trace, "step")
    parts = {part.name: part.seconds for part in each.parts}
    assert parts["bound"] == pytest.approx(each.bound * each.runs)
    assert parts["bound"] + parts["unfused"] == pytest.approx(sum(row.bound for row in each.rows))
    (each,) = (each for each in sharded.programs if each.runs == STEPS)
    sent = next(row for row in each.rows if row.op_class == "collective")
    assert {part.name: part.seconds for part in each.parts}["waiting"] >= sent.seconds  # without a network no bound


def test_the_plot_has_kernels_where_they_were_measured(trace, tmp_path):
    each = program(trace, "step")
    drawn = each.limits.plane(seconds=each.typical, measured={row.name: row.elapsed / each.runs for row in each.rows})
    rows = {row.name: row for row in each.rows}
    point = next(point for point in drawn.kernels if point.label in rows)
    assert point.rate == pytest.approx(rows[point.label].flops_per_s)
    assert point.intensity == pytest.approx(rows[point.label].flops / rows[point.label].bytes)
    assert drawn.program.rate == pytest.approx(each.flops_per_s)
    assert each.plot(tmp_path / "measured.png").stat().st_size > 10_000
