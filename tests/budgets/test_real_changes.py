"""Changes that make a program dearer without anyone noticing: each is caught, and the message names the line.

A test takes a snapshot of the program as it was, holds the changed one to it or to a budget, and looks for the line
that is marked `# guilty` in this file.
"""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

from hlo_count.budgets.hold import SnapshotPlace, hold_budget, hold_snapshot
from hlo_count.budgets.snapshot import save_snapshots
from hlo_count.lowering import tpu

HERE = Path(__file__)
needs_tpu = pytest.mark.skipif(not tpu.installed(), reason=f"libtpu is not installed: {tpu.REMEDY}")


def guilty(mark: str) -> str:
    """`test_real_changes.py:31`: the line that ends in this mark."""
    (number,) = [n for n, line in enumerate(HERE.read_text().splitlines(), 1) if line.endswith(f"# guilty: {mark}")]
    return f"test_real_changes.py:{number}"


def shape(*dimensions: int, dtype: str = "float32") -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(dimensions, dtype)


@pytest.fixture
def place(tmp_path: Path) -> SnapshotPlace:
    return SnapshotPlace(tmp_path / "__flops__" / "test_model.json", "test_step", HERE.parent)


def message(before, after, args, place: SnapshotPlace, **keywords) -> str:
    """What the snapshot of `before` says about `after`."""
    after.__name__ = after.__qualname__ = before.__name__
    taken = hold_snapshot(before, args, keywords, place, rel=0, ops=False, update=True)
    assert taken.failure is None
    save_snapshots(place.file, {place.key: taken.record["snapshot"]})
    assert hold_snapshot(before, args, keywords, place, rel=0, ops=True, update=False).failure is None
    failure = hold_snapshot(after, args, keywords, place, rel=0.02, ops=False, update=False).failure
    assert failure is not None
    text = str(failure)
    assert all(len(line) <= 92 for line in text.splitlines()), text
    return text


def grown(text: str, counter: str) -> str:
    """The first line under "grew … by source line" of a counter: what grew most."""
    head = f"grew against the snapshot: {counter}, by source line\n"
    assert head in text, text
    return text.partition(head)[2].splitlines()[0]


def stack(block):
    def loss(x, ws):
        for w in ws:
            x = block(x, w)
        return (x**2).sum()

    return jax.grad(loss, argnums=1)


def block(x, w):
    h = x @ w
    a = jnp.sin(h) * jnp.cos(h) * jnp.tanh(h)  # guilty: checkpoint
    return x + a @ w.T


def test_a_checkpoint_that_is_gone_keeps_the_activations_in_memory(place):
    args = (shape(512, 64), [shape(64, 512) for _ in range(6)])
    text = message(stack(jax.checkpoint(block)), stack(block), args, place)
    assert text.startswith("peak_bytes ")
    assert guilty("checkpoint") in grown(text, "peak_bytes")


def norm(x, g):
    centered = x - x.mean(-1, keepdims=True)
    return centered * jax.lax.rsqrt((centered**2).mean(-1, keepdims=True) + 1e-6) * g


def mlp(x, w, v, g):
    h = jax.nn.relu(norm(x, g) @ w)
    return h @ v


def mlp_in_f64(x, w, v, g):
    h = jax.nn.relu(norm(x, g) @ w)
    return h.astype("float64") @ v  # guilty: f64


MLP = (shape(64, 128), shape(128, 256), shape(256, 128), shape(128))


@pytest.fixture
def x64():
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.mark.usefixtures("x64")
def test_an_accidental_f64(place):
    text = message(mlp, mlp_in_f64, MLP, place)
    assert "flops of matmul f64" in text
    for counter in ("other_ops", "peak_bytes", "bytes"):
        assert guilty("f64") in grown(text, counter)
    failure = hold_budget(mlp_in_f64, MLP, {"forbid": ["f64"]}, place, update=False).failure
    assert str(failure).startswith("forbidden f64: ")
    listed = str(failure).partition("instructions that match f64, by source line\n")[2]
    assert guilty("f64") in listed.splitlines()[0]


