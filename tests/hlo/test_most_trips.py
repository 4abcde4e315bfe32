"""The most and the fewest trips that are certain of loops that data ends, against the same loops run by NumPy."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hlo_count.hlo.trip_counts import TripCount
from tests.hlo.loop_texts import loop_text, only

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

LANES = 4
PATIENCE = 60
"""Trips after which a loop is taken for one that does not end."""


def found(fn: Callable[..., Any], *shapes: Any, compiled: bool = False) -> TripCount:
    lowered = jax.jit(fn).lower(*shapes)
    return only(lowered.compile().as_text() if compiled else lowered.compiler_ir("hlo").as_hlo_text())


def loop(
    goes_on: Callable[[Any], Any], update: Callable[[Any], Any], start: Callable[[Any], Any]
) -> Callable[..., Any]:
    return lambda x: jax.lax.while_loop(goes_on, update, start(x))


VECTOR = jax.ShapeDtypeStruct((8,), "float32")
ROWS = jax.ShapeDtypeStruct((LANES, 8), "float32")


def halve(c: Any) -> Any:
    return c[0] + 1, c[1] * 0.5


def halve_until_done(c: Any) -> Any:
    return c[0] + 1, c[1] * 0.5, c[2] | (c[1] < 1e-3)


def mixed(n: int) -> Callable[..., Any]:
    return loop(lambda c: ~((c[0] == n) | jnp.all(c[2])), halve_until_done, lambda x: (0, x, x > 5))


def of_lane(goes_on: Callable[[Any], Any]) -> Callable[..., Any]:
    return jax.vmap(loop(goes_on, halve, lambda x: (jnp.int32(0), x)))


# Each loop, and the most trips that its counter lets it make.
LOOPS: dict[str, tuple[Callable[..., Any], Any, int | None]] = {
    "not equal or all done": (mixed(40), VECTOR, 40),
    "below and not done": (
        loop(lambda c: (c[0] < 17) & ~c[2], lambda c: (c[0] + 1, c[1], jnp.all(c[1] > c[0])), lambda x: (0, x, False)),
        VECTOR,
        17,
    ),
    "two steps of the same data": (
        loop(lambda c: (c[0] != 30) & (c[1].sum() > 1), lambda c: (c[0] + 5, c[1] * 0.5), lambda x: (0, x)),
        VECTOR,
        6,
    ),
    "either of two counters": (
        loop(
            lambda c: ((c[0] < 9) | (c[0] < 12)) & (c[1].sum() > 1),
            halve,
            lambda x: (0, x),
        ),
        VECTOR,
        12,
    ),
    "a counter that waits for a flag": (
        loop(
            lambda c: (c[0] < 7) & ~c[2],
            lambda c: (jnp.where(c[2], c[0], c[0] + 1), c[1], c[1].sum() > 3),
            lambda x: (0, x, False),
        ),
        VECTOR,
        7,
    ),
    "vmap, below": (of_lane(lambda c: (c[0] < 17) & (c[1].sum() > 1e-3)), ROWS, 17),
    "vmap, at most": (of_lane(lambda c: (c[0] <= 17) & (c[1].sum() > 1e-3)), ROWS, 18),
    "vmap, not equal or data": (of_lane(lambda c: ~((c[0] == 40) | (c[1].sum() < 1e-3))), ROWS, 40),
    "vmap, below and not done": (
        jax.vmap(
            loop(
                lambda c: (c[0] < 17) & ~c[2],
                lambda c: (c[0] + 1, c[1] * 0.5, c[1].sum() < 1e-3),
                lambda x: (jnp.int32(0), x, False),
            )
        ),
        ROWS,
        17,
    ),
    "vmap of a scalar": (of_lane(lambda c: (c[0] != 12) & (c[1] > 1e-3)), VECTOR, 12),
    "vmap of vmap": (jax.vmap(of_lane(lambda c: (c[0] < 5) & (c[1] > 1e-3))), ROWS, 5),
    "data alone": (of_lane(lambda c: c[1].sum() > 1e-3), ROWS, None),
    "or data": (loop(lambda c: (c[0] < 9) | (c[1].sum() > 1e-3), halve, lambda x: (0, x)), VECTOR, None),
}


@pytest.mark.parametrize("stage", ["before", "after"])
@pytest.mark.parametrize("name", LOOPS)
def test_the_most_trips_of_jax_loops(name: str, stage: str) -> None:
    fn, shape, most = LOOPS[name]
    count = found(fn, shape, compiled=stage == "after")
    assert (count.n, count.at_most) == (None, most)
    assert count.reason.endswith(f"; at most {most} trips") == (most is not None)


def test_a_counter_keeps_a_loop_going() -> None:
    """Nine trips are certain, whatever the data says of more."""
    fn, shape, _ = LOOPS["or data"]
    assert found(fn, shape).at_least == 9


def test_lanes_that_data_does_not_end() -> None:
    def fn(x: Any) -> Any:
        return jax.vmap(loop(lambda c: c[0] < 6, lambda c: (c[0] + 1, c[1] * 2), lambda x: (0, x)))(x)

    assert found(fn, ROWS).n == 6


def test_a_flag_of_data_to_start_with() -> None:
    """`and(argument, true)` as a start is not known, and no false."""
    text = loop_text(dtype="pred", condition="not(i)", update="or(i, n)", one="true").replace(
        "  i = pred[] constant(0)\n  n = pred[] constant(10)",
        "  a = pred[] parameter(0)\n  b = pred[] parameter(1)\n  i = pred[] and(a, b)\n  n = pred[] constant(true)",
    )
    assert only(text).reason == "its start is the argument a of the entry"


@pytest.mark.parametrize("start", [0, 3])
def test_the_opposite_of_a_condition_that_is_stepped_through(start: int) -> None:
    """`not (2^n * start >= 20 and unknown)` holds to begin with: its first part does not."""
    text = loop_text(update="add(i, i)", start=start, condition="not(both)").replace(
        "  ROOT goes_on",
        "  twenty = s32[] constant(20)\n  big = pred[] compare(i, twenty), direction=GE\n"
        "  d = s32[] partition-id()\n  other = pred[] compare(d, i), direction=EQ\n"
        "  both = pred[] and(big, other)\n  ROOT goes_on",
    )
    count = only(text)
    assert (count.n, count.at_least, count.at_most) == (None, 1, None)


# Random loops over a few lanes, run by NumPy

STATE = tuple[Any, Any, Any]
"""A counter and a number of each lane, and a counter that all lanes share."""


def atom(kind: str, n: int) -> Callable[[STATE], Any]:
    return {
        "below": lambda s: s[0] < n,
        "unequal": lambda s: s[0] != n,
        "equal": lambda s: s[0] == n,
        "at least": lambda s: s[0] >= n,
        "data": lambda s: s[1] > 0.5 / n,
        "little": lambda s: s[1] <= 0.5 / n,
        "shared": lambda s: s[2] < n,
    }[kind]


ATOMS = st.builds(
    atom, st.sampled_from(["below", "unequal", "equal", "at least", "data", "little", "shared"]), st.integers(1, 12)
)


def joined(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def both(join: Any, one: Any, other: Any) -> Any:
        return lambda s: join(one(s), other(s))

    return st.builds(both, st.sampled_from([operator.and_, operator.or_]), parts, parts) | st.builds(
        lambda one: lambda s: ~one(s), parts
    )


CONDITIONS = st.recursive(ATOMS, joined, max_leaves=4)
STARTS = st.sampled_from([0, 0, 1, 3])
STEPS = st.sampled_from([1, 1, 2, -1])


@st.composite
def programs(draw: st.DrawFn) -> tuple[Any, Any, Any]:
    """Whether a trip follows, what it leaves, and what there is to begin with, for `jnp` and for `np`."""
    lane = draw(CONDITIONS)
    moves = lane if draw(st.integers(0, 3)) else draw(CONDITIONS)
    keeps = draw(st.integers(0, 3)) > 0
    rolls = draw(st.integers(0, 5)) == 0
    every = draw(st.booleans())
    also = draw(st.none() | ATOMS)
    start, step = draw(STARTS), draw(STEPS)

    def goes_on(s: STATE, xp: Any) -> Any:
        found = ~xp.all(~lane(s)) if every else xp.any(lane(s))
        return found & xp.any(also(s)) if also is not None else found

    def update(s: STATE, xp: Any) -> STATE:
        p = moves(s) | xp.zeros(LANES, bool)
        number = s[1] * xp.float32(0.5)
        number = xp.roll(number, 1) if rolls else number
        return xp.where(p, s[0] + xp.int32(step), s[0]), xp.where(p, number, s[1]) if keeps else number, s[2] + 1

    def begin(numbers: Any, xp: Any) -> STATE:
        return xp.full(LANES, start, "int32"), numbers, xp.int32(0)

    return goes_on, update, begin


@settings(max_examples=25, deadline=None)
@given(programs(), st.lists(st.sampled_from([0.0, 0.3, 1.0, 4.0, 100.0]), min_size=LANES, max_size=LANES))
def test_what_is_certain_holds_of_every_run(program: tuple[Any, Any, Any], numbers: list[float]) -> None:
    goes_on, update, begin = program
    count = found(
        lambda x: jax.lax.while_loop(lambda s: goes_on(s, jnp), lambda s: update(s, jnp), begin(x, jnp)),
        jax.ShapeDtypeStruct((LANES,), "float32"),
    )
    state, trips = begin(np.array(numbers, np.float32), np), 0
    while goes_on(state, np) and trips <= PATIENCE:
        state, trips = update(state, np), trips + 1
    most = count.n if count.n is not None else count.at_most
    assert (count.at_least if count.n is None else count.n) <= trips or trips > PATIENCE
    assert most is None or trips <= most
