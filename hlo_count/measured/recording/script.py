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
from hlo_count.measured.recording.outcome import take
from hlo_count.measured.results.tracked import Tracked
from hlo_count.measured.traces.trace_files import SUMMARY
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
    whole: bool = False,
    device: str | Path | Device | None = None,
) -> tuple[Tracked, int]:
    """What a Python script did, and its exit code as a shell has it: 128 and the signal's number for one that a signal
    ended. Its output and input are those of this process.

    The profiler runs from the first compile that is over after `skip` seconds: for `seconds`, to the end with `whole`,
    else in windows that cost little (`recorder`). `folder` keeps the trace. Raises HloCountError where there is no such
    script.
    """
    path = Path(script)
    if not path.is_file():
        raise HloCountError(f"{script}: there is no such script: hlo-count run takes a Python file and its arguments")
    given = None if device is None else find_device(device)
    made = tempfile.TemporaryDirectory(prefix="hlo-count-") if folder is None else nullcontext(str(folder))
    with made as name:
        target = Path(name)
        (target / SUMMARY).unlink(missing_ok=True)
        options = json.dumps({"skip": skip, "seconds": seconds, "whole": whole})
        command = [sys.executable, "-m", _INSIDE, str(target.absolute()), options, script, *arguments]
        returned = _run(command)
        found = Tracked(name=" ".join([script, *arguments]))
        _read(found, target, given, returned)
    return found, returned if returned >= 0 else 128 - returned


def _run(command: Sequence[str]) -> int:
    """What the process returned. Ctrl-C is the script's: a terminal gives it to both, and where there is none it is
    handed on. What ends us ends it too."""
    root = str(Path(__file__).resolve().parents[3])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    child = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))})
    try:
        handed_on = signal.SIG_IGN if _has_terminal() else lambda number, _: child.send_signal(number)
        before = signal.signal(signal.SIGINT, handed_on)
    except ValueError:  # not the main thread, where Python takes no signals
        return child.wait()
    try:
        return child.wait()
    except BaseException:
        child.terminate()
        raise
    finally:
        signal.signal(signal.SIGINT, before)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        return False
    return True


def _read(found: Tracked, folder: Path, device: Device | None, returned: int) -> None:
    """What the script left in the folder."""
    how = f"by {signal.Signals(-returned).name}" if returned < 0 else "by os._exit, or in C code"
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except FileNotFoundError:
        found.problems.append(
            f"the script was ended {how} before its trace was written: nothing is told; --seconds writes it earlier"
        )
        return
    if not summary["is_over"]:
        found.problems.append(f"the script was ended {how}: what is told is what was recorded before")
    if not summary["compiles"]:
        found.problems.append("the script compiled nothing with JAX")
    take(found, summary, folder, device)
