"""Counts of real functions compiled in the test, on CPU: expectations are arithmetic on the shapes."""

from __future__ import annotations

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hlo_count as hc
from hlo_count.visitors.cost import Cost

F32 = jnp.float32


def struct(*shape: int, dtype: object = F32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def foo(a, b):
    return jax.lax.fori_loop(0, 100, lambda i, c: jnp.maximum(a[i] * b[i], c), 0.0)


def bar(a):
    return jax.lax.fori_loop(0, 100, lambda i, c: c + a, 0.0)


def test_a_loop_is_multiplied_by_its_trips():
    report = hc.count(foo, struct(100), struct(100))
    classes = report.by("class")
    assert report.flops == 100 * 2
    assert classes["multiply"].flops == classes["minmax"].flops == 100
    assert report.int_ops >= 100  # the counter of the loop, and indices where XLA clamps them
    assert report.status == "exact"
    assert report.unknowns == []


def test_additions_in_a_loop_and_unrolled():
    assert hc.count(bar, struct()).flops == 100

    def unrolled(a):
        c = 0.0
        for _ in range(100):
            c = c + a
        return c

    # XLA drops 0 + a, and turns no float additions into a multiplication.
    text = jax.jit(unrolled).lower(struct()).compile().as_text()
    additions = len(re.findall(r"= f32\[\]\S* add\(", text))
    assert hc.count(unrolled, struct()).flops == additions
    assert additions in (99, 100)


def scan_of_matmuls(x, ws):
    return jax.lax.scan(lambda x, w: (x @ w, None), x, ws)[0]


def test_a_scan_of_ten_matmuls_is_ten_matmuls():
    report = hc.count(scan_of_matmuls, struct(128, 128), struct(10, 128, 128))
    assert report.by("class")["matmul"].flops == 10 * 2 * 128**3 == 41_943_040
    assert report.status == "exact"


def test_nested_scans_multiply():
    def inner(x, w):
        return jax.lax.scan(lambda y, _: (y @ w, None), x, None, length=3)[0], None

    def outer(x, ws):
        return jax.lax.scan(inner, x, ws)[0]

    report = hc.count(outer, struct(16, 16), struct(5, 16, 16))
    assert report.by("class")["matmul"].flops == 5 * 3 * 2 * 16**3


def while_below(n, x):
    return jax.lax.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, s[1] @ s[1]), (0, x))[1]


def test_a_bound_that_is_an_argument_is_a_lower_bound_until_it_is_given():
    arguments = (struct(dtype=jnp.int32), struct(32, 32))
    report = hc.count(while_below, *arguments)
    assert report.status == "lower bound"
    (unknown,) = report.unknowns
    assert Path(unknown.source.rpartition(":")[0]).name == "test_count.py"
    assert report.by("class")["matmul"].flops == 2 * 32**3
    settled = hc.count(while_below, *arguments, trip_counts={unknown.instruction: 7})
    assert settled.status == "exact"
    assert settled.by("class")["matmul"].flops == 7 * 2 * 32**3
    by_pattern = hc.count(while_below, *arguments, trip_counts={"*while*": 7})
    assert by_pattern.flops == settled.flops
    with pytest.raises(hc.UnknownCostError, match="trip_counts"):
        hc.count(while_below, *arguments, strict=True)
    with pytest.raises(hc.HloCountError, match="matches no while"):
        hc.count(while_below, *arguments, trip_counts={"nothing_like_it": 7})


def test_a_conditional_counts_its_dearest_branch_unless_it_is_settled():
    def choose(flag, x):
        return jax.lax.cond(flag, lambda x: x @ x @ x, lambda x: x @ x, x)

    arguments = (struct(dtype=jnp.bool_), struct(64, 64))
    product = 2 * 64**3
    report = hc.count(choose, *arguments)
    assert report.status == "estimate"
    name = report.unknowns[0].instruction
    assert report.by("class")["matmul"].flops == 2 * product
    for index, products in ((1, 2), (0, 1)):  # the predicate's value: 1 is true
        settled = hc.count(choose, *arguments, branches={name: index})
        assert settled.status == "exact"
        assert settled.by("class")["matmul"].flops == products * product
    mixed = hc.count(choose, *arguments, branches={name: [0.75, 0.25]})
    assert mixed.by("class")["matmul"].flops == product * 3 // 4 + 2 * product // 4
    for key in ("opcode", "source", "instruction"):
        assert Cost.sum(mixed.by(key).values()).amounts == mixed.total.amounts
    with pytest.raises(hc.HloCountError, match="add up to 1"):
        hc.count(choose, *arguments, branches={name: [0.5, 0.1]})


