"""Text to totals against XLA's C++, in one process: `python benchmarks/speed.py [--layers 24] [--repeat 7]`.

Ours: hlo_count.parse and every counter, bytes included. XLA's: its own parser and analysis on the same text.
Prints medians and their ratio; the program is an unrolled transformer training step, some 5,000 instructions a layer.
Then what a user sees of the report, each view of a fresh one beside its count, in times of XLA's.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from typing import Any


def unrolled_training_step(layers: int) -> str:
    """HLO after optimization, on CPU, of a training step with Adam whose layers are unrolled in Python."""
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
    return jax.jit(step).lower(parameters, parameters, parameters, weight(), tokens, tokens).compile().as_text()


def ours(text: str) -> None:
    import hlo_count

    report = hlo_count.count(text)
    assert report.flops and report.bytes and report.status


def xla(text: str) -> None:
    import jax
    from jaxlib import _hlo, _jax

    module = _hlo.hlo_module_from_text(text)
    _jax.hlo_module_cost_analysis(jax.devices("cpu")[0].client, module)


def _what_if(report: Any) -> object:
    import hlo_count

    return hlo_count.what_if(report)


VIEWS: dict[str, Callable[[Any], object]] = {
    "print": str,
    "entries": lambda report: report.entries,
    "by scope": lambda report: report.by("scope"),
    "roofline": lambda report: report.roofline("tpu-v5e"),
    "what_if": _what_if,
}


def views(text: str, repeat: int) -> dict[str, float]:
    """Median seconds of each view of a report of its own, without the count before it."""
    import hlo_count

    medians: dict[str, float] = {}
    for name, view in VIEWS.items():
        seconds: list[float] = []
        for _ in range(repeat):
            report = hlo_count.count(text)
            start = time.perf_counter()
            view(report)
            seconds.append(time.perf_counter() - start)
        medians[name] = statistics.median(seconds)
    return medians


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--layers", type=int, default=24)
    options.add_argument("--repeat", type=int, default=7)
    options.add_argument("--text", help="an HLO text file instead of the training step")
    given = options.parse_args()
    if given.text:
        with open(given.text) as file:
            text = file.read()
    else:
        text = unrolled_training_step(given.layers)
    # The heap that tracing and compiling left behind is no part of either side: keep the collector from walking it.
    gc.collect()
    gc.freeze()
    print(f"{len(text) / 1e6:.1f} MB, {text.count(' = '):,} instructions; median of {given.repeat}, alternating")
    times: dict[str, list[float]] = {"hlo_count": [], "XLA": []}
    for _ in range(given.repeat):
        for name, run in (("hlo_count", ours), ("XLA", xla)):
            start = time.perf_counter()
            run(text)
            times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    for name, seconds in times.items():
        print(f"{name:>10}  {medians[name]:.3f} s  (fastest {min(seconds):.3f}, slowest {max(seconds):.3f})")
    counted = medians["hlo_count"] / medians["XLA"]
    print(f"     ratio  {counted:.2f}")
    for name, view_seconds in views(text, min(3, given.repeat)).items():
        alone = view_seconds / medians["XLA"]
        print(f"{name:>10}  {alone:.2f} × XLA's, with the count {counted + alone:.2f}")


if __name__ == "__main__":
    main()
