"""Trip counts of loops written for it: what the scalars of a condition say, and why they do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hlo_count.errors import HloCountError
from hlo_count.hlo import parse, step_budget
from hlo_count.hlo.trip_counts import TripCount, trip_count
from tests.hlo.loop_texts import counts, loop_text, loops, only

AFFINE = "affine"
CASES: list[tuple[dict[str, Any], int | None, str]] = [
    ({}, 10, AFFINE),
    ({"direction": "LE"}, 11, AFFINE),
    ({"direction": "EQ"}, 0, AFFINE),
    ({"direction": "EQ", "start": 10}, 1, AFFINE),
    ({"direction": "GT"}, 0, AFFINE),
    ({"direction": "NE", "one": 4}, None, "its condition never fails"),
    ({"update": "add(i, n)", "one": 1}, 1, AFFINE),
    ({"update": "subtract(i, one)", "start": 10, "bound": 0, "direction": "GE"}, 11, AFFINE),
    ({"update": "subtract(one, i)", "direction": "NE", "bound": 1}, 1, "stepped"),
    ({"update": "maximum(i, one)", "bound": 1}, 1, "stepped"),
    ({"update": "maximum(i, one)"}, None, "its condition never fails"),
    ({"update": "multiply(i, one)", "start": 1, "one": 2, "bound": 100}, 7, "stepped"),
    ({"update": "shift-left(i, one)", "start": 1, "bound": 100}, 7, "stepped"),
    ({"update": "divide(i, one)", "start": 100, "one": 10, "bound": 0, "direction": "NE"}, 3, "stepped"),
    # Wrapping: 200 + 100 is 44 in u8, and 100 + 100 is -56 in s8. 23 * 100 is 252 and 8 * 256.
    ({"dtype": "u8", "start": 0, "one": 100, "bound": 250}, 23, "stepped"),
    ({"dtype": "u8", "start": 0, "one": 128, "bound": 250}, None, "its condition never fails"),
    ({"dtype": "u8", "start": 0, "one": 100, "bound": 44, "direction": "NE"}, 3, AFFINE),
    ({"dtype": "s8", "start": 0, "one": 100, "bound": -56, "direction": "NE"}, 2, AFFINE),
    ({"dtype": "s8", "one": 1, "bound": 127, "direction": "LE"}, None, "its condition never fails"),
    (
        {"dtype": "u32", "start": 4294967295, "bound": 0, "direction": "GT", "update": "subtract(i, one)"},
        2**32 - 1,
        AFFINE,
    ),
    ({"dtype": "s64", "bound": 10**15}, 10**15, AFFINE),
    # As unsigned, -1 is the largest.
    ({"start": -1, "condition": "compare(i, n), direction=LT, type=UNSIGNED"}, 0, "stepped"),
    # 0.1 is a little more than a tenth in f32: ten of them are 1.0000001.
    ({"dtype": "f32", "one": 0.1, "bound": 1}, 10, "stepped"),
    # ... and a little less in f64: ten of them are 0.9999999999999999.
    ({"dtype": "f64", "one": 0.1, "bound": 1}, 11, "stepped"),
    # Beyond 256, bf16 holds even numbers only, and 256 + 1 rounds to 256.
    ({"dtype": "bf16", "bound": 1000}, None, "its condition never fails"),
    ({"dtype": "f16", "start": 1, "one": 2, "update": "multiply(i, one)", "bound": "inf"}, 16, "stepped"),
]


@pytest.mark.parametrize(("options", "trips", "why"), CASES, ids=lambda value: str(value))
def test_hand_written(options: dict[str, Any], trips: int | None, why: str) -> None:
    found = only(loop_text(**options))
    assert found.n == trips
    if trips is None:
        assert found.source == "unknown"
        assert found.reason.startswith(why)
    else:
        assert found.source == why


@pytest.mark.parametrize(
    ("config", "trips"),
    [
        ('{"known_trip_count":{"n":"7"}}', 7),
        ('{"known_trip_count":{"n":7},"known_init_step":{"init":"0","step":"1"}}', 7),
        ('"{\\"known_trip_count\\":{\\"n\\":\\"7\\"}}"', 7),
        ('{"known_trip_count":{}}', 0),
    ],
)
def test_the_compiler_is_believed(config: str, trips: int) -> None:
    assert only(loop_text(config=f", backend_config={config}")) == TripCount(trips, "known_trip_count")


def test_a_config_that_is_no_json_is_no_answer() -> None:
    assert only(loop_text(config=', backend_config="known_trip_count=7"')) == TripCount(10, "affine")


@pytest.mark.parametrize(
    ("init", "reason"),
    [
        ("n = s32[] parameter(0)\n  i = s32[] constant(0)", "its bound is the argument n of the entry"),
        (
            'a = s32[] parameter(0), metadata={op_name="args[0].steps"}\n'
            "  n = s32[] negate(a)\n  i = s32[] constant(0)",
            "its bound is the argument args[0].steps of the entry",
        ),
        (
            "q = (s32[], (f32[3], s32[])) parameter(0)\n  r = (f32[3], s32[]) get-tuple-element(q), index=1\n"
            "  i = s32[] get-tuple-element(r), index=1\n  n = s32[] constant(3)",
            "its start is the argument q[1][1] of the entry",
        ),
        (
            "a = s32[3] parameter(0)\n  s = s32[1] slice(a), slice={[1:2]}\n  n = s32[] reshape(s)\n"
            "  i = s32[] constant(0)",
            "its bound is the result of slice s",
        ),
        (
            "tok = token[] after-all()\n  f = (s32[], token[]) infeed(tok)\n"
            "  n = s32[] get-tuple-element(f), index=0\n  i = s32[] constant(0)",
            "its bound is the result of infeed f",
        ),
        ("n = s32[] partition-id()\n  i = s32[] constant(0)", "its bound is the result of partition-id n"),
    ],
)
def test_what_an_unknown_depends_on(init: str, reason: str) -> None:
    assert only(loop_text(init=init)) == TripCount(None, "unknown", reason)


def test_a_step_that_is_an_argument() -> None:
    init = "n = s32[] parameter(0)\n  i = s32[] constant(0)"
    condition = "compare(i, ten), direction=LT"
    text = loop_text(init=init, condition=condition, update="add(i, n)")
    text = text.replace("  ROOT goes_on", "  ten = s32[] constant(10)\n  ROOT goes_on")
    assert only(text).reason == "its step is the argument n of the entry"


def test_a_scalar_is_followed_through_whatever_passes_it_on() -> None:
    """Fusions with tuples, calls, copies, asynchronous ones, barriers, reshapes, conditionals that agree."""
    init = """five = s32[] constant(5)
  c = s32[] call(five), to_apply=twice
  start = (s32[], s32[], u32[]) copy-start(c)
  d = s32[] copy-done(start)
  one_element = s32[1] reshape(d)
  turned = s32[1] copy(one_element)
  scalar = s32[] bitcast(turned)
  pair = (s32[], s32[]) fusion(scalar), kind=kLoop, calls=both
  kept = (s32[], s32[]) opt-barrier(pair)
  second = s32[] get-tuple-element(kept), index=1
  flag = pred[] parameter(0)
  n = s32[] conditional(flag, second, second), true_computation=same, false_computation=same_too
  i = s32[] constant(0)"""
    callees = """
