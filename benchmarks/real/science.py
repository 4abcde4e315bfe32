"""Equations, graphs, samples and games: diffrax, jraph, NumPyro, BlackJAX, pgx and plain JAX."""

from __future__ import annotations

import blackjax
import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jraph
import numpyro
import numpyro.distributions as dist
import optax
import pgx
from numpyro.infer import NUTS


class Field(eqx.Module):
    layers: eqx.nn.MLP

    def __call__(self, t, y, args):
        return self.layers(y)


def neural_ode():
    """Training through a solver of 50 steps of fixed size."""
    model = Field(eqx.nn.MLP(4, 4, 64, 2, key=jax.random.key(0)))
    optimizer = optax.adam(1e-3)

    def solve(model, start):
        return diffrax.diffeqsolve(
            diffrax.ODETerm(model),
            *(diffrax.Tsit5(), 0.0, 1.0, 0.02, start),
            stepsize_controller=diffrax.ConstantStepSize(),
            max_steps=64,
        ).ys[-1]

    @eqx.filter_jit
    def train_step(model, state, start, end):
        @eqx.filter_grad
        def gradient(model):
            return ((jax.vmap(solve, (None, 0))(model, start) - end) ** 2).mean()

        updates, state = optimizer.update(gradient(model), state)
        return eqx.apply_updates(model, updates), state

    points = jax.ShapeDtypeStruct((128, 4), jnp.float32)
    return train_step, (model, optimizer.init(eqx.filter(model, eqx.is_array)), points, points)


NODES, EDGES, FEATURES = 512, 4096, 64


def message_passing(weights, nodes, senders, receivers):
    """Two rounds of jraph's graph convolution."""
    graph = jraph.GraphsTuple(
        nodes=nodes, edges=None, senders=senders, receivers=receivers, globals=None,
        n_node=jnp.array([NODES]), n_edge=jnp.array([EDGES]),
    )  # fmt: skip
    for n, weight in enumerate(weights):
        with jax.named_scope(f"round_{n}"):
            graph = jraph.GraphConvolution(lambda nodes, weight=weight: jax.nn.relu(nodes @ weight))(graph)
    return graph.nodes.sum(0)


def graph_network():
    weights = [jax.ShapeDtypeStruct((FEATURES, FEATURES), jnp.float32)] * 2
    ends = jax.ShapeDtypeStruct((EDGES,), jnp.int32)
    return jax.jit(message_passing), (weights, jax.ShapeDtypeStruct((NODES, FEATURES), jnp.float32), ends, ends)


def chess():
    """A move on each of 16 boards, with the legal ones after it: no arithmetic on floating point."""
    game = pgx.make("chess")
    states = jax.eval_shape(jax.vmap(game.init), jax.random.split(jax.random.key(0), 16))

    def play(states, moves):
        states = jax.vmap(game.step)(states, moves)
        return states, jnp.argmax(states.legal_action_mask, 1)

    return jax.jit(play), (states, jax.ShapeDtypeStruct((16,), jnp.int32))


def regression(x, y):
    slope = numpyro.sample("slope", dist.Normal(0, 1).expand([x.shape[1]]).to_event(1))
    noise = numpyro.sample("noise", dist.HalfNormal(1))
    numpyro.sample("y", dist.Normal(x @ slope, noise), obs=y)


def numpyro_nuts():
    """One step of NUTS: a tree that grows until it turns, which data decide."""
    kernel = NUTS(regression, max_tree_depth=6)
    x, y = jnp.ones((1000, 16)), jnp.ones(1000)
    start = kernel.init(jax.random.key(0), 0, None, (x, y), {})

    def sample(state, x, y):
        return kernel.sample(state, (x, y), {})

    return jax.jit(sample), (start, x, y)


def blackjax_hmc():
    """100 samples of 10 leapfrog steps each."""

    def log_density(theta, x, y):
        return -0.5 * ((x @ theta - y) ** 2).sum() - 0.5 * (theta**2).sum()

    def sample(theta, x, y, key):
        kernel = blackjax.hmc(lambda theta: log_density(theta, x, y), 1e-3, jnp.ones(16), 10)

        def step(state, key):
            state, _ = kernel.step(key, state)
            return state, state.position

        return jax.lax.scan(step, kernel.init(theta), jax.random.split(key, 100))[1]

    x, y = jax.ShapeDtypeStruct((1000, 16), jnp.float32), jax.ShapeDtypeStruct((1000,), jnp.float32)
    key = jax.eval_shape(jax.random.key, 0)
    return jax.jit(sample), (jax.ShapeDtypeStruct((16,), jnp.float32), x, y, key)


def spectral_step(vorticity):
    """Two-dimensional turbulence: ten steps, with transforms there and back in each."""
    n = vorticity.shape[0]
    k = jnp.fft.fftfreq(n, 1 / n)
    kx, ky = k[:, None], jnp.fft.rfftfreq(n, 1 / n)[None]
    squared = jnp.where(kx**2 + ky**2 == 0, 1, kx**2 + ky**2)

    def advection(w):
        with jax.named_scope("advection"):
            stream = w / squared
            velocity_x, velocity_y = jnp.fft.irfft2(1j * ky * stream), jnp.fft.irfft2(-1j * kx * stream)
            slope_x, slope_y = jnp.fft.irfft2(1j * kx * w), jnp.fft.irfft2(1j * ky * w)
            return jnp.fft.rfft2(velocity_x * slope_x + velocity_y * slope_y)

    def step(w, _):
        middle = w - 0.005 * advection(w)
        with jax.named_scope("diffusion"):
            return (w - 0.01 * advection(middle)) / (1 + 1e-5 * squared), None

    return jnp.fft.irfft2(jax.lax.scan(step, jnp.fft.rfft2(vorticity), None, 10)[0])


def turbulence():
    return jax.jit(spectral_step), (jax.ShapeDtypeStruct((128, 128), jnp.float32),)


def posterior(x, y, new):
    """A Gaussian process: a Cholesky factor and triangular solves."""

    def covariance(a, b):
        with jax.named_scope("covariance"):
            return jnp.exp(-0.5 * ((a[:, None] - b[None]) ** 2).sum(-1))

    factor = jnp.linalg.cholesky(covariance(x, x) + 0.1 * jnp.eye(len(x)))
    with jax.named_scope("solve"):
        weights = jax.scipy.linalg.cho_solve((factor, True), y)
    with jax.named_scope("predict"):
        cross = covariance(new, x)
        return cross @ weights, 1 - (cross * jax.scipy.linalg.cho_solve((factor, True), cross.T).T).sum(1)


def gaussian_process():
    def struct(*shape):
        return jax.ShapeDtypeStruct(shape, jnp.float32)

    return jax.jit(posterior), (struct(256, 3), struct(256), struct(64, 3))
