"""Bounds of integers hold whatever the integers turn out to be."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hlo_count.visitors.kernels.intervals import (
    END,
    Interval,
    anything,
    chosen,
    constant_of,
    evaluate,
    is_bounded,
    known,
)

NAMES = "addi subi muli divsi remsi floordivsi ceildivsi maxsi minsi andi ori xori".split()
NUMBERS = st.integers(-50, 50)


@st.composite
def intervals(draw):
    """An interval, and a number in it."""
    value, down, up = draw(NUMBERS), draw(st.integers(0, 5)), draw(st.integers(0, 5))
    return (known(value) if draw(st.booleans()) else Interval(value - down, value + up)), value


def python(name, a, b):
    """What MLIR means by it."""
    match name:
        case "addi":
            return a + b
        case "subi":
            return a - b
        case "muli":
            return a * b
        case "divsi":
            return int(a / b)
        case "remsi":
            return a - b * int(a / b)
        case "floordivsi":
            return a // b
        case "ceildivsi":
            return -(-a // b)
        case "maxsi":
            return max(a, b)
        case "minsi":
            return min(a, b)
        case "andi":
            return a & b
        case "ori":
            return a | b
    return a ^ b


@given(st.sampled_from(NAMES), intervals(), intervals())
def test_a_result_lies_between_its_bounds(name, one, other):
    (a, x), (b, y) = one, other
    if ("div" in name or "rem" in name) and y == 0:
        return
    found = evaluate(f"arith.{name}", [a, b])
    if found is None:  # a divisor that may be 0
        assert b.low <= 0 <= b.high
        return
    assert found.low <= python(name, x, y) <= found.high
    assert found.is_known or not (a.is_known and b.is_known)


@given(st.integers(0, 9), intervals(), intervals())
def test_a_comparison_is_known_only_where_it_is_certain(predicate, one, other):
    (a, x), (b, y) = one, other
    if predicate > 5 and (x < 0 or y < 0):
        return
    truth = [x == y, x != y, x < y, x <= y, x > y, x >= y, x < y, x <= y, x > y, x >= y][predicate]
    found = evaluate("arith.cmpi", [a, b], predicate)
    assert found is not None
    assert found.low <= truth <= found.high
    assert 0 <= found.low <= found.high <= 1


@given(st.sampled_from(NAMES), st.lists(NUMBERS, min_size=3, max_size=3), st.integers(1, 9))
def test_an_array_is_as_its_elements(name, row, by):
    found = evaluate(f"arith.{name}", [known(np.array(row)), known(by)])
    assert found is not None and found.is_known
    assert found.low.tolist() == [python(name, each, by) for each in row]


@given(st.integers(1, 10**6), NUMBERS)
def test_what_has_no_end_keeps_none(by, more):
    for name, operands in (
        ("divsi", [anything(), known(by)]),
        ("addi", [anything(), known(more)]),
        ("subi", [known(more), anything()]),
    ):
        found = evaluate(f"arith.{name}", operands)
        assert found is not None and not is_bounded(found)
    clipped = evaluate("arith.minsi", [anything(), known(by)])
    assert clipped is not None and is_bounded(clipped) and clipped.low == -END


def test_a_choice_by_an_unknown_bit_holds_both():
    assert chosen(Interval(0, 1), known(2), known(5)) == (2, 5)
    assert constant_of(chosen(known(1), known(2), known(5))) == 2


def test_what_depends_on_one_axis_stays_on_it():
    row = known(np.arange(3).reshape(1, 3))
    loaded = anything(made_of=[row])
    assert loaded.low.shape == (1, 3)
    assert not is_bounded(loaded)