BF16 = [shape(*s.shape, dtype="bfloat16") for s in MLP]


def mlp_in_f32(x, w, v, g):
    h = jax.nn.relu(norm(x, g) @ w)
    return h.astype("float32") @ v  # guilty: f32


@needs_tpu
def test_an_accidental_upcast_on_tpu(place):
    text = message(mlp, mlp_in_f32, BF16, place, target="tpu:v5e")
    for counter in ("peak_bytes", "bytes"):
        assert guilty("f32") in grown(text, counter)


def scaled_sum(x, y):
    scaled = x * jnp.bfloat16(2)
    return scaled, y


def scaled_sum_in_f32(x, y):
    scaled = x * jnp.float32(2)  # guilty: promotion
    return scaled, y


def test_an_accidental_promotion_to_f32(place):
    args = (shape(256, 256, dtype="bfloat16"), shape(4))
    text = message(scaled_sum, scaled_sum_in_f32, args, place)
    assert guilty("promotion") in grown(text, "bytes")
    assert guilty("promotion") in grown(text, "peak_bytes")


def attend(q, k, v):
    """Softmax of a block of queries at a time: the scores of all of them are never there at once."""

    def of_block(block):
        return jax.nn.softmax(block @ k.T) @ v

    return jax.lax.map(of_block, q.reshape(8, -1, 64)).reshape(q.shape)


def attend_materialized(q, k, v):
    scores = q @ k.T
    return jax.nn.softmax(scores) @ v  # guilty: softmax


def test_a_softmax_that_materializes(place):
    text = message(attend, attend_materialized, (shape(512, 64),) * 3, place)
    assert text.startswith("peak_bytes ")
    grew = text.partition("grew against the snapshot: peak_bytes, by source line\n")[2].partition("by scope")[0]
    assert guilty("softmax") in grew, text


def softmax(x):
    return jax.nn.softmax(x)


def softmax_materialized(x):
    e = jnp.exp(x - x.max(-1, keepdims=True))
    e = jax.lax.optimization_barrier(e)  # an identity that stands for whatever keeps e out of the fusion
    return e / e.sum(-1, keepdims=True)


@needs_tpu
def test_a_softmax_that_leaves_its_fusion_on_tpu(place):
    text = message(softmax, softmax_materialized, (shape(16384, 4096),), place, target="tpu:v5e")
    assert "test_real_changes.py" in grown(text, "bytes")


def tensor_parallel(x, w, v):
    h = jax.nn.relu(x @ w)
    return h @ v


def gathered(x, w, v):
    h = jax.lax.with_sharding_constraint(jax.nn.relu(x @ w), P())  # guilty: all-gather
    return h @ v  # guilty: use


@needs_tpu
def test_a_sharding_that_gathers_on_tpu(place):
    args = (shape(128, 512, dtype="bfloat16"), shape(512, 1024, dtype="bfloat16"), shape(1024, 512, dtype="bfloat16"))
    keywords = {
        "target": "tpu:v5e:2x4",
        "mesh": {"model": 8},
        "in_specs": (P(), P(None, "model"), P("model", None)),
    }
    text = message(tensor_parallel, gathered, args, place, **keywords)
    assert "all-gather bf16 over 8" in text
    limits = {"max_ops": {"all-gather": 0}}
    assert hold_budget(tensor_parallel, args, limits | keywords, place, update=False).failure is None
    failure = str(hold_budget(gathered, args, limits | keywords, place, update=False).failure)
    assert failure.startswith("ops all-gather 1 is over 0 (+1)")
    listed = failure.partition("instructions that match all-gather, by source line\n")[2]
    assert guilty("all-gather") in listed.splitlines()[0]
    assert f"{guilty('use')} in" in listed.splitlines()[1]
