"""The GitHub Action, its steps run by a shell on a small repository: base and head stand apart, and are compared."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from workflow_steps import Done, run_steps

yaml = pytest.importorskip("yaml", reason="the action is YAML: pip install hlo-count[docs]")

ROOT = Path(__file__).parent.parent
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
BASE = """
import jax, jax.numpy as jnp
X = jax.ShapeDtypeStruct((64, 64), jnp.float32)
def example():
    return (X,)
def step(x):
    return x @ x
"""
HEAD = BASE.replace("x @ x", "x @ x @ x")
PROGRAM = "model:step --args-from model:example"
FAKE_GH = '#!/bin/sh\necho "$@" > "$FOLDER/gh.txt"\n'


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    return subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    for text, message in ((BASE, "base"), (HEAD, "head")):
        (folder / "model.py").write_text(text)
        git(folder, "add", ".")
        git(folder, "commit", "-qm", message)
    return folder


def run_action(repository: Path, **inputs: str) -> tuple[list[Done], Path]:
    """Its steps on a pull request of one commit. The environments see the packages of this Python."""
    folder = repository.parent / "hlo-count"
    given = {name: str(each.get("default", "")) for name, each in ACTION["inputs"].items()}
    given |= {"install": "true", "system-site-packages": "true", "base": git(repository, "rev-parse", "HEAD^").strip()}
    given |= {name.replace("_", "-"): value for name, value in inputs.items()}
    known = {f"inputs.{name}": value for name, value in given.items()}
    known |= {"runner.temp": str(repository.parent), "github.token": "t", "github.event.number": "7"}
    known |= {"github.event_name": "pull_request"}
    (bin_folder := repository.parent / "bin").mkdir()
    (bin_folder / "gh").write_text(FAKE_GH)
    (bin_folder / "gh").chmod(0o755)
    env = {
        "GITHUB_ACTION_PATH": str(ROOT),
        "GITHUB_STEP_SUMMARY": str(repository.parent / "summary.md"),
        "GITHUB_OUTPUT": str(repository.parent / "output"),
        "PATH": f"{bin_folder}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        # This Python may be a virtual environment itself, of which one inside sees nothing.
        "PYTHONPATH": os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")]),
        "JAX_PLATFORMS": "cpu",
    }
    return run_steps(ACTION["runs"]["steps"], known, repository, env), folder


def test_base_and_head_are_counted_apart_and_compared(repository: Path) -> None:
    """2 · 64³ FLOP at the base, twice that at the head."""
    done, folder = run_action(repository, programs=PROGRAM, fail_above="flops=5% bytes=900%")
    assert [(step.name, step.code) for step in done] == [
        ("Count both sides", 0), ("Compare", 1), ("Comment", 0),
    ], done  # fmt: skip
    comment = (folder / "comment.md").read_text()
    assert "flops: 524,288 -> 1,048,576 (+100.00 %), more than 5 %" in comment
    assert comment == (repository.parent / "summary.md").read_text()
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    head = git(repository, "rev-parse", "HEAD").strip()
    assert [(row["commit"], row["program"], row["flops"]) for row in history] == [(head, PROGRAM, 4 * 64**3)]
    assert (folder / "gh.txt").read_text().split()[:3] == ["pr", "comment", "7"]
    assert git(repository, "status", "--porcelain") == ""


def test_what_cannot_be_counted_or_compared_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On what the first step leaves: a program that is gone at the head, and one that is new there."""
    monkeypatch.syspath_prepend(str(ROOT / "action"))
    compare_sides = importlib.import_module("compare_sides")
    folder = tmp_path / "head"
    (folder / "environment" / "bin").mkdir(parents=True)
    (folder / "environment" / "bin" / "python").symlink_to(sys.executable)
    (folder / "checkout").mkdir()
    git(folder / "checkout", "init", "-q")
    git(folder / "checkout", "commit", "-q", "--allow-empty", "-m", "head")
    text = 'HloModule m\nENTRY e { x = f32[8] parameter(0)  ROOT y = f32[8] custom-call(x), custom_call_target="mine" }'
    (folder / "1.hlo.txt").write_text(text)
    programs = ["model:gone --arg f32[8]", "model:added --arg f32[8] --cost y=77"]
    sides = {"programs": programs, "head": "abc", "base": None, "problems": {"head 0": "model has no gone"}}
    (tmp_path / "sides.json").write_text(json.dumps(sides))
    monkeypatch.setenv("FOLDER", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")]))
    assert compare_sides.main() == 2
    comment = (tmp_path / "comment.md").read_text()
    assert "Cannot be counted: model has no gone" in comment
    assert "Nothing to compare with (there is no base)" in comment
    (row,) = map(json.loads, (tmp_path / "history.jsonl").read_text().splitlines())
    assert (row["flops"], row["status"]) == (77, "exact")  # what the program's line settles holds for its text
