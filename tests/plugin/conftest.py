"""Runs of pytest with the plugin, in this process and under xdist."""

from __future__ import annotations

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from plugin_runs import HEAD, PLUGIN

import hlo_count
from hlo_count.budgets import hold, run  # noqa: F401  stays loaded between the runs of pytester
from hlo_count.roofline import roofline  # noqa: F401


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
