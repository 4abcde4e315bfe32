"""Which targets can be compiled for here; tests of the others are skipped, saying what to install."""

from __future__ import annotations

from typing import Any

import pytest

from hlo_count.lowering import gpu, tpu

WITH_TPU = pytest.mark.skipif(not tpu.installed(), reason=f"cannot compile for TPU here: {tpu.REMEDY}")
WITH_GPU = pytest.mark.skipif(not gpu.installed(), reason=f"cannot compile for CUDA here: {gpu.REMEDY}")


def compiled_for(*names: str) -> list[Any]:
    """The targets as parameters of a test, each skipped where it cannot be compiled for."""
    marks = {"tpu": (WITH_TPU,), "cpu": ()}
    return [pytest.param(name, marks=marks.get(name[:3], (WITH_GPU,))) for name in names]
