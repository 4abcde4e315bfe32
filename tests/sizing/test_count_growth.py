"""`growth`: coefficients against closed forms of the total, and what is no polynomial said."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hlo_count as hc
from hlo_count.cli import main
from hlo_count.sizing.polynomials import Polynomial, degree, grid, monomials, through

jax = pytest.importorskip("jax")
jnp = jax.numpy


def struct(*shape: int) -> Any:
    return jax.ShapeDtypeStruct(shape, "float32")


def transformer(L: int, d: int, s: int, b: int) -> tuple[Any, ...]:  # noqa: N803  as the formula has it
    """The forward pass of L blocks without biases: 4 projections, 2 products of attention, an MLP of 4 d."""

    def block(x: Any, w: Any) -> Any:
        q, k, v = (x @ w[name] for name in ("q", "k", "v"))
        x = x + (jax.nn.softmax(q @ k.swapaxes(-1, -2)) @ v) @ w["o"]
        return x + jax.nn.gelu(x @ w["up"]) @ w["down"], None

    def forward(x: Any, weights: Any) -> Any:
        return jax.lax.scan(block, x, weights)[0]

    weights = {name: struct(L, d, d) for name in "qkvo"} | {"up": struct(L, d, 4 * d), "down": struct(L, 4 * d, d)}
    return forward, struct(b, s, d), weights


def test_a_transformers_forward_pass_coefficient_by_coefficient() -> None:
    """24 L d^2 s b of weights (2 for each of 4 d^2 + 8 d^2) and 4 L d s^2 b of attention's two products."""
    sizes = {"L": [2, 3, 4], "d": [8, 16, 24, 32], "s": [8, 16, 24, 32], "b": [2, 3, 4]}
    found = hc.growth(transformer, sizes)
    matmul = found.terms["matmul"]
    assert isinstance(matmul, Polynomial)
    assert matmul.terms == {(1, 2, 1, 1): 24, (1, 1, 2, 1): 4}
    assert str(matmul) == "24·L·d²·s·b + 4·L·d·s²·b"
    assert matmul(L=96, d=12288, s=2048, b=1) == 24 * 96 * 12288**2 * 2048 + 4 * 96 * 12288 * 2048**2  # GPT-3
    # The rest is elementwise: at most one factor of each size, and s twice in the softmax.
    assert not found.unfitted
    assert all(monomial[1] <= 1 for monomial in found.total.terms if monomial != (1, 2, 1, 1))
    fn, *arguments = transformer(L=5, d=40, s=48, b=5)
    assert found(L=5, d=40, s=48, b=5) == hc.count(fn, *arguments).flops  # nobody compiled it


def test_what_is_no_polynomial_is_said_with_what_was_tried() -> None:
    """A sort of n is n log2 n comparisons at powers of two; the comparison of all with 0 beside it is n."""

    def sorted_and_compared(n: int) -> tuple[Any, ...]:
        return (lambda x: (jnp.sort(x), x > 0)), jax.ShapeDtypeStruct((n,), "int32")

    sizes = [16, 32, 64, 128, 256]
    found = hc.growth(sorted_and_compared, {"n": sizes}, counter="other_ops")
    ((name, unfitted),) = found.unfitted.items()
    assert name == "sort"
    assert [point for point, _ in unfitted.tried] == [(n,) for n in sizes]
    assert found.total.terms == {(1,): 1}
    assert "sort: no polynomial: in n the 5 values are not those of a polynomial of degree 3 or less" in str(found)
    with pytest.raises(
        hc.HloCountError, match="other_ops of sort is no polynomial in these sizes: compile and count it"
    ):
        found(n=512)


