"""Which tests need a jaxlib whose MLIR reads the kernels in Mosaic that the fixtures hold."""

from __future__ import annotations

import jax
import pytest

READS_MOSAIC = jax.__version_info__ >= (0, 5)
"""The dialect has grown: of these bodies jaxlib 0.4.30 refuses attributes that it does not know, and says so."""
needs_mosaic = pytest.mark.skipif(
    not READS_MOSAIC, reason="the Mosaic dialect of jaxlib 0.4.30 is older than these bodies"
)
