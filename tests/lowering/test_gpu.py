"""Compiling for NVIDIA GPUs that are not there, with JAX's CUDA plugin."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

from hlo_count.errors import TargetError
from hlo_count.lowering import dump_passes, gpu, lower, targets

pytestmark = pytest.mark.skipif(not gpu.installed(), reason=f"cannot compile for CUDA here: {gpu.REMEDY}")

X = jax.ShapeDtypeStruct((64, 128), jnp.float16)
W = jax.ShapeDtypeStruct((128, 256), jnp.float16)


def matmul(x, w):
    return jnp.tanh(x @ w)


@pytest.mark.parametrize("name", gpu.GPUS)
def test_each_gpu_compiles(name):
    program = lower(matmul, (X, W), target=name)
    assert (program.backend, program.num_devices) == ("gpu", 1)
    assert program.device_kind == gpu.GPUS[name].device_kind
    assert "__triton" in program.text or "__cublas" in program.text


def test_eight_of_them():
    assert lower(matmul, (X, W), target="h100-sxm:8").num_devices == 1
    program = lower(matmul, (X, W), target="h100-sxm:8", mesh={"data": 8}, in_specs=(P("data"), P("data")))
    assert (program.num_devices, program.mesh) == (8, (("data", 8),))
    layout = re.search(r"entry_computation_layout=\{\((.*?)\)->", program.text)[1]
    assert re.findall(r"f16\[[\d,]*\]", layout) == ["f16[8,128]", "f16[16,256]"]
    assert "all-gather" in program.text


def test_names_that_mean_the_same():
    first, second = (lower(matmul, (X, W), target=target) for target in ("H100", "NVIDIA H100 80GB HBM3"))
    assert first.device_kind == second.device_kind == gpu.GPUS["h100-sxm"].device_kind


def test_more_than_there_are():
    with pytest.raises(TargetError, match=r"needs 8 devices and h100-sxm has 1: .*h100-sxm:8"):
        lower(matmul, (X, W), target="h100-sxm", mesh={"data": 8})


def test_an_operation_that_needs_a_gpu_at_hand_is_named():
    def printing(x):
        jax.debug.callback(lambda value: None, x)
        return x

    with pytest.raises(TargetError, match="debug_callback cannot be lowered for h100-sxm"):
        lower(printing, (X,), target="h100-sxm")


def test_a_missing_assembler_is_named_with_its_remedy():
    assert gpu.remedy("libdevice not found at ./libdevice.10.bc").endswith(gpu.REMEDY)
    assert gpu.remedy("out of memory") == ""


def test_a_jax_without_memory_for_a_gpu_that_is_not_there_is_told_the_least_that_has():
    said = "Could not find memory addressable by device NVIDIA H100 80GB HBM3. Got memory kind: device"
    assert gpu.remedy(said).endswith("use JAX 0.9 or newer")


LOUD = """
import os, sys
import hlo_count.lowering as lowering
import numpy as np
def sort(x):
    import jax.numpy as jnp
    print("traced", file=sys.stderr)
    os.write(2, b"traced too\\n")
    return jnp.sort(x)
assert lowering.lower(sort, (np.ones(262144, np.float32),), target="b200").backend == "gpu"
"""


def test_what_the_compiler_logs_stays_off_the_screen_and_what_the_function_prints_does_not():
    # XLA has no table of scratch sizes of a B200's sorts and warns of it; a process of its own, for it does so once.
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", LOUD], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "traced\ntraced too\n"


def test_passes_are_dumped(tmp_path):
    assert dump_passes(matmul, (X, W), None, tmp_path, target="a100-sxm-40gb").backend == "gpu"
    assert any("fusion" in path.name for path in tmp_path.glob("*.after_*.txt"))


def test_the_list_says_that_they_are_there():
    listed = {info.name: info for info in targets()}
    assert all(listed[name].available for name in gpu.GPUS)


def test_what_the_plugin_does_not_know_of_a_gpu_is_left_out(monkeypatch):
    described = []

    def plugin_of_an_older_jax(name, count, config):
        if "thread_dim_limit" in config or "device_vendor" in config:
            raise RuntimeError("FAILED_PRECONDITION: Failed to parse GpuTargetConfigProto")
        described.append(config)
        return config

    monkeypatch.setattr(gpu, "_topology", plugin_of_an_older_jax)
    assert gpu._described("h100-sxm", 1) == described[-1]
    for left in ("core_count: 132", "cuda_compute_capability: { major: 9 minor: 0 }", 'platform_name: "CUDA"'):
        assert left in described[-1]
    assert len(gpu.target_config(gpu.GPUS["h100-sxm"])) > len(described[-1])
