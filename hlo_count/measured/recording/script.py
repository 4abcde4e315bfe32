"""Run a script in a process of its own, as it would run without us, and tell what it did."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from hlo_count.errors import HloCountError
from hlo_count.measured.recording.inside_script import SUMMARY
from hlo_count.measured.results.trace_reading import read_trace
from hlo_count.measured.results.tracked import Tracked
from hlo_count.roofline.catalog import device as find_device
from hlo_count.roofline.device import Device

_INSIDE = "hlo_count.measured.recording.inside_script"


def run_script(
    script: str,
    arguments: Sequence[str] = (),
    *,
    folder: str | Path | None = None,
    skip: float = 0.0,
    seconds: float = 0.0,
    device: str | Path | Device | None = None,
) -> tuple[Tracked, int]:
    """What a Python script did, and its exit code as a shell has it: 128 and the signal's number for one that a signal
    ended. Its output and input are those of this process.

    The profiler runs from the first compile that is over after `skip` seconds, for `seconds` (0: to the end). `folder`
    keeps the trace. Raises HloCountError where there is no such script.
    """
    path = Path(script)
    if not path.is_file():
        raise HloCountError(f"{script}: there is no such script: hlo-count run takes a Python file and its arguments")
    given = None if device is None else find_device(device)
    made = tempfile.TemporaryDirectory(prefix="hlo-count-") if folder is None else nullcontext(str(folder))
    with made as name:
        target = Path(name)
        (target / SUMMARY).unlink(missing_ok=True)
        command = [sys.executable, "-m", _INSIDE, str(target.absolute()), str(skip), str(seconds), script, *arguments]
        returned = _run(command)
        found = Tracked(name=" ".join([script, *arguments]))
        _read(found, target, given, returned)
    return found, returned if returned >= 0 else 128 - returned


def _run(command: Sequence[str]) -> int:
    """What the process returned. Ctrl-C is the script's, which gets it from the terminal; what ends us ends it too."""
    root = str(Path(__file__).resolve().parents[3])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    child = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))})
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not the main thread, where Python takes no signals
        return child.wait()
    try:
        return child.wait()
    except BaseException:
        child.terminate()
        raise
    finally:
        signal.signal(signal.SIGINT, before)


def _read(found: Tracked, folder: Path, device: Device | None, returned: int) -> None:
    """What the script left in the folder."""
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except FileNotFoundError:
        how = f"by {signal.Signals(-returned).name}" if returned < 0 else "by os._exit, or in C code"
        found.problems.append(
            f"the script was ended {how} before its trace was written: nothing is told; --seconds writes it earlier"
        )
        return
    found.wall_seconds, found.recorded_seconds = summary["wall_s"], summary["recorded_s"]
    found.compile_seconds, found.compiles = summary["compile_s"], summary["compiles"]
    if summary["problem"]:
        found.problems.append(summary["problem"])
    if not found.compiles:
        found.problems.append("the script compiled nothing with JAX")
    elif not found.recorded_seconds:
        found.problems.append("nothing was recorded: the script was over before --skip, or ran another profiler")
    else:
        try:
            found.result = read_trace(folder, device=device)
        except HloCountError as problem:
            found.problems.append(str(problem))
