"""Language models: flax.linen, flax.nnx, Haiku and plain JAX."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import optax
from flax import nnx

LAYERS, WIDTH, HEADS, LENGTH, VOCABULARY, BATCH = 6, 384, 6, 256, 8192, 4
TOKENS = jax.ShapeDtypeStruct((BATCH, LENGTH), jnp.int32)
# Weights of a layer: 3 W² for queries, keys and values, W² for the output, 8 W² for the MLP; scores and their mixing.
FORWARD = 2 * BATCH * LENGTH * (LAYERS * (12 * WIDTH**2 + 2 * LENGTH * WIDTH) + WIDTH * VOCABULARY)


class Attention(nn.Module):
    @nn.compact
    def __call__(self, x):
        q, k, v = jnp.split(nn.Dense(3 * WIDTH, name="qkv")(x), 3, -1)
        q, k, v = (part.reshape(*x.shape[:2], HEADS, -1) for part in (q, k, v))
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / jnp.sqrt(q.shape[-1])
        scores = jnp.where(jnp.tril(jnp.ones((LENGTH, LENGTH), bool)), scores, -1e9)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", nn.softmax(scores), v)
        return nn.Dense(WIDTH, name="out")(mixed.reshape(x.shape))


class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = x + Attention(name="attention")(nn.LayerNorm()(x))
        hidden = nn.gelu(nn.Dense(4 * WIDTH, name="up")(nn.LayerNorm()(x)))
        return x + nn.Dense(WIDTH, name="down")(hidden)


class GPT(nn.Module):
    @nn.compact
    def __call__(self, tokens):
        x = nn.Embed(VOCABULARY, WIDTH, name="embedding")(tokens)
        for n in range(LAYERS):
            x = Block(name=f"block_{n}")(x)
        return nn.Dense(VOCABULARY, use_bias=False, name="logits")(nn.LayerNorm()(x))


def flax_gpt():
    """Each product of the forward pass once, and twice in the backward pass."""
    model, optimizer = GPT(), optax.adamw(1e-4)
    params = jax.eval_shape(model.init, jax.random.key(0), TOKENS)

    def train_step(params, state, tokens):
        def loss(params):
            logits = model.apply(params, tokens)
            return optax.softmax_cross_entropy_with_integer_labels(logits[:, :-1], tokens[:, 1:]).mean()

        gradients = jax.grad(loss)(params)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    return jax.jit(train_step), (params, jax.eval_shape(optimizer.init, params), TOKENS)


class Mixer(nnx.Module):
    def __init__(self, rngs):
        self.embed = nnx.Embed(256, 128, rngs=rngs)
        self.tokens = nnx.Linear(LENGTH, LENGTH, rngs=rngs)
        self.channels = nnx.Linear(128, 512, rngs=rngs)
        self.back = nnx.Linear(512, 128, rngs=rngs)
        self.head = nnx.Linear(128, 256, rngs=rngs)

    def __call__(self, ids):
        x = self.embed(ids)
        x = x + self.tokens(x.swapaxes(1, 2)).swapaxes(1, 2)
        x = x + self.back(nnx.gelu(self.channels(x)))
        return self.head(x)


@nnx.jit
def mixer_step(model, optimizer, ids):
    def loss(model):
        return optax.softmax_cross_entropy_with_integer_labels(model(ids), ids).mean()

    gradients = nnx.grad(loss)(model)
    optimizer.update(model, gradients)


def nnx_mixer():
    model = Mixer(nnx.Rngs(0))
    return mixer_step, (model, nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param), TOKENS)


def haiku_lstm():
    """A scan over time, whose body is the library's."""

    def network(tokens):
        core = hk.LSTM(256)
        embedded = hk.Embed(1024, 128, name="embedding")(tokens.T)
        hidden, _ = hk.dynamic_unroll(core, embedded, core.initial_state(BATCH))
        return hk.Linear(1024, name="logits")(hidden)

    model = hk.without_apply_rng(hk.transform(network))
    params = jax.eval_shape(model.init, jax.random.key(0), TOKENS)

    def loss(params, tokens):
        logits = model.apply(params, tokens)
        return optax.softmax_cross_entropy_with_integer_labels(logits[:-1], tokens.T[1:]).mean()

    return jax.jit(jax.grad(loss)), (params, TOKENS)


STEPS, CACHE = 64, 128


def decode(weights: Any, tokens: Any):
    """Greedy decoding with a cache of keys and values: a loop in whose steps little is done to much memory."""

    def attend(layer, x, cache, position):
        with jax.named_scope("attention"):
            q, k, v = jnp.split(x @ layer["qkv"], 3, -1)
            cache = jax.lax.dynamic_update_slice(cache, jnp.stack([k, v])[:, :, None], (0, 0, position, 0))
            scores = jnp.einsum("bd,btd->bt", q, cache[0])
            scores = jnp.where(jnp.arange(CACHE) <= position, scores, -jnp.inf)
            return jnp.einsum("bt,btd->bd", jax.nn.softmax(scores), cache[1]) @ layer["out"], cache

    def mlp(layer, x):
        with jax.named_scope("mlp"):
            return jax.nn.silu(x @ layer["up"]) @ layer["down"]

    def one(position, carry):
        token, caches = carry
        x = weights["embedding"][token]

        def block(x, scanned):
            layer, cache = scanned
            mixed, cache = attend(layer, x, cache, position)
            x = x + mixed
            return x + mlp(layer, x), cache

        x, caches = jax.lax.scan(block, x, (weights["layers"], caches))
        return jnp.argmax(x @ weights["embedding"].T, -1), caches

    caches = jnp.zeros((LAYERS, 2, BATCH, CACHE, WIDTH))
    return jax.lax.fori_loop(0, STEPS, one, (tokens, caches))[0]


def decode_loop():
    def struct(*shape):
        return jax.ShapeDtypeStruct(shape, jnp.float32)

    layers = {
        "qkv": struct(LAYERS, WIDTH, 3 * WIDTH), "out": struct(LAYERS, WIDTH, WIDTH),
        "up": struct(LAYERS, WIDTH, 4 * WIDTH), "down": struct(LAYERS, 4 * WIDTH, WIDTH),
    }  # fmt: skip
    weights = {"embedding": struct(VOCABULARY, WIDTH), "layers": layers}
    return jax.jit(decode), (weights, jax.ShapeDtypeStruct((BATCH,), jnp.int32))


def route(x, gate, experts):
    """The two best experts of each token, by sorting tokens and a ragged product."""
    with jax.named_scope("router"):
        weights, chosen = jax.lax.top_k(jax.nn.softmax(x @ gate), 2)
    with jax.named_scope("dispatch"):
        order = jnp.argsort(chosen.reshape(-1))
        rows = jnp.repeat(x, 2, 0)[order]
        sizes = jnp.bincount(chosen.reshape(-1), length=gate.shape[1])
    with jax.named_scope("experts"):
        out = jax.lax.ragged_dot(jax.nn.gelu(jax.lax.ragged_dot(rows, experts["up"], sizes)), experts["down"], sizes)
    with jax.named_scope("combine"):
        back = jnp.zeros_like(out).at[order].set(out).reshape(x.shape[0], 2, -1)
        return (back * weights[..., None]).sum(1)


def mixture_of_experts():
    def struct(*shape):
        return jax.ShapeDtypeStruct(shape, jnp.float32)

    return jax.jit(route), (struct(512, 256), struct(256, 8), {"up": struct(8, 256, 512), "down": struct(8, 512, 256)})
