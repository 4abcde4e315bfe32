"""How much memory something takes at its peak, as Linux sees it: what numpy or a regular expression takes, too."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

_PROCESS = Path("/proc/self")
MEASURABLE = (_PROCESS / "clear_refs").exists()
"""Whether this system tells; elsewhere every peak is 0."""


def peak_above(function: Callable[[], object]) -> int:
    """Bytes that this process held at most while `function` ran, above what it held before."""
    if not MEASURABLE:
        function()
        return 0
    (_PROCESS / "clear_refs").write_text("5")  # the peak starts anew from what is held now: man 5 proc
    before = _kilobytes("VmRSS")
    function()
    return max(0, _kilobytes("VmHWM") - before) * 1024


def _kilobytes(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", (_PROCESS / "status").read_text(), re.M)
    return int(found[1]) if found else 0
