"""What cannot be compiled: one line that says why and what to do, from `count` and from the command line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from environment import WITH_GPU, WITH_TPU
from jax.sharding import PartitionSpec as P
from steps import W, X, cuda_kernel, product

import hlo_count as hc
from hlo_count.cli import main
from hlo_count.lowering import gpu, tpu

STEPS = Path(__file__).with_name("steps.py")
ARGUMENTS = ("--arg", "f32[64,128]", "--arg", "f32[128,256]")

# (target, mesh, message)
REFUSED = {
    "misspelt generation": ("tpu:v5f", None, r"unknown target 'tpu:v5f'; near names: .*tpu:v5p.*tpu:v5e"),
    "misspelt gpu": ("h100-sxn", None, r"unknown target 'h100-sxn'; near names: h100-sxm"),
    "nothing near": ("qqqq", None, r"unknown target 'qqqq'; names: cpu, tpu:v5e"),
    "an AMD GPU": ("mi300x", None, r"cannot compile for mi300x: .*ROCm"),
    "a refused topology": ("tpu:v5e:1x1", None, r"refused the topology 'v5e:1x1': .*names that work: tpu:v5e:2x2"),
    "two hundred devices": ("tpu:v5e:2x4", {"data": 200}, r"needs 200 devices and tpu:v5e:2x4 has 8: .*tpu:v5e:16x16"),
    "two hundred cubes": ("tpu:v5p:2x2x2", {"data": 200}, r"needs 200 devices and .* has 8: .*tpu:v5p:8x8x8"),
    "two hundred GPUs": ("h100-sxm:8", {"data": 200}, r"needs 200 devices and h100-sxm:8 has 8: .*h100-sxm:200"),
}


def marks(target: str) -> tuple[pytest.MarkDecorator, ...]:
    known = re.fullmatch(r"tpu:v5[ep]:.*", target)
    return (WITH_TPU,) if known else (WITH_GPU,) if target == "h100-sxm:8" else ()


CASES = [pytest.param(*case, marks=marks(case[0]), id=name) for name, case in REFUSED.items()]


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("hlo-count: ") and shown.err.count("\n") == 1, shown.err
    return shown.err


@pytest.mark.parametrize(("target", "mesh", "message"), CASES)
def test_a_target_that_is_refused(target, mesh, message, capsys):
    with pytest.raises(hc.TargetError, match=message) as raised:
        hc.count(product, X, W, target=target, mesh=mesh)
    assert "\n" not in str(raised.value)
    options = ["--mesh", ",".join(f"{name}={size}" for name, size in mesh.items())] if mesh else []
    assert main(["count", f"{STEPS}:product", *ARGUMENTS, "--target", target, *options]) == 2
    assert re.search(message, one_line(capsys))


def test_one_bad_name_among_several(capsys):
    assert main(["count", f"{STEPS}:product", *ARGUMENTS, "--target", "cpu,tpu:v5q"]) == 2
    assert "unknown target 'tpu:v5q'" in one_line(capsys)


@pytest.mark.parametrize(
    ("target", "module", "extra"), [("tpu:v6e", tpu, r"hlo-count\[tpu\]"), ("b200", gpu, r"hlo-count\[cuda\]")]
)
def test_a_missing_extra_names_the_command(target, module, extra, monkeypatch, capsys):
    monkeypatch.setattr(module, "installed", lambda: False)
    module.devices.cache_clear()
    with pytest.raises(hc.TargetError, match=f'pip install "{extra}"'):
        hc.count(product, X, W, target=target)
    assert main(["count", f"{STEPS}:product", *ARGUMENTS, "--target", target]) == 2
    assert re.search(f'pip install "{extra}"', one_line(capsys))
    notes = {info.name: info.note for info in hc.targets()}
    assert re.search(extra, notes[target])


@WITH_TPU
def test_a_cuda_kernel_on_a_tpu_is_named(capsys):
    with pytest.raises(hc.TargetError, match=r"cannot be .* for tpu:v5e: .*my_cuda_kernel"):
        hc.count(cuda_kernel, X, target="tpu:v5e")
    assert main(["count", f"{STEPS}:cuda_kernel", "--arg", "f32[64,128]", "--target", "tpu:v5e"]) == 2
    assert "my_cuda_kernel" in one_line(capsys)


SPECS = {
    "no mesh": (None, (P("data"), None), "in_specs names mesh axes: pass the mesh too"),
    "too few": ({"data": 1}, (P("data"),), "in_specs does not fit the arguments: 1 for 2; give one for each"),
    "of another structure": ({"data": 1}, (P("data"), {"w": P()}), "in_specs does not fit the arguments: .*dict"),
    "no size": ({"data": 0}, None, "a mesh is axis names and sizes"),
}


@pytest.mark.parametrize(("mesh", "specs", "message"), SPECS.values(), ids=SPECS)
def test_specs_that_do_not_fit(mesh, specs, message):
    with pytest.raises(hc.HloCountError, match=message) as raised:
        hc.count(product, X, W, mesh=mesh, in_specs=specs)
    assert "\n" not in str(raised.value)


@WITH_TPU
@pytest.mark.parametrize(
    ("mesh", "spec"), [("data=8", "model"), ("data=3", "data")], ids=["an axis that is none", "rows that do not divide"]
)
def test_a_spec_that_jax_refuses_is_said_on_the_command_line(mesh, spec, capsys):
    options = ("--target", "tpu:v5e:2x4", "--mesh", mesh, "--spec", spec, "--spec", "")
    assert main(["count", f"{STEPS}:product", *ARGUMENTS, *options]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("hlo-count: ") and "Traceback" not in shown.err
    assert spec in shown.err or "divisible" in shown.err
