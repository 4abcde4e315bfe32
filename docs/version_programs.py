"""What the programs of docs/versions.md count to with the JAX that runs this: one JSON document on standard output.

`python docs/version_programs.py` counts each for CPU, TPU and CUDA, or for those that are named. It works from JAX
0.4.30 on. A row holds the figures and the compiled text, or the error that says why there are none.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec as P

import hlo_count as hc

TARGETS = {"CPU": ("cpu", "cpu"), "TPU": ("tpu:v5e", "tpu:v5e:2x4"), "CUDA": ("h100-sxm", "h100-sxm:8")}
"""A target of one device, and one of eight."""
COUNTERS = ("flops", "transcendentals", "int_ops", "other_ops", "bytes", "network_bytes", "peak_bytes")
BF16, F32 = jnp.bfloat16, jnp.float32


def struct(*shape: int, dtype: Any = F32) -> Any:
    return jax.ShapeDtypeStruct(shape, dtype)


def matmul() -> Any:
    return jnp.dot, (struct(512, 1024, dtype=BF16), struct(1024, 2048, dtype=BF16))


def conv() -> Any:
    def convolved(image: Any, kernel: Any) -> Any:
        return lax.conv_general_dilated(image, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    return convolved, (struct(8, 32, 32, 64), struct(3, 3, 64, 128))


def attend(q: Any, k: Any, v: Any) -> Any:
    scores = jnp.einsum("bthd,bshd->bhts", q, k) / q.shape[-1] ** 0.5
    return jnp.einsum("bhts,bshd->bthd", jax.nn.softmax(scores), v)


def attention() -> Any:
    return attend, (struct(2, 128, 4, 64),) * 3


def gradient() -> Any:
    return jax.grad(lambda *qkv: attend(*qkv).sum(), argnums=(0, 1, 2)), (struct(2, 128, 4, 64),) * 3


def scan() -> Any:
    def multiplied(x: Any, weights: Any) -> Any:
        return lax.scan(lambda carry, w: (jnp.tanh(carry @ w), None), x, weights)[0]

    return multiplied, (struct(128, 128), struct(12, 128, 128))


def sort() -> Any:
    return lambda x: jnp.sort(x, axis=-1), (struct(64, 4096),)


def fft() -> Any:
    return jnp.fft.fft, (struct(64, 1024, dtype=jnp.complex64),)


def psum() -> Any:
    """The sum of rows that lie on eight devices."""
    return lambda x: x.sum(0), (struct(1024, 4096),)


def parallel() -> Any:
    """A gradient of which each of eight devices has a part of the batch."""
    return jax.grad(lambda w, x: jnp.tanh(x @ w).sum()), (struct(512, 256), struct(1024, 512))


def flax() -> Any:
    """A training step of a network of two layers."""
    from flax import linen

    network = linen.Sequential([linen.Dense(256), linen.relu, linen.Dense(16)])

    def step(parameters: Any, x: Any, y: Any) -> Any:
        gradients = jax.grad(lambda p: ((network.apply(p, x) - y) ** 2).mean())(parameters)
        return jax.tree_util.tree_map(lambda p, g: p - 0.1 * g, parameters, gradients)

    x, y = struct(64, 128), struct(64, 16)
    return step, (jax.eval_shape(network.init, jax.random.PRNGKey(0), x), x, y)


PROGRAMS = (matmul, conv, attention, gradient, scan, sort, fft, psum, parallel, flax)
OVER_EIGHT = {psum: (P("x"),), parallel: (None, P("x"))}


def counted(make: Callable[[], Any], targets: tuple[str, str]) -> dict[str, Any]:
    one, eight = targets
    try:
        fn, arguments = make()
        in_specs = OVER_EIGHT.get(make)
        spread = {"mesh": {"x": 8}, "in_specs": in_specs} if in_specs else {}
        report = hc.count(fn, *arguments, target=eight if in_specs else one, **spread)
    except (hc.HloCountError, ImportError) as problem:
        return {"refused": " ".join(str(problem).split())}
    return {**{name: getattr(report, name) for name in COUNTERS}, "status": report.status, "text": report.module.text}


def main() -> None:
    wanted = sys.argv[1:] or TARGETS
    rows = {name: {make.__name__: counted(make, TARGETS[name]) for make in PROGRAMS} for name in wanted}
    json.dump({"jax": jax.__version__, "rows": rows}, sys.stdout)


if __name__ == "__main__":
    main()
