"""Where `count` is called from: a notebook's event loop, a thread of it, before and after JAX; ten targets in a row."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hlo_count.lowering import gpu, tpu

TARGETS = [
    "cpu",
    *(["tpu:v5e", "tpu:v4", "tpu:v5p:2x2x2", "tpu:v6e", "tpu:v7"] if tpu.installed() else []),
    *(["v100-sxm2", "a100-sxm-80gb", "h100-sxm:8", "b200"] if gpu.installed() else []),
]

# A cell of a notebook runs in a thread whose event loop is running.
SCRIPT = """
import asyncio, os, sys
how, targets = sys.argv[1], sys.argv[2].split()
if how == "after":
    import jax, jax.numpy as jnp
    assert float(jnp.ones(3).sum()) == 3
    before, settings = dict(os.environ), dict(jax.config.values)
import hlo_count as hc
import numpy as np
x, w = np.ones((64, 128), np.float32), np.ones((128, 256), np.float32)
def product(x, w):
    return x @ w
def matmul(target):
    report = hc.count(product, x, w, target=target)
    assert report.by("class")["matmul"].flops == 2 * 64 * 128 * 256, target
    assert report.target == target and target in str(report)
    assert "<table" in report._repr_html_()
async def notebook():
    for target in targets:
        matmul(target)
    await asyncio.to_thread(matmul, targets[-1])
    await asyncio.gather(*(asyncio.to_thread(matmul, target) for target in targets[:3]))
asyncio.run(notebook())
import jax, jax.numpy as jnp
assert jax.default_backend() == "cpu" and float(jnp.ones(3).sum()) == 3
if how == "after":
    assert dict(os.environ) == before and dict(jax.config.values) == settings
"""


@pytest.mark.parametrize("how", ["before", "after"], ids=["before JAX was used", "after JAX was used on CPU"])
def test_ten_targets_from_a_notebook(how):
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, how, " ".join(TARGETS)],
        env={**environment, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    if how == "before":  # a process that starts JAX itself hears its plugins before us
        assert done.stderr == ""
