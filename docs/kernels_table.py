"""The table of docs/kernels.md: kernels of the jax package, each against its closed form.

`python docs/kernels_table.py` writes it for the installed versions.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import ceil
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import jax

sys.path.insert(0, str(Path(__file__).parent))

import kernel_examples as ex
from kernel_examples import B, D, H, K, M, N, T

import hlo_count as hc
from hlo_count.layout import columns, tabular, wrapped

PAGE = Path(__file__).parent / "kernels.md"
WIDE = 150
"""Columns of a page's block of text."""
TPUS, HOPPER, BLACKWELL = ("tpu:v5e", "tpu:v6e"), ("h100-sxm",), ("b200",)
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


BELOW_32 = (T // 32 * (T // 32 + 1) / 2) / (T // 32) ** 2
KERNELS = [
    Kernel("matmul", ex.matmul, 2 * M * N * K, "2·m·n·k"),
    Kernel("flash attention", ex.flash, ATTENTION, "4·B·H·T²·D"),
    Kernel("flash, with gradient", partial(ex.flash, differentiated=True), ATTENTION * 9 / 2, "9/2 of it"),
    Kernel("flash, causal", partial(ex.flash, causal=True), ATTENTION * BELOW, "36/64 of it"),
    Kernel("flash, causal, gradient", partial(ex.flash, True, True), ATTENTION * BELOW * 9 / 2, "9/2 of 36/64"),
    Kernel("splash", partial(ex.splash, "FullMask"), ATTENTION / B, "4·H·T²·D"),
    Kernel("splash, with gradient", partial(ex.splash, "FullMask", True), ATTENTION / B * 9 / 2, "9/2 of it"),
    Kernel("splash, causal", partial(ex.splash, "CausalMask"), ATTENTION / B * BELOW, "36/64 of it"),
    Kernel(
        "splash, causal, gradient",
        partial(ex.splash, "CausalMask", True),
        ATTENTION / B * BELOW * 9 / 2,
        "9/2 of 36/64",
    ),
    Kernel("megablox gmm", ex.grouped, 2 * M * N * ex.COLUMNS, "2·m·k·n"),
    Kernel("gmm, with gradient", partial(ex.grouped, True), 2 * 2 * M * N * ex.COLUMNS, "two of it"),
    Kernel("paged attention", ex.paged, 4 * ex.SEQUENCES * 16 * ex.EACH * ex.SIZE * D, "4·S·H·keys·D at most"),
    Kernel(
        "ragged paged attention",
        partial(ex.ragged, num_kv_pages_per_block=8, num_queries_per_block=32),
        4 * 512 * 16 * ex.EACH * ex.SIZE * D,
        "4·S·H·keys·D at most",
    ),
    Kernel("the same, no block sizes", ex.ragged, 4 * 512 * 16 * ex.EACH * ex.SIZE * D, "the same"),
    Kernel("emit_pipeline", ex.pipeline, 2 * M * N * K, "2·m·n·k"),
    Kernel("loop with manual DMA", ex.manual, 2 * M * N * K, "2·m·n·k"),
    Kernel("scalar prefetch", ex.prefetched, 2 * M * N * 256, "2·m·n·256"),
    Kernel("ring of remote DMAs", ex.ring, 0, "3/4 of 4 MiB sent", tuple(f"{each}:2x2" for each in TPUS)),
    Kernel("SparseCore copies", ex.sparse_cores, 0, "2·32·4096 moved"),
    Kernel("attention", ex.gpu_attention, ATTENTION, "4·B·H·T²·D", HOPPER),
    Kernel(
        "attention, with gradient",
        partial(ex.gpu_attention, differentiated=True),
        ATTENTION * 9 / 2,
        "9/2 of it",
        HOPPER,
    ),
    Kernel("attention, causal", partial(ex.gpu_attention, causal=True), ATTENTION * BELOW, "36/64 of it", HOPPER),
    Kernel(
        "attention, causal, gradient",
        partial(ex.gpu_attention, True, True),
        ATTENTION * (BELOW + BELOW_32 * 7 / 2),
        "its blocks are of 32",
        HOPPER,
    ),
    Kernel("decoding (mqa)", ex.gpu_decoding, 4 * 8 * 32 * T * D, "4·B·H·keys·D", HOPPER),
    Kernel("attention_mgpu", ex.mosaic_attention, ATTENTION, "4·B·H·T²·D", HOPPER),
    Kernel("attention_mgpu, gradient", partial(ex.mosaic_attention, True), ATTENTION * 9 / 2, "9/2 of it", HOPPER),
    Kernel("hopper_matmul_mgpu", ex.hopper, 2 * M * N * K, "2·m·n·k", HOPPER),
    Kernel(
        "ragged_dot_mgpu", ex.ragged_dot, 2 * (M + 3 * ex.TILE) * N * ex.COLUMNS, "2·(m + 3·64)·k·n at most", HOPPER
    ),
    Kernel("transposed_ragged_dot_mgpu", partial(ex.ragged_dot, True), 2 * M * N * ex.COLUMNS, "2·m·k·n", HOPPER),
    Kernel("hopper_mixed_type_matmul_mgpu", ex.mixed, 2 * M * N * K, "2·m·n·k", HOPPER),
    Kernel("all_gather_mgpu", ex.all_gather, 0, "7/8 of 1 MiB sent", ("h100-sxm:8",)),
    Kernel("blackwell_matmul_mgpu", partial(ex.blackwell, False), 2 * M * N * K, "2·m·n·k", BLACKWELL),
    Kernel("the same, pairs of blocks", partial(ex.blackwell, True), 2 * M * N * K, "2·m·n·k", BLACKWELL),
]


def counted(number: int, target: str) -> tuple[str, str, str, str]:
    """FLOP of products, bytes, the status, and what could not be read."""
    kernel = KERNELS[number]
    fn, arguments = kernel.make()
    try:
        report = hc.count(fn, *arguments, target=target)
    except hc.TargetError as problem:
        return "", "", "refused", str(problem)
    products = report.by("class").get("matmul", hc.Cost()).flops
    reasons = [unknown.reason.partition(": (")[0].removeprefix("is a kernel that ") for unknown in report.unknowns]
    shown = f"{products:,} {'=' if products == kernel.flops else ' '}"
    sent = f" + {report.network_bytes:,}" if report.network_bytes else ""
    return shown, f"{report.bytes:,}{sent}", report.status, "; and ".join(dict.fromkeys(reasons))


def table() -> str:
    """All kernels on the targets that each is for, and below it the reasons that the last column numbers."""
    found: dict[tuple[int, str], tuple[str, str, str, str]] = {}
    asked = [(n, target) for n, kernel in enumerate(KERNELS) for target in kernel.targets]
    for kind in dict.fromkeys(target.partition(":")[0] for _, target in asked):
        # JAX's CUDA plugin compiles Mosaic in each process for one kind of GPU.
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            these = [each for each in asked if each[1].partition(":")[0] == kind]
            found |= zip(these, process.map(counted, *zip(*these, strict=True)), strict=True)
    notes: dict[str, int] = {}
    rows = []
    for (n, target), (products, size, status, why) in ((each, found[each]) for each in asked):
        number = f" ({notes.setdefault(why, len(notes) + 1)})" if why else ""
        closed = f"{ceil(KERNELS[n].flops):,}"
        rows.append((KERNELS[n].name, target, products, closed, KERNELS[n].formula, size, status + number))
    headers = ("kernel", "target", "FLOP of products", "closed form", "which is", "bytes", "status")
    lines = tabular(rows, headers, ("left", "left", "right", "right", "left", "right", "left")).splitlines()
    for reason, number in notes.items():
        lines += ["", *wrapped(f"({number}) {reason}", 116, others="    ")]
    return "\n".join(lines)


def main() -> None:
    """Write the table between its marks."""
    with columns(WIDE):
        text = f"```text\njax {jax.__version__}\n\n{table()}\n```\n"
    PAGE.write_text(re.sub(r"```text\njax .*?```\n", lambda _: text, PAGE.read_text(), flags=re.S))


if __name__ == "__main__":
    main()
