"""docs/budgets.md: its test files pass, and fail as it says."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

import jax
import pytest

import hlo_count
from hlo_count.budgets import complexity, hold, run  # noqa: F401  stays loaded between the runs of pytester

pytest_plugins = ["pytester"]

GUIDE = (Path(__file__).parents[2] / "docs" / "budgets.md").read_text()
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```python\n(.*?)```\n", GUIDE, re.S))
OUTPUTS = dict(re.findall(r"<!-- output: (\S+) -->\n```text\n(.*?)```\n", GUIDE, re.S))
INSTALLED = any(e.value == "hlo_count.pytest_plugin" for e in entry_points(group="pytest11"))
# Hypothesis would load itself, and be unloaded, in every run.
PLUGIN = ("-p", "no:hypothesispytest", *(() if INSTALLED else ("-p", "hlo_count.pytest_plugin")))


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_guide(pytester, name):
    hlo_count.count(lambda x: x @ x, jax.ShapeDtypeStruct((2, 2), "float32"))  # loads what pytester would unload
    pytester.makepyfile(**{name.removesuffix(".py"): FILES[name]})
    result = pytester.runpytest_inprocess(*PLUGIN, "--flop-update")
    if name in OUTPUTS:
        result.assert_outcomes(failed=1)
        lines = [line[1:].strip() for line in result.outlines if line.startswith("E ")]
        expected = OUTPUTS[name].replace("jax 0.10.2", f"jax {jax.__version__}").strip().splitlines()
        assert [line.removeprefix("hlo_count.errors.BudgetExceeded: ") for line in lines] == [
            line.strip() for line in expected
        ]
    else:
        assert result.ret == pytest.ExitCode.OK
        assert pytester.runpytest_inprocess(*PLUGIN).ret == pytest.ExitCode.OK


def test_the_guide_has_examples():
    assert len(FILES) == 5
    assert set(OUTPUTS) == {"test_step.py"}
