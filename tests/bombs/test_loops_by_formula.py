"""Slices in loops: their closed form against every position, and loops that have none."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
from bomb_texts import BOMBS
from hypothesis import given, settings
from hypothesis import strategies as st
from number_texts import endless, overlapping_slices_in_a_loop, slices_in_a_loop, slices_of_a_table_in_a_loop

import hlo_count as hc
from hlo_count.hlo import step_budget
from hlo_count.hlo.loop_slices import covered_by
from hlo_count.hlo.progressions import Progression
from hlo_count.hlo.trip_counts import TripCount
from tests.hlo.loop_texts import loop_text, only

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


CONDITIONS = {
    "a multiple": "h = {t}[] multiply(i, k)\n  ROOT r = pred[] compare(h, n), direction={d}",
    "two lines": "h = {t}[] multiply(i, k)\n  g = {t}[] subtract(n, i)\n  ROOT r = pred[] compare(h, g), direction={d}",
    "a difference": "h = {t}[] subtract(n, i)\n  ROOT r = pred[] compare(h, k), direction={d}",
    "the greater": "h = {t}[] multiply(i, k)\n  g = {t}[] maximum(h, i)\n  ROOT r = pred[] compare(g, n), direction={d}",
}


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(sorted(CONDITIONS)),
    st.sampled_from(("LT", "LE", "GT", "GE", "EQ", "NE")),
    st.sampled_from((("s8", -128, 127), ("u8", 0, 255))),
    st.data(),
)
def test_a_comparison_of_lines_is_what_stepping_finds(
    name: str, direction: str, dtype: tuple[str, int, int], data: Any
) -> None:
    word, low, high = dtype
    start, step, bound, factor = (data.draw(st.integers(max(low, -99), min(high, 130))) for _ in range(4))
    head = f"p = ({word}[], {word}[]) parameter(0)\n  i = {word}[] get-tuple-element(p), index=0\n  "
    condition = f"n = {word}[] get-tuple-element(p), index=1\n  k = {word}[] constant({factor})\n  "
    text = loop_text(dtype=word, start=start, one=step, bound=bound)
    at, end = text.index("condition {"), text.index("ENTRY")
    lines = CONDITIONS[name].format(t=word, d=direction)
    text = f"{text[:at]}condition {{\n  {head}{condition}{lines}\n}}\n\n{text[end:]}"
    found = only(text)
    with patch("hlo_count.hlo.trip_counts.line_course", lambda *_: None):
        assert (only(text).n, only(text).at_least) == (found.n, found.at_least)


def test_a_multiple_of_a_counter_takes_no_steps() -> None:
    lines = "two = s32[] constant(2)\n  h = s32[] multiply(i, two)\n  ROOT r = pred[] compare(h, n), direction=LT"
    text = loop_text(bound=2 * 10**9 + 1).replace("ROOT goes_on = pred[] compare(i, n), direction=LT", lines)
    assert only(text) == TripCount(10**9 + 1, "affine")


def test_what_only_stepping_tells_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_budget, "MAX_OPERATIONS", 20_000)
    report = hc.count(endless(TRIPS))
    # a product, a sum and a comparison each
    assert "its condition has not failed after 6,666 trips" in report.unknowns[0].reason
    # squares modulo 1009 are 505 different places, each of four elements: the first trips are at all
    places = {n * n % 1009 for n in range(1009)}
    assert touched(slices_of_a_table_in_a_loop(TRIPS)) == len({p + n for p in places for n in range(4)})


def test_loops_share_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 50 loops of 2 to 8 trips the first are stepped through, then the budget is used up."""
    monkeypatch.setattr(step_budget, "_MOST_OPERATIONS", 300)
    report = hc.count(BOMBS["loops"](50))
    assert 0 < len(report.unknowns) < 50
    assert report.unknowns[0].reason.endswith("trips: other loops of the program took their steps too)")
