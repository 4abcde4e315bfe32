"""Functions that are run and measured here."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import pytest
from measured.conftest import needs_thunks

import hlo_count as hc
from hlo_count.cli import main

pytestmark = needs_thunks
N = 64


def collatz(n):
    def after(state):
        n, steps = state
        return jnp.where(n % 2 == 0, n // 2, 3 * n + 1), steps + 1

    return jax.lax.while_loop(lambda state: state[0] != 1, after, (n, 0))


def test_a_function_is_run_as_often_as_asked():
    program = hc.measure(lambda x: x @ x, jnp.ones((N, N)), runs=4, device="cpu-avx512")
    assert program.runs == 4 and len(program.seconds) == 4
    assert program.report.flops == 2 * N**3 and program.report.status == "exact"
    assert sum(row.flops for row in program.rows) == 4 * 2 * N**3
    assert program.flops_per_s == pytest.approx(2 * N**3 / program.median)
    assert not program.notes


def test_trips_of_a_loop_that_a_cpu_makes_one_function_of_are_counted_in_another_run():
    """From 27 it takes 111 steps: sequence A006577 of the OEIS."""
    program = hc.measure(collatz, 27, runs=2, device="cpu-avx512")
    assert [*program.courses.trip_counts.values()] == [111]
    assert program.report.status == "exact"
    assert program.report.int_ops == hc.count(collatz, 27, trip_counts={"*while*": 111}).int_ops
    unsettled = hc.count(collatz, 27)
    assert unsettled.status == "lower bound"


def test_shapes_are_made_and_the_user_is_told():
    shape = jax.ShapeDtypeStruct((N, N), jnp.float32)
    program = hc.measure(
        lambda x, i: x[i] @ x[i], shape, jax.ShapeDtypeStruct((N,), jnp.int32), runs=1, device="cpu-avx512"
    )
    assert any("floats at random from 0 to 1, integers and booleans 0" in note for note in program.notes)
    assert "floats at random" in program.table()


def test_what_a_run_consumes_is_made_anew():
    donating = jax.jit(lambda x, y: (x + y, y * 2), donate_argnums=0)
    x, y = jnp.ones((N, N)), jnp.ones((N, N))
    program = hc.measure(donating, x, y, runs=3, device="cpu-avx512")
    assert program.runs == 3 and program.report.flops == 2 * N * N


def test_static_arguments_stay_what_they_are():
    power = jax.jit(lambda x, n: jnp.linalg.matrix_power(x, n), static_argnums=1)
    program = hc.measure(power, jnp.ones((N, N)), 4, runs=1, device="cpu-avx512")
    assert program.report.by("class")["matmul"].flops == 2 * 2 * N**3  # squared twice


def test_branches_are_those_of_the_arguments():
    def either(yes, x):
        return jax.lax.cond(yes, lambda x: x @ x, lambda x: jnp.sin(x), x)

    found = {yes: hc.measure(either, yes, jnp.ones((N, N)), runs=1, device="cpu-avx512") for yes in (True, False)}
    assert found[True].report.flops == 2 * N**3 and found[True].report.status == "exact"
    assert found[False].report.flops == 0 and found[False].report.transcendentals == N * N


def test_a_profiler_that_is_running_is_left_alone(tmp_path):
    jax.profiler.start_trace(str(tmp_path))
    try:
        with pytest.raises(hc.HloCountError, match=r"already running.*jax.profiler.stop_trace"):
            hc.measure(lambda x: x + 1, 1.0)
    finally:
        jax.profiler.stop_trace()


def test_what_cannot_be_run_is_refused():
    with pytest.raises(hc.HloCountError, match="runs=0: a whole number, 1 or more"):
        hc.measure(lambda x: x, 1.0, runs=0)
    with pytest.raises(hc.HloCountError, match="Lowered cannot run"):
        hc.measure(jax.jit(lambda x: x).lower(1.0))
    with pytest.raises(ZeroDivisionError):
        hc.measure(lambda x: x / (1 // 0), 1.0)


def test_the_command_prints_a_table_or_one_document(tmp_path, capsys):
    file = tmp_path / "programs_to_run.py"
    file.write_text("def product(x, y):\n    print('traced')\n    return x @ y\n")
    command = ["measure", f"{file}:product", "--arg", f"f32[{N},{N}]", "--arg", f"f32[{N},{N}]", "--runs", "2"]
    assert main([*command, "--device", "cpu-avx512"]) == 0
    assert "jit_product: where" in capsys.readouterr().out
    assert main([*command, "--device", "cpu-avx512", "--json"]) == 0
    written = capsys.readouterr()
    found = json.loads(written.out)
    assert (found["runs"], found["report"]["flops"]) == (2, 2 * N**3)
    assert "traced" in written.err
