"""What cannot be compiled: one line that says why and what to do, from `count` and from the command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from environment import WITH_GPU, WITH_TPU
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from steps import W, X, cuda_kernel, kernel, product

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
    "no model of GPU": ("gpu", None, r"unknown target 'gpu': which GPU\? .*h100-sxm, .*b200"),
    "eight of no model": ("cuda:8", None, r"unknown target 'cuda:8': which GPU\? .*h100-sxm:8 for eight"),
    "an AMD GPU": ("mi300x", None, r"cannot compile for mi300x: .*ROCm"),
    "AMD GPUs": ("mi300x:8", None, r"cannot compile for mi300x:8: .*ROCm"),
    "too many GPUs": ("h100-sxm:100000000", None, r"is 100,000,000 devices: name a target of 262,144 at most"),
    "too many TPUs": ("tpu:v6e:10000x10000", None, r"is 100,000,000 devices: name a target of 262,144 at most"),
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


def test_one_bad_name_among_several_is_a_row(capsys):
    command = ["count", f"{STEPS}:product", *ARGUMENTS, "--target", "cpu,tpu:v5q"]
    assert main(command) == 2
    shown = capsys.readouterr()
    assert shown.err == ""
    lines = shown.out.splitlines()
    assert max(map(len, lines)) <= 100
    assert any(re.match(r"cpu +4,194,304 ", line) for line in lines)  # 2 · 64 · 128 · 256
    assert any(re.match(r"tpu:v5q +unknown target 'tpu:v5q'", line) for line in lines)
    assert main([*command, "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert found["cpu"]["flops"] == 2 * 64 * 128 * 256
    assert list(found["tpu:v5q"]) == ["problem"] and "unknown target 'tpu:v5q'" in found["tpu:v5q"]["problem"]
    assert main([*command, "--max-flops", "1k"]) == 1  # a limit holds for what was counted


def test_several_targets_of_which_none_can_be_counted(capsys):
    assert main(["count", f"{STEPS}:product", *ARGUMENTS, "--target", "tpu:v5q,qqqq"]) == 2
    said = one_line(capsys)
    assert "unknown target 'tpu:v5q'" in said and "unknown target 'qqqq'" in said


OPTIONS = {
    "no such option": ("xla_no_such=1", "No such compile option: 'xla_no_such'"),
    "no value": ("xla_cpu_enable_fast_math", "--compiler-option 'xla_cpu_enable_fast_math': write NAME=VALUE"),
    "a value of another type": ("xla_cpu_enable_fast_math=perhaps", "xla_cpu_enable_fast_math"),
}


@pytest.mark.parametrize(("option", "message"), OPTIONS.values(), ids=OPTIONS)
def test_a_compiler_option_that_is_refused_is_named(option, message, capsys):
    command = ["count", f"{STEPS}:product", *ARGUMENTS, "--target", "cpu", "--compiler-option", option]
    assert main(command) == 2
    assert message in one_line(capsys)


def test_compiler_options_reach_the_compiler(monkeypatch, capsys):
    options = ("xla_cpu_enable_fast_math=true", "xla_dump_to=a=b", "--xla_backend_optimization_level=0", "x=1.5")
    given = {}
    report = hc.count("HloModule m\nENTRY e {\n  ROOT p = f32[] parameter(0)\n}\n")
    monkeypatch.setattr(hc, "count", lambda *args, compiler_options, **_: given.update(compiler_options) or report)
    repeated = [f"--compiler-option={option}" for option in options]
    assert main(["count", f"{STEPS}:product", *ARGUMENTS, *repeated]) == 0
    assert given == {
        "xla_cpu_enable_fast_math": True,
        "xla_dump_to": "a=b",
        "xla_backend_optimization_level": 0,
        "x": 1.5,
    }


OF_ITS_OWN = """
import warnings
import hlo_count as hc
from steps import X, kernel
warnings.simplefilter("ignore", DeprecationWarning)  # of pallas_call for Mosaic
try:
    hc.count(kernel, X, target="a100-sxm-80gb")
except hc.TargetError as problem:
    print(problem)
