"""Snapshots as pytest compares them: what grew, what they are of, and what cannot be read."""

from __future__ import annotations

import json
import os

import jax
import pytest
from plugin_runs import MATMUL, SNAPSHOT, stored

from hlo_count.budgets import hold, run  # noqa: F401  stays loaded between the runs of pytester
from hlo_count.roofline import roofline  # noqa: F401

pytest_plugins = ["pytester"]


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
