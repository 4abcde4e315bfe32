"""Growth with size, of programs whose growth is known."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

import hlo_count as hc
from hlo_count.budgets.complexity import assert_complexity, parse_order, slope

SIZES = [64, 128, 256]


def attention(q, k, v):
    return jax.nn.softmax(q @ k.T) @ v


def attention_of(n):
    q = jax.ShapeDtypeStruct((n, 64), "float32")
    return attention, q, q, q


def matmul_of(n):
    x = jax.ShapeDtypeStruct((n, n), "float32")
    return jnp.matmul, x, x


def test_attention_is_quadratic_and_its_arguments_linear():
    found = assert_complexity(attention_of, SIZES, flops="O(n^2)", argument_bytes="O(n)")
    assert found["flops"] == pytest.approx(2, abs=0.02)
    assert found["argument_bytes"] == pytest.approx(1)


def test_growth_that_is_worse_fails_with_the_exponent_and_the_table():
    with pytest.raises(hc.BudgetExceeded) as caught:
        assert_complexity(matmul_of, SIZES, flops="O(n^2)", bytes="O(n**2)")
    lines = str(caught.value).splitlines()
    assert lines[0] == "flops grows as n^3.00, which is worse than O(n^2)"
    assert lines[2:6] == [
        "    n        flops  growth  exponent",
        "   64  524.3 kFLOP",
        "  128  4.194 MFLOP  x 8.00      3.00",
        "  256  33.55 MFLOP  x 8.00      3.00",
    ]
    assert len(lines) == 8  # bytes grow as they may


def test_growing_slower_passes():
    assert_complexity(matmul_of, SIZES, flops="O(n^3 log n)", bytes="O(n^3)")


@pytest.mark.parametrize(
    ("text", "n", "value"),
    [("O(1)", 10, 1), ("O(n)", 10, 10), ("O(n^2)", 10, 100), ("O( n ** 1.5 )", 4, 8), ("O(n^0.5)", 16, 4)],
)
def test_orders(text, n, value):
    assert parse_order(text)(n) == pytest.approx(value)


@pytest.mark.parametrize(("text", "power"), [("O(n log n)", 1), ("O(n^2*log(n))", 2), ("O(log n)", 0)])
def test_orders_with_a_logarithm(text, power):
    order = parse_order(text)
    assert (order.power, order.logs) == (power, 1)


@pytest.mark.parametrize("text", ["n^2", "O()", "O(m)", "O(2^n)", "quadratic", 2, "O(n^-1)"])
def test_what_is_no_order(text):
    with pytest.raises(hc.HloCountError, match="no order of growth"):
        parse_order(text)


@pytest.mark.parametrize(
    "sizes", [[64, 128], [1, 2, 4], [64, 64, 128], [2.0, 4.0, 8.0], [8, "a", 9], [[8], 9, 10], 8, None]
)
def test_sizes_that_say_nothing(sizes):
    with pytest.raises(hc.HloCountError, match="three or more"):
        assert_complexity(matmul_of, sizes, flops="O(n)")


@pytest.mark.parametrize(
    ("counters", "message"),
    [
        ({"flop": "O(n)", "flops": "O(n^3)"}, "flop=: no such counter, did you mean 'flops'"),
        ({"flop": "O(n)"}, "flop=: no such counter, did you mean 'flops'"),
        ({"flop": 3, "flops": "O(n^3)"}, "flop=: no such counter, did you mean 'flops'"),
        ({"intensity": "O(n)", "flops": "O(n^3)"}, "intensity=: no such counter"),
        ({"min_flops": "O(n)"}, "min_flops=: no such counter"),
    ],
)
def test_a_misspelt_counter_is_named(counters, message):
    with pytest.raises(hc.HloCountError, match=message):
        assert_complexity(matmul_of, SIZES, **counters)


def test_keywords_of_the_function_are_no_counters():
    def scaled_of(n):
        return lambda x, *, flop: x * flop, jax.ShapeDtypeStruct((n, n), "float32")

    assert assert_complexity(scaled_of, SIZES, flops="O(n^2)", flop=jnp.float32(3))["flops"] == pytest.approx(2)


def test_a_counter_is_needed():
    with pytest.raises(hc.HloCountError, match="no counter was given"):
        assert_complexity(matmul_of, SIZES)


def test_what_fn_returns_is_a_function_with_its_arguments():
    with pytest.raises(hc.HloCountError, match=r"fn\(64\) must return \(function, \*arguments\)"):
        assert_complexity(lambda n: jnp.zeros((n, n)) @ jnp.zeros((n, n)), SIZES, flops="O(n^3)")


def test_a_loop_of_unknown_length_has_no_growth():
    def loop_of(n):
        def f(x, k):
            return jax.lax.fori_loop(0, k, lambda _, y: jnp.sin(y @ y), x)

        return f, jax.ShapeDtypeStruct((n, n), "float32"), jax.ShapeDtypeStruct((), "int32")

    with pytest.raises(hc.HloCountError, match="at n=64 the count is a lower bound"):
        assert_complexity(loop_of, SIZES, flops="O(n^3)")
    assert_complexity(loop_of, SIZES, flops="O(n^3)", allow_lower_bound=True)


def test_the_slope_of_a_power():
    assert slope([2, 8, 32], [3 * n**1.5 for n in (2, 8, 32)]) == pytest.approx(1.5)
