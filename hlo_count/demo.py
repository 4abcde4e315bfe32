"""A transformer training step, small enough to compile in seconds: what `hlo-count demo` counts."""

from __future__ import annotations

from typing import Any

LAYERS, WIDTH, HEADS, HIDDEN, VOCABULARY, BATCH, LENGTH = 6, 256, 4, 1024, 1000, 8, 128


def training_step() -> tuple[Any, tuple[Any, ...]]:
    """A function and its arguments (as shapes): one step of gradient descent, the layers in a scan."""
    import jax
    import jax.numpy as jnp

    def normalize(x: Any) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        return centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5)

    def attention(x: Any, qkv: Any, out: Any) -> Any:
        with jax.named_scope("attention"):
            q, k, v = jnp.einsum("btd,dchw->cbhtw", x, qkv)
            scores = jnp.einsum("bhtw,bhsw->bhts", q, k) * (WIDTH // HEADS) ** -0.5
            scores = jnp.where(jnp.tril(jnp.ones((LENGTH, LENGTH), bool)), scores, -1e9)
            mixed = jnp.einsum("bhts,bhsw->bthw", jax.nn.softmax(scores), v)
            return jnp.einsum("bthw,hwd->btd", mixed, out)

    def mlp(x: Any, up: Any, down: Any) -> Any:
        with jax.named_scope("mlp"):
            return jax.nn.gelu(x @ up) @ down

    def block(x: Any, weights: Any) -> tuple[Any, None]:
        with jax.named_scope("block"):
            x = x + attention(normalize(x), weights["qkv"], weights["out"])
            return x + mlp(normalize(x), weights["up"], weights["down"]), None

    def loss(parameters: Any, tokens: Any) -> Any:
        x, _ = jax.lax.scan(block, parameters["embedding"][tokens], parameters["blocks"])
        with jax.named_scope("loss"):
            logits = normalize(x) @ parameters["embedding"].T
            predicted = jax.nn.log_softmax(logits[:, :-1])
            return -jnp.take_along_axis(predicted, tokens[:, 1:, None], -1).mean()

    def train_step(parameters: Any, tokens: Any) -> tuple[Any, Any]:
        value, gradients = jax.value_and_grad(loss)(parameters, tokens)
        with jax.named_scope("update"):
            return jax.tree_util.tree_map(lambda p, g: p - 1e-3 * g, parameters, gradients), value

    def weight(*shape: int) -> Any:
        return jax.ShapeDtypeStruct(shape, jnp.float32)

    parameters = {
        "embedding": weight(VOCABULARY, WIDTH),
        "blocks": {
            "qkv": weight(LAYERS, WIDTH, 3, HEADS, WIDTH // HEADS),
            "out": weight(LAYERS, HEADS, WIDTH // HEADS, WIDTH),
            "up": weight(LAYERS, WIDTH, HIDDEN),
            "down": weight(LAYERS, HIDDEN, WIDTH),
        },
    }
    tokens = jax.ShapeDtypeStruct((BATCH, LENGTH), jnp.int32)
    return jax.jit(train_step, donate_argnums=0), (parameters, tokens)
