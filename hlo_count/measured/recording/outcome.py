"""What a recorder left, as what a user is handed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.measured.results.trace_reading import read_trace
from hlo_count.measured.results.tracked import Tracked
from hlo_count.roofline.device import Device


def take(found: Tracked, summary: Mapping[str, Any], folder: Path, device: str | Path | Device | None) -> None:
    """Put a recorder's summary and its traces into `found`."""
    found.wall_seconds, found.recorded_seconds = summary["wall_s"], summary["recorded_s"]
    found.compile_seconds, found.compiles = summary["compile_s"], summary["compiles"]
    found.windows = len(summary["windows"]) if summary["is_sampled"] else 0
    if summary["problem"]:
        found.problems.append(summary["problem"])
    if not found.recorded_seconds:
        if not found.problems:
            found.problems.append("nothing was recorded: all was over before it was to begin")
        return
    try:
        found.result = read_trace(folder, device=device)
    except HloCountError as problem:
        found.problems.append(str(problem))
