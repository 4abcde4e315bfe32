"""Where the traces of a profile lie: a file, the folder of a run, or one that holds many runs."""

from __future__ import annotations

import json
from pathlib import Path

from hlo_count.errors import HloCountError

SUFFIX = ".xplane.pb"
SUMMARY = "hlo_count.json"
"""What was recorded here, beside the traces of it: `files` are those of its windows."""
_HOW = "record one with jax.profiler.trace(folder), hlo_count.measure or `hlo-count run -o folder script.py`"


def trace_files(path: Path) -> list[list[Path]]:
    """The `.xplane.pb` files of one profile: of each host its own, several where it was recorded in windows. Of a
    folder of several profiles those of the latest.

    Raises HloCountError naming the remedy where there is none.
    """
    if path.is_file():
        if path.name.endswith((".trace.json.gz", ".trace.json")):
            raise HloCountError(f"{path}: this is what a browser shows of a trace: name the {SUFFIX} beside it")
        return [[path]]
    if not path.is_dir():
        raise HloCountError(f"{path}: there is no such file or folder; {_HOW}")
    files = sorted(path.rglob(f"*{SUFFIX}"))
    if not files:
        raise HloCountError(f"{path}: no {SUFFIX} in this folder; {_HOW}")
    latest = max({file.parent for file in files}, key=lambda folder: (folder.name, str(folder)))
    windows = [file for file in _windows(path) if file in files]
    if any(file.parent == latest for file in windows):  # nothing was recorded here since
        return [windows]
    return [[file] for file in files if file.parent == latest]


def _windows(folder: Path) -> list[Path]:
    """Those of the recording that this folder was made for, if it was."""
    try:
        found = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        return [folder / str(name) for name in found["files"]]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):  # another's file
        return []
