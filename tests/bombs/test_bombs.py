"""Texts made to take long: twice the text may cost twice the calls, and a larger number in it none."""

from __future__ import annotations

import sys
from types import FrameType

import pytest
from bomb_texts import BOMBS
from number_texts import NUMBERS

import hlo_count as hc

NESTS = [name for name in BOMBS if name.startswith(("nest_of_", "doubled_")) or name in ("named_calls", "counted_nest")]
GROWING = [name for name in BOMBS if name not in NESTS]


def shown(text: str) -> None:
    report = hc.count(text)
    str(report)
    report.to_json()
    report.by("source")
    str(report.roofline("h100-sxm"))
    hc.diff(report, hc.count(text)).to_dict()


def calls(text: str) -> int:
    """How many functions are called to show a text: no clock, so that no other load is seen."""
    number = 0

    def see(frame: FrameType, event: str, argument: object) -> None:
        nonlocal number
        number += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(see)
    try:
        shown(text)
    finally:
        sys.setprofile(before)
    return number


@pytest.fixture(autouse=True, scope="module")
def warm() -> None:
    """What is imported and read once is no part of any text's cost."""
    shown(BOMBS["chain_of_elementwise"](10))


@pytest.mark.parametrize("name", NUMBERS)
def test_a_large_number_costs_no_more_than_a_small_one(name: str) -> None:
    # A tenth is for digits: 2^40 is cut into more groups of them than 2^10.
    assert calls(NUMBERS[name](2**40)) <= 1.1 * calls(NUMBERS[name](2**10))


@pytest.mark.parametrize("name", GROWING)
def test_twice_the_text_costs_twice_the_calls(name: str) -> None:
    # A square would be 4; 2.3 leaves room for a logarithm.
    assert calls(BOMBS[name](120)) <= 2.3 * calls(BOMBS[name](60))


@pytest.mark.parametrize("name", NESTS)
def test_calls_that_nest_too_deep_are_refused_in_a_line(name: str) -> None:
    with pytest.raises(hc.HloCountError, match=r"\Am: its calls nest more than 100 deep\Z"):
        hc.count(BOMBS[name](150))
