"""The plugin, as pytest runs it: in this process and under xdist."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import hlo_count
from hlo_count.budgets import hold, run  # noqa: F401  stays loaded between the runs of pytester
from hlo_count.roofline import roofline  # noqa: F401

pytest_plugins = ["pytester"]

INSTALLED = any(e.value == "hlo_count.pytest_plugin" for e in entry_points(group="pytest11"))
# Hypothesis would load itself, and be unloaded, in every run.
OTHERS = ("-p", "no:hypothesispytest", "-p", "no:jaxtyping")  # plugins of others, which import what ours may not
PLUGIN = (*OTHERS, *(() if INSTALLED else ("-p", "hlo_count.pytest_plugin")))
MATMUL = 2 * 16 * 32 * 8  # FLOP of (16, 32) @ (32, 8)

HEAD = """
    import jax, jax.numpy as jnp, pytest

    X, W = jax.ShapeDtypeStruct((16, 32), "float32"), jax.ShapeDtypeStruct((32, 8), "float32")

    def matmul(x, w):
        return x @ w

    def twice(x, w):
        return jnp.sin(x @ w) + jnp.cos(x) @ w
"""


@pytest.fixture(autouse=True, scope="module")
def warm():
    """JAX loads parts of itself while it compiles, and pytester would unload them after each run."""
    hlo_count.count(lambda x: jnp.sin(x @ x), jax.ShapeDtypeStruct((2, 2), "float32"))


@pytest.fixture
def write(pytester: pytest.Pytester):
    import textwrap

    def write(body: str, name: str = "test_model") -> Path:
        return pytester.makepyfile(**{name: textwrap.dedent(HEAD) + textwrap.dedent(body)})

    return write


@pytest.fixture
def run_pytest(pytester: pytest.Pytester):
    return lambda *args: pytester.runpytest_inprocess(*PLUGIN, "-p", "no:cacheprovider", *args)


@pytest.fixture
def run_xdist(pytester: pytest.Pytester, monkeypatch):
    pytest.importorskip("xdist")
    root = str(Path(hlo_count.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", root + os.pathsep + os.environ.get("PYTHONPATH", ""))
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    return lambda *args: pytester.runpytest_subprocess(*PLUGIN, "-p", "xdist", "-n", "2", *args)


def stored(pytester: pytest.Pytester, name: str = "test_model") -> dict[str, dict]:
    return json.loads((pytester.path / "__flops__" / f"{name}.json").read_text())["snapshots"]


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


# Snapshots


SNAPSHOT = """
    def test_step(flop_snapshot):
        flop_snapshot({fn}, X, W{more})
