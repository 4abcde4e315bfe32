"""The folder that a training run of flax leaves: helpers, passes, and a retrace in the middle of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import hlo_count as hc
from hlo_count.cli import main

pytest.importorskip("flax", reason="needs flax")
pytest.importorskip("optax", reason="needs optax")

TRAINING = """
import flax.linen as nn, jax, jax.numpy as jnp, optax

class Mlp(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(4)(nn.relu(nn.Dense(32)(x)))

model, optimizer = Mlp(), optax.sgd(0.1)

@jax.jit
def train_step(params, state, x, y):
    def loss(params):
        return optax.softmax_cross_entropy_with_integer_labels(model.apply(params, x), y).mean()
    updates, state = optimizer.update(jax.grad(loss)(params), state)
    return optax.apply_updates(params, updates), state

params = model.init(jax.random.key(0), jnp.ones((1, 8)))
state = optimizer.init(params)
for size in (16, 16, 16, 5):                          # what is left of an epoch
    params, state = train_step(params, state, jnp.ones((size, 8)), jnp.zeros(size, int))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flax") / "dumps"
    flags = f"--xla_dump_to={folder} --xla_dump_hlo_as_text --xla_dump_hlo_pass_re=fusion|simplif"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, "JAX_ENABLE_COMPILATION_CACHE": "0"}
    subprocess.run([sys.executable, "-c", TRAINING], env=environment, check=True, capture_output=True)
    return folder


def test_the_step_was_compiled_twice_for_two_sizes_of_batch(run: Path) -> None:
    job = hc.read_job(run)
    assert job.problems == []
    again = next(each for each in job.retraces if each.name == "jit_train_step")
    (changed,) = again.changes
    shapes = next(change.what for change in changed if change.kind == "shapes")
    assert shapes == "x f32[16,8] -> f32[5,8], y s32[16] -> s32[5]"
    assert not {"arguments", "shardings", "devices"} & {change.kind for change in changed}
    # forward, the gradients of both kernels, and of what is between: 2·n·k·m each
    for row, n in zip(again.compiles, (16, 5), strict=True):
        products = row.report.by("class")["matmul"].flops
        assert products == 2 * n * (2 * 8 * 32 + 3 * 32 * 4)
    assert len({row.name for row in job.rows}) > 2  # what flax and optax compile beside it


def test_totals_are_those_of_the_modules(run: Path) -> None:
    job = hc.read_job(run)
    assert job.total.bytes == sum(hc.count(run, module=row.label).bytes for row in job.rows)
    for row in job.rows:
        assert row.counts is not None
        assert row.xla_peak_bytes is not None
        # XLA packs temporaries of the same time into one allocation, with gaps: 64 bytes for each to begin at
        assert row.counts.peak_bytes <= row.xla_peak_bytes <= row.counts.peak_bytes + 64 * row.counts.instructions


def test_passes_of_one_of_the_two(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["passes", str(run), "--module", "jit_train_step#2"]) == 0
    label = [row.label for row in hc.read_job(run, name="jit_train_step").compiles][1]
    assert capsys.readouterr().out.startswith(label)
