"""What was recorded in windows: files that are read as one trace, runs that a window cuts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from measured.xspace_files import plane

import hlo_count as hc

US = 1_000_000
"""Picoseconds."""
TEXT = """HloModule jit_f, is_scheduled=true

body {
  s.1 = (s32[], f32[64,64]) parameter(0)
  i = s32[] get-tuple-element(s.1), index=0
  x.1 = f32[64,64] get-tuple-element(s.1), index=1
  one = s32[] constant(1)
  next = s32[] add(i, one)
  dot.2 = f32[64,64] dot(x.1, x.1), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  ROOT t.1 = (s32[], f32[64,64]) tuple(next, dot.2)
}

condition {
  s.2 = (s32[], f32[64,64]) parameter(0)
  j = s32[] get-tuple-element(s.2), index=0
  limit = s32[] constant(3)
  ROOT less = pred[] compare(j, limit), direction=LT
}

ENTRY main {
  x = f32[64,64] parameter(0)
  zero = s32[] constant(0)
  sine = f32[64,64] sine(x)
  t = (s32[], f32[64,64]) tuple(zero, sine)
  while.1 = (s32[], f32[64,64]) while(t), condition=condition, body=body
  w = f32[64,64] get-tuple-element(while.1), index=1
  ROOT negate = f32[64,64] negate(w)
}
"""
TRIPS = 3
KERNELS = [("sine", 0, 2), *(("dot.2", 2 + 4 * n, 4) for n in range(TRIPS)), ("negate", 15, 1)]
"""Of a run: the instruction, and from when on how long it ran, in microseconds; the loop from 2 to 15."""
LOOP = ("while.1", 2, 13)


def cpu_run(run: int, start: int, *, first: int = 0, last: int = 16) -> list[dict[str, Any]]:
    """The events of one run that began and ended between two instants of it: others a profiler does not write."""
    about = {"hlo_module": "jit_f", "program_id": 5, "run_id": run, "device_ordinal": 0}
    return [
        {"name": name, "start": (start + at) * US, "duration": long * US, "stats": {**about, "hlo_op": name}}
        for name, at, long in (*KERNELS, LOOP)
        if first <= at and at + long <= last
    ]


def window(path: Path, began: int, events: list[dict[str, Any]]) -> None:
    """A file of what was recorded from `began` on, in microseconds."""
    hlo = pytest.importorskip("jaxlib._hlo", reason="this jaxlib makes no HLO proto of a text")
    proto = hlo.hlo_module_from_text(TEXT).as_serialized_hlo_module_proto()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        plane("/host:metadata", {}, metadata={"jit_f(5)": {"stats": {"Hlo Proto": proto, "program_id": 5}}})
        + plane("/host:CPU", {"worker": events})
        + plane("Task Environment", {}, stats={"profile_start_time": 10**18 + began * 1000})
    )


def test_runs_that_a_window_cuts_are_left_out(tmp_path):
    file = tmp_path / "host.xplane.pb"
    events = [*cpu_run(1, 0, first=5), *cpu_run(2, 20), *cpu_run(3, 40), *cpu_run(4, 60, last=10)]
    window(file, 0, events)
    (program,) = hc.read_trace(file).programs
    assert program.seconds == [pytest.approx(16e-6)] * 2
    assert program.courses.trip_counts == {} and program.courses.problems == []
    assert {row.name: row.runs for row in program.rows} == {"sine": 2, "dot.2": 2 * TRIPS, "while.1": 2, "negate": 2}
    assert any("left out: 2 runs of it, cut" in note for note in program.notes)


def test_a_program_of_which_no_run_is_whole_has_times_and_no_counts(tmp_path):
    """A loop's body without the loop: it was under way all the time that was recorded."""
    file = tmp_path / "host.xplane.pb"
    window(file, 0, cpu_run(1, 0, first=3, last=12))
    (program,) = hc.read_trace(file).programs
    assert program.report is None and program.flops is None
    assert [row.name for row in program.rows] == ["dot.2"]
    assert any("no run of jit_f was recorded whole" in note for note in program.notes)


def test_windows_are_read_as_one_trace(tmp_path):
    """The second began a millisecond after the first; the time between them is no idle time."""
    files = ["plugins/profile/a/host.xplane.pb", "plugins/profile/b/host.xplane.pb"]
    window(tmp_path / files[0], 0, [*cpu_run(1, 10), *cpu_run(2, 30)])
    window(tmp_path / files[1], 1000, [*cpu_run(7, 5), *cpu_run(8, 25, last=10)])
    (tmp_path / "hlo_count.json").write_text(json.dumps({"files": files}))
    trace = hc.read_trace(tmp_path)
    (program,) = trace.programs
    assert trace.hosts == 1 and program.devices == 1
    assert program.seconds == [pytest.approx(16e-6)] * 3
    assert program.starts == pytest.approx([0, 20e-6, (1000 + 5 - 10) * 1e-6])
    assert trace.seconds == pytest.approx((36 + 16) * 1e-6) and trace.idle == pytest.approx(4e-6)
    # What others recorded here since is what is read.
    window(tmp_path / "plugins/profile/c/host.xplane.pb", 0, cpu_run(1, 0))
    assert hc.read_trace(tmp_path).programs[0].runs == 1


def test_a_window_that_cannot_be_read_leaves_the_others(tmp_path):
    files = ["plugins/profile/a/host.xplane.pb", "plugins/profile/b/host.xplane.pb"]
    window(tmp_path / files[0], 0, cpu_run(1, 10))
    window(tmp_path / files[1], 1000, [])
    (tmp_path / files[1]).write_bytes(b"")
    (tmp_path / "hlo_count.json").write_text(json.dumps({"files": files}))
    trace = hc.read_trace(tmp_path)
    assert trace.programs[0].runs == 1 and any("empty" in problem for problem in trace.problems)
