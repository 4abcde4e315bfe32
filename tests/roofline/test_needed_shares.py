"""A bound leaves out what a mask of indices makes zero or throws away. What is left is counted by numpy on the mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hlo_count
from hlo_count.roofline.index_conditions import (
    UNCERTAIN,
    AtLeastZero,
    DimensionMove,
    NotAll,
    OneFits,
    Part,
    certain_share,
    moved,
)

N, M, K = 24, 16, 40
ROWS, COLUMNS = np.arange(N)[:, None], np.arange(K)[None, :]
X = jax.ShapeDtypeStruct((N, K), jnp.bfloat16)
W = jax.ShapeDtypeStruct((K, M), jnp.bfloat16)
LABELS = jax.ShapeDtypeStruct((N,), jnp.int32)


def matrix_share(fn: Callable[..., Any], *args: Any) -> float:
    """The part of its counted matrix FLOP that a bound has, of the program before optimization."""
    roofline = hlo_count.count(jax.jit(fn).lower(*args)).roofline("h100-sxm")
    least = sum(busy.seconds for busy in roofline.busy if busy.resource == "matrix")
    return least / roofline.matrix_seconds


def kept(mask: Callable[[], Any]) -> Callable[[Any, Any], Any]:
    return lambda x, w: jnp.where(mask(), x, 0) @ w


needs_todays_masks = pytest.mark.skipif(
    tuple(map(int, jax.__version__.split(".")[:2])) < (0, 5),
    reason="JAX 0.4.30 compiles for CPU with the oneDNN of the time, of whose products nothing is said",
)
INDICES = lambda: (jnp.arange(N)[:, None], jnp.arange(K)[None, :])  # noqa: E731


@pytest.mark.parametrize(
    ("fn", "mask"),
    [
        (lambda x, w: jnp.tril(x) @ w, np.tri(N, K, dtype=bool)),
        (lambda x, w: jnp.tril(x, k=-3) @ w, np.tri(N, K, -3, dtype=bool)),
        (lambda x, w: jnp.triu(x, k=2) @ w, ~np.tri(N, K, 1, dtype=bool)),
        (lambda x, w: jnp.triu(jnp.tril(x, k=5), k=-2) @ w, (COLUMNS - ROWS <= 5) & (COLUMNS - ROWS >= -2)),
        (lambda x, w: jnp.eye(N, K, dtype=x.dtype) * x @ w, np.eye(N, K, dtype=bool)),
        (lambda x, w: jnp.where(jnp.eye(N, K, dtype=bool), 0, x) @ w, ~np.eye(N, K, dtype=bool)),
        (kept(lambda: INDICES()[0] * 2 - 7 >= INDICES()[1]), ROWS * 2 - 7 >= COLUMNS),
        (kept(lambda: ~(INDICES()[0] < INDICES()[1])), ROWS >= COLUMNS),
        (kept(lambda: (INDICES()[0] > 3) & (INDICES()[1] < 10)), (ROWS > 3) & (COLUMNS < 10)),
        (lambda x, w: jnp.pad(x[:, :30], ((0, 0), (4, 6))) @ w, (COLUMNS >= 4) & (COLUMNS < 34) & (ROWS >= 0)),
        (lambda x, w: jnp.tril(x)[:, ::-1] @ w, np.tri(N, K, dtype=bool)[:, ::-1]),
        (
            lambda x, w: jnp.pad(jnp.tril(x)[2:, 3:20], ((0, 2), (5, 18))) @ w,
            np.pad(np.tri(N, K)[2:, 3:20], ((0, 2), (5, 18))),
        ),
        (lambda x, w: jax.jit(jnp.tril)(x).reshape(4, 6, K).reshape(N, K) @ w, np.tri(N, K, dtype=bool)),
        (lambda x, w: jnp.exp(jnp.where(jnp.tri(N, K, dtype=bool), x, -jnp.inf)) @ w, np.tri(N, K, dtype=bool)),
        (lambda x, w: jnp.exp(x + jnp.where(jnp.tri(N, K, dtype=bool), 0, -1e9)) @ w, np.tri(N, K, dtype=bool)),
    ],
)
def test_zeros_of_an_operand(fn: Callable[..., Any], mask: np.ndarray) -> None:
    assert matrix_share(fn, X, W) == pytest.approx(mask.mean(), rel=1e-9)  # counted, only divided in floating point


def test_what_a_mask_throws_away() -> None:
    asked = matrix_share(lambda x, w: jnp.tril(x @ w), X, W)
    assert asked == pytest.approx(np.tri(N, M).mean(), rel=1e-9)


def test_what_is_asked_for_elsewhere_is_not_thrown_away() -> None:
    def both(x: Any, w: Any) -> Any:
        product = x @ w
        return jnp.tril(product), product * 2

    assert matrix_share(both, X, W) == 1


def test_a_one_hot_has_a_one_in_a_row() -> None:
    assert matrix_share(lambda labels, w: jax.nn.one_hot(labels, K, dtype=w.dtype) @ w, LABELS, W) == pytest.approx(
        1 / K
    )


def test_a_product_of_two_masks_is_summed_over_what_both_leave() -> None:
    square = jax.ShapeDtypeStruct((K, K), jnp.bfloat16)
    share = matrix_share(lambda a, b: jnp.tril(a) @ jnp.triu(b), square, square)
    i, k, j = np.ogrid[:K, :K, :K]
    exact = ((k <= i) & (k <= j)).mean()  # 1/3 and some; certain is what each mask leaves of the whole
    assert 0 < share <= exact


@needs_todays_masks
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_both_products_of_causal_attention_are_halved(dtype: Any) -> None:
    def attention(q: Any, k: Any, v: Any) -> Any:
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / 8
        scores = jnp.where(jnp.tri(64, dtype=bool), scores, jnp.finfo(dtype).min)
        return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores.astype(jnp.float32)).astype(dtype), v)

    x = jax.ShapeDtypeStruct((2, 64, 3, 16), dtype)
    assert matrix_share(attention, x, x, x) == pytest.approx(np.tri(64).mean(), rel=1e-9)
    compiled = hlo_count.count(attention, x, x, x).roofline("h100-sxm")
    (left,) = (note for note in compiled.notes if "0.508 of" in note)  # 65/128
    assert left.count("dot") == 2


def test_a_mask_that_a_loop_carries() -> None:
    def repeated(x: Any, w: Any) -> Any:
        mask = jnp.tri(N, K, dtype=x.dtype)
        step = lambda carry, _: ((carry @ w @ w.T) * mask, None)  # noqa: E731
        return jax.lax.scan(step, x, None, length=5)[0]

    # (carry @ w) is of data, and of (… @ w.T) the mask throws a part away: the second of two equal products
    expected = (1 + np.tri(N, K).mean()) / 2
    assert matrix_share(repeated, X, W) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "fn",
    [
        lambda x, w: jnp.where(x > 0, x, 0) @ w,  # zeros that data make
        lambda x, w: (x + jnp.arange(K, dtype=x.dtype)) @ w,
        lambda x, w: (x + jnp.tril(x)) @ w,  # nothing is zero in a sum
        lambda x, w: jnp.where(jnp.tri(N, K, dtype=bool), x, 1) @ w,
    ],
)
def test_what_is_not_zero_for_certain_counts_whole(fn: Callable[..., Any]) -> None:
    assert matrix_share(fn, X, W) == pytest.approx(1)


@pytest.mark.parametrize(
    "fn",
    [
        lambda x, w: jnp.where(jnp.arange(K) // 8 == jnp.arange(N)[:, None] // 8, x, 0) @ w,
        lambda x, w: jnp.where(jnp.arange(K) < x[0, 0].astype(jnp.int32), x, 0) @ w,  # as long as data say
        lambda x, w: jnp.roll(jnp.tril(x), 3, axis=1) @ w,
    ],
)
def test_of_a_mask_that_is_not_understood_nothing_is_certain(fn: Callable[..., Any]) -> None:
    assert matrix_share(fn, X, W) == 0


def test_shares_of_conditions_are_those_of_their_elements() -> None:
    i, j, k = np.ogrid[:N, :K, :M]
    first, second = AtLeastZero(((0, 2), (1, -1)), 3), AtLeastZero(((0, -1), (1, 1)), 0)
    sizes = (N, K, M)
    both = (2 * i - j + 3 >= 0) & (j - i >= 0) & (k >= 0)
    assert certain_share(frozenset({first, second}), sizes) == pytest.approx(both.mean())
    assert certain_share(frozenset({NotAll(frozenset({first, second}))}), sizes) == pytest.approx(1 - both.mean())
    assert certain_share(frozenset({first, OneFits(2, frozenset({0}))}), sizes) == pytest.approx(
        (2 * i - j + 3 >= 0).mean() / M
    )
    assert certain_share(frozenset({first, UNCERTAIN}), sizes) == 0
    merged = moved(frozenset({first}), DimensionMove({}, sizes, ((frozenset({0, 1}), frozenset({4})),)))
    assert merged == {Part(frozenset({4}), certain_share(frozenset({first}), sizes))}
    assert moved(frozenset({first}), DimensionMove({0: 0}, sizes)) == {UNCERTAIN}


def fused_select(predicate: str) -> str:
    return f"""HloModule m
