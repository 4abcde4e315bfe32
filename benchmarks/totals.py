"""Total FLOP of programs that softmax, normalization and attention are made of, as each target compiles them.

python benchmarks/totals.py [--targets cpu,tpu:v5e,h100-sxm] [--programs dot_product_attention] [--sizes 512,1024]

A row for each program, length and target: the matmul FLOP, all FLOP, and their ratio. Where targets' products are not
those of the program, they are named. Only compiles; needs no device.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax
import jax.numpy as jnp

import hlo_count as hc
from hlo_count.report.across_targets import contractions, differences

TARGETS = ("tpu:v4", "tpu:v5e", "tpu:v5p", "tpu:v6e", "tpu:v7", "h100-sxm")
HEADS, DEPTH, WIDTH, VOCABULARY = 8, 64, 256, 512


def struct(*shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def softmax(x: Any) -> Any:
    return jax.nn.softmax(x)


def layer_norm(x: Any) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5)


def attention(q: Any, k: Any, v: Any) -> Any:
    scores = jnp.einsum("hqd,hkd->hqk", q, k) / DEPTH**0.5
    return jnp.einsum("hqk,hkd->hqd", jax.nn.softmax(scores), v)


def attention_backward(q: Any, k: Any, v: Any) -> Any:
    return jax.grad(lambda *qkv: (attention(*qkv) ** 2).sum(), argnums=(0, 1, 2))(q, k, v)


def transformer_step(params: dict[str, Any], x: Any, labels: Any) -> Any:
    """One layer, its loss, its gradient, and a step of gradient descent."""

    def loss(params: dict[str, Any]) -> Any:
        n = x.shape[0]
        q, k, v = ((layer_norm(x) @ params[name]).reshape(n, -1, DEPTH).swapaxes(0, 1) for name in "qkv")
        y = x + attention(q, k, v).swapaxes(0, 1).reshape(n, WIDTH) @ params["out"]
        y += jax.nn.relu(layer_norm(y) @ params["up"]) @ params["down"]
        logits = jax.nn.log_softmax(layer_norm(y) @ params["head"])
        return -jnp.take_along_axis(logits, labels[:, None], 1).mean()

    return jax.tree.map(lambda p, g: p - 0.01 * g, params, jax.grad(loss)(params))


def _parameters() -> dict[str, Any]:
    square = {name: struct(WIDTH, WIDTH) for name in ("q", "k", "v", "out")}
    return square | {
        "up": struct(WIDTH, 4 * WIDTH),
        "down": struct(4 * WIDTH, WIDTH),
        "head": struct(WIDTH, VOCABULARY),
    }


def _step_products(n: int) -> int:
    """Three times the forward products (a gradient for each operand), but the first three have no input's gradient."""
    projections, scores = 2 * n * WIDTH * WIDTH, 2 * n * n * WIDTH
    return 3 * (4 * projections + 2 * scores + 2 * 4 * projections + 2 * n * WIDTH * VOCABULARY) - 3 * projections


Program = tuple[Callable[..., Any], Callable[[int], tuple[Any, ...]], Callable[[int], int]]
PROGRAMS: dict[str, Program] = {
    "softmax": (softmax, lambda n: (struct(HEADS, n, n),), lambda n: 0),
    "layer_norm": (layer_norm, lambda n: (struct(HEADS, n, n),), lambda n: 0),
    "attention": (attention, lambda n: (struct(HEADS, n, DEPTH),) * 3, lambda n: 2 * 2 * HEADS * n * n * DEPTH),
    # The two products again for what the backward pass keeps, and a gradient for each of their operands.
    "attention_backward": (
        attention_backward,
        lambda n: (struct(HEADS, n, DEPTH),) * 3,
        lambda n: 6 * 2 * HEADS * n * n * DEPTH,
    ),
    "transformer_step": (
        transformer_step,
        lambda n: (_parameters(), struct(n, WIDTH), struct(n, dtype=jnp.int32)),
        _step_products,
    ),
}
"""By name: the function, its arguments at a length, and the FLOP of its products."""
if hasattr(jax.nn, "dot_product_attention"):  # from jax 0.4.31 on
    # In bf16 as JAX writes it: here TPU's compiler prints a row's maximum as a window over the row.
    PROGRAMS["dot_product_attention"] = (
        jax.nn.dot_product_attention,
        lambda n: (struct(1, n, HEADS, DEPTH, dtype=jnp.bfloat16),) * 3,
        lambda n: 2 * 2 * HEADS * n * n * DEPTH,
    )


def counted(name: str, n: int, target: str) -> hc.Report:
    fn, arguments, _ = PROGRAMS[name]
    return hc.count(fn, *arguments(n), target=target)


def products(report: hc.Report) -> int:
    """FLOP of matmuls, those included that a target prints as convolutions."""
    return sum(each.flops for each in contractions(report))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--programs", default="dot_product_attention")
    parser.add_argument("--sizes", default="512,1024,2048,4096")
    chosen = parser.parse_args()
    print(f"{'program':<22}{'n':>5}  {'target':<10}{'matmul FLOP':>17}{'all FLOP':>17}{'/ matmul':>9}  status")
    for name in chosen.programs.split(","):
        for n in map(int, chosen.sizes.split(",")):
            reports = {target: counted(name, n, target) for target in chosen.targets.split(",")}
            for target, report in reports.items():
                matmul = products(report)
                ratio = f"{report.flops / matmul:.4f}" if matmul else ""
                print(f"{name:<22}{n:>5}  {target:<10}{matmul:>17,}{report.flops:>17,}{ratio:>9}  {report.status}")
            if any(products(report) != PROGRAMS[name][2](n) for report in reports.values()):
                print(differences(reports))
    return 0


if __name__ == "__main__":
    sys.exit(main())
