"""Arguments by the paths of their pytrees: names, shapes, sizes, and that each level adds up."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import hlo_count as hc
from hlo_count.cli import main
from hlo_count.report.arguments import Argument

LAYERS, WIDTH, HIDDEN = 4, 64, 256


def array(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


@pytest.fixture(scope="module")
def report() -> hc.Report:
    def apply(params, x):
        for n in range(LAYERS):
            layer = params[f"layer_{n}"]
            x = x + jax.nn.relu(x @ layer["up"]["kernel"] + layer["up"]["bias"]) @ layer["down"]["kernel"]
        return x @ params["head"]

    up = {"kernel": array(WIDTH, HIDDEN), "bias": array(HIDDEN)}
    layers = {f"layer_{n}": {"up": up, "down": {"kernel": array(HIDDEN, WIDTH)}} for n in range(LAYERS)}
    return hc.count(apply, {**layers, "head": array(WIDTH, 10)}, array(2, WIDTH))


def test_each_has_its_path_and_size(report: hc.Report) -> None:
    found = {each.path: each for each in report.arguments}
    path = ("params", "layer_2", "up", "kernel")
    size = WIDTH * HIDDEN
    assert (found[path].elements, found[path].bytes) == (size, 4 * size)
    assert found[path].shape in (f"f32[{WIDTH},{HIDDEN}]", f"f32[{HIDDEN},{WIDTH}]")  # a compiler may turn it
    assert sum(each.elements for each in report.arguments) == report.parameters
    assert sum(each.bytes for each in report.arguments) == report.argument_bytes
    assert isinstance(report.arguments[0], Argument)


def test_the_table_has_layers_as_one_and_adds_up(report: hc.Report) -> None:
    lines = [
        [cell.strip() for cell in line.split("  ") if cell.strip()] for line in report.arguments_table().splitlines()
    ]
    cells = {line[0]: line[1:] for line in lines}
    layer = 2 * WIDTH * HIDDEN + HIDDEN
    total = LAYERS * layer + 10 * WIDTH + 2 * WIDTH
    assert cells["all arguments"][:2] == [str(3 * LAYERS + 2), f"{total / 1000:.3f} k"]
    assert cells[f"layer_* ×{LAYERS}"][:2] == [str(3 * LAYERS), f"{LAYERS * layer / 1000:.3f} k"]
    assert cells["down/kernel"][1:3] == [str(LAYERS), f"{LAYERS * WIDTH * HIDDEN / 1000:.3f} k"]
    assert cells["head"][2] == f"{10 * WIDTH / 1000:.3f} k"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("state.params['a']['b']", ("state", "params", "a", "b")),
        ("s[0].mu['a']", ("s", "0", "mu", "a")),
        ("x", ("x",)),
        ("args[3][<flat index 2>]", ("args", "3", "<flat index 2>")),
        ("", ("p",)),
    ],
)
def test_paths_are_read_as_jax_writes_them(name: str, path: tuple[str, ...]) -> None:
    escaped = name.replace("'", "\\'")
    parameter = f'ROOT %p = f32[8]{{0}} parameter(0), metadata={{op_name="{escaped}"}}'
    (argument,) = hc.count(f"HloModule m\n\nENTRY %e (p: f32[8]) -> f32[8] {{\n  {parameter}\n}}").arguments
    assert argument.path == path


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dump = tmp_path / "dump.txt"
    dump.write_text("HloModule m\n\nENTRY %e () -> f32[] {\n  ROOT %c = f32[] constant(1)\n}")
    assert main(["count", str(dump), "--arguments"]) == 0
    assert capsys.readouterr().out == "the program takes no arguments\n"
