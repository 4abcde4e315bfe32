"""Texts and files that hold several modules, wherever a program is taken: by name, in Python, pytest and the shell."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

import hlo_count as hc
from hlo_count.cli import main


def module(name: str, size: int) -> str:
    return f"HloModule {name}\n\nENTRY e {{\n  p = f32[{size}] parameter(0)\n  ROOT r = f32[{size}] add(p, p)\n}}\n"


TEXT = module("small", 4) + module("large", 64)
PROTO = b"\n\x05small\x12\x01e\x1a\x00\x00"  # begins as a serialized module does


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "log.txt"
    path.write_text("Compiling ...\n" + TEXT)
    return path


def test_count_takes_one_of_several(file: Path) -> None:
    for source in (TEXT, TEXT.encode(), bytearray(TEXT.encode()), gzip.compress(TEXT.encode()), file):
        assert hc.count(source, module="large").flops == 64
        assert hc.count(source, module=1).flops == 4
        with pytest.raises(hc.HloCountError, match="holds 2 modules, small"):
            hc.count(source)


def test_a_function_keeps_its_own_keyword() -> None:
    def f(x, module):
        return x * module

    report = hc.count(f, np.ones(8, "f4"), module=np.float32(2))
    assert report.flops == 8
    assert hc.count(lambda x, *, module=1.0: x * module, np.ones(4, "f4"), module=3.0).flops == 4
    assert bool(hc.diff(f, lambda x, module: x + x * module, np.ones(8, "f4"), module=np.float32(2)))


def test_diff_takes_one_of_several(file: Path) -> None:
    for pair in ((TEXT, file), (file, TEXT.replace("add", "multiply")), (hc.parse(TEXT, module=1), TEXT)):
        assert hc.diff(*pair, module="large").after.flops == 64
        with pytest.raises(hc.HloCountError, match="holds 2 modules"):
            hc.diff(*pair)
    assert hc.diff(hc.count(file, module=1), hc.count(file, module=2)).change.flops == 60


def test_a_budget_takes_one_of_several(flop_budget, file: Path) -> None:
    assert flop_budget(file, module="large", flops=64).flops == 64
    with pytest.raises(hc.BudgetExceeded):
        flop_budget(TEXT, module="large", flops=63)
    with pytest.raises(hc.HloCountError, match="modul="):
        flop_budget(TEXT, modul="large", flops=64)


def test_what_is_one_program_has_no_others() -> None:
    stablehlo = "module @jit_f attributes {a = 1 : i32} {\n  func.func public @main() { return }\n}\n"
    for source in (stablehlo, stablehlo.encode()):
        with pytest.raises(hc.HloCountError, match="StableHLO|<bytes>: this is one program to compile"):
            hc.count(source, module="f")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_files_of_other_systems(encoding: str, end: str, tmp_path: Path) -> None:
    path = tmp_path / "m.txt"
    path.write_bytes(module("m", 4).replace("\n", end).encode(encoding))
    assert hc.count(path).flops == hc.count(path.read_bytes()).flops == 4


def test_a_text_that_begins_with_the_word_module_is_no_stablehlo() -> None:
    assert hc.count("module load cuda/12\nmodule list\n" + module("m", 4)).flops == 4


@pytest.mark.parametrize("command", [["count"], ["count", "--json"], ["roofline", "--device", "a100"]])
def test_the_command_line_takes_one_of_several(command: list[str], file: Path, capsys) -> None:
    assert main([command[0], str(file), *command[1:]]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith(f"hlo-count: {file}: holds 2 modules, small (line 2), large (line 8): choose one by --module")
    assert main([command[0], str(file), *command[1:], "--module", "large"]) == 0
    assert "large" in capsys.readouterr().out
    assert main([command[0], str(file), *command[1:], "--module", "x"]) == 2
    assert "no module is called 'x'" in capsys.readouterr().err


def flops_of_diff(arguments: list[str], capsys) -> list[int]:
    assert main(["diff", *arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    return [found[side]["flops"] for side in ("before", "after")]


def test_the_command_line_compares_two_of_one_file(file: Path, tmp_path: Path, capsys) -> None:
    one = tmp_path / "one.txt"
    one.write_text(module("large", 16))
    twice = [str(file), str(file)]
    assert flops_of_diff([*twice, "--module", "small", "--module", "large"], capsys) == [4, 64]
    assert flops_of_diff([*twice, "--module", "large"], capsys) == [64, 64]
    assert flops_of_diff([str(one), str(file), "--module", "large"], capsys) == [16, 64]
    assert main(["diff", *twice, *(["--module", "large"] * 3)]) == 2
    assert "name one for both programs, or one for each" in capsys.readouterr().err


def test_a_function_on_the_command_line_has_no_modules(tmp_path: Path, capsys) -> None:
    (tmp_path / "f.py").write_text("def f(x):\n    return x\n")
    for command in ("count", "diff", "passes"):
        assert main([command, f"{tmp_path}/f.py:f", "--arg", "f32[4]", "--module", "m"]) == 2
        assert "--module names one of the modules in a text or a folder" in capsys.readouterr().err
