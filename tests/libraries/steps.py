"""One training step of the same small network in each library, as its users write and hold it.

x[ROWS,INPUTS] @ W1 + b1, relu, @ W2 + b2, mean squared error, and stochastic gradient descent on all four.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import pytest

ROWS, INPUTS, HIDDEN, OUTPUTS = 8, 16, 32, 4
RATE = 0.1
FORWARD = 2 * ROWS * (INPUTS * HIDDEN + HIDDEN * OUTPUTS)
# A gradient of each weight costs what its product did; the gradient of an input too, which the first layer needs none of.
MATMUL = 2 * FORWARD + 2 * ROWS * HIDDEN * OUTPUTS


@dataclass(frozen=True)
class Step:
    """A jitted training step and the arguments to call it with."""

    jitted: Any
    args: tuple[Any, ...]
    plain: bool = True
    """Whether it does what plain JAX does and nothing beside it, such as metrics."""


def shapes(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arrays as ShapeDtypeStructs, in whatever they are held."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if isinstance(leaf, jax.Array) else leaf, args
    )


def loss(predicted: Any, y: Any) -> Any:
    return ((predicted - y) ** 2).mean()


def batch() -> tuple[Any, Any]:
    return jnp.ones((ROWS, INPUTS)), jnp.ones((ROWS, OUTPUTS))


def plain_jax() -> Step:
    params = {
        "w1": jnp.ones((INPUTS, HIDDEN)), "b1": jnp.ones(HIDDEN), "w2": jnp.ones((HIDDEN, OUTPUTS)),
        "b2": jnp.ones(OUTPUTS),
    }  # fmt: skip

    def step(params, x, y):
        def of(params):
            return loss(jax.nn.relu(x @ params["w1"] + params["b1"]) @ params["w2"] + params["b2"], y)

        value, gradients = jax.value_and_grad(of)(params)
        return jax.tree.map(lambda p, g: p - RATE * g, params, gradients), value

    return Step(jax.jit(step), (params, *batch()))


def _with_optax(apply: Callable[..., Any], params: Any) -> Step:
    optax = pytest.importorskip("optax")
    optimizer = optax.sgd(RATE)

    def step(params, state, x, y):
        value, gradients = jax.value_and_grad(lambda params: loss(apply(params, x), y))(params)
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(params, updates), state, value

    return Step(jax.jit(step, donate_argnums=(0, 1)), (params, optimizer.init(params), *batch()))


def optax() -> Step:
    params = plain_jax().args[0]
    return _with_optax(lambda p, x: jax.nn.relu(x @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"], params)


def linen() -> Step:
    nn = pytest.importorskip("flax.linen")
    model = nn.Sequential([nn.Dense(HIDDEN), nn.relu, nn.Dense(OUTPUTS)])
    return _with_optax(model.apply, model.init(jax.random.PRNGKey(0), batch()[0]))


def haiku() -> Step:
    hk = pytest.importorskip("haiku")
    model = hk.without_apply_rng(hk.transform(lambda x: hk.nets.MLP([HIDDEN, OUTPUTS])(x)))
    return _with_optax(model.apply, model.init(jax.random.PRNGKey(0), batch()[0]))


def equinox() -> Step:
    eqx, optax = pytest.importorskip("equinox"), pytest.importorskip("optax")
    model = eqx.nn.MLP(INPUTS, OUTPUTS, HIDDEN, 1, key=jax.random.PRNGKey(0))
    optimizer = optax.sgd(RATE)

    @eqx.filter_jit
    def step(model, state, x, y):
        value, gradients = eqx.filter_value_and_grad(lambda model: loss(jax.vmap(model)(x), y))(model)
        updates, state = optimizer.update(gradients, state)
        return eqx.apply_updates(model, updates), state, value

    return Step(step, (model, optimizer.init(eqx.filter(model, eqx.is_array)), *batch()))


def nnx_model() -> tuple[Any, Any]:
    nnx, optax = pytest.importorskip("flax.nnx"), pytest.importorskip("optax")

    class Network(nnx.Module):
        def __init__(self, rngs):
            self.first = nnx.Linear(INPUTS, HIDDEN, rngs=rngs)
            self.last = nnx.Linear(HIDDEN, OUTPUTS, rngs=rngs)

        def __call__(self, x):
            return self.last(jax.nn.relu(self.first(x)))

    model = Network(nnx.Rngs(0))
    of_params = {} if version("flax") < (0, 11) else {"wrt": nnx.Param}
    return model, nnx.Optimizer(model, optax.sgd(RATE), **of_params)


def nnx_step(model, optimizer, x, y):
    from flax import nnx

    value, gradients = nnx.value_and_grad(lambda model: loss(model(x), y))(model)
    optimizer.update(model, gradients)
    return value


def nnx() -> Step:
    """Before flax 0.11 modules are no pytrees, and what nnx.jit gives cannot be lowered."""
    library = pytest.importorskip("flax.nnx")
    return Step(library.jit(nnx_step), (*nnx_model(), *batch()))


def nnx_split() -> Step:
    """As nnx is used without its own transforms, which every version can be counted by."""
    nnx = pytest.importorskip("flax.nnx")
    graph, params = nnx.split(nnx_model()[0])
    return _with_optax(lambda params, x: nnx.merge(graph, params)(x), params)


def _keras_model() -> Any:
    os.environ["KERAS_BACKEND"] = "jax"  # read when it is imported, which nothing else here does
    keras = pytest.importorskip("keras")
    model = keras.Sequential(
        [keras.Input((INPUTS,)), keras.layers.Dense(HIDDEN, activation="relu"), keras.layers.Dense(OUTPUTS)]
    )
    model.compile(optimizer=keras.optimizers.SGD(RATE), loss="mse", jit_compile=True)
    model.optimizer.build(model.trainable_variables)
    return model


def keras() -> Step:
    """A loop of one's own, as Keras's guide for JAX has it."""
    model = _keras_model()

    def of(trainable, others, x, y):
        predicted, others = model.stateless_call(trainable, others, x, training=True)
        return loss(predicted, y), others

    def step(trainable, others, state, x, y):
        (value, others), gradients = jax.value_and_grad(of, has_aux=True)(trainable, others, x, y)
        trainable, state = model.optimizer.stateless_apply(state, gradients, trainable)
        return trainable, others, state, value

    values = ([v.value for v in group] for group in (model.trainable_variables, model.non_trainable_variables))
    return Step(jax.jit(step), (*values, [v.value for v in model.optimizer.variables], *batch()), plain=False)


def keras_train_step() -> Step:
    """What `model.fit` jits, which keeps metrics too."""
    model = _keras_model()
    if hasattr(model, "_record_training_state_sharding_spec"):  # as fit does it where it is needed
        model._record_training_state_sharding_spec()
    groups = (model.trainable_variables, model.non_trainable_variables, model.optimizer.variables)
    state = tuple([v.value for v in group] for group in (*groups, model.metrics_variables))
    return Step(jax.jit(model.train_step), (state, batch()), plain=False)


LIBRARIES: dict[str, Callable[[], Step]] = {
    "plain JAX": plain_jax,
    "optax": optax,
    "flax.linen": linen,
    "flax.nnx": nnx,
    "flax.nnx, split": nnx_split,
    "Equinox": equinox,
    "Haiku": haiku,
    "Keras": keras,
    "Keras, train_step": keras_train_step,
}


def version(package: str) -> tuple[int, ...]:
    return tuple(int(part) for part in importlib.metadata.version(package).split(".")[:2])