"""


def test_a_missing_snapshot_says_how_to_make_it(write, run_pytest):
    write(SNAPSHOT.format(fn="matmul", more=""))
    result = run_pytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*no snapshot yet in __flops__/test_model.json, key 'test_step'. Make it: pytest --flop-update"]
    )


def test_a_snapshot_that_changed_says_what_grew_and_where(write, run_pytest, pytester):
    write(SNAPSHOT.format(fn="matmul", more=""))
    result = run_pytest("--flop-update")
    result.stdout.fnmatch_lines(["snapshots in __flops__: 1 written, 0 dropped, 0 as they were"])
    entry = stored(pytester)["test_step"]
    assert entry["jax"] == jax.__version__
    assert (entry["counters"]["flops"], entry["backend"], entry["target"]) == (MATMUL, "cpu", None)
    run_pytest().assert_outcomes(passed=1)
    file = write(SNAPSHOT.format(fn="twice", more=""))
    result = run_pytest()
    result.assert_outcomes(failed=1)
    line = file.read_text().splitlines().index("    return jnp.sin(x @ w) + jnp.cos(x) @ w") + 1
    result.stdout.fnmatch_lines(
        [
            "E *snapshot: __flops__/test_model.json, key 'test_step'",
            "E *grew against the snapshot: flops, by source line",
            f"E *+* new * test_model.py:{line} * return jnp.sin(x @ w) + jnp.cos(x) @ w",
            "E *Nothing may change at all. If it should have: pytest --flop-update",
        ]
    )
    run_pytest("--flop-update").assert_outcomes(passed=1)
    assert stored(pytester)["test_step"]["counters"]["flops"] > 2 * MATMUL


def test_a_line_that_moved_did_not_grow(write, run_pytest, pytester):
    write(SNAPSHOT.format(fn="matmul", more=""))
    run_pytest("--flop-update")
    file = pytester.path / "test_model.py"
    text = file.read_text().replace("def matmul(x, w):", "# one line more\n\ndef matmul(x, w):\n    x = jnp.sin(x)")
    file.write_text(text)
    result = run_pytest()
    result.assert_outcomes(failed=1)
    head = "grew against the snapshot: transcendentals, by source line"
    grown = result.stdout.str().partition(head)[2].partition("by scope")[0]
    assert "x = jnp.sin(x)" in grown
    assert "return x @ w" not in grown
    assert "grew against the snapshot: flops" not in result.stdout.str()


@pytest.mark.parametrize(("rel", "passes"), [(0.002, True), (0.0005, False)])
def test_a_tolerance_goes_both_ways(write, run_pytest, pytester, rel, passes):
    write(SNAPSHOT.format(fn="matmul", more=f", rel={rel}, ops=False"))
    run_pytest("--flop-update")
    file = pytester.path / "__flops__" / "test_model.json"
    for by in (8, -8):  # 8 of 8192 is a thousandth
        data = json.loads(file.read_text())
        data["snapshots"]["test_step"]["counters"]["flops"] = MATMUL + by
        file.write_text(json.dumps(data))
        run_pytest().assert_outcomes(passed=int(passes), failed=int(not passes))


def test_another_jax_than_the_one_that_made_it_is_named_in_the_failure(write, run_pytest, pytester):
    write(SNAPSHOT.format(fn="matmul", more=""))
    run_pytest("--flop-update")
    file = pytester.path / "__flops__" / "test_model.json"
    data = json.loads(file.read_text())
    data["snapshots"]["test_step"] |= {"jax": "0.3.7", "target": "tpu:v5e"}
    file.write_text(json.dumps(data))
    run_pytest().assert_outcomes(passed=1)
    data["snapshots"]["test_step"]["counters"]["flops"] -= 1
    file.write_text(json.dumps(data))
    run_pytest().stdout.fnmatch_lines(
        [
            f"E *made with jax 0.3.7, now {jax.__version__}: the compiler alone may be the cause",
            "E *made with target tpu:v5e, now None: the compiler alone may be the cause",
        ]
    )


def damaged(change):
    return lambda text: json.dumps(change(json.loads(text)))


def stating(**changes):
    """Damage to the one stored entry."""

    def change(data):
        entry = data["snapshots"]["test_step"]
        for name, value in changes.items():
            entry[name] = entry[name] | value if isinstance(value, dict) else value
        return data

    return damaged(change)


def without_counter(data):
    del data["snapshots"]["test_step"]["counters"]["bytes"]
    return data


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], "*__flops__/test_model.json: this is no JSON*"),
        (lambda text: "<<<<<<< HEAD\n" + text, "*__flops__/test_model.json: this is no JSON*"),
        (damaged(lambda data: data | {"format": 99}), "*test_model.json: format 99 was written by a newer hlo-count*"),
        (damaged(lambda data: data | {"format": "x"}), "*test_model.json: format is 'x', not the number of a format*"),
        (damaged(lambda data: data | {"format": 0}), "*test_model.json: format is 0, not the number of a format*"),
        (
            damaged(lambda data: data | {"format": True}),
            "*test_model.json: format is True, not the number of a format*",
        ),
        (stating(counters={"flops": -1}), "*key 'test_step': counters.flops is -1, not an integer of 0 or more*"),
        (stating(ops={"dot": -1}), "*key 'test_step': ops.dot is -1, not an integer of 0 or more*"),
        (stating(status="certain"), "*key 'test_step': status is 'certain', not one of exact, estimate, lower bound*"),
        (damaged(lambda data: []), "*test_model.json: this is no snapshot file*"),
        (damaged(without_counter), "*test_model.json: key 'test_step': counters.bytes is None, not an integer*"),
    ],
)
def test_a_snapshot_file_that_cannot_be_read(write, run_pytest, pytester, damage, message):
    write(SNAPSHOT.format(fn="matmul", more=""))
    run_pytest("--flop-update")
    file = pytester.path / "__flops__" / "test_model.json"
    broken = damage(file.read_text())
    file.write_text(broken)
    for args in ((), ("--flop-update",)):
        result = run_pytest(*args)
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines([message])
        assert file.read_text() == broken


@pytest.mark.parametrize(
    ("stored_as", "message"),
    [
        ({"backend": "tpu", "target": "tpu:v5e"}, "backend cpu, was tpu"),
        ({"backend": "tpu", "target": "tpu:v5e", "status": "estimate"}, "status exact, was estimate, 1 more"),
        ({"status": "lower bound"}, "status exact, was lower bound"),
    ],
)
def test_equal_numbers_of_another_program_do_not_hold(write, run_pytest, pytester, stored_as, message):
    write(SNAPSHOT.format(fn="matmul", more=", rel=0.5"))
    run_pytest("--flop-update")
    file = pytester.path / "__flops__" / "test_model.json"
    file.write_text(stating(**stored_as)(file.read_text()))
    result = run_pytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"E       hlo_count.errors.BudgetExceeded: {message}"])
    run_pytest("--flop-update").assert_outcomes(passed=1)
    run_pytest().assert_outcomes(passed=1)


def test_a_target_that_was_given_is_compared(write, run_pytest, pytester):
    write(SNAPSHOT.format(fn="matmul", more=', target="cpu"'))
    run_pytest("--flop-update")
    write(SNAPSHOT.format(fn="matmul", more=""))
    run_pytest().assert_outcomes(passed=1)  # the same machine, not named
    file = pytester.path / "__flops__" / "test_model.json"
    file.write_text(stating(target="cpu:4")(file.read_text()))
    write(SNAPSHOT.format(fn="matmul", more=', target="cpu"'))
    run_pytest().stdout.fnmatch_lines(["E  *BudgetExceeded: target cpu, was cpu:4"])


LOOP = """
    def loop(x, n):
        return jax.lax.fori_loop(0, {end}, lambda _, y: y @ y, x)

    def test_step(flop_snapshot):
        flop_snapshot(loop, jax.ShapeDtypeStruct((16, 16), "float32"), jax.ShapeDtypeStruct((), "int32"), rel=0.9)
