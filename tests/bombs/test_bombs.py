"""Texts made to take long: twice the text may cost twice the calls, and a larger number in it none."""

from __future__ import annotations

import inspect
import json
import math
import re
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
from bomb_texts import BOMBS
from fuzz.outputs import outputs_of
from number_texts import NUMBERS
from text_parts import CALLED, module

import hlo_count as hc
from hlo_count.compare.executed import ExecutedProgram, Labels
from hlo_count.visitors import walk

NESTS = [name for name in BOMBS if name.startswith(("nest_of_", "doubled_")) or name in ("named_calls", "counted_nest")]
GROWING = [name for name in BOMBS if name not in NESTS]


def shown(text: str) -> None:
    report = hc.count(text)
    str(report)
    report.to_json()
    report.by("source")
    str(report.roofline("h100-sxm"))
    hc.diff(report, hc.count(text)).to_dict()


def problem_of(text: str) -> str:
    """Why a text cannot be shown; "" where it can."""
    try:
        shown(text)
    except hc.HloCountError as problem:
        return str(problem)
    return ""


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


def memory(text: str) -> int:
    """Bytes that Python holds at most to show a text."""
    tracemalloc.start()
    try:
        shown(text)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", NUMBERS)
def test_a_large_number_costs_no_more_than_a_small_one(name: str) -> None:
    shown(NUMBERS[name](2**11))  # what is imported and read once is no part of any text's cost
    # A tenth is for digits: 2^40 is cut into more groups of them than 2^10.
    assert calls(NUMBERS[name](2**40)) <= 1.1 * calls(NUMBERS[name](2**10))
    assert memory(NUMBERS[name](2**40)) < 2 * 10**6, "a bit for each of 2^40 would be a hundred thousand times as much"


@pytest.mark.parametrize("name", GROWING)
def test_twice_the_text_costs_twice_the_calls(name: str) -> None:
    shown(BOMBS[name](10))
    # A square would be 4; 2.3 leaves room for a logarithm.
    assert calls(BOMBS[name](120)) <= 2.3 * calls(BOMBS[name](60))


@pytest.mark.parametrize("name", NESTS)
def test_twice_as_deep_a_nest_costs_twice_the_calls(name: str) -> None:
    shown(BOMBS[name](6))
    assert calls(BOMBS[name](24)) <= 2.3 * calls(BOMBS[name](12))


def test_op_names_that_branch_at_each_call_add_up_to_the_same_cost() -> None:
    """2^24 paths lead to the exponential: few contexts are told apart, none is lost."""
    report = hc.count(BOMBS["named_calls"](24))
    assert report.transcendentals == 2**24 * 64
    items = ExecutedProgram(report, Labels()).items
    assert len(items) < 30_000
    assert sum(item.times * item.cost.transcendentals for item in items) == 2**24 * 64


def test_a_tuple_of_a_tuple_twice_is_not_written_out() -> None:
    twice = ["t0 = tuple(p, p)", *(f"t{n} = tuple(t{n - 1}, t{n - 1})" for n in range(1, 40))]
    once = ["t0 = tuple(p)", *(f"t{n} = tuple(t{n - 1})" for n in range(1, 99))]
    with pytest.raises(hc.HloCountError, match="t16 is a tuple of 131,072 arrays, more than the 100,000 that are foll"):
        hc.count(module([CALLED, *twice, "ROOT r = s32[] constant(1)"]))
    with pytest.raises(hc.HloCountError, match="in t64 tuples nest more than 64 deep"):
        hc.count(module([CALLED, *once, "ROOT r = s32[] constant(1)"]))


@pytest.fixture
def shallow() -> Iterator[None]:
    """Python's stack ends a little below the test, so that a few hundred calls show what 100,000 would."""
    before, depth = sys.getrecursionlimit(), len(inspect.stack(0))
    sys.setrecursionlimit(depth + 120)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("name", [*NESTS, "conjunction", "chain_of_scalars", "chain_of_tuples", "fused_chain"])
def test_depth_is_no_recursion(name: str) -> None:
    text = BOMBS[name](250)
    shown(text)
    calling = "f7/a" if name == "named_calls" else "f7/y"
    if name in NESTS and name not in ("nest_of_maps", "doubled_conditionals"):
        str(hc.count(text).explain(calling, device="h100-sxm"))
    if name in ("doubled_calls", "doubled_fusions", "doubled_loops", "named_calls"):  # XLA's own sums are infinite
        for ask in (lambda: hc.count(text).reconcile(), lambda: hc.count(text, convention="xla").flops):
            with pytest.raises(hc.HloCountError, match="XLA adds up in float32, which ends at 3.4e38"):
                ask()
    else:
        str(hc.count(text).reconcile())
        str(hc.count(text, convention="xla"))


