"""Traces of this machine's CPU, each recorded once by a process that is over when it is read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

import hlo_count as hc

RECORDED = Path(__file__).with_name("recorded_programs.py")
APART = "--xla_disable_hlo_passes=small-while-loop-hoisting"
"""Keeps the kernels of small loops apart, which a CPU runs as one function otherwise."""
DEVICES = 8
needs_thunks = pytest.mark.skipif(
    tuple(map(int, jax.__version__.split(".")[:2])) < (0, 5),
    reason="the CPU runtime of jax 0.4.30 records no times of instructions",
)


def record(folder: Path, *arguments: str, flags: str) -> Path:
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    command = [sys.executable, str(RECORDED), str(folder), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("one"), flags=APART)


@pytest.fixture(scope="session")
def trace(folder: Path) -> hc.Trace:
    return hc.read_trace(folder, device="cpu-avx512")


@pytest.fixture(scope="session")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> hc.Trace:
    flags = f"--xla_force_host_platform_device_count={DEVICES}"
    return hc.read_trace(record(tmp_path_factory.mktemp("eight"), str(DEVICES), flags=flags), device="cpu-avx512")
