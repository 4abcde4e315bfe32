"""The schedule as trace events: times add up to the estimate, loops stand around what they run, and the order is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fixture_files
import pytest

import hlo_count as hc
from hlo_count.report.schedule_events import trace_events

CALLING = ("while", "call", "conditional")
LOOP = """HloModule loop, is_scheduled=true

%body (s: (s32[], f32[256,256])) -> (s32[], f32[256,256]) {
  %s = (s32[], f32[256,256]{1,0}) parameter(0)
  %n = s32[] get-tuple-element(%s), index=0
  %x = f32[256,256]{1,0} get-tuple-element(%s), index=1
  %one = s32[] constant(1)
  %next = s32[] add(%n, %one)
  %dot = f32[256,256]{1,0} dot(%x, %x), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  ROOT %t = (s32[], f32[256,256]{1,0}) tuple(%next, %dot)
}

%condition (s: (s32[], f32[256,256])) -> pred[] {
  %s = (s32[], f32[256,256]{1,0}) parameter(0)
  %n = s32[] get-tuple-element(%s), index=0
  %end = s32[] constant(5)
  ROOT %go = pred[] compare(%n, %end), direction=LT
}

ENTRY %main (x: f32[256,256]) -> f32[256,256] {
  %x = f32[256,256]{1,0} parameter(0)
  %first = f32[256,256]{1,0} tanh(%x)
  %zero = s32[] constant(0)
  %t = (s32[], f32[256,256]{1,0}) tuple(%zero, %first)
  %loop = (s32[], f32[256,256]{1,0}) while(%t), condition=%condition, body=%body
  %last = f32[256,256]{1,0} get-tuple-element(%loop), index=1
  ROOT %out = f32[256,256]{1,0} negate(%last)
}
"""


def slices(text: str) -> list[dict[str, Any]]:
    return [event for event in json.loads(text)["traceEvents"] if event["ph"] == "X"]


@pytest.mark.parametrize("name", ["transformer_step", "scan_nested", "switch", "while_dynamic"])
def test_kernels_add_up_to_the_estimate(name: str) -> None:
    report = hc.count(fixture_files.text("cpu", name))
    roofline = report.roofline("h100-sxm")
    events = slices(trace_events(report, roofline))
    seconds = {row.name: row.estimate for row in roofline.rows}
    for event in events:
        if event["args"]["opcode"] not in CALLING:
            assert event["dur"] == pytest.approx(1e6 * seconds[event["name"]])  # each is called from one place
    assert {event["name"] for event in events} >= {name for name, estimate in seconds.items() if estimate}
    end = max(event["ts"] + event["dur"] for event in events)
    assert end == pytest.approx(1e6 * sum(seconds.values()))  # sums of floats in another order


def test_a_loop_stands_around_its_kernels_in_their_order() -> None:
    report = hc.count(LOOP)
    events = {event["name"]: event for event in slices(trace_events(report, report.roofline("h100-sxm")))}
    loop, dot, go = events["loop"], events["dot"], events["go"]
    assert (dot["args"]["runs"], go["args"]["runs"], loop["args"]["runs"]) == (5, 6, 1)
    assert dot["args"]["FLOP"] == 5 * 2 * 256**3
    end = loop["ts"] + loop["dur"]
    assert events["first"]["ts"] == 0 and events["out"]["ts"] == pytest.approx(end)
    assert loop["ts"] <= events["next"]["ts"] <= dot["ts"] <= go["ts"] <= end
    inside = sum(events[name]["dur"] for name in ("next", "dot", "go"))
    assert loop["dur"] == pytest.approx(inside)


def test_what_was_measured_has_a_track_of_its_own() -> None:
    report = hc.count(LOOP)
    events = slices(trace_events(report, None, {"first": 1e-6, "dot": 5e-6}))
    assert [(event["name"], event["ts"], event["dur"]) for event in events if event["name"] != "loop"] == [
        ("first", 0, pytest.approx(1)), ("dot", pytest.approx(1), pytest.approx(5))
    ]  # fmt: skip
    both = slices(trace_events(report, report.roofline("h100-sxm"), {"first": 1e-6}))
    assert {event["tid"] for event in both} == {1, 2}


def test_a_body_that_many_call_stands_once_a_call_and_their_number_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Computations that call the one before twice: 2**40 calls of the first."""
    calls = ["%c0 (p: f32[8]) -> f32[8] {\n  %p = f32[8]{0} parameter(0)\n  ROOT %n0 = f32[8]{0} negate(%p)\n}"]
    for n in range(1, 41):
        calls.append(
            f"%c{n} (p: f32[8]) -> f32[8] {{\n  %p = f32[8]{{0}} parameter(0)\n  %a{n} = f32[8]{{0}} call(%p), "
            f"to_apply=%c{n - 1}\n  ROOT %b{n} = f32[8]{{0}} call(%a{n}), to_apply=%c{n - 1}\n}}"
        )
    entry = "ENTRY %e (p: f32[8]) -> f32[8] {\n  %p = f32[8]{0} parameter(0)\n  ROOT %r = f32[8]{0} call(%p), to_apply=%c40\n}"
    monkeypatch.setattr("hlo_count.report.schedule_events._MOST", 1000)
    report = hc.count("HloModule m\n\n" + "\n\n".join([*calls, entry]))
    events = slices(trace_events(report, report.roofline("h100-sxm")))
    assert len(events) < 1100
    (whole,) = (event for event in events if event["name"] == "r")
    assert whole["dur"] == pytest.approx(1e6 * sum(row.estimate for row in report.roofline("h100-sxm").rows))


def test_it_is_saved_by_its_ending_and_needs_a_device(tmp_path: Path) -> None:
    report = hc.count(LOOP)
    file = report.save(tmp_path / "x.trace.json", device="h100-sxm")
    assert slices(file.read_text())
    counters = [event for event in json.loads(file.read_text())["traceEvents"] if event["ph"] == "C"]
    assert max(event["args"]["bytes"] for event in counters) == report.peak_bytes
    with pytest.raises(hc.HloCountError, match="name one, device=, --device"):
        report.save(tmp_path / "y.trace.json")
    assert not (tmp_path / "y.trace.json").exists()
