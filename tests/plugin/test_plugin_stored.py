"""What an update of snapshots keeps and drops."""

from __future__ import annotations

import pytest
from plugin_runs import FOUR, FOUR_KEYS, PLUGIN, SNAPSHOT, stored

from hlo_count.budgets import hold, run  # noqa: F401  stays loaded between the runs of pytester
from hlo_count.roofline import roofline  # noqa: F401

pytest_plugins = ["pytester"]


@pytest.mark.parametrize(
    ("args", "change", "left"),
    [
        ((), ("class TestTwo", "class Two"), ["test_one[1]", "test_one[2]", "test_three / small"]),
        ((), ("[1, 2]", "[2]"), ["TestTwo::test_two", "test_one[2]", "test_three / small"]),
        ((), ('name="small"', 'name="big"'), ["TestTwo::test_two", "test_one[1]", "test_one[2]", "test_three / big"]),
        (("-k", "two"), ("", ""), FOUR_KEYS),
        (("-k", "two"), ('name="small"', 'name="big"'), FOUR_KEYS),
        (("--deselect", "test_model.py::test_three"), ("", ""), FOUR_KEYS),
        (("test_model.py::test_three",), ("class TestTwo", "class Two"), FOUR_KEYS),
        (("--pyargs", "test_model::test_three"), ("class TestTwo", "class Two"), FOUR_KEYS),
        ((), ("    flop_snapshot(twice", "    pytest.skip(); flop_snapshot(twice"), FOUR_KEYS),
        ((), ("    flop_snapshot(twice", "    1 / 0; flop_snapshot(twice"), FOUR_KEYS),
        ((), ("import jax,", "import no_such_module; import jax,"), FOUR_KEYS),
        ((), ("import jax,", "import pytest; pytest.skip(allow_module_level=True); import jax,"), FOUR_KEYS),
        (("-x",), ("flop_snapshot(matmul, X, W)", "1 / 0"), FOUR_KEYS),
    ],
)
def test_an_update_drops_what_no_test_asks_for_and_nothing_else(write, run_pytest, pytester, args, change, left):
    pytester.syspathinsert()
    file = write(FOUR)
    run_pytest("--flop-update").assert_outcomes(passed=4)
    assert list(stored(pytester)) == FOUR_KEYS
    file.write_text(file.read_text().replace(*change))
    run_pytest("--flop-update", *args)
    assert list(stored(pytester)) == left


def test_last_failed_drops_nothing(write, pytester):
    file = write(FOUR)
    text = file.read_text()
    pytester.runpytest_inprocess(*PLUGIN, "--flop-update")
    file.write_text(text.replace("    flop_snapshot(twice", "    1 / 0; flop_snapshot(twice"))
    pytester.runpytest_inprocess(*PLUGIN)
    file.write_text(text)
    pytester.runpytest_inprocess(*PLUGIN, "--flop-update", "--lf").assert_outcomes(passed=1)
    assert list(stored(pytester)) == FOUR_KEYS


def test_a_test_file_that_is_gone_takes_its_snapshots_along(write, run_pytest, pytester):
    write(FOUR)
    other = write(SNAPSHOT.format(fn="matmul", more=""), name="test_other")
    run_pytest("--flop-update").assert_outcomes(passed=5)
    other.unlink()
    run_pytest()
    assert list(stored(pytester, "test_other")) == ["test_step"]
    result = run_pytest("--flop-update")
    result.stdout.fnmatch_lines(["snapshots in __flops__: 0 written, 1 dropped, 4 as they were"])
    assert not (pytester.path / "__flops__" / "test_other.json").exists()


def test_a_test_that_raises_keeps_its_old_snapshot(write, run_pytest, pytester):
    write(SNAPSHOT.format(fn="matmul", more=""))
    run_pytest("--flop-update")
    before = stored(pytester)
    write(SNAPSHOT.format(fn="twice", more="") + "\n        raise ValueError('of its own')\n")
    result = run_pytest("--flop-update")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*ValueError: of its own"])
    assert stored(pytester) == before


def test_an_error_in_the_function_is_its_own(write, run_pytest):
    write("""
        def test_shapes(flop_budget):
            flop_budget(lambda x: x @ x, X, flops=1)
    """)
    result = run_pytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*TypeError: dot_general*"])