"""


def test_a_count_that_became_a_lower_bound_says_so(write, run_pytest):
    write(LOOP.format(end=1))
    run_pytest("--flop-update").assert_outcomes(passed=1)
    write(LOOP.format(end="n"))
    result = run_pytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *status was exact, now lower bound",
            "E *the count is a lower bound: what is not known may grow unseen",
            "E *settle it: *trip_counts=*",
        ]
    )
    assert all(len(line) <= 100 for line in result.outlines if line.startswith("E"))


def test_a_snapshot_that_is_a_lower_bound_is_named_in_the_summary(write, run_pytest):
    write(LOOP.format(end="n"))
    for args in (("--flop-update",), ()):
        result = run_pytest(*args)
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["lower bounds, whose unknown part is not held: test_model.py::test_step"])


def test_an_argument_with_the_name_of_a_limit_is_bound_before(write, run_pytest):
    write(f"""
        import functools

        def scaled(x, w, flops):
            return (x @ w) * flops

        def test_step(flop_budget):
            with pytest.raises(TypeError, match="flops"):
                flop_budget(scaled, X, W, flops=10**9)
            flop_budget(functools.partial(scaled, flops=2.0), X, W, flops={MATMUL} + 16 * 8, min_flops={MATMUL})
    """)
    run_pytest().assert_outcomes(passed=1)


def test_a_folder_that_cannot_be_written_fails_the_run_and_names_file_and_key(write, run_pytest, pytester, monkeypatch):
    write(SNAPSHOT.format(fn="matmul", more=""))

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        result = run_pytest("--flop-update")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["ERROR *test_model.json: cannot be written (Permission denied); not updated: test_step"]
    )
    assert list((pytester.path / "__flops__").iterdir()) == []


def test_two_snapshots_in_one_test_need_names(write, run_pytest, pytester):
    body = """
        def test_both(flop_snapshot):
            flop_snapshot(matmul, X, W{0})
            flop_snapshot(twice, X, W{1})
    """
    write(body.format("", ""))
    result = run_pytest("--flop-update")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*key 'test_both': asked for twice in one test; tell them apart with name=…"])
    write(body.format(', name="one"', ', name="two"'))
    run_pytest("--flop-update").assert_outcomes(passed=1)
    assert list(stored(pytester)) == ["test_both / one", "test_both / two"]


def test_two_tests_with_one_id(write, run_pytest, pytester):
    write(SNAPSHOT.format(fn="matmul", more=""))
    pytester.makeconftest("def pytest_collection_modifyitems(items):\n    items += items[:]\n")
    result = run_pytest("--flop-update")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*two tests have the id test_model.py::test_step; give them different ones"])


# What no test asks for

FOUR = """
    @pytest.mark.parametrize("n", [1, 2])
    def test_one(flop_snapshot, n):
        flop_snapshot(matmul, X, W)

    class TestTwo:
        def test_two(self, flop_snapshot):
            flop_snapshot(twice, X, W)

    def test_three(flop_snapshot):
        flop_snapshot(matmul, X, W, name="small")
"""
FOUR_KEYS = ["TestTwo::test_two", "test_one[1]", "test_one[2]", "test_three / small"]


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


# The run


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
