"""Budgets, marks and targets, as pytest runs them."""

from __future__ import annotations

import pytest
from plugin_runs import MATMUL, stored

from hlo_count.budgets import hold, run  # noqa: F401  stays loaded between the runs of pytester
from hlo_count.roofline import roofline  # noqa: F401

pytest_plugins = ["pytester"]


# Budgets
def test_a_budget_that_holds_returns_its_report_and_is_summed_up(write, run_pytest):
    write(f"""
        def test_cheap(flop_budget):
            report = flop_budget(matmul, X, W, flops={MATMUL + 1}, min_flops="8 kFLOP", max_ops={{"all-gather": 0}})
            assert report.flops == {MATMUL}
    """)
    result = run_pytest()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["*flop budgets*", "tests: 1 with budgets, 0 with snapshots; no counts beyond the limit"]
    )
    result.stdout.fnmatch_lines(["*0.0 %  flops *8.192 kFLOP  ≤ 8.193 kFLOP*test_model.py::test_cheap"])


def test_a_budget_that_is_exceeded_says_by_how_much_and_where(write, run_pytest):
    file = write("""
        def test_dear(flop_budget):
            flop_budget(matmul, X, W, flops="4.096 kFLOP")
    """)
    result = run_pytest()
    result.assert_outcomes(failed=1)
    line = file.read_text().splitlines().index("    return x @ w") + 1
    result.stdout.fnmatch_lines(
        [
            "*flops 8.192 kFLOP is over 4.096 kFLOP (+100.0 %)",
            "E * flops  8.192 kFLOP  ≤ 4.096 kFLOP  +100.0 %",
            "E *No snapshot to compare with. While the budget holds, this keeps one: pytest --flop-update",
            f"E *8.192 kFLOP  100.0 %  test_model.py:{line}  return x @ w",
        ]
    )
    assert all(len(line) <= 100 for line in result.outlines if line.startswith("E"))
    assert "hlo_count/pytest_plugin.py" not in result.stdout.str()


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ('flops="2 GFLOPs/s"', "*flops='2 GFLOPs/s': GFLOPs/s is a rate*"),
        ('flops="lots"', "*flops='lots' is no quantity*"),
        ("flop=5", "*flop=: no such limit, did you mean 'flops'?*"),
        ('max_ops={"all_gather": 0}', "*no operation is called 'all_gather', did you mean 'all-gather'?*"),
        ('forbid=["float64"]', "*forbid: no operation or dtype is called 'float64', did you mean 'f64'?*"),
        ("", "*no limit was given*"),
        ('bound="5", device="h100-sxm"', "*bound='5' has no unit: give a time*"),
        ('bound="50 GFLOP", device="h100-sxm"', "*bound='50 GFLOP'*no unit of it: give a time*"),
    ],
)
def test_a_limit_that_is_none(write, run_pytest, keywords, message):
    write(f"""
        def test_typo(flop_budget):
            flop_budget(matmul, X, W, {keywords})
    """)
    result = run_pytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([message])
    assert "hlo_count/" not in result.stdout.str()  # the traceback ends at the test


def test_classes_and_parameters_have_budgets_of_their_own(write, run_pytest, pytester):
    write("""
        @pytest.mark.parametrize("n", [1, 2])
        class TestModel:
            def test_grows(self, flop_budget, flop_snapshot, n):
                x = jax.ShapeDtypeStruct((16 * n, 32), "float32")
                flop_budget(matmul, x, W, flops=8192 * n)
                flop_snapshot(matmul, x, W)
    """)
    run_pytest("--flop-update").assert_outcomes(passed=2)
    assert {key: entry["counters"]["flops"] for key, entry in stored(pytester).items()} == {
        "TestModel::test_grows[1]": MATMUL,
        "TestModel::test_grows[1] / budget": MATMUL,
        "TestModel::test_grows[2]": 2 * MATMUL,
        "TestModel::test_grows[2] / budget": 2 * MATMUL,
    }
    run_pytest().assert_outcomes(passed=2)


def test_keywords_of_the_function_and_of_count_pass_through(write, run_pytest):
    write("""
        def scaled(x, w, *, scale, **more):
            def body(state):
                return state[0] @ w @ w.T, state[1] + more["step"]
            return jax.lax.while_loop(lambda state: state[1] < scale, body, (x, 0))[0]

        def test_loop(flop_budget):
            with pytest.raises(AssertionError, match="lower bound"):
                flop_budget(scaled, X, W, scale=jnp.int32(3), step=jnp.int32(1), flops="1 MFLOP")
            flop_budget(scaled, X, W, scale=jnp.int32(3), step=jnp.int32(1), flops="1 MFLOP", allow_lower_bound=True)
            settled = {"*while*": 5}
            flop_budget(scaled, X, W, scale=jnp.int32(3), step=jnp.int32(1), min_flops=5 * 16384, trip_counts=settled)
    """)
    run_pytest().assert_outcomes(passed=1)


# Marks and targets
def test_a_mark_holds_keywords_for_its_tests(write, run_pytest):
    """The nearest mark wins, and a call over each; a limit is none of a snapshot."""
    write(f"""
        pytestmark = pytest.mark.flops(flops={MATMUL - 1}, rel=0.5)

        def test_over(flop_budget):
            flop_budget(matmul, X, W)

        @pytest.mark.flops(flops={MATMUL})
        def test_nearer(flop_budget):
            flop_budget(matmul, X, W)

        def test_called(flop_budget):
            flop_budget(matmul, X, W, flops={MATMUL})

        def test_kept(flop_snapshot):
            flop_snapshot(matmul, X, W)
    """)
    result = run_pytest("--flop-update", "--strict-markers")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["FAILED test_model.py::test_over*"])


def test_tests_with_the_fixtures_are_marked(write, run_pytest):
    write(f"""
        def test_budget(flop_budget):
            flop_budget(matmul, X, W, flops={MATMUL})

        def test_other():
            pass
    """)
    run_pytest("-m", "flops").assert_outcomes(passed=1, deselected=1)
    run_pytest("-m", "not flops").assert_outcomes(passed=1, deselected=1)


def test_a_target_for_what_names_none(write, run_pytest, pytester):
    """Snapshots of a target stand beside those of none, and an update of one leaves the other."""
    write("""
        def test_plain(flop_snapshot):
            flop_snapshot(matmul, X, W)

        def test_named(flop_snapshot):
            flop_snapshot(matmul, X, W, target="cpu")

        def test_text(flop_snapshot):
            text = jax.jit(matmul).lower(X, W).compile().as_text()
            flop_snapshot(text)
            flop_snapshot(jax.jit(matmul).lower(X, W).compile(), name="compiled")
    """)
    run_pytest("--flop-update").assert_outcomes(passed=3)
    before = stored(pytester)
    run_pytest("--flop-update", "--flop-target", "cpu").assert_outcomes(passed=3)
    assert stored(pytester).keys() == {*before, "test_plain @ cpu"}
    assert {key: entry for key, entry in stored(pytester).items() if key in before} == before
    run_pytest("--flop-target", "cpu").assert_outcomes(passed=3)
    run_pytest("--flop-update").assert_outcomes(passed=3)
    assert "test_plain @ cpu" in stored(pytester)
    run_pytest("--flop-target", "nothing:9").assert_outcomes(passed=2, failed=1)
