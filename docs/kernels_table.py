"""The table of docs/kernels.md: kernels of the jax package, each against its closed form.

`python docs/kernels_table.py` writes it for the installed versions.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

import hlo_count as hc
from hlo_count.layout import tabular, wrapped

PAGE = Path(__file__).parent / "kernels.md"
BF16, F16, F32, S32 = jnp.bfloat16, jnp.float16, jnp.float32, jnp.int32
TPUS, GPUS = ("tpu:v5e", "tpu:v6e"), ("h100-sxm",)
M, K, N = 1024, 2048, 512
B, H, T, D = 2, 4, 1024, 128
ATTENTION = 4 * B * H * T**2 * D
BLOCKS = T // 128
BELOW = BLOCKS * (BLOCKS + 1) / 2 / BLOCKS**2
"""Of the blocks of 128 queries and keys, those that a causal mask leaves something of."""


@dataclass(frozen=True)
class Kernel:
    """A kernel, or one with its gradient; `flops` is what its products come to, and `formula` why."""

    name: str
    make: Callable[[], tuple[Callable[..., Any], tuple[Any, ...]]]
    flops: float
    formula: str
    targets: tuple[str, ...] = TPUS


def shapes(*each: tuple[tuple[int, ...], Any]) -> tuple[Any, ...]:
    return tuple(jax.ShapeDtypeStruct(*one) for one in each)


def gradient(attend: Callable[..., Any]) -> Callable[..., Any]:
    return jax.grad(lambda *qkv: attend(*qkv).astype(F32).sum(), argnums=(0, 1, 2))


def matmul() -> Any:
    from jax.experimental.pallas.ops.tpu.matmul import matmul

    return functools.partial(matmul, block_shape=(256, 256), block_k=512), shapes(((M, K), BF16), ((K, N), BF16))


def flash(causal: bool = False, differentiated: bool = False) -> Any:
    from jax.experimental.pallas.ops.tpu.flash_attention import flash_attention

    attend = functools.partial(flash_attention, causal=causal)
    return gradient(attend) if differentiated else attend, shapes(*[((B, H, T, D), BF16)] * 3)


def splash(mask: str, differentiated: bool = False) -> Any:
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel, splash_attention_mask

    heads = [getattr(splash_attention_mask, mask)((T, T))] * H
    attend = splash_attention_kernel.make_splash_mha(
        splash_attention_mask.MultiHeadMask(heads), head_shards=1, q_seq_shards=1
    )
    return (
        gradient(lambda *qkv: attend(*qkv)) if differentiated else lambda *qkv: attend(*qkv),
        shapes(*[((H, T, D), BF16)] * 3),
    )


def grouped(differentiated: bool = False) -> Any:
    from jax.experimental.pallas.ops.tpu.megablox import gmm

    both = jax.grad(lambda *args: gmm(*args).astype(F32).sum(), argnums=(0, 1))
    return both if differentiated else gmm, shapes(((M, N), BF16), ((4, N, 256), BF16), ((4,), S32))


SEQUENCES, PAGES, SIZE, EACH = 8, 65536, 16, 64


def paged() -> Any:
    from jax.experimental.pallas.ops.tpu.paged_attention import paged_attention

    pool = ((8, PAGES, SIZE, D), BF16)
    lengths, indices = ((SEQUENCES,), S32), ((SEQUENCES, EACH), S32)
    attend = functools.partial(paged_attention, pages_per_compute_block=4)
    return attend, shapes(((SEQUENCES, 16, D), BF16), pool, pool, lengths, indices)


def ragged(**blocks: int) -> Any:
    from jax.experimental.pallas.ops.tpu.ragged_paged_attention import ragged_paged_attention

    indices, starts = ((SEQUENCES, EACH), S32), ((SEQUENCES + 1,), S32)
    return functools.partial(ragged_paged_attention, **blocks), shapes(
        ((512, 16, D), BF16), ((1024, SIZE, 16, D), BF16), ((SEQUENCES,), S32), indices, starts, ((1,), S32)
    )


def pipeline() -> Any:
    from jax.experimental.pallas import tpu as pltpu

    def step(x: Any, y: Any, out: Any) -> None:
        @pl.when(pl.program_id(2) == 0)
        def _() -> None:
            out[...] = jnp.zeros_like(out)

        out[...] += jnp.dot(x[...], y[...], preferred_element_type=F32)

    def kernel(x: Any, y: Any, out: Any) -> None:
        blocks = [lambda i, j, k: (i, k), lambda i, j, k: (k, j), lambda i, j, k: (i, j)]
        x_spec, y_spec, out_spec = (pl.BlockSpec((256, 256), each) for each in blocks)
        grid = (M // 256, N // 256, K // 256)
        pltpu.emit_pipeline(step, grid=grid, in_specs=[x_spec, y_spec], out_specs=[out_spec])(x, y, out)

    whole = pl.BlockSpec(memory_space=pl.ANY)
    made = pl.pallas_call(kernel, out_shape=jax.ShapeDtypeStruct((M, N), F32), in_specs=[whole] * 2, out_specs=whole)
    return made, shapes(((M, K), BF16), ((K, N), BF16))


def gpu_attention(causal: bool = False, differentiated: bool = False) -> Any:
    from jax.experimental.pallas.ops.gpu.attention import mha

    attend = functools.partial(mha, segment_ids=None, causal=causal)
    return gradient(attend) if differentiated else attend, shapes(*[((B, T, H, D), F16)] * 3)


def gpu_decoding() -> Any:
    from jax.experimental.pallas.ops.gpu.decode_attention import mqa

    return mqa, shapes(((8, 32, D), F16), *[((8, T, D), F16)] * 2)


def mosaic_gpu() -> Any:
    from jax.experimental.pallas.ops.gpu import attention_mgpu

    config = attention_mgpu.TuningConfig(block_q=64, block_kv=64, max_concurrent_steps=2)
    return lambda *qkv: attention_mgpu.attention(*qkv, config), shapes(*[((B, T, H, D), F16)] * 3)


BELOW_32 = (T // 32 * (T // 32 + 1) / 2) / (T // 32) ** 2
KERNELS = [
    Kernel("matmul", matmul, 2 * M * N * K, "2·m·n·k"),
    Kernel("flash attention", flash, ATTENTION, "4·B·H·T²·D"),
    Kernel("flash, with gradient", lambda: flash(differentiated=True), ATTENTION * 9 / 2, "9/2 of it"),
    Kernel("flash, causal", lambda: flash(causal=True), ATTENTION * BELOW, "36/64 of it"),
    Kernel(
        "flash, causal, gradient",
        lambda: flash(causal=True, differentiated=True),
        ATTENTION * BELOW * 9 / 2,
        "9/2 of 36/64",
    ),
    Kernel("splash", lambda: splash("FullMask"), ATTENTION / B, "4·H·T²·D"),
    Kernel("splash, with gradient", lambda: splash("FullMask", True), ATTENTION / B * 9 / 2, "9/2 of it"),
    Kernel("splash, causal", lambda: splash("CausalMask"), ATTENTION / B * BELOW, "36/64 of it"),
    Kernel(
        "splash, causal, gradient", lambda: splash("CausalMask", True), ATTENTION / B * BELOW * 9 / 2, "9/2 of 36/64"
    ),
    Kernel("megablox gmm", grouped, 2 * M * N * 256, "2·m·k·n"),
    Kernel("gmm, with gradient", lambda: grouped(True), 2 * 2 * M * N * 256, "two of it"),
    Kernel("paged attention", paged, 4 * SEQUENCES * 16 * EACH * SIZE * D, "4·S·H·keys·D at most"),
    Kernel(
        "ragged paged attention",
        lambda: ragged(num_kv_pages_per_block=8, num_queries_per_block=32),
        4 * 512 * 16 * EACH * SIZE * D,
        "4·S·H·keys·D at most",
    ),
    Kernel("the same, no block sizes", ragged, 4 * 512 * 16 * EACH * SIZE * D, "the same"),
    Kernel("emit_pipeline matmul", pipeline, 2 * M * N * K, "2·m·n·k"),
    Kernel("attention", gpu_attention, ATTENTION, "4·B·H·T²·D", GPUS),
    Kernel(
        "attention, with gradient", lambda: gpu_attention(differentiated=True), ATTENTION * 9 / 2, "9/2 of it", GPUS
    ),
    Kernel("attention, causal", lambda: gpu_attention(causal=True), ATTENTION * BELOW, "36/64 of it", GPUS),
    Kernel(
        "attention, causal, gradient",
        lambda: gpu_attention(causal=True, differentiated=True),
        ATTENTION * (BELOW + BELOW_32 * 7 / 2),
        "its blocks are of 32",
        GPUS,
    ),
    Kernel("decoding (mqa)", gpu_decoding, 4 * 8 * 32 * T * D, "4·B·H·keys·D", GPUS),
    Kernel("attention_mgpu", mosaic_gpu, ATTENTION, "4·B·H·T²·D", GPUS),
]


def counted(kernel: Kernel, target: str) -> tuple[str, str, str, str]:
    """FLOP of products, bytes, the status, and what could not be read."""
    fn, arguments = kernel.make()
    try:
        report = hc.count(fn, *arguments, target=target)
    except hc.TargetError as problem:
        return "", "", "refused", str(problem)
    products = report.by("class").get("matmul", hc.Cost()).flops
    reasons = [unknown.reason.partition(": (")[0].removeprefix("is a kernel that ") for unknown in report.unknowns]
    shown = f"{products:,} {'=' if products == kernel.flops else ' '}"
    return shown, f"{report.bytes:,}", report.status, "; and ".join(dict.fromkeys(reasons))


def table(kernels: list[Kernel] = KERNELS) -> str:
    """All kernels on the targets that each is for, and below it the reasons that the last column numbers."""
    notes: dict[str, int] = {}
    rows = []
    for kernel in kernels:
        for target in kernel.targets:
            products, size, status, why = counted(kernel, target)
            number = f" ({notes.setdefault(why, len(notes) + 1)})" if why else ""
            closed = f"{ceil(kernel.flops):,}"
            rows.append((kernel.name, target, products, closed, kernel.formula, size, status + number))
    headers = ("kernel", "target", "FLOP of products", "closed form", "which is", "bytes", "status")
    lines = tabular(rows, headers, ("left", "left", "right", "right", "left", "right", "left")).splitlines()
    for reason, number in notes.items():
        lines += ["", *wrapped(f"({number}) {reason}", 116, others="    ")]
    return "\n".join(lines)


def main() -> None:
    """Write the table between its marks."""
    text = f"```text\njax {jax.__version__}\n\n{table()}\n```\n"
    PAGE.write_text(re.sub(r"```text\njax .*?```\n", lambda _: text, PAGE.read_text(), flags=re.S))


if __name__ == "__main__":
    main()