twice {
  x = s32[] parameter(0)
  ROOT y = s32[] add(x, x)
}

both {
  x = s32[] parameter(0)
  one = s32[] constant(1)
  y = s32[] add(x, one)
  ROOT t = (s32[], s32[]) tuple(y, x)
}

same {
  ROOT x = s32[] parameter(0)
}

same_too {
  ROOT x = s32[] parameter(0)
}

ENTRY"""
    assert only(loop_text(init=init).replace("\nENTRY", callees)) == TripCount(10, "affine")


def test_a_condition_inside_a_fusion_of_a_call() -> None:
    text = loop_text(condition="call(i, n), to_apply=outer").replace(
        "\ncondition {",
        """
less {
  x = s32[] parameter(0)
  y = s32[] parameter(1)
  more = pred[] compare(x, y), direction=GE
  ROOT less = pred[] not(more)
}

outer {
  x = s32[] parameter(0)
  y = s32[] parameter(1)
  ROOT r = pred[] fusion(x, y), kind=kLoop, calls=less
}

condition {""",
    )
    assert only(text) == TripCount(10, "affine")


@pytest.mark.parametrize(("even", "odd"), [(1, 3), (2, 1), (3, 2)])
def test_a_conditional_that_chooses_the_step(even: int, odd: int) -> None:
    def python() -> int:
        i = n = 0
        while i < 10:
            i, n = i + (even if i % 2 == 0 else odd), n + 1
        return n

    update = "conditional(even, i, i), true_computation=even_step, false_computation=odd_step"
    text = loop_text(update=update).replace(
        "  next =",
        "  two = s32[] constant(2)\n  r = s32[] remainder(i, two)\n  zero = s32[] constant(0)\n"
        "  even = pred[] compare(r, zero), direction=EQ\n  next =",
    )
    for name, step in (("even_step", even), ("odd_step", odd)):
        branch = f"x = s32[] parameter(0)\n  s = s32[] constant({step})\n  ROOT y = s32[] add(x, s)"
        text = text.replace("\nbody {", f"\n{name} {{\n  {branch}\n}}\n\nbody {{")
    assert only(text) == TripCount(python(), "stepped")


NESTED = """HloModule m

inner_body {{
  p = (s32[], s32[]) parameter(0)
  i = s32[] get-tuple-element(p), index=0
  n = s32[] get-tuple-element(p), index=1
  one = s32[] constant(1)
  next = s32[] add(i, one)
  ROOT t = (s32[], s32[]) tuple(next, n)
}}

inner_condition {{
  p = (s32[], s32[]) parameter(0)
  i = s32[] get-tuple-element(p), index=0
  n = s32[] get-tuple-element(p), index=1
  ROOT r = pred[] compare(i, n), direction=LT
}}

outer_body {{
  p = (s32[], s32[], s32[]) parameter(0)
  i = s32[] get-tuple-element(p), index=0
  n = s32[] get-tuple-element(p), index=1
  one = s32[] get-tuple-element(p), index=2
  zero = s32[] constant(0)
  t = (s32[], s32[]) tuple(zero, {bound})
  inner = (s32[], s32[]) while(t), condition=inner_condition, body=inner_body
  again = s32[] get-tuple-element(inner), index=1
  next = s32[] add(i, one)
  ROOT u = (s32[], s32[], s32[]) tuple(next, {again}, one)
}}

outer_condition {{
  p = (s32[], s32[], s32[]) parameter(0)
  i = s32[] get-tuple-element(p), index=0
  three = s32[] constant(3)
  ROOT r = pred[] compare(i, three), direction=LT
}}

ENTRY main {{
  zero = s32[] constant(0)
  one = s32[] constant(1)
  six = s32[] constant(6)
  t = (s32[], s32[], s32[]) tuple(zero, six, one)
  ROOT outer = (s32[], s32[], s32[]) while(t), condition=outer_condition, body=outer_body
}}
"""


def test_a_constant_in_the_tuple_of_the_outer_loop() -> None:
    """The outer loop passes the inner bound through the inner loop's own tuple."""
    assert counts(NESTED.format(bound="n", again="again")) == [6, 3]


def test_a_bound_that_the_outer_loop_changes() -> None:
    inner, outer = map(trip_count, loops(parse(NESTED.format(bound="i", again="n"))))
    assert outer == TripCount(3, "affine")
    assert inner.reason == "its bound is a value that changes with each trip of the outer loop outer"


def called_twice(first: int, second: int) -> str:
    text = loop_text(init="i = s32[] constant(0)\n  n = s32[] parameter(0)").replace("ENTRY main", "called")
    return (
        text
        + f"""
ENTRY main {{
  a = s32[] constant({first})
  b = s32[] constant({second})
  x = (s32[], s32[]) call(a), to_apply=called
  y = (s32[], s32[]) call(b), to_apply=called
  ROOT t = ((s32[], s32[]), (s32[], s32[])) tuple(x, y)
}}
"""
    )


def test_callers_that_agree_and_callers_that_differ() -> None:
    assert only(called_twice(8, 8)) == TripCount(8, "affine")
    assert only(called_twice(8, 9)).reason == "its bound is an argument of called, which differs between its callers"


def test_two_counters_end_with_the_first() -> None:
    condition = "and(first, second)"
    text = loop_text(condition=condition, bound=30)
    text = text.replace(
        "  ROOT goes_on",
        "  twelve = s32[] constant(12)\n  first = pred[] compare(i, n), direction=LT\n"
        "  second = pred[] compare(twelve, i), direction=GT\n  ROOT goes_on",
    )
    assert only(text) == TripCount(12, "affine")


def test_an_unknown_condition_that_cannot_matter() -> None:
    text = loop_text(condition="and(first, second)", start=30, bound=30)
    text = text.replace(
        "  ROOT goes_on",
        "  d = s32[] partition-id()\n  first = pred[] compare(i, d), direction=LT\n"
        "  second = pred[] compare(i, n), direction=LT\n  ROOT goes_on",
    )
    assert only(text) == TripCount(0, "affine")


def test_what_is_certain_of_a_loop_that_takes_too_long_to_step_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_budget, "MAX_OPERATIONS", 10)
    doubling = {"update": "multiply(i, one)", "start": 1, "one": 2, "bound": 1000}
    found = only(loop_text(**doubling))
    assert found.n is None
    assert found.at_least == 5  # of the ten trips; one takes a product and a comparison
    together = loop_text(condition="and(first, second)", **doubling).replace(
        "  ROOT goes_on",
        "  first = pred[] compare(i, n), direction=LT\n  m = s32[] constant(4)\n"
        "  second = pred[] compare(i, m), direction=NE\n  ROOT goes_on",
    )
    assert only(together).n == 2  # 1, 2, 4: the second condition fails within five trips


