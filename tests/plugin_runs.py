"""What the tests of the plugin run: a file that pytest is given, how it is run, and what it stores."""

from __future__ import annotations

import json
from importlib.metadata import entry_points

import pytest

from hlo_count.budgets import hold, run  # noqa: F401  stays loaded between the runs of pytester
from hlo_count.roofline import roofline  # noqa: F401

INSTALLED = any(e.value == "hlo_count.pytest_plugin" for e in entry_points(group="pytest11"))
# Hypothesis would load itself, and be unloaded, in every run.
OTHERS = ("-p", "no:hypothesispytest", "-p", "no:jaxtyping")  # plugins of others, which import what ours may not
PLUGIN = (*OTHERS, *(() if INSTALLED else ("-p", "hlo_count.pytest_plugin")))
MATMUL = 2 * 16 * 32 * 8  # FLOP of (16, 32) @ (32, 8)

HEAD = """
    import jax, jax.numpy as jnp, pytest

    X, W = jax.ShapeDtypeStruct((16, 32), "float32"), jax.ShapeDtypeStruct((32, 8), "float32")

    def matmul(x, w):
        return x @ w

    def twice(x, w):
        return jnp.sin(x @ w) + jnp.cos(x) @ w
"""


FOUR = """
    @pytest.mark.parametrize("n", [1, 2])
    def test_one(flop_snapshot, n):
        flop_snapshot(matmul, X, W)

    class TestTwo:
        def test_two(self, flop_snapshot):
            flop_snapshot(twice, X, W)

    def test_three(flop_snapshot):
        flop_snapshot(matmul, X, W, name="small")
"""

FOUR_KEYS = ["TestTwo::test_two", "test_one[1]", "test_one[2]", "test_three / small"]

SNAPSHOT = """
    def test_step(flop_snapshot):
        flop_snapshot({fn}, X, W{more})
"""


def stored(pytester: pytest.Pytester, name: str = "test_model") -> dict[str, dict]:
    return json.loads((pytester.path / "__flops__" / f"{name}.json").read_text())["snapshots"]
