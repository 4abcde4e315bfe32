"""No part of a program is lost between what is called and what is counted, however the two are wrapped."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from targets.environment import WITH_TPU, compiled_for

import hlo_count as hc
from hlo_count.errors import HloCountError, TargetError

N = 8
X = jax.ShapeDtypeStruct((N, N), jnp.float32)
PRODUCT = 2 * N**3
square = jax.jit(lambda x: x @ x)


@functools.wraps(square)
def twice(x):
    """With the attributes of what it calls, `lower` among them where JAX keeps it there."""
    return square(square(x))


def several(x):
    return square(x) + square(jnp.sin(x)) @ x


class Layer:
    def __init__(self, weight):
        self.weight = weight

    @functools.partial(jax.jit, static_argnums=0)
    def static(self, x):
        return x @ x @ x


@jax.tree_util.register_pytree_node_class
class Tree(Layer):
    @jax.jit
    def apply(self, x):
        return self.weight @ x

    def tree_flatten(self):
        return (self.weight,), None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(*children)


@jax.custom_vjp
def custom(x):
    return x @ x


custom.defvjp(lambda x: (x @ x, x), lambda x, g: (g @ x.T + x.T @ g,))

CASES = {
    "wrapper of a jitted function": (twice, (X,), 2),
    "several jitted functions": (several, (X,), 3),
    "inline": (jax.jit(lambda x: square(x) @ x, inline=True), (X,), 2),
    "inline around one other": (jax.jit(lambda x: square(x), inline=True), (X,), 1),
    "bound method, static self": (Layer(3).static, (X,), 2),
    "bound method, self a pytree": (Tree(jnp.ones((N, N))).apply, (X,), 1),
    "partial of a jitted function": (functools.partial(jax.jit(jnp.dot), jnp.ones((N, N))), (X,), 1),
    "partial of a bound method": (functools.partial(Tree(jnp.ones((N, N))).apply, X), (), 1),
    "vmap of a jitted function": (jax.vmap(square), (jax.ShapeDtypeStruct((3, N, N), jnp.float32),), 3),
    "donated": (jax.jit(lambda x: x @ x, donate_argnums=0), (X,), 1),
    "static argument": (jax.jit(lambda n, x: x @ x if n else x, static_argnums=0), (1, X), 1),
    "custom_vjp": (jax.value_and_grad(lambda x: custom(x).sum()), (X,), 3),
    "checkpoint": (jax.jit(jax.grad(jax.checkpoint(lambda x: jnp.sin(x @ x).sum()))), (X,), 3),
}


@pytest.mark.parametrize("target", [None, *compiled_for("tpu:v5e")])
@pytest.mark.parametrize("case", CASES)
def test_the_whole_call_is_counted(case, target):
    fn, args, products = CASES[case]
    assert hc.count(fn, *args, target=target).by("class")["matmul"].flops == products * PRODUCT


def test_what_a_partial_of_a_jitted_function_holds_is_an_argument():
    """As it is when the partial is called; a partial of a function is jitted with what it holds as constants."""
    report = hc.count(functools.partial(jax.jit(jnp.dot), jnp.ones((N, N))), X)
    assert report.parameters == 2 * N * N


@pytest.mark.parametrize("target", compiled_for("tpu:v5e", "h100-sxm"))
def test_pmap_with_a_target_is_refused(target):
    mapped = jax.pmap(lambda x: x @ x)
    with pytest.raises(TargetError, match=r"jax.pmap maps over this machine's own devices.*jax.jit with mesh="):
        hc.count(mapped, jax.ShapeDtypeStruct((1, N, N), jnp.float32), target=target)


class Counter:
    """A mutable object that is a pytree, as nnx.Module is."""

    def __init__(self, total, calls=0):
        self.total, self.calls = total, calls


jax.tree_util.register_pytree_with_keys(
    Counter,
    lambda c: (((jax.tree_util.GetAttrKey("total"), c.total), (jax.tree_util.GetAttrKey("calls"), c.calls)), None),
    lambda _, children: Counter(*children),
)


def test_an_argument_changed_in_place_is_a_result():
    def accumulate(counter, x):
        counter.total = counter.total + x @ x
        return x.sum()

    report = hc.count(accumulate, Counter(X), X)
    assert report.by("class")["matmul"].flops == PRODUCT
    assert report.output_bytes == 4 * (N * N + 1)


def test_an_argument_changed_in_place_and_returned_is_one_result():
    def accumulate(counter, x):
        counter.total = counter.total + x @ x
        return counter.total

    assert hc.count(accumulate, Counter(X), X).output_bytes == 4 * N * N


def test_a_batch_that_is_filled_in_is_no_result():
    def normalized(batch):
        batch["x"] = batch["x"] / 255
        return batch["x"].sum() + batch.pop("y").sum()

    assert hc.count(normalized, {"x": X, "y": X}).output_bytes == 4


class Jit:
    """Another library's jit, around as many of jax.jit as there are `functions`."""

    def __init__(self, *functions):
        self.functions = functions

    def __call__(self, x):
        for fn in self.functions:
            x = fn(x)
        return "no array", x

    def lower(self, x):
        return Lowered(self.functions[0].lower(x))