def test_steps_are_no_polynomial() -> None:
    """Rows padded to a multiple of 8, by the program itself: 8 ceil(n / 8) m products of 2 m."""

    def padded(n: int, m: int) -> tuple[Any, ...]:
        rows = -(-n // 8) * 8
        return (lambda x, w: jnp.pad(x, ((0, rows - n), (0, 0))) @ w), struct(n, m), struct(m, m)

    found = hc.growth(padded, {"n": [6, 9, 17, 23, 33], "m": [8, 16, 24, 32]})
    assert list(found.unfitted) == ["matmul"]
    text = str(found)
    assert "matmul: no polynomial: in n the 5 values" in text
    assert f"{2 * 8 * 8 * 8:,}" in text  # what was counted at the first
    assert max(map(len, text.splitlines())) <= 100


def test_bytes_and_parameters() -> None:
    found = hc.growth(lambda n: (lambda x: x + 1, struct(n)), {"n": [64, 128, 192]}, counter="bytes")
    assert str(found.total) == "8·n"
    found = hc.growth(
        lambda n: (lambda x, w: x @ w, struct(2, n), struct(n, n)), {"n": [8, 16, 24, 32]}, counter="parameters"
    )
    assert found.total(n=100) == 100 * 102


def test_a_size_that_no_term_has_is_said() -> None:
    """One tile for all that were tried: nothing says that it stays one."""

    def tiles(n: int) -> tuple[Any, ...]:
        return lambda x: x[: -(-n // 128)] * 2, struct(n)

    found = hc.growth(tiles, {"n": [16, 32, 64]})
    assert found.total.terms == {(0,): 1}
    assert "no term has n: the same at 16, 32, 64" in str(found)
    with pytest.warns(UserWarning, match="n=1001 is no multiple of 16, as all that were compiled are"):
        assert found(n=1001) == 1


def test_what_goes_wrong_says_for_which_sizes() -> None:
    def few(n: int) -> tuple[Any, ...]:
        if n > 8:
            raise ValueError("no such size")
        return lambda x: x + 1, struct(n)

    with pytest.raises(ValueError, match="no such size") as raised:
        hc.growth(few, {"n": [4, 8, 12]})
    assert raised.value.__notes__ == ["for n=12"]


PROGRAMS = """
import jax, jax.numpy as jnp
def product(b, d):
    return (lambda x, w: x @ w), *(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((b, d), (d, d)))
def few(b, d):
    assert b < 4, "no such size"
    return product(b, d)
def sort(b, d):
    return jnp.sort, jax.ShapeDtypeStruct((b * d,), jnp.float32)
"""
SIZES = ("--sizes", "b=2,3,4", "--sizes", "d=8,16,24,32")


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "programs.py").write_text(PROGRAMS)

    def ask(name: str, *options: str) -> tuple[int, str, str]:
        code = main(["growth", f"{tmp_path / 'programs.py'}:{name}", *options])
        return code, *capsys.readouterr()

    code, out, err = ask("product", *SIZES, "--at", "b=8,d=2048")
    assert (code, err) == (0, "")
    assert out.startswith("flops = 2·b·d²\n")
    assert out.rstrip().endswith(f"b=8, d=2048: {2 * 8 * 2048**2:,} flops")
    code, out, _ = ask("product", *SIZES, "--at", "b=8", "--at", "d=2048", "--json")
    assert json.loads(out)["value"] == 2 * 8 * 2048**2
    code, out, err = ask("sort", *SIZES, "--counter", "other_ops", "--at", "b=8,d=64")
    assert code == 2
    assert "sort: no polynomial: in b the 3 values" in out  # the table of what was tried
    assert err == "hlo-count: --at: other_ops of sort is no polynomial in these sizes: compile and count it\n"
    for name, options, message in (
        ("product", (), "growth compiles for several sizes: --sizes b=2,3,4 --sizes s=64,128,192,256"),
        ("product", ("--sizes", "b=2,x,4"), "--sizes b: 'x' is no whole number"),
        ("product", (*SIZES, "--at", "b"), "--at 'b': write NAME=VALUE"),
        ("product", (*SIZES, "--arg", "f32[2]"), "growth takes a function that makes the program for given sizes, and"),
        ("few", SIZES, "AssertionError: no such size (for b=4, d=8)"),
    ):
        code, out, err = ask(name, *options)
        assert (code, out) == (2, "")
        assert err.startswith(f"hlo-count: {message}")


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ({}, {}, "the values of each name"),
        ({"n": [4, 8]}, {}, "n has three different whole numbers or more"),
        ({"n": [4, 8, 8]}, {}, "n has three different"),
        ({"n": "4"}, {}, "n has three different"),
        ({"n": [4, 8, 0]}, {}, "n has three different"),
        ({"n": [4, 8, 12]}, {"counter": "flop"}, "counter: one of flops, "),
    ],
)
def test_what_is_none_is_refused(sizes: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(hc.HloCountError, match=message):
        hc.growth(lambda n: (lambda x: x + 1, struct(n)), sizes, **options)


def test_other_names_are_refused() -> None:
    found = hc.growth(lambda n: (lambda x: x + 1, struct(n)), {"n": [4, 8, 12]})
    with pytest.raises(hc.HloCountError, match="the sizes are n, not m"):
        found(m=3)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_polynomial_is_found_from_its_values(data: Any) -> None:
    degrees = data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=3))
    candidates = monomials(degrees)
    drawn = data.draw(
        st.lists(st.fractions(-9, 9, max_denominator=4), min_size=len(candidates), max_size=len(candidates))
    )
    names = tuple("xyz"[: len(degrees)])
    whole = Polynomial(names, {m: c * 4 for m, c in zip(candidates, drawn, strict=True) if c})
    values = {point: whole.at(point) for point in grid([range(1, most + 2) for most in degrees])}
    assert through(names, candidates, values) == whole


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=4))
def test_a_degree_needs_one_point_more(coefficients: list[int]) -> None:
    def value(x: int) -> int:
        return sum(c * x**n for n, c in enumerate(coefficients))

    true = max((n for n, c in enumerate(coefficients) if c), default=0)
    assert degree([(x, value(x)) for x in range(true + 2)]) == true
    if true:
        assert degree([(x, value(x)) for x in range(true + 1)]) is None


def test_formulas_for_people() -> None:
    names = ("n", "m")
    assert str(Polynomial(names, {(2, 1): Fraction(1), (0, 0): Fraction(-3), (1, 0): Fraction(1, 2)})) == (
        "n²·m + (1/2)·n - 3"
    )
    assert str(Polynomial(names, {})) == "0"
    assert str(Polynomial(names, {(12, 0): Fraction(1234)})) == "1,234·n¹²"
