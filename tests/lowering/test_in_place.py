"""What a function changes and does not return: a result, or a refusal, never left out in silence."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from targets.environment import compiled_for

import hlo_count as hc
from hlo_count.errors import HloCountError

N = 8
X = jax.ShapeDtypeStruct((N, N), jnp.float32)
TARGETS = [None, *compiled_for("tpu:v5e", "h100-sxm")]


class Trainer:
    def __init__(self):
        self.w, self.by_name, self.seen, self.steps = jnp.ones((N, N)), {"w": jnp.ones((N, N))}, [], 0

    def gradient(self, x):
        self.steps += 1
        return jax.grad(lambda w: ((x @ w) ** 2).sum())(self.w)

    def to_attribute(self, x):
        self.w = self.w - self.gradient(x)

    def to_dict(self, x):
        self.by_name["w"] -= self.gradient(x)

    def to_list(self, x):
        self.seen.append(self.gradient(x))

    __call__ = to_attribute


shared = Trainer()


def to_global(x):
    shared.to_attribute(x)


def with_own(change):
    trainer = Trainer()
    return trainer, change(trainer)


CHANGES = {
    "attribute": lambda trainer: trainer.to_attribute,
    "dict": lambda trainer: trainer.to_dict,
    "list": lambda trainer: trainer.to_list,
    "callable object": lambda trainer: trainer,
    "closure": lambda trainer: lambda x: trainer.to_attribute(x),
    "partial": lambda trainer: functools.partial(lambda trainer, x: trainer.to_attribute(x), trainer),
}


@pytest.mark.parametrize("change", [*CHANGES, "global"])
def test_what_it_computes_into_an_object_that_it_holds_is_no_result_and_refused(change):
    trainer, fn = (shared, to_global) if change == "global" else with_own(CHANGES[change])
    before = dict(vars(trainer))
    with pytest.raises(HloCountError, match=r"puts what it computes into a Trainer that is none of its arguments"):
        hc.count(fn, X)
    assert vars(trainer) == before  # no tracer stays in it
    assert isinstance(trainer.by_name["w"], jax.Array)
    assert trainer.seen == []


def test_what_it_holds_and_does_not_compute_may_change():
    trainer = Trainer()
    assert hc.count(trainer.gradient, X).by("class")["matmul"].flops == 2 * 2 * N**3
    assert trainer.steps > 0


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("fn", "matmul"),
    [
        (jax.jit(lambda x: jnp.sin(jnp.arange(N * N).reshape(N, N) + 0.5) @ jnp.cos(jnp.ones((N, N)))), 2 * N**3),
        (jax.grad(jax.jit(lambda x: (x @ jnp.cos(jnp.ones((N, N)))).sum())), 2 * N**3),
        (lambda x: jnp.ones(3), 0),
    ],
    ids=["constants alone", "gradient of a linear function", "no operation"],
)
def test_a_program_that_uses_none_of_its_arguments_is_counted_for_every_target(fn, matmul, target):
    report = hc.count(fn, X, target=target)
    product = report.by("class").get("matmul")
    assert (product.flops if product else 0) == matmul
    assert (report.status, report.parameters, report.num_devices) == ("exact", 0, 1)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("scalar", [3, 2.5, True, np.float32(2)], ids=["int", "float", "bool", "NumPy"])
def test_a_scalar_given_to_a_jit_that_takes_it_for_an_argument(scalar, target):
    nnx = pytest.importorskip("flax.nnx")
    if not hasattr(nnx.jit(lambda x: x), "lower"):
        pytest.skip("what nnx.jit of this flax gives cannot be lowered")
    report = hc.count(nnx.jit(lambda x, n: (x @ x) * n), jnp.ones((N, N)), scalar, target=target)
    assert (report.flops, report.parameters) == (2 * N**3 + N * N, N * N + 1)


def test_an_nnx_object_that_is_closed_over_says_to_pass_it():
    nnx = pytest.importorskip("flax.nnx")
    norm = nnx.BatchNorm(N, rngs=nnx.Rngs(0))
    for fn in (norm, lambda x: norm(x), nnx.jit(lambda x: norm(x))):
        with pytest.raises(HloCountError, match=r"closes over \(.*trace level.*\): have it take that as an argument"):
            hc.count(fn, X if fn is norm else jnp.ones((N, N)))
