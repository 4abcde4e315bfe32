"""Arrays in the host's memory: kept where the compiler knows of it, said where it does not."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from environment import WITH_GPU, WITH_TPU
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import NamedSharding, SingleDeviceSharding
from jax.sharding import PartitionSpec as P

import hlo_count as hc

if not hasattr(jax, "memory"):
    pytest.skip("needs jax.memory.Space", allow_module_level=True)

SHAPE, BYTES = (256, 256), 4 * 256 * 256
X = jax.ShapeDtypeStruct(SHAPE, jnp.float32)


def pinned(named=False):
    device = jax.devices("cpu")[0]
    if named:
        return NamedSharding(jax.sharding.Mesh([device], ("d",)), P(), memory_kind="pinned_host")
    return SingleDeviceSharding(device, memory_kind="pinned_host")


def on_host(named=False):
    return jax.ShapeDtypeStruct(SHAPE, jnp.float32, sharding=pinned(named))


def there_and_back(x):
    y = jax.device_put(jnp.tanh(x), jax.memory.Space.Host)
    return jax.device_put(y, jax.memory.Space.Device) @ x


def doubled(x):
    return 2 * x


def to_host(x):
    return jax.device_put(2 * x, pinned())


# (function, argument, what is said)
ASKED = {
    "an argument": (doubled, lambda: on_host(), "1 argument;"),
    "an argument on a mesh": (doubled, lambda: on_host(named=True), "1 argument;"),
    "an output": (jax.jit(doubled, out_shardings=pinned()), lambda: X, "1 output;"),
    "a transfer inside": (there_and_back, lambda: X, "1 transfer;"),
}


@WITH_GPU
@pytest.mark.parametrize("name", ASKED)
def test_what_a_gpu_target_drops_is_said(name):
    fn, argument, said = ASKED[name]
    report = hc.count(fn, argument(), target="h100-sxm")
    assert "host" not in report.by("memory_space")
    (note,) = report.notes
    assert "host memory (pinned_host)" in note and said in note
    assert (report.bytes_status, report.status) == ("lower bound", "exact")  # of the bytes alone


@WITH_GPU
@WITH_TPU
@pytest.mark.parametrize("target", ["h100-sxm", "tpu:v5e"])
def test_what_is_kept_is_counted_and_not_noted(target):
    policy = jax.checkpoint_policies.save_and_offload_only_these_names(
        names_which_can_be_saved=[], names_which_can_be_offloaded=["h"], offload_src="device", offload_dst="pinned_host"
    )

    def loss(w, x):
        return jax.checkpoint(lambda w: jnp.cos(checkpoint_name(jnp.sin(x @ w), "h") @ w).sum(), policy=policy)(w)

    report = hc.count(jax.grad(loss), X, X, target=target)
    assert (report.notes, report.bytes_status) == ([], "exact")
    assert report.by("memory_space")["host"].bytes == 2 * BYTES  # there, and back


@WITH_TPU
def test_an_argument_in_host_memory_is_read_from_there_on_tpu():
    moved = jax.jit(lambda x: 2 * jax.device_put(x, jax.memory.Space.Device))
    report = hc.count(moved, on_host(), target="tpu:v5e")
    assert report.notes == []
    assert report.by("memory_space")["host"].bytes == BYTES


def test_on_a_cpu_it_is_one_memory():
    assert hc.count(there_and_back, X, target="cpu").notes == []
