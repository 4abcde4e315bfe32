"""Traces that are broken, foreign or half empty: one line each, and what can be read is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from measured.conftest import needs_thunks
from measured.xspace_files import plane, varint_field

import hlo_count as hc
from hlo_count.cli import main


def refusal(path: Path, capsys) -> str:
    assert main(["trace", str(path)]) == 2
    written = capsys.readouterr()
    assert not written.out
    (line,) = written.err.splitlines()
    return line


def test_what_is_no_trace_is_told_in_a_line(tmp_path, capsys):
    assert "there is no such file or folder; record one with" in refusal(tmp_path / "nowhere", capsys)
    assert "no .xplane.pb in this folder; record one with" in refusal(tmp_path, capsys)
    file = tmp_path / "host.xplane.pb"
    file.write_bytes(b"")
    assert "this trace is empty" in refusal(file, capsys)
    file.write_bytes(b"HloModule text, and no trace")
    assert "no trace that can be read" in refusal(file, capsys)
    for_browsers = tmp_path / "host.trace.json.gz"
    for_browsers.write_bytes(b"{}")
    assert "name the .xplane.pb beside it" in refusal(for_browsers, capsys)


@needs_thunks
def test_a_trace_that_breaks_off_is_read_up_to_there(folder: Path, tmp_path):
    (file,) = folder.rglob("*.xplane.pb")
    data = file.read_bytes()
    cut = tmp_path / "cut.xplane.pb"
    cut.write_bytes(data[:-1])
    trace = hc.read_trace(cut)
    assert trace.programs  # all but what the task was, which stands last
    assert any("breaks off at byte" in problem for problem in trace.problems)
    cut.write_bytes(data[:1000])
    with pytest.raises(hc.HloCountError, match="breaks off"):
        hc.read_trace(cut)


def cpu_event(op: str, start: int, duration: int, **stats: object) -> dict[str, object]:
    return {"name": op, "start": start, "duration": duration, "stats": {"hlo_op": op, **stats}}


def of_run(op: str, start: int, duration: int) -> dict[str, object]:
    return cpu_event(op, start, duration, hlo_module="jit_f", program_id=7, run_id=1, device_ordinal=0)


def test_a_program_without_its_hlo_has_times(tmp_path):
    file = tmp_path / "host.xplane.pb"
    file.write_bytes(
        plane("/host:CPU", {"worker": [of_run("dot.1", 0, 3_000_000), of_run("add.2", 4_000_000, 1_000_000)]})
    )
    trace = hc.read_trace(file)
    (program,) = trace.programs
    assert program.report is None and program.name == "jit_f"
    assert program.seconds == [pytest.approx(5e-6)]
    assert [(row.name, row.seconds, row.flops) for row in program.rows] == [
        ("dot.1", pytest.approx(3e-6), None),
        ("add.2", pytest.approx(1e-6), None),
    ]
    assert program.idle == pytest.approx(1e-6)
    assert any("enable_hlo_proto" in problem for problem in trace.problems)
    with pytest.raises(hc.HloCountError, match="the trace lacks its HLO: record it again"):
        program.hfu("cpu-avx512")
    assert "jit_f" in trace.table()


def test_programs_of_one_name_without_their_hlo_are_told_apart(tmp_path):
    """They were taken for one program on two hosts, and their times averaged."""
    file = tmp_path / "host.xplane.pb"
    events = [of_run("dot.1", 0, 3_000_000), of_run("dot.1", 4_000_000, 1_000_000)]
    events[1]["stats"] = {**events[1]["stats"], "program_id": 8, "run_id": 2}
    file.write_bytes(plane("/host:CPU", {"worker": events}))
    trace = hc.read_trace(file)
    assert [program.seconds for program in trace.programs] == [[pytest.approx(3e-6)], [pytest.approx(1e-6)]]


def test_clocks_that_run_backwards_are_counted(tmp_path):
    file = tmp_path / "host.xplane.pb"
    file.write_bytes(plane("/host:CPU", {"worker": [of_run("dot.1", 5, 10), of_run("add.2", 20, -10)]}))
    trace = hc.read_trace(file)
    assert [row.name for row in trace.programs[0].rows] == ["dot.1"]
    assert any("left out 1 event with an end before the beginning" in problem for problem in trace.problems)


def test_kernels_that_overlap_on_two_threads_are_not_added_twice(tmp_path):
    file = tmp_path / "host.xplane.pb"
    lines = {"one": [of_run("dot.1", 0, 4_000_000)], "two": [of_run("add.2", 2_000_000, 4_000_000)]}
    file.write_bytes(plane("/host:CPU", lines))
    (program,) = hc.read_trace(file).programs
    # 2 µs alone, 2 µs together, of which each has half, 2 µs alone
    assert {row.name: row.seconds for row in program.rows} == pytest.approx({"dot.1": 3e-6, "add.2": 3e-6})
    assert {row.name: row.elapsed for row in program.rows} == pytest.approx({"dot.1": 4e-6, "add.2": 4e-6})
    assert program.seconds == [pytest.approx(6e-6)]


def test_a_trace_without_instructions_says_so(tmp_path):
    file = tmp_path / "host.xplane.pb"
    file.write_bytes(plane("/host:CPU", {"python": [{"name": "$f.py:1 f", "start": 0, "duration": 5, "stats": {}}]}))
    trace = hc.read_trace(file)
    assert not trace.programs
    assert any("no times of instructions" in problem for problem in trace.problems)
    assert "no program ran" in trace.table()


@needs_thunks
def test_of_two_hosts_a_broken_one_is_left_out(folder: Path, tmp_path):
    (file,) = folder.rglob("*.xplane.pb")
    shutil.copy(file, tmp_path / "a.xplane.pb")
    (tmp_path / "b.xplane.pb").write_bytes(b"")
    trace = hc.read_trace(tmp_path)
    assert trace.hosts == 1 and any("b.xplane.pb" in problem for problem in trace.problems)


@needs_thunks
def test_hosts_that_ran_the_same_are_taken_together(folder: Path, tmp_path):
    (file,) = folder.rglob("*.xplane.pb")
    for name in ("a", "b"):
        shutil.copy(file, tmp_path / f"{name}.xplane.pb")
    one, both = hc.read_trace(file, device="cpu-avx512"), hc.read_trace(tmp_path, device="cpu-avx512")
    assert both.hosts == 2 and both.seconds == pytest.approx(one.seconds)
    for alone, twice in zip(one.programs, both.programs, strict=True):
        assert (alone.runs, alone.seconds) == (twice.runs, pytest.approx(twice.seconds))
        assert twice.devices == 2 * alone.devices
        assert [row.runs for row in alone.rows] == [row.runs for row in twice.rows]


@pytest.mark.parametrize("data", [b"\x0a\xff\xff\xff\xff\x7f", b"\x0a\x03\x12\x7fa", b"\xff" * 100])
def test_bytes_that_are_no_message_are_refused(tmp_path, data):
    file = tmp_path / "host.xplane.pb"
    file.write_bytes(data)
    with pytest.raises(hc.HloCountError, match="no trace that can be read"):
        hc.read_trace(file)


def test_numbers_are_written_as_the_format_has_them():
    """The example of the documentation of protocol buffers."""
    assert varint_field(1, 150) == b"\x08\x96\x01"