def test_a_long_chain_needs_no_deep_stack() -> None:
    depth = 5000
    chain = "\n".join(f"  a{k} = s32[] add(a{k - 1}, one)" for k in range(1, depth + 1))
    text = loop_text(update=f"copy(a{depth})", bound=10 * depth)
    text = text.replace("  next =", f"  a0 = s32[] copy(i)\n{chain}\n  next =")
    assert only(text) == TripCount(10, "affine")


def test_a_loop_without_a_condition_is_an_error() -> None:
    text = loop_text().replace("condition=condition, ", "")
    with pytest.raises(HloCountError, match=r"loop is a while without condition="):
        only(text)


def test_it_is_worked_out_once() -> None:
    (loop,) = loops(parse(loop_text()))
    assert trip_count(loop) is trip_count(loop)


# Python's own loop, with integers that wrap

BITS = {"s8": 8, "u8": 8, "s16": 16, "u16": 16, "s32": 32, "u32": 32}
COMPARE: dict[str, Callable[[int, int], bool]] = {
    "LT": lambda a, b: a < b,
    "LE": lambda a, b: a <= b,
    "GT": lambda a, b: a > b,
    "GE": lambda a, b: a >= b,
    "EQ": lambda a, b: a == b,
    "NE": lambda a, b: a != b,
}
UPDATE: dict[str, Callable[[int, int], int]] = {
    "add(i, one)": lambda i, one: i + one,
    "subtract(i, one)": lambda i, one: i - one,
    "multiply(i, one)": lambda i, one: i * one,
    "subtract(one, i)": lambda i, one: one - i,
}
TRIES = 70_000
"""More than there are values of a 16-bit integer: a loop of those that goes on longer never ends."""