fused {{
  x = f32[8,4] parameter(0)
  w = f32[4,8] parameter(1)
  y = f32[8,8] parameter(2)
  i = s32[8,8] iota(), iota_dimension=0
  j = s32[8,8] iota(), iota_dimension=1
  z = f32[8,8] parameter(3)
  d = f32[8,8] dot(x, w), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}
  e = f32[8,8] exponential(d)
  p = pred[8,8] {predicate}
  ROOT s = f32[8,8] select(p, e, y)
}}

ENTRY main {{
  x = f32[8,4] parameter(0)
  w = f32[4,8] parameter(1)
  y = f32[8,8] parameter(2)
  z = f32[8,8] parameter(3)
  ROOT f = f32[8,8] fusion(x, w, y, z), kind=kLoop, calls=fused
}}
"""


@pytest.mark.parametrize(
    ("predicate", "of_product", "of_function"),
    [
        ("compare(i, j), direction=GE", 36 / 64, 36 / 64),  # of a triangle of 8 all that is in it: 8 · 9 / 2
        ("compare(i, j), direction=LT", 28 / 64, 28 / 64),
        ("compare(y, z), direction=GE", 1, 0),  # data may choose the other side everywhere, but products are made whole
    ],
)
def test_a_product_in_one_fusion_with_its_select(predicate: str, of_product: float, of_function: float) -> None:
    report = hlo_count.count(fused_select(predicate))
    shares = report.roofline("h100-sxm").workload.works.needed.shares
    fused = report.module.computations["fused"]
    assert shares.get(fused["d"], 1.0) == pytest.approx(of_product)
    assert shares.get(fused["e"], 1.0) == pytest.approx(of_function)


def test_notes_name_each_product() -> None:
    def both(x: Any, w: Any) -> Any:
        return jnp.tril(x) @ w, jnp.tril(x) @ (2 * w)

    report = hlo_count.count(jax.jit(both).lower(X, W).as_text("hlo"))
    products = [i.name for i in report.module.entry.instructions if i.opcode == "dot"]
    assert any(
        f"{np.tri(N, K).mean():.3g} of {', '.join(products)}" in note for note in report.roofline("h100-sxm").notes
    )


def masked_text(between: str, name: str) -> str:
    """A product of a triangle, with `between` between the mask and what it multiplies."""
    return f"""HloModule m