def test_counts_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    # Loops of ten trips in another one, each of which makes the count a digit longer
    monkeypatch.setattr(walk, "MOST", 10**300)
    assert hc.count(BOMBS["counted_nest"](290)).transcendentals == 64 * 10**291
    with pytest.raises(hc.HloCountError, match=r"\Am: what its loops and calls run goes beyond a count of 10\^300\Z"):
        hc.count(BOMBS["counted_nest"](299))
    elements = ",".join(["100000000000000000"] * 6)
    with pytest.raises(hc.HloCountError, match=r"an array of more than 10\^100 elements"):
        hc.count(module([f"p = f32[{elements}] parameter(0)", f"ROOT r = f32[{elements}] negate(p)"]))


DEEP = 380
"""Loops of ten trips in each other: counts beyond 1.8e308, where floating-point numbers end."""


def test_the_largest_counts_are_shown_everywhere() -> None:
    pytest.importorskip("jinja2", reason="needs Jinja2, for the page")
    assert math.log10(walk.MOST) < sys.int_info.default_max_str_digits, "every count can be written as a decimal"
    report, other = hc.count(BOMBS["counted_nest"](DEEP)), hc.count(BOMBS["counted_nest"](DEEP - 10))
    assert re.search(rf"transcendentals +6\.400e\+{DEEP + 2} +exact", str(report))
    assert json.loads(report.to_json())["transcendentals"] == 64 * 10 ** (DEEP + 1)
    undrawn = {"what-if", "roofline"}
    for name, make in outputs_of(report, other).items():
        if name in undrawn:
            with pytest.raises(hc.HloCountError, match=r"no roofline of counts beyond 10\^300"):
                make()
        elif name != "explanation":  # of one of its many roots
            make()
    diff = hc.diff(other, report)
    shown = [str(report), str(report.reconcile()), str(report.explain("f7/y")), str(diff), diff.markdown()]
    shown.append(json.dumps(diff.to_dict()))
    assert not any("inf" in text.replace("info", "") for text in shown)


def test_counts_that_times_can_be_told_of_have_a_roofline() -> None:
    roofline = hc.count(BOMBS["counted_nest"](290)).roofline("h100-sxm")
    assert roofline.bound is not None and 1e270 < roofline.bound < 1e300
    assert "inf" not in str(roofline) + json.dumps(roofline.to_dict())


def test_pages_and_flame_graphs_of_the_largest_counts(tmp_path: Path) -> None:
    pytest.importorskip("jinja2", reason="a page is made with Jinja2, the extra `html`")
    report = hc.count(BOMBS["counted_nest"](DEEP))
    page = report.save(tmp_path / "report.html", device="h100-sxm").read_text()
    assert f"6.400e+{DEEP + 2}" in page and "Nothing is drawn" in page and "<script" not in page
    stacks = report.save(tmp_path / "stacks.folded").read_text().splitlines()
    assert sum(int(line.rpartition(" ")[2]) for line in stacks) == report.bytes


@pytest.mark.parametrize(
    "layout", ["{0:T(8,128)}", "{8:T(8)}", "{0:E(8)}", "{0:S(8)}", "{0:L(8)}", "{0:SC(0:8)}", "{0:M(8)}"]
)
def test_a_layout_of_a_number_without_end_is_refused(layout: str) -> None:
    text = module([f"p = f32[64]{layout.replace('8', '8' * 5000)} parameter(0)", "ROOT r = f32[64] negate(p)"])
    assert problem_of(text).startswith("<text>:3:")


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_without_end_is_refused_or_unknown(name: str) -> None:
    """Each number of a text in turn replaced by one of 5,001 digits, which Python converts no more."""
    text = NUMBERS[name](2**10)
    for number in dict.fromkeys(re.findall(r"(?<![\w.])\d+(?![\w.])", text)):
        damaged = re.sub(rf"(?<![\w.]){number}(?![\w.])", "1" + "0" * 5000, text, count=1)
        assert "has a bug" not in problem_of(damaged)
