"""Slices in loops: their closed form against every position, and loops that have none."""

from __future__ import annotations

import pytest
from bomb_texts import BOMBS
from hypothesis import given, settings
from hypothesis import strategies as st
from number_texts import endless, overlapping_slices_in_a_loop, slices_in_a_loop, slices_of_a_table_in_a_loop

import hlo_count as hc
from hlo_count.hlo import step_budget
from hlo_count.hlo.loop_slices import covered_by
from hlo_count.hlo.progressions import Progression

TRIPS = 2**28


@settings(max_examples=1000)
@given(st.integers(-40, 40), st.integers(-9, 9), st.integers(1, 12), st.integers(1, 9), st.integers(1, 30))
def test_what_slices_on_a_line_cover(first: int, step: int, trips: int, size: int, most: int) -> None:
    begins = [min(max(first + step * n, 0), most) for n in range(trips)]
    assert covered_by(Progression(first, step, trips), size, most) == len(
        {position for begin in begins for position in range(begin, begin + size)}
    )


def touched(text: str) -> int:
    """Elements that must be read and written again: the array is read where it is sliced, and updated there."""
    return hc.count(text).compulsory_bytes // (2 * 4)


def test_every_part_of_an_array_is_taken_once() -> None:
    assert touched(slices_in_a_loop(TRIPS)) == 4 * TRIPS


def test_parts_overlap() -> None:
    assert touched(overlapping_slices_in_a_loop(TRIPS)) == 3 * (TRIPS - 1) + 4


@pytest.mark.parametrize(
    "index", ["add(i, four)", "select(negative, later, i)", "maximum(i, four)", "clamp(zero, i, n)"]
)
def test_a_place_by_formula_is_the_place_by_stepping(index: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["four = s32[] constant(4)", "zero = s32[] constant(0)", "negative = pred[] compare(i, zero), direction=LT"]
    lines += ["later = s32[] add(i, n)", "n = s32[] constant(7)", f"k = s32[] {index}"]
    lines[3:5] = lines[4:2:-1]
    text = slices_in_a_loop(30).replace("  four = s32[] constant(4)\n  k = s32[] multiply(i, four)", "\n".join(lines))
    found = touched(text)
    monkeypatch.setattr("hlo_count.hlo.loop_slices.progression", lambda *_: None)
    assert touched(text) == found


def test_what_only_stepping_tells_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_budget, "MAX_OPERATIONS", 20_000)
    report = hc.count(endless(TRIPS))
    # a product, a sum and a comparison each
    assert "its condition has not failed after 6,666 trips" in report.unknowns[0].reason
    # squares modulo 1009 are 505 different places, each of four elements: the first trips are at all
    places = {n * n % 1009 for n in range(1009)}
    assert touched(slices_of_a_table_in_a_loop(TRIPS)) == len({p + n for p in places for n in range(4)})


def test_loops_share_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 50 loops of 2 to 27 trips the first are stepped through, then the budget is used up."""
    monkeypatch.setattr(step_budget, "_MOST_OPERATIONS", 300)
    report = hc.count(BOMBS["loops"](50))
    assert 0 < len(report.unknowns) < 50
    assert report.unknowns[0].reason.endswith("trips: other loops of the program took their steps too)")
