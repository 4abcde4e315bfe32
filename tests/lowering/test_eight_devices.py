"""Runs `eight_devices.py` in a process of its own: the number of CPU devices is settled when JAX starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_programs_over_meshes_of_eight():
    flags = "--xla_force_host_platform_device_count=16"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            Path(__file__).with_name("eight_devices.py"),
        ],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
