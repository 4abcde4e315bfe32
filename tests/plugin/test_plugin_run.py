"""The run as a whole: its summary and report, xdist, and what the plugin loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_runs import FOUR, FOUR_KEYS, MATMUL, PLUGIN, SNAPSHOT, stored

import hlo_count
from hlo_count.budgets import hold, run  # noqa: F401  stays loaded between the runs of pytester
from hlo_count.roofline import roofline  # noqa: F401

pytest_plugins = ["pytester"]


def test_an_exceeded_budget_names_what_grew_since_it_held(write, run_pytest):
    body = """
        def test_dear(flop_budget):
            flop_budget({fn}, X, W, transcendentals=0)
    """
    write(body.format(fn="matmul"))
    run_pytest("--flop-update").assert_outcomes(passed=1)
    write(body.format(fn="twice"))
    result = run_pytest()
    result.stdout.fnmatch_lines(
        ["E *snapshot: *key 'test_dear / budget'", "E *grew against the snapshot: transcendentals, by source line"]
    )


def test_the_report_has_all_counts(write, run_pytest, pytester):
    write("""
        def test_good(flop_budget):
            flop_budget(matmul, X, W, flops="10 kFLOP")

        def test_bad(flop_budget):
            flop_budget(matmul, X, W, flops=1)

        def test_other():
            pass
    """)
    run_pytest("--flop-report=out/counts.json").assert_outcomes(passed=2, failed=1)
    data = json.loads((pytester.path / "out" / "counts.json").read_text())
    assert {node: test["outcome"] for node, test in data["tests"].items()} == {
        "test_model.py::test_good": "passed",
        "test_model.py::test_bad": "failed",
    }
    (count,) = data["tests"]["test_model.py::test_good"]["counts"]
    assert count["counters"]["flops"] == MATMUL
    assert count["measured"][0]["headroom"] == pytest.approx(1 - MATMUL / 10_000)


def test_a_report_that_cannot_be_written_fails_the_run(write, run_pytest, pytester):
    write("def test_nothing(): pass")
    (pytester.path / "file").write_text("")
    result = run_pytest("--flop-report=file/counts.json")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["ERROR --flop-report: *file/counts.json cannot be written*"])


def test_xdist_writes_updates_drops_and_reports_like_one_process(write, run_pytest, run_xdist, pytester):
    file = write(FOUR)
    write(SNAPSHOT.format(fn="matmul", more=""), name="test_other")
    run_xdist("--flop-update", "--flop-report=counts.json").assert_outcomes(passed=5)
    assert list(stored(pytester)) == FOUR_KEYS
    by_xdist = {path.name: path.read_text() for path in (pytester.path / "__flops__").iterdir()}
    assert len(json.loads((pytester.path / "counts.json").read_text())["tests"]) == 5
    run_pytest("--flop-update")
    assert {path.name: path.read_text() for path in (pytester.path / "__flops__").iterdir()} == by_xdist
    file.write_text(file.read_text().replace("flop_snapshot(twice", "flop_snapshot(matmul").replace("[1, 2]", "[1]"))
    result = run_xdist()
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["tests: 0 with budgets, 4 with snapshots; 1 count beyond the limit"])
    run_xdist("--flop-update").assert_outcomes(passed=4)
    assert list(stored(pytester)) == ["TestTwo::test_two", "test_one[1]", "test_three / small"]


def test_the_plugin_loads_nothing_heavy():
    code = (
        "import sys, pytest, hlo_count.pytest_plugin as p\n"
        "heavy = {'jax', 'jaxlib', 'numpy', 'networkx', 'matplotlib', 'pandas', 'tabulate'} & set(sys.modules)\n"
        "ours = {m for m in sys.modules if m.startswith('hlo_count')}\n"
        "assert not heavy, heavy\n"
        "assert ours == {'hlo_count', 'hlo_count.pytest_plugin'}, ours\n"
    )
    root = str(Path(hlo_count.__file__).parents[1])
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": root})


def test_a_run_that_uses_no_budget_loads_nothing_more_and_says_nothing(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(hlo_count.__file__).parents[1]))
    pytester.makepyfile(
        "import sys\n"
        "def test_plain():\n"
        "    assert not {'jax', 'numpy', 'networkx', 'hlo_count.report'} & set(sys.modules)\n"
    )
    result = pytester.runpytest_subprocess(*PLUGIN)
    result.assert_outcomes(passed=1)
    assert "flop" not in result.stdout.str()