"""


@WITH_GPU
@pytest.mark.skipif(jax.__version_info__ < (0, 10), reason="Pallas is Triton there, which an A100 runs")
def test_a_kernel_that_an_a100_does_not_run_puts_nothing_on_the_screen():
    """In a process of its own: JAX's CUDA plugin keeps to the first kind of GPU that it makes such kernels for."""
    here, root = Path(__file__).parent, Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", OF_ITS_OWN],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(here)]), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert re.match(r"cannot be compiled for a100-sxm-80gb: .* not supported on sm_80", done.stdout)
    assert (len(done.stdout.splitlines()), done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("target", "module", "devices", "extra"),
    [
        ("tpu:v6e", tpu, tpu.tpu_devices, r"hlo-count\[tpu\]"),
        ("b200", gpu, gpu.gpu_devices, r"hlo-count\[cuda\]"),
    ],
)
def test_a_missing_extra_names_the_command(target, module, devices, extra, monkeypatch, capsys):
    monkeypatch.setattr(module, "installed", lambda: False)
    monkeypatch.setattr(module, "_LEAST_JAX", "0.4.30")
    devices.cache_clear()
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
    "pairs for a mesh": ((("data", 8),), None, r"^mesh: .*such as \{\"data\": 8\}, not \(\('data', 8\),\)"),
    "a number for a mesh": (8, None, "^mesh: a mesh is axis names and sizes, .* not 8"),
    "no name": ({1: 8}, None, "^mesh: a mesh is axis names and sizes"),
    "a mesh of devices": (Mesh(jax.devices()[:1], ("data",)), None, "^mesh: a jax Mesh is a target of its own"),
    "names for specs": ({"data": 1}, ("data", None), r"^in_specs: a PartitionSpec or None for each .*, not 'data'"),
    "a number for specs": ({"data": 1}, 3, "^in_specs: a PartitionSpec or None for each argument, .* not 3"),
    "a dict for all": ({"data": 1}, {"x": P()}, "^in_specs: a PartitionSpec or None for each argument"),
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


CANNOT_COMPILE = {
    "no such option": (product, (X, W), {"xla_no_such": 1}, r"cannot be compiled for cpu: .*No such compile option"),
    "no value of it": (product, (X, W), {"xla_cpu_enable_fast_math": object()}, r"cannot be compiled for cpu: "),
    "no such kernel": (cuda_kernel, (X,), None, r"cannot be compiled for cpu: .*my_cuda_kernel"),
    "no kernels there": (kernel, (X,), None, r"^pallas_call cannot be lowered for cpu: "),
}


@pytest.mark.skipif(not hasattr(jax, "ffi"), reason="needs jax.ffi (jax 0.5)")
@pytest.mark.parametrize(("fn", "args", "options", "message"), CANNOT_COMPILE.values(), ids=CANNOT_COMPILE)
def test_a_named_target_that_cannot_is_one_line_and_no_target_is_jax_s_own_error(fn, args, options, message):
    with pytest.raises(hc.TargetError, match=message) as raised:
        hc.count(fn, *args, target="cpu", compiler_options=options)
    assert "\n" not in str(raised.value)
    with pytest.raises(Exception) as raised:
        hc.count(fn, *args, compiler_options=options)
    assert not isinstance(raised.value, hc.HloCountError)


@pytest.mark.parametrize("target", [None, "cpu", *(["tpu:v5e"] if tpu.installed() else [])])
def test_an_error_while_tracing_is_jax_s_own(target):
    with pytest.raises(TypeError, match="contracting dimensions"):
        hc.count(product, X, X, target=target)


def test_options_that_are_none():
    with pytest.raises(hc.HloCountError, match="^compiler_options: names and values, .* not 3"):
        hc.count(product, X, W, compiler_options=3)


@pytest.mark.parametrize("target", ["cpu", *(["tpu:v5e"] if tpu.installed() else [])])
def test_a_count_inside_a_trace(target):
    counted = []

    def counting(x, w):
        counted.append(hc.count(product, x, w, target=target, mesh={"data": 1}).by("class")["matmul"].flops)
        return (x @ w).sum()

    x, w = jax.numpy.ones((64, 128)), jax.numpy.ones((128, 256))
    jax.jit(counting)(x, w)
    jax.grad(counting)(x, w)
    assert counted == [2 * 64 * 128 * 256] * 2


@pytest.mark.skipif(not hasattr(jax.sharding, "get_mesh"), reason="needs jax.sharding.get_mesh (jax 0.7)")
def test_a_count_under_named_axes_says_so():
    def counting(x):
        hc.count(jax.numpy.tanh, X, mesh={"data": 1})
        return x

    with pytest.raises(hc.HloCountError, match="^target: cannot compile for one inside shard_map"):
        jax.vmap(counting, axis_name="rows")(jax.numpy.ones((4, 4)))