class Lowered:
    __slots__ = ("inside",)

    def __init__(self, inside):
        self.inside = inside


class Compiled(Lowered):
    __slots__ = ("other",)

    def __init__(self, inside, other=None):
        self.inside, self.other = inside, other


@pytest.mark.parametrize("x", [X, np.ones((N, N), np.float32)], ids=["shape", "array"])
def test_a_library_s_jit_around_one_program_is_that_program(x):
    assert hc.count(Jit(square), x).by("class")["matmul"].flops == PRODUCT
    over_one = hc.count(Jit(square), x, mesh={"data": 1})
    assert over_one.by("class")["matmul"].flops == PRODUCT
    assert over_one.name == hc.count(square, x).name


@pytest.mark.parametrize(
    ("functions", "said"),
    [
        ((square, square), "2 jitted programs and 0 operations"),
        ((square, lambda x: x @ x), "1 jitted program and 1 operation"),
    ],
    ids=["two programs", "an operation beside"],
)
def test_a_library_s_jit_around_more_than_one_program_is_refused(functions, said):
    with pytest.raises(HloCountError, match=f"Jit that runs {said} beside.*: pass"):
        hc.count(Jit(*functions), X, mesh={"data": 1})


def test_a_library_s_stage_is_what_it_holds():
    lowered = square.lower(X)
    held = hc.count(Lowered(lowered))
    assert held.total == hc.count(Compiled(lowered.compile())).total == hc.count(square, X).total


@pytest.mark.parametrize(
    "stage", [Compiled(None), Compiled(square.lower(X), square.lower(X))], ids=["nothing", "several"]
)
@pytest.mark.parametrize("use", [hc.count, hc.diff, hc.passes])
def test_a_stage_that_holds_nothing_to_read_is_refused(use, stage):
    with pytest.raises(HloCountError, match=r"a .*Compiled that holds .* cannot be read: pass the function"):
        use(stage)


def test_an_object_with_arrays_out_of_sight_is_refused_and_left_alone():
    """A trace through it would leave tracers in it."""
    layer = Layer(jnp.ones((N, N)))
    jitted = Jit(square)
    jitted.functions = (lambda layer: square(layer.weight),)
    with pytest.raises(HloCountError, match=r"argument 0 is a Layer that is no pytree.*without a target"):
        hc.count(jitted, layer, mesh={"data": 1})
    assert isinstance(layer.weight, jax.Array)


@WITH_TPU
def test_passes_follow_a_program_that_the_compiler_goes_on_with_a_copy_of():
    """64-bit integers, as random numbers have them on TPU, are rewritten in a module with a number of its own."""

    def dropout(key, x):
        return jax.random.bernoulli(key, 0.5, x.shape) * x @ x

    key = jax.random.PRNGKey(0)
    p = hc.passes(dropout, key, X, target="tpu:v5e")
    assert p.after.flops == hc.count(dropout, key, X, target="tpu:v5e").flops
    assert p.before.flops > 0