def test_sources_and_scopes_are_the_users():
    def step(x, w):
        with jax.named_scope("attention"):
            y = x @ w
        with jax.named_scope("mlp"):
            return jnp.tanh(y) @ w

    report = hc.count(step, struct(8, 32), struct(32, 32))
    assert {Path(s.rpartition(":")[0]).name for s, c in report.by("source").items() if c.flops} == {"test_count.py"}
    scopes = report.by("scope", depth=2)
    assert scopes["step/attention"].flops == scopes["step/mlp"].flops == 2 * 8 * 32 * 32


@pytest.mark.parametrize("key", ["opcode", "class", "dtype", "unit", "scope", "source", "computation", "instruction"])
def test_every_breakdown_adds_up_to_the_total(key):
    report = hc.count(jax.grad(lambda x, w: (jnp.tanh(x @ w) ** 2).sum()), struct(16, 16), struct(16, 16))
    groups = report.by(key)
    assert Cost.sum(groups.values()).amounts == report.total.amounts
    ranks = [(c.flops, c.bytes) for c in groups.values()]
    assert ranks == sorted(ranks, reverse=True)


def test_what_can_be_counted():
    def f(x, *, scale):
        return x @ x * scale

    x = np.ones((8, 8), np.float32)
    expected = hc.count(f, x, scale=2.0).flops
    jitted = jax.jit(f)
    lowered = jitted.lower(x, scale=2.0)
    compiled = lowered.compile()
    for given in (lowered, compiled, compiled.as_text(), hc.parse(compiled.as_text())):
        assert hc.count(given).flops == expected
    assert hc.count(jitted, x, scale=2.0).flops == expected
    if hasattr(jitted, "trace"):
        assert hc.count(jitted.trace(x, scale=2.0)).flops == expected


def test_a_file_also_compressed(tmp_path):
    import gzip

    text = jax.jit(lambda x: x @ x).lower(struct(8, 8)).compile().as_text()
    plain, packed = tmp_path / "dump.txt", tmp_path / "dump.txt.gz"
    plain.write_text(text)
    packed.write_bytes(gzip.compress(text.encode()))
    assert hc.count(plain).flops == hc.count(packed).flops == 2 * 8**3


def test_jax_own_errors_come_through():
    with pytest.raises(TypeError, match="shapes|dot"):
        hc.count(lambda x, y: x @ y, struct(3, 4), struct(3, 4))


def test_parameters_of_a_pytree():
    assert hc.count_parameters({"w": np.ones((3, 4)), "b": [struct(4), 1.0]}) == 3 * 4 + 4 + 1


def test_gathered_rows_and_in_place_updates_touch_only_their_parts():
    report = hc.count(lambda t, i: t[i], struct(100_000, 64), struct(32, dtype=jnp.int32))
    rows, indices = 32 * 64 * 4, 32 * 4
    assert report.bytes_written >= rows
    assert report.bytes < 4 * (
        rows + indices
    )  # not the table's 25.6 MB; XLA may normalize indices in a kernel of their own
    assert report.compulsory_bytes == 2 * rows + indices

    def update(cache, x, i):
        return jax.lax.dynamic_update_slice(cache, x, (i, 0))

    donated = jax.jit(update, donate_argnums=0)
    report = hc.count(donated, struct(10_000, 64), struct(1, 64), struct(dtype=jnp.int32))
    row = 64 * 4
    assert report.bytes <= 2 * row + 64  # the update read and written, and a few scalars
    assert report.compulsory_bytes <= 2 * row + 64
