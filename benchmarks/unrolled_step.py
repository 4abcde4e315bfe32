"""The program of the speed benchmark: some 2,500 instructions a layer for CPU, 1,500 for TPU and GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def unrolled_step(layers: int) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A training step with Adam of a transformer whose layers are unrolled in Python, and its arguments."""
    import jax
    import jax.numpy as jnp

    width, heads, hidden, vocabulary, length, batch = 256, 4, 1024, 1000, 128, 4

    def normalize(x: Any, gain: Any, bias: Any) -> Any:
        mean = x.mean(-1, keepdims=True)
        variance = ((x - mean) ** 2).mean(-1, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * gain + bias

    def block(p: Any, x: Any) -> Any:
        h = normalize(x, p["g1"], p["b1"])
        split = (batch, length, heads, width // heads)
        q, k, v = ((h @ p[n]).reshape(split).transpose(0, 2, 1, 3) for n in "qkv")
        scores = (q @ k.swapaxes(-1, -2)) / jnp.sqrt(width / heads)
        scores = jnp.where(jnp.tril(jnp.ones((length, length), bool)), scores, -1e9)
        mixed = (jax.nn.softmax(scores, -1) @ v).transpose(0, 2, 1, 3).reshape(batch, length, width)
        x = x + mixed @ p["o"]
        h = normalize(x, p["g2"], p["b2"])
        return x + jax.nn.gelu(h @ p["w1"] + p["c1"]) @ p["w2"] + p["c2"]

    def loss(parameters: Any, tokens: Any, targets: Any) -> Any:
        x = parameters["embedding"][tokens]
        for p in parameters["blocks"]:
            x = block(p, x)
        logits = jax.nn.log_softmax(x @ parameters["embedding"].T)
        return -jnp.take_along_axis(logits, targets[..., None], -1).mean()

    def step(parameters: Any, m: Any, v: Any, t: Any, tokens: Any, targets: Any) -> Any:
        value, g = jax.value_and_grad(loss)(parameters, tokens, targets)
        m = jax.tree_util.tree_map(lambda a, b: 0.9 * a + 0.1 * b, m, g)
        v = jax.tree_util.tree_map(lambda a, b: 0.999 * a + 0.001 * b * b, v, g)
        new = jax.tree_util.tree_map(
            lambda p, m, v: p - 1e-3 * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8), parameters, m, v
        )
        return new, m, v, t + 1, value

    def weight(*shape: int) -> Any:
        return jax.ShapeDtypeStruct(shape, jnp.float32)

    def one_block() -> dict[str, Any]:
        vectors = {n: weight(width) for n in ("g1", "b1", "g2", "b2", "c2")}
        squares = {n: weight(width, width) for n in "qkvo"}
        return {
            **vectors,
            **squares,
            "w1": weight(width, hidden),
            "c1": weight(hidden),
            "w2": weight(hidden, width),
        }

    parameters = {"embedding": weight(vocabulary, width), "blocks": [one_block() for _ in range(layers)]}
    tokens = jax.ShapeDtypeStruct((batch, length), jnp.int32)
    return step, (parameters, parameters, parameters, weight(), tokens, tokens)
