"""Texts made to take long: twice the text may cost twice the calls, and a larger number in it none."""

from __future__ import annotations

import sys
from types import FrameType

import pytest
from bomb_texts import BOMBS, CALLED, module
from number_texts import NUMBERS

import hlo_count as hc
from hlo_count.compare.executed import Program

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
def test_twice_as_deep_a_nest_costs_twice_the_calls(name: str) -> None:
    assert calls(BOMBS[name](24)) <= 2.3 * calls(BOMBS[name](12))


def test_op_names_that_branch_at_each_call_add_up_to_the_same_cost() -> None:
    """2^24 paths lead to the exponential: few contexts are told apart, none is lost."""
    report = hc.count(BOMBS["named_calls"](24))
    assert report.transcendentals == 2**24 * 64
    items = Program(report, {}).items
    assert len(items) < 30_000
    assert sum(item.times * item.cost.transcendentals for item in items) == 2**24 * 64


def test_a_tuple_of_a_tuple_twice_is_not_written_out() -> None:
    twice = ["t0 = tuple(p, p)", *(f"t{n} = tuple(t{n - 1}, t{n - 1})" for n in range(1, 40))]
    once = ["t0 = tuple(p)", *(f"t{n} = tuple(t{n - 1})" for n in range(1, 99))]
    with pytest.raises(hc.HloCountError, match="t16 is a tuple of 131,072 arrays, more than the 100,000 that are foll"):
        hc.count(module([CALLED, *twice, "ROOT r = s32[] constant(1)"]))
    with pytest.raises(hc.HloCountError, match="in t64 tuples nest more than 64 deep"):
        hc.count(module([CALLED, *once, "ROOT r = s32[] constant(1)"]))


@pytest.mark.parametrize("name", NESTS)
def test_calls_that_nest_too_deep_are_refused_in_a_line(name: str) -> None:
    with pytest.raises(hc.HloCountError, match=r"\Am: its calls nest more than 100 deep\Z"):
        hc.count(BOMBS[name](150))