ENTRY e {{
  x = f32[{N},{K}] parameter(0)
  w = f32[{K},{M}] parameter(1)
  row = s32[{N},{K}] iota(), iota_dimension=0
  column = s32[{N},{K}] iota(), iota_dimension=1
  lower = pred[{N},{K}] compare(row, column), direction=GE
  zero = f32[] constant(0)
  zeros = f32[{N},{K}] broadcast(zero), dimensions={{}}
  kept = f32[{N},{K}] select(lower, x, zeros)
  {between}
  ROOT d = f32[{N},{M}] dot({name}, w), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}
}}
"""


def share_of(text: str) -> float:
    roofline = hlo_count.count(text).roofline("h100-sxm")
    return sum(busy.seconds for busy in roofline.busy if busy.resource == "matrix") / roofline.matrix_seconds


@pytest.mark.parametrize("opcode", ["copy", "opt-barrier"])
def test_a_mask_stays_one_behind_what_gives_the_same_value(opcode: str) -> None:
    text = masked_text(f"same = f32[{N},{K}] {opcode}(kept)", "same")
    assert share_of(text) == pytest.approx(np.tri(N, K, dtype=bool).mean(), rel=1e-9)


def test_numbers_are_others_where_their_bits_are_read_as_another_type() -> None:
    """1.0 read as an integer is 0x3F800000, from which 1 leaves no zero: the whole product has to be done."""
    between = f"""one = f32[] constant(1)
  ones = f32[{N},{K}] broadcast(one), dimensions={{}}
  chosen = f32[{N},{K}] select(lower, ones, x)
  bits = s32[{N},{K}] bitcast-convert(chosen)
  of_one = s32[] constant(1)
  of_ones = s32[{N},{K}] broadcast(of_one), dimensions={{}}
  rest = s32[{N},{K}] subtract(bits, of_ones)
  numbers = f32[{N},{K}] convert(rest)"""
    assert share_of(masked_text(between, "numbers")) == 1
