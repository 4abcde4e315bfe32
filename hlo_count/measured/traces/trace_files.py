"""Where the traces of a profile lie: a file, the folder of a run, or one that holds many runs."""

from __future__ import annotations

from pathlib import Path

from hlo_count.errors import HloCountError

SUFFIX = ".xplane.pb"
_HOW = "record one with jax.profiler.trace(folder), hlo_count.measure or `hlo-count run -o folder script.py`"


def trace_files(path: Path) -> list[Path]:
    """The `.xplane.pb` files of one profile, a file a host. Of a folder of several profiles those of the latest.

    Raises HloCountError naming the remedy where there is none.
    """
    if path.is_file():
        if path.name.endswith((".trace.json.gz", ".trace.json")):
            raise HloCountError(f"{path}: this is what a browser shows of a trace: name the {SUFFIX} beside it")
        return [path]
    if not path.is_dir():
        raise HloCountError(f"{path}: there is no such file or folder; {_HOW}")
    files = sorted(path.rglob(f"*{SUFFIX}"))
    if not files:
        raise HloCountError(f"{path}: no {SUFFIX} in this folder; {_HOW}")
    latest = max({file.parent for file in files}, key=lambda folder: (folder.name, str(folder)))
    return [file for file in files if file.parent == latest]
