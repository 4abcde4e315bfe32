from __future__ import annotations

import pytest


@pytest.fixture
def small_profile():
    """The text of a profile with little in it."""
    return """\
name = "mine"
backend = "gpu"
description = "a device of my own"

[matrix]
bf16 = { tflop_per_s = 100, source = "its datasheet" }

[vector]
f32.fma = { tflop_per_s = 20, source = "its datasheet" }
f32.add = { tflop_per_s = 10, source = "its datasheet" }

[[memory]]
name = "HBM"
kind = "main"
bandwidth = { gb_per_s = 1000, source = "its datasheet" }
"""
