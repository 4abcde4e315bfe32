"""Budgets that are run, where pytest is asked to."""

from __future__ import annotations

import pytest
from measured.conftest import needs_thunks
from plugin_runs import PLUGIN

pytest_plugins = ["pytester"]

TESTS = """
import jax.numpy as jnp

N = 64


def product(x):
    return x @ x


def test_time(flop_budget):
    report = flop_budget(product, jnp.ones((N, N)), flops=2 * N**3, measured=True, times_bound={limit}, device="cpu-avx512")
    assert report.flops == 2 * N**3
"""


@pytest.fixture
def run(pytester):
    def run(limit: str, *options: str):
        pytester.makepyfile(TESTS.replace("{limit}", limit))
        return pytester.runpytest_inprocess(*PLUGIN, "-q", "-p", "no:cacheprovider", *options)

    return run


def test_nothing_is_run_unless_asked(run):
    run("1").assert_outcomes(passed=1)


@needs_thunks
def test_a_program_may_take_so_many_times_its_bound(run):
    run("1e9", "--flop-measure").assert_outcomes(passed=1)


@needs_thunks
def test_one_that_takes_longer_fails_and_says_where_its_time_went(run):
    """No machine of tests has the 32 cores of that datasheet, or runs microseconds of work at its peak."""
    result = run("1", "--flop-measure")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*jit_product took * times its bound of * on cpu-avx512; it may take 1 times*"])
    result.stdout.fnmatch_lines(["*below the roof*", "*waiting*"])


@pytest.mark.parametrize("limit", ["0.5", "None", "'4'"])
def test_a_limit_that_is_none_is_refused(run, limit):
    result = run(limit)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*times_bound=*1 or more*"])
