"""`[tool.hlo_count]` of pyproject.toml: defaults that flags override, and one line for what is wrong in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hlo_count.cli import main
from hlo_count.command_options import command_parser
from hlo_count.errors import HloCountError
from hlo_count.project_defaults import Defaults, project_defaults

TABLE = """
[project]
name = "mine"

[tool.hlo_count]
targets = ["tpu:v5e", "h100-sxm"]
device = "a100-sxm-80gb"
width = 72

[tool.hlo_count.budgets."*:step"]
flops = "2 GFLOP"
max_ops = { all-gather = 0 }

[tool.hlo_count.budgets."train.py:step"]
flops = 30
"""
TEXT = "HloModule m\n\nENTRY e { p = f32[8] parameter(0) ROOT r = f32[8] add(p, p) }"


def written(folder: Path, text: str) -> Path:
    (folder / "pyproject.toml").write_text(text)
    return folder


def filled(defaults: Defaults, *arguments: str) -> dict[str, object]:
    options = command_parser().parse_args(arguments)
    defaults.fill_in(options)
    return vars(options)


def test_the_nearest_table_is_found_upward(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    written(tmp_path, TABLE)
    written(tmp_path / "a", "[project]\nname = 'another'\n")
    found = project_defaults(below)
    assert (found.targets, found.device, found.width) == (("tpu:v5e", "h100-sxm"), "a100-sxm-80gb", 72)
    assert project_defaults(Path("/")) == Defaults()


def test_flags_and_what_is_counted_decide(tmp_path: Path) -> None:
    defaults = project_defaults(written(tmp_path, TABLE))
    assert filled(defaults, "count", "train.py:step")["target"] == "tpu:v5e,h100-sxm"
    assert filled(defaults, "count", "train.py:step", "--target", "cpu")["target"] == "cpu"
    assert filled(defaults, "explain", "train.py:step", "fusion")["target"] == "tpu:v5e"  # takes one
    assert filled(defaults, "explain", "train.py:step", "fusion")["device"] is None  # that of the target
    assert filled(defaults, "count", "dump.txt")["target"] is None  # is compiled already
    assert filled(defaults, "roofline", "dump.txt")["device"] == "a100-sxm-80gb"
    assert filled(defaults, "roofline", "dump.txt", "--device", "h200")["device"] == "h200"
    assert filled(defaults, "size", "train.py:step")["on"] == "tpu:v5e,h100-sxm"
    assert filled(defaults, "size", "train.py:step", "--on", "cpu")["on"] == "cpu"


def test_budgets_are_of_programs(tmp_path: Path) -> None:
    defaults = project_defaults(written(tmp_path, TABLE))
    assert defaults.budgets_of("other.py:step") == {"flops": "2 GFLOP", "max_ops": {"all-gather": 0}}
    assert defaults.budgets_of("train.py:step") == {"flops": 30, "max_ops": {"all-gather": 0}}
    assert defaults.budgets_of("dump.txt") == {}


def test_a_budget_fails_count_unless_a_flag_raises_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, '[tool.hlo_count]\nwidth = 60\n[tool.hlo_count.budgets]\n"dump.txt" = { flops = 7 }\n')
    (tmp_path / "dump.txt").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    assert main(["count", "dump.txt"]) == 1
    out, err = capsys.readouterr()
    assert "flops 8 FLOP is over 7 FLOP" in err
    assert max(map(len, out.splitlines())) <= 60
    assert main(["count", "dump.txt", "--max-flops", "8"]) == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[tool]\nhlo_count = 3", "tool.hlo_count is a table"),
        ("[tool.hlo_count]\ntarget = 'cpu'", "target: no such key, did you mean 'targets'?"),
        ("[tool.hlo_count]\ntargets = 'cpu'", "targets: a list of names"),
        ("[tool.hlo_count]\ndevice = 3", "device: the name or file of one profile"),
        ("[tool.hlo_count]\nwidth = 20", "width: a number of columns, 60 to 200"),
        ("[tool.hlo_count]\nwidth = true", "width: a number of columns"),
        ("[tool.hlo_count]\nbudgets = 3", "holds a table a program"),
        ("[tool.hlo_count.budgets]\nflops = 3", "holds a table a program"),
        ("[tool.hlo_count.budgets.'a:b']\nflop = 3", "a:b: flop=: no such limit, did you mean 'flops'"),
        ("[tool.hlo_count\n", "line 1"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, text)
    with pytest.raises(HloCountError) as problem:
        project_defaults(tmp_path)
    assert words in str(problem.value) and str(tmp_path / "pyproject.toml") in str(problem.value)
    monkeypatch.chdir(tmp_path)
    assert main(["devices"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
