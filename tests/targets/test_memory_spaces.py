"""`by("memory_space")`: the device's main memory, memory on the chip, the host's."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from environment import compiled_for
from fixture_files import compiled_names, text

import hlo_count as hc

SIDE = 1024
X = jax.ShapeDtypeStruct((SIDE, SIDE), jnp.float32)
MATRIX = 4 * SIDE**2
MAIN = {"cpu": "DRAM", "tpu-v5e": "HBM", "h100": "HBM"}


@pytest.mark.parametrize("backend", MAIN)
def test_the_main_memory_of_each_backend_has_the_bytes_of_the_report(backend):
    for name in compiled_names(backend):
        counted = hc.Report(hc.parse(text(backend, name)), backend=backend.partition("-")[0].replace("h100", "gpu"))
        spaces = counted.by("memory_space")
        main = spaces.get(MAIN[backend], hc.Cost())
        assert (main.bytes_read, main.bytes_written) == (counted.bytes_read, counted.bytes_written), name
        assert set(spaces) <= {MAIN[backend], "VMEM/on-chip"}, name
        assert not any(cost.flops or cost.network_bytes for cost in spaces.values())


def test_what_stays_on_the_chip_is_no_traffic_with_main_memory():
    on_chip = "f32[1024]{0:T(1024)S(1)}"
    module = f"HloModule m\nENTRY e {{ p = f32[1024]{{0:T(1024)}} parameter(0) a = {on_chip} tanh(p)\n"
    module += f"  b = {on_chip} tanh(a) ROOT r = f32[1024]{{0:T(1024)}} tanh(b) }}"
    spaces = hc.count(module).by("memory_space")
    assert (spaces["HBM"].bytes_read, spaces["HBM"].bytes_written) == (4096, 4096)  # p; r
    assert (spaces["VMEM/on-chip"].bytes_read, spaces["VMEM/on-chip"].bytes_written) == (8192, 8192)  # a, b


def test_numbers_beside_an_asynchronous_collective_are_on_the_chip():
    assert "S(4)" in text("tpu-v5e", "transformer_step_fsdp")
    assert hc.count(text("tpu-v5e", "transformer_step_fsdp")).unknowns == []


@pytest.mark.skipif(not hasattr(jax, "memory"), reason="jax.memory.Space came with jax 0.7")
@pytest.mark.parametrize("target", compiled_for("cpu", "tpu:v5e", "h100-sxm"))
def test_what_is_offloaded_to_the_host_is_apart(target):
    def offload(x, w):
        kept = jax.device_put(jnp.tanh(x @ w), jax.memory.Space.Host)
        return jnp.sin(x @ w.T), kept

    counted = hc.count(jax.jit(offload), X, X, target=target)
    spaces = counted.by("memory_space")
    if target == "cpu":  # the host's memory is its own
        assert set(spaces) == {"DRAM"}
        return
    assert (spaces["host"].bytes_read, spaces["host"].bytes_written) == (0, MATRIX)
    assert spaces["HBM"].bytes == counted.bytes
    table = counted.table("memory_space")
    assert "host" in table and "HBM" in table
