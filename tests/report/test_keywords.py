"""A keyword of the function that is named like one of ours."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

import hlo_count as hc
from hlo_count.cli import main
from hlo_count.errors import HloCountError

N = 16
X = jax.ShapeDtypeStruct((N,), jnp.float32)
FLOP = 3 * N - 1  # a difference and a square for each, and their sum


def loss(x, *, target):
    return jnp.sum((x - target) ** 2)


def loss_with_default(x, target=0.0, strict=None):
    return jnp.sum((x - target) ** 2)


@pytest.mark.parametrize("fn", [loss, jax.jit(loss), loss_with_default], ids=["needed", "jitted", "default"])
def test_it_reaches_the_function_in_kwargs(fn):
    assert hc.count(fn, X, kwargs={"target": X}).flops == FLOP
    assert hc.count(fn, X, target="cpu", kwargs={"target": X}).flops == FLOP
    assert hc.diff(fn, X, kwargs={"target": X}).after.flops == FLOP
    assert not hc.diff(fn, loss, X, kwargs={"target": X})
    assert hc.passes(fn, X, kwargs={"target": X}).after.flops == FLOP


@pytest.mark.parametrize("use", [hc.count, hc.diff, hc.passes])
@pytest.mark.parametrize(
    ("fn", "keywords"),
    [
        (loss, {"target": X}),
        (loss, {"target": "cpu"}),
        (loss_with_default, {"target": X}),
        (loss_with_default, {"target": [X]}),
    ],
    ids=["array", "name while the function needs one", "array for a default", "list of arrays"],
)
def test_a_keyword_that_cannot_be_ours_says_where_it_belongs(use, fn, keywords):
    with pytest.raises(HloCountError, match=rf"target= is a keyword of {use.__name__} itself.*kwargs=\{{'target'"):
        use(fn, X, **keywords)


def test_what_can_be_ours_is_ours_and_what_could_be_the_function_s_too_is_said(recwarn):
    assert hc.count(loss_with_default, X, X, target="cpu", trip_counts={}).flops == FLOP  # it has its target
    assert hc.count(loss_with_default, X, X, strict=True, kwargs={}).flops == FLOP
    assert not recwarn
    with pytest.warns(UserWarning, match=r"strict= is taken as count's own.*kwargs=\{'strict': …\}"):
        assert hc.count(loss_with_default, X, X, strict=True).flops == FLOP


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"kwargs": X}, r"kwargs= holds keywords of the function by name, such as kwargs=\{\"target\": labels\}"),
        ({"power": 1, "kwargs": {"power": 2}}, "power= is given twice"),
    ],
    ids=["no mapping", "twice"],
)
def test_kwargs_that_do_not_fit(keywords, said):
    with pytest.raises(HloCountError, match=said):
        hc.count(loss, X, **keywords)


def test_a_text_takes_none():
    with pytest.raises(HloCountError, match="arguments: a compiled program takes none"):
        hc.count(hc.count(jnp.sin, X).module, kwargs={"target": X})


def test_budgets_and_snapshots_pass_them_on(flop_budget):
    def step(x, *, flops, target):
        return jnp.sum((x - target) ** 2) + flops

    assert flop_budget(step, X, flops=FLOP + 1, kwargs={"flops": 1.0, "target": X}).flops == FLOP + 1
    exponents = hc.assert_complexity(
        lambda n: (loss_with_default, jax.ShapeDtypeStruct((n,), jnp.float32)),
        (64, 256, 1024), flops="O(n)", kwargs={"target": 1.0},
    )  # fmt: skip
    assert exponents["flops"] == pytest.approx(1, abs=0.02)  # 3n - 1


@pytest.mark.parametrize("command", ["count", "diff", "passes"])
def test_the_command_line_s_kwargs_are_the_function_s(command, tmp_path, capsys):
    file = tmp_path / f"losses_of_{command}.py"
    file.write_text("def loss(x, *, target, strict):\n    return ((x - target) ** 2).sum() + strict\n")
    program = [command, f"{file}:loss", "--arg", f"f32[{N}]", "--kwarg", f"target=f32[{N}]", "--kwarg", "strict=f32"]
    assert main([*program, "--json"]) == 0
    assert f'"flops": {FLOP + 1}' in capsys.readouterr().out