@st.composite
def counters(draw: st.DrawFn) -> tuple[str, int, int, int, str, str]:
    dtype = draw(st.sampled_from(sorted(BITS)))
    high = 2 ** BITS[dtype]
    low = 0 if dtype[0] == "u" else -high // 2
    number = st.integers(low, low + high - 1) | st.integers(max(low, -20), 20)
    return (
        dtype,
        draw(number),
        draw(number),
        draw(number),
        draw(st.sampled_from(sorted(COMPARE))),
        draw(st.sampled_from(sorted(UPDATE))),
    )


@settings(max_examples=150, deadline=None)
@given(counters())
def test_it_counts_as_python_counts(counter: tuple[str, int, int, int, str, str]) -> None:
    dtype, start, step, bound, direction, update = counter
    modulus = 2 ** BITS[dtype]
    low = 0 if dtype[0] == "u" else -modulus // 2
    i, n = start, 0
    while COMPARE[direction](i, bound) and n <= TRIES:
        i = (UPDATE[update](i, step) - low) % modulus + low
        n += 1
    found = only(loop_text(dtype=dtype, start=start, one=step, bound=bound, direction=direction, update=update))
    if n <= TRIES:
        assert found.n == n
    elif found.n is None:
        assert found.reason.startswith(("its condition never fails", "its condition has not failed"))
    else:
        # Only the closed form may know more than there was patience for here, and only of 32 bits.
        assert BITS[dtype] == 32
        assert found.n > TRIES
        last, before = (
            (start + k * step * (1 if "add" in update else -1) - low) % modulus + low for k in (found.n, found.n - 1)
        )
        assert not COMPARE[direction](last, bound)
        assert COMPARE[direction](before, bound)
