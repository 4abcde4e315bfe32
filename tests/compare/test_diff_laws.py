"""Laws of a comparison, on random programs and on compiled ones."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import pytest
from diff_laws import check, content
from fixture_files import FIXTURES
from hypothesis import HealthCheck, given, settings
from jax import lax
from random_hlo import modules

import hlo_count as hc
from hlo_count.lowering import tpu

FILES = sorted((FIXTURES / "cpu").glob("*.hlo.gz"))[::9]
TEXTS = modules()


def renamed(text):
    """Every instruction and computation of `to_text()` under another name."""
    module = hc.parse(text)
    names = [*module.computations, *(i.name for i in module.instructions())]
    table = {name: f"renamed.{len(names) - at}" for at, name in enumerate(names)}
    return re.sub(r"(?<=[%= {,])[\w\-]+\.\d+(?![\w.\-])", lambda match: table.get(match[0], match[0]), text)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(TEXTS, TEXTS)
def test_random_programs(one, other):
    check(hc.count(one), hc.count(other))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(TEXTS, TEXTS)
def test_names_do_not_matter(one, other):
    first, second = (hc.parse(text).to_text() for text in (one, other))
    plain = hc.diff(hc.count(first), hc.count(second))
    assert content(hc.diff(hc.count(first), hc.count(renamed(second)))) == content(plain)
    assert not hc.diff(hc.count(first), hc.count(renamed(first)))


@pytest.mark.parametrize("at", range(len(FILES)), ids=lambda at: FILES[at].name)
def test_compiled_programs(at):
    one, other = hc.count(FILES[at]), hc.count(FILES[at - 1])
    diff = check(one, other)
    assert all(len(line) <= 100 for line in str(diff).splitlines())


@pytest.mark.parametrize(("target", "dtype"), [("cpu", "float32"), ("cpu", "bfloat16"), ("tpu:v5e", "bfloat16")])
def test_reasons_agree_with_their_changes(target, dtype):
    """A scan of transformer blocks with and without rematerialization: fusions are cut in other ways."""
    if target != "cpu" and not tpu.installed():
        pytest.skip(f"libtpu is not installed: {tpu.REMEDY}")
    layers, batch, length, width, heads = 4, 2, 128, 256, 4

    def block(x, w):
        q, k, v = (jnp.einsum("bsd,dhk->bshk", x, w[name]) for name in "qkv")
        scores = jnp.einsum("bshk,bthk->bhst", q, k).astype(jnp.float32)
        weights = jax.nn.softmax(scores).astype(x.dtype)
        x = x + jnp.einsum("bhst,bthk,hkd->bsd", weights, v, w["o"])
        return x + jax.nn.gelu(x @ w["up"]) @ w["down"], None

    def gradient(transform):
        return jax.grad(lambda w, x: (lax.scan(transform(block), x, w)[0].astype(jnp.float32) ** 2).sum())

    def array(*shape):
        return jax.ShapeDtypeStruct((layers, *shape), dtype)

    split = width, heads, width // heads
    weights = {name: array(*split) for name in "qkv"} | {"o": array(*split[1:], width)}
    weights |= {"up": array(width, 4 * width), "down": array(4 * width, width)}
    x = jax.ShapeDtypeStruct((batch, length, width), dtype)
    one, other = (hc.count(gradient(t), weights, x, target=target) for t in (lambda f: f, jax.checkpoint))
    diff = check(one, other)
    forward = layers * batch * length * 2 * (4 * width**2 + 2 * length * width + 8 * width**2)
    recomputed = sum(row.change.flops for row in diff.rows if row.reason == "recomputed" and row.op_class == "matmul")
    # Of products alone: oneDNN may compute an activation with one of them, in one of the programs.
    before, after = (report.by("class")["matmul"].flops for report in (one, other))
    assert recomputed == after - before
    assert 0 < recomputed <= forward  # all but the matmul whose result no gradient needs
