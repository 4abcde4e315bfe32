"""The programs of the roofline benchmark: a name, a kind, and a function with its arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


@dataclass(frozen=True, slots=True)
class Step:
    """A jitted function and its arguments; `donated`: it is given its own last result as first argument."""

    function: Any
    args: tuple[Any, ...]
    donated: bool = False
    branches: dict[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Program:
    name: str
    kind: str
    build: Callable[[], Step]


PROGRAMS: list[Program] = []


def program(
    kind: str,
    name: str,
    function: Callable[..., Any],
    *shapes: Any,
    donated: bool = False,
    branch: int | None = None,
) -> None:
    """Register one; a shape is a tuple (f32), a (dtype, *shape), or a function that makes the argument.
    `branch` is the one that its conditional takes, where the count is told."""

    def build() -> Step:
        args = tuple(s() if callable(s) else array(*s) for s in shapes)
        return Step(
            jax.jit(function, donate_argnums=(0,) if donated else ()),
            args,
            donated,
            None if branch is None else {"*cond*": branch},
        )

    PROGRAMS.append(Program(name, kind, build))


def array(*shape: Any) -> jax.Array:
    """Small random numbers of a shape, f32 unless a dtype stands first."""
    dtype = shape[0] if shape and isinstance(shape[0], str) else "float32"
    dimensions = shape[1:] if shape and isinstance(shape[0], str) else shape
    values = np.random.default_rng(0).random(dimensions, np.float32)
    return jnp.asarray(values * 100 if "int" in dtype else values, dtype)


def indices(number: int, below: int) -> Callable[[], jax.Array]:
    return lambda: jnp.asarray(np.random.default_rng(1).integers(0, below, number), jnp.int32)


# Matrix products

for n in (64, 256, 512, 1024, 2048):
    program("matmul", f"matmul_{n}", jnp.matmul, (n, n), (n, n))
program(
    "matmul",
    "matmul_bf16_into_f32",
    lambda a, b: jnp.matmul(a, b, preferred_element_type=jnp.float32),
    ("bfloat16", 1024, 1024),
    ("bfloat16", 1024, 1024),
)
program("matmul", "matmul_bf16", jnp.matmul, ("bfloat16", 1024, 1024), ("bfloat16", 1024, 1024))
program("matmul", "matmul_tall", jnp.matmul, (65536, 64), (64, 64))
program("matmul", "matmul_vector", jnp.matmul, (4096, 4096), (4096,))
program("matmul", "matmul_batched", jnp.matmul, (64, 128, 128), (64, 128, 128))
program("matmul", "matmul_chain", lambda a: lax.fori_loop(0, 20, lambda _, x: x @ a * 0.01, a), (384, 384))

# Elementwise

for n, name in ((2**10, "1k"), (2**18, "256k"), (2**22, "4m"), (2**25, "32m")):
    program("elementwise", f"add_{name}", jnp.add, (n,), (n,))
program("elementwise", "scale_in_place", lambda x: x * 0.999 + 0.001, (2**22,), donated=True)


def polynomial(x: jax.Array) -> jax.Array:
    y = x
    for n in range(64):
        y = y * x + (0.5 + n)
    return y


program("elementwise", "polynomial", polynomial, (2**20,))
program("elementwise", "relu", jax.nn.relu, (2**22,))
program("elementwise", "outer_sum", lambda a, b: a[:, None] + b[None, :], (2048,), (2048,))
program("elementwise", "convert_bf16", lambda x: x.astype(jnp.bfloat16), (2**22,))
program("elementwise", "transpose", lambda x: x.T + 1, (2048, 2048))
program("elementwise", "fill", lambda x: jnp.zeros((2**22,)) + x, ())

# Reductions

program("reduction", "sum_64k", jnp.sum, (2**16,))
program("reduction", "sum_512k", jnp.sum, (2**19,))
program("reduction", "sum_16m", jnp.sum, (2**24,))
program("reduction", "sum_rows", lambda x: x.sum(1), (4096, 4096))
program("reduction", "sum_columns", lambda x: x.sum(0), (4096, 4096))
program("reduction", "sum_product", lambda a, b: (a * b).sum(), (2**22,), (2**22,))
program("reduction", "max_product", lambda a, b: (a * b).max(), (2**22,), (2**22,))
program("reduction", "argmax", lambda x: jnp.argmax(x, -1), (2048, 2048))
program("reduction", "cumsum", lambda x: jnp.cumsum(x, -1), (512, 2048))
program(
    "reduction",
    "layernorm",
    lambda x: (x - x.mean(-1, keepdims=True)) * lax.rsqrt(x.var(-1) + 1e-6)[:, None],
    (4096, 1024),
)

# Convolutions


def conv(x: jax.Array, kernel: jax.Array, groups: int = 1) -> jax.Array:
    return lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups
    )


program("convolution", "conv_3x3", conv, (4, 56, 56, 64), (3, 3, 64, 64))
program("convolution", "conv_1x1", conv, (4, 56, 56, 64), (1, 1, 64, 256))
program("convolution", "conv_7x7", conv, (1, 112, 112, 3), (7, 7, 3, 64))
program("convolution", "conv_depthwise", lambda x, k: conv(x, k, 64), (4, 56, 56, 64), (3, 3, 1, 64))

# Attention


def attention(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    scores = jnp.einsum("hqd,hkd->hqk", q, k) / q.shape[-1] ** 0.5
    return jnp.einsum("hqk,hkd->hqd", jax.nn.softmax(scores), v)


program("attention", "attention_512", attention, *[(8, 512, 64)] * 3)
program("attention", "attention_2048", attention, *[(4, 2048, 64)] * 3)
program("attention", "softmax", jax.nn.softmax, (2048, 2048))
program("attention", "softmax_small", jax.nn.softmax, (64, 64))

# Special functions

for function in (jnp.exp, jnp.log, jnp.tanh, jnp.sin, jax.lax.erf, jnp.sqrt):
    program("special", f"{function.__name__}_1m", function, (2**20,))
program("special", "exp_in_cache", lambda x: lax.fori_loop(0, 50, lambda _, y: jnp.exp(-y), x), (2**14,))
program("special", "gelu", jax.nn.gelu, (2**21,))
program("special", "logsumexp", lambda x: jax.nn.logsumexp(x, -1), (2048, 1024))
program("special", "power", lambda x: x**2.3, (2**18,))

# Tiny, and resident in caches

program("tiny", "scalar_add", jnp.add, (), ())
program("tiny", "dot_8", jnp.matmul, (8, 8), (8, 8))
program("tiny", "norm_256", lambda x: x / jnp.sqrt((x * x).sum()), (256,))
program("tiny", "loop_in_cache", lambda x: lax.fori_loop(0, 100, lambda _, y: y * 0.99 + x, x), (2**15,))


def mlp(params: list[jax.Array], x: jax.Array) -> jax.Array:
    for weights in params[:-1]:
        x = jnp.tanh(x @ weights)
    return x @ params[-1]


def weights(*widths: int) -> Callable[[], list[jax.Array]]:
    return lambda: [array(m, n) / m for m, n in pairwise(widths)]


program("tiny", "mlp_small", mlp, weights(16, 32, 4), (8, 16))

# Training


def loss(params: list[jax.Array], x: jax.Array, y: jax.Array) -> jax.Array:
    return ((mlp(params, x) - y) ** 2).mean()


def sgd(params: list[jax.Array], x: jax.Array, y: jax.Array) -> list[jax.Array]:
    return [p - 0.01 * g for p, g in zip(params, jax.grad(loss)(params, x, y), strict=True)]


program("training", "mlp_forward", mlp, weights(784, 1024, 1024, 10), (256, 784))
program("training", "mlp_step", sgd, weights(784, 1024, 1024, 10), (256, 784), (256, 10), donated=True)


def block(x: jax.Array, p: dict[str, jax.Array]) -> jax.Array:
    q, k, v = jnp.split(x @ p["qkv"], 3, -1)
    heads = [t.reshape(t.shape[0], 4, -1).transpose(1, 0, 2) for t in (q, k, v)]
    x = x + attention(*heads).transpose(1, 0, 2).reshape(x.shape) @ p["out"]
    return x + jax.nn.gelu(x @ p["up"]) @ p["down"]


def transformer_step(params: dict[str, jax.Array], x: jax.Array) -> dict[str, jax.Array]:
    """Three layers, rematerialized by nothing, one step of gradient descent."""

    def total(params: dict[str, jax.Array]) -> jax.Array:
        return (lax.scan(lambda y, p: (block(y, p), None), x, params)[0] ** 2).mean()

    return jax.tree.map(lambda p, g: p - 1e-3 * g, params, jax.grad(total)(params))


def layers() -> dict[str, jax.Array]:
    shapes = {"qkv": (256, 768), "out": (256, 256), "up": (256, 1024), "down": (1024, 256)}
    return {name: array(3, *shape) / 256 for name, shape in shapes.items()}


program("training", "transformer_step", transformer_step, layers, (256, 256), donated=True)
program(
    "training",
    "rnn",
    lambda w, h, xs: lax.scan(lambda h, x: (jnp.tanh(h @ w + x), h), h, xs),
    (256, 256),
    (32, 256),
    (64, 32, 256),
)

# Parts of large arrays

program("indexing", "gather_32_rows", lambda table, i: table[i], (100_000, 1024), indices(32, 100_000))
program("indexing", "embedding", lambda table, i: table[i], (32_000, 512), indices(4096, 32_000))
program("indexing", "scatter_add", lambda t, i, u: t.at[i].add(u), (8192, 256), indices(4096, 8192), (4096, 256))
program(
    "indexing",
    "cache_update",
    lambda cache, new, at: lax.dynamic_update_slice(cache, new, (at, 0, 0)),
    (4096, 16, 128),
    (1, 16, 128),
    lambda: jnp.int32(1000),
    donated=True,
)
program("indexing", "slice_of_large", lambda x: x[1000:1064] * 2, (100_000, 512))
program("indexing", "concatenate", lambda a, b: jnp.concatenate([a, b], 1), (1024, 1024), (1024, 1024))

# Of these a bound counts only the bytes: other algorithms do with fewer operations

program("bytes only", "sort", jnp.sort, (2**18,))
program("bytes only", "argsort", jnp.argsort, (2**16,))
program("bytes only", "top_k", lambda x: lax.top_k(x, 32), (256, 4096))
program("bytes only", "fft", jnp.fft.fft, ("complex64", 256, 1024))
program("bytes only", "rfft", jnp.fft.rfft, (2**20,))
program("matmul", "cholesky", lambda x: jnp.linalg.cholesky(x @ x.T + 512 * jnp.eye(512)), (512, 512))
program("bytes only", "random_normal", lambda key: jax.random.normal(key, (2**20,)), lambda: jax.random.key(0))

# Control


def either(cheap: jax.Array, x: jax.Array) -> jax.Array:
    return lax.cond(cheap, lambda x: x + 1, lambda x: x @ x @ x @ x, x)


program("control", "cond_cheap", either, lambda: jnp.bool_(True), (1024, 1024))
program("control", "cond_cheap_settled", either, lambda: jnp.bool_(True), (1024, 1024), branch=1)
program("control", "cond_costly_settled", either, lambda: jnp.bool_(False), (1024, 1024), branch=0)
program(
    "control",
    "while_until",
    lambda x: lax.while_loop(lambda y: y.sum() < 1e6, lambda y: y * 1.1 + 1, x),
    (2**16,),
)
