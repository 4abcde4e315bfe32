"""Two runs beside each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from job_texts import dumped, flops, step

import hlo_count as hc
from hlo_count.cli import main


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """The numbers of the modules differ, as they do between runs; one is new, one gone, one has another shape."""
    before, after = tmp_path / "before", tmp_path / "after"
    dumped(before, 1, step(rows=8))
    dumped(before, 2, step(rows=16))
    dumped(before, 3, step(name="jit_old"), name="jit_old")
    dumped(after, 5, step(rows=16))
    dumped(after, 6, step(rows=32))
    dumped(after, 7, step(rows=4, name="jit_new"), name="jit_new")
    return before, after


def test_modules_are_paired_by_name_and_shapes(runs: tuple[Path, Path]) -> None:
    before, after = map(hc.read_job, runs)
    found = before.diff(after)
    assert {(p.what, p.before and p.before.label, p.after and p.after.label) for p in found.pairs} == {
        ("same", "module_0002.jit_step", "module_0005.jit_step"),
        ("changed", "module_0001.jit_step", "module_0006.jit_step"),
        ("gone", "module_0003.jit_old", None),
        ("new", None, "module_0007.jit_new"),
    }
    assert sum(pair.change.flops for pair in found.rows) == (after.total - before.total).flops
    assert (found.before, found.after) == (before.total, after.total)
    changed = next(pair for pair in found.rows if pair.what == "changed")
    assert changed.diff().change.flops == flops(32) - flops(8)
    assert not before.diff(before)
    assert str(before.diff(before)).endswith("nothing differs")


def test_the_command(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(path) for path in runs]
    assert main(["diff", *names]) == 0
    text = capsys.readouterr().out
    assert "1 same · 1 changed · 1 new · 1 gone" in text
    assert "shapes: batch f32[8,4] -> f32[32,4]" in text
    assert main(["diff", *names, "--fail-above", "5%"]) == 1
    said = capsys.readouterr().err
    assert "peak_bytes of jit_step" in said
    grew = sum(map(flops, (16, 32, 4))) / sum(map(flops, (8, 16, 8)))
    assert f"({100 * (grew - 1):+.2f} %), more than 5 %" in said
    assert main(["diff", *names, "--markdown"]) == 0
    assert "| `module_0006.jit_step` | changed |" in " ".join(capsys.readouterr().out.split())
    assert main(["diff", *names, "--json"]) == 0
    assert {each["what"] for each in json.loads(capsys.readouterr().out)["modules"]} == {
        "same",
        "changed",
        "new",
        "gone",
    }
    assert main(["diff", *names, "--by", "scope"]) == 2
    assert "name one module of the folders by --module" in capsys.readouterr().err
