"""All FLOP of a program, not those of its matmuls alone, agree between targets and with the compiler's own figure."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from environment import WITH_GPU, WITH_TPU, compiled_for

import hlo_count as hc
from benchmarks.totals import PROGRAMS, counted, products

TARGETS = ("cpu", "tpu:v4", "tpu:v5e", "tpu:v6e", "tpu:v7", "h100-sxm")
AGREE = {
    # CPU makes each of the two reductions start with one application more for each row: 2 of 4n.
    "softmax": 1.005,
    # CPU and TPU subtract the mean twice, for the variance and for the result; H100 keeps the difference: 6n and 5n.
    "layer_norm": 1.21,
    # What is free: whether a softmax is divided before or after the product, and how often it is made again.
    "attention": 1.01,
    "attention_backward": 1.03,
    "transformer_step": 1.02,
}
"""How far apart the totals of two targets may be, and which choice of the compilers makes them differ."""

report = cache(counted)


@WITH_TPU
@WITH_GPU
@pytest.mark.parametrize(
    ("name", "n"),
    [
        *(("softmax", 256), ("layer_norm", 256), ("transformer_step", 128)),
        *(("attention", 128), ("attention", 256), ("attention_backward", 128), ("attention_backward", 256)),
    ],
)
def test_totals_agree_between_targets(name: str, n: int) -> None:
    totals = {target: report(name, n, target).flops for target in TARGETS}
    assert max(totals.values()) <= AGREE[name] * min(totals.values()), totals


@pytest.mark.parametrize("target", compiled_for(*TARGETS[1:]))
def test_a_softmax_is_four_operations_an_element(target: str) -> None:
    n = 256
    rows = 8 * n
    # the largest, the differences, the sum, the quotients
    assert report("softmax", n, target).flops == rows * ((n - 1) + n + (n - 1) + n)


@pytest.mark.parametrize("target", compiled_for(*TARGETS[1:]))
@pytest.mark.parametrize("n", [128, 256])
def test_attention_is_little_more_than_its_products(n: int, target: str) -> None:
    found = report("attention", n, target)
    assert products(found) == PROGRAMS["attention"][2](n)
    assert found.flops <= 1.1 * products(found)


@pytest.mark.parametrize("target", compiled_for(*TARGETS[1:]))
@pytest.mark.parametrize("n", [128, 256])
def test_attention_is_little_more_than_its_products_where_rows_are_windows(n: int, target: str) -> None:
    found = report("dot_product_attention", n, target)
    scores, again = PROGRAMS["dot_product_attention"][2](n) // 2, target in ("tpu:v6e", "tpu:v7")
    # v6e and v7 make the scores again for the sums and for the quotients rather than keep them.
    assert (products(found) - 2 * scores) // scores in (range(5) if again else (0,))
    assert (products(found) - 2 * scores) % scores == 0
    assert found.flops <= 1.1 * products(found)
    if target == "tpu:v5e" and n == 256:  # or else nothing is tested here
        windows = [entry for entry in found.entries if entry[0].opcode == "reduce-window"]
        assert [cost.flops for _, _, cost in windows] == [8 * n * (n - 1)]


@WITH_TPU
@pytest.mark.parametrize(
    ("name", "target"), [("layer_norm", "tpu:v5e"), ("attention", "tpu:v4"), ("attention_backward", "tpu:v4")]
)
def test_the_compiler_says_the_same(name: str, target: str) -> None:
    """Where no loop and no kernel of its own is in it; XLA takes selects, compares and integers for FLOP too."""
    found = report(name, 256, target)
    assert found.flops + found.int_ops + found.other_ops == analysed(found)


@WITH_TPU
def test_the_compiler_knows_windows_that_are_reductions() -> None:
    """XLA's analysis has such a window of n once and then one application a row, for all rows: less than they take."""
    n = 256
    rows = 8 * n
    found = report("softmax", n, "tpu:v5e")
    assert analysed(found) == 2 * rows * n + 2 * (rows + n - 1)


def analysed(found: hc.Report) -> int:
    """FLOP by the compiler that made the program."""
    figures: Any = found.compiled.cost_analysis()
    return int((figures[0] if isinstance(figures, list) else figures)["flops"])
