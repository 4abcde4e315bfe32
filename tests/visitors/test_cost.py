"""Cost is a vector: its laws, and what its totals are derived from."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hlo_count.visitors.cost import OP_COUNTERS, STATUSES, Cost, weakest

keys = st.one_of(
    st.tuples(
        st.sampled_from(OP_COUNTERS),
        st.sampled_from(["add", "matmul"]),
        st.sampled_from(["f32", "s8"]),
        st.sampled_from(["vector", "matrix"]),
    ),
    st.tuples(st.sampled_from(["bytes_read", "bytes_written"]), st.sampled_from(["main", "on-chip"])),
    st.just(("network_bytes",)),
)
costs = st.builds(Cost, st.dictionaries(keys, st.integers(0, 10**30)), st.sampled_from(STATUSES))


@given(costs, costs, costs)
def test_addition_is_commutative_and_associative_with_a_zero(a, b, c):
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + Cost() == a


@given(costs, st.integers(1, 6))
def test_times_is_repeated_addition(a, n):
    assert a * n == n * a == Cost.sum([a] * n)


@given(costs, costs, st.integers(0, 10**6))
def test_times_distributes(a, b, n):
    assert ((a + b) * n).amounts == (a * n + b * n).amounts


@given(costs)
def test_totals_are_sums_of_the_split(a):
    for counter in OP_COUNTERS:
        assert getattr(a, counter) == sum(n for key, n in a.amounts.items() if key[0] == counter)
    for part in (1, 2, 3):
        assert sum(c.flops for c in a.split(part).values()) == a.flops
    assert a.bytes == a.bytes_read + a.bytes_written


def test_a_fraction_is_rounded_up():
    assert Cost.ops("flops", Fraction(10, 3), "add", "f32").flops == 4
    assert (Cost.ops("flops", 3, "add", "f32") * Fraction(1, 2)).flops == 2


def test_the_status_of_a_sum_is_the_weakest():
    assert [weakest("exact", s) for s in STATUSES] == list(STATUSES)
    assert weakest("lower bound", "estimate") == "lower bound"
    assert (Cost() + Cost({}, "estimate")).status == "estimate"
    assert (Cost({}, "lower bound") * 0).status == "exact"


def test_a_cost_does_not_change():
    with pytest.raises(AttributeError):
        Cost().status = "estimate"  # type: ignore[misc]


def test_intensity_without_bytes_is_no_division_by_zero():
    assert Cost.ops("flops", 1, "add", "f32").intensity == float("inf")
    assert str(Cost().intensity) == "nan"
    assert (Cost.ops("flops", 8, "add", "f32") + Cost.traffic(read=2, written=2)).intensity == 2.0
