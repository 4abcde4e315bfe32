"""Names of targets: what they mean, what is said about those that mean nothing."""

from __future__ import annotations

import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from hlo_count.errors import HloCountError, TargetError
from hlo_count.lowering import gpu, lower, targets, tpu

X = jax.ShapeDtypeStruct((8, 16), jnp.float32)


def double(x):
    return x * 2


@pytest.mark.parametrize("target", ["cpu", "CPU", "local"])
def test_the_machine_at_hand_is_a_target(target):
    named, plain = (lower(double, (X,), target=each) for each in (target, None))  # one line: it is in the text
    assert (named.target, named.num_devices) == (target, 1)
    assert named.text == plain.text


def test_devices_and_meshes_are_targets():
    device = jax.devices("cpu")[0]
    mesh = jax.sharding.Mesh([device], ("data",))
    assert lower(double, (X,), target=device).target == "1 x cpu"
    assert lower(double, (X,), target=[device]).num_devices == 1
    assert lower(double, (X,), target=mesh.devices).num_devices == 1
    program = lower(double, (X,), target=mesh, in_specs=jax.sharding.PartitionSpec("data"))
    assert (program.target, program.num_devices) == ("mesh data=1", 1)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("h100-smx", "near names: h100-sxm"),
        ("tpu:v9", "near names: tpu:v"),
        ("tpu", "near names: tpu:v"),
        ("h100-sxm:0", "near names: h100-sxm"),
        ("cpu:8", "near names: cpu"),
        ("", "names: cpu, tpu:v5e"),
        ("mi300x", "machine with the GPU"),
        (7, "a jax Mesh or jax devices"),
        ([], "a jax Mesh or jax devices"),
    ],
)
def test_a_target_that_does_not_exist_is_told_apart_by_near_names(target, said):
    with pytest.raises(TargetError, match=said):
        lower(double, (X,), target=target)


@pytest.mark.parametrize(("module", "target", "extra"), [(tpu, "tpu:v5e:8x16", "tpu"), (gpu, "h100-sxm:7", "cuda")])
def test_a_missing_compiler_is_named_with_its_remedy(module, target, extra, monkeypatch):
    monkeypatch.setattr(module, "installed", lambda: False)
    monkeypatch.setattr(module, "_LEAST_JAX", "0.4.30")
    with pytest.raises(TargetError, match=rf'pip install "hlo-count\[{extra}\]"'):
        lower(double, (X,), target=target)
    listed = {info.name: info for info in targets()}[target.rsplit(":", 1)[0]]
    assert not listed.available
    assert f"hlo-count[{extra}]" in listed.note


@pytest.mark.parametrize(("module", "target"), [(tpu, "tpu:v5e:8x16"), (gpu, "h100-sxm:7")])
def test_a_jax_that_is_too_old_is_told_the_least_that_works(module, target, monkeypatch):
    monkeypatch.setattr(module, "_LEAST_JAX", "99.0.1")
    with pytest.raises(
        TargetError, match=rf"targets need JAX 99\.0\.1 or newer, and this is {jax.__version__}: upgrade"
    ):
        lower(double, (X,), target=target)
    listed = {info.name: info for info in targets()}[target.rsplit(":", 1)[0]]
    assert not listed.available
    assert "99.0.1" in listed.note


def test_the_list_of_targets_holds_every_name_once_and_says_what_is_missing():
    listed = targets()
    names = [info.name for info in listed]
    assert len(set(names)) == len(names)
    assert {"cpu", "local", "tpu:v5e", "h100-sxm", "a100-sxm-80gb", "b200", "mi300x"} <= set(names)
    for info in listed:
        assert info.backend in ("cpu", "gpu", "tpu")
        assert bool(info.note) is not info.available, info


def test_more_devices_than_there_are_is_an_error_before_anything_is_compiled(monkeypatch):
    def compile_nothing(*_, **__):
        raise AssertionError("compiled")

    monkeypatch.setattr(jax.stages.Lowered, "compile", compile_nothing)
    with pytest.raises(TargetError, match=r"needs 200 devices and this machine has \d+: .*device_count=200"):
        lower(double, (X,), mesh={"data": 200})


def test_specs_need_a_mesh_and_must_fit_the_arguments():
    spec = jax.sharding.PartitionSpec("data")
    with pytest.raises(HloCountError, match="pass the mesh"):
        lower(double, (X,), in_specs=spec)
    with pytest.raises(HloCountError, match="does not fit"):
        lower(double, (X,), mesh={"data": 1}, in_specs=(spec, spec))
    with pytest.raises(HloCountError, match="model"):
        lower(double, (X,), mesh={"data": 1}, in_specs=jax.sharding.PartitionSpec("model"))


@pytest.mark.parametrize("size", [0, -2, "8", 2.0])
def test_a_mesh_has_sizes(size):
    with pytest.raises(HloCountError, match="axis names and sizes"):
        lower(double, (X,), mesh={"data": size})


def test_importing_the_package_loads_no_jax():
    script = "import sys, hlo_count.lowering; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_a_gpu_is_described_by_its_own_figures():
    text = gpu.target_config(gpu.GPUS["h100-sxm"])
    assert "core_count: 132 " in text
    assert "memory_bandwidth: 3352320000000 " in text
    assert "major: 9 minor: 0" in text
