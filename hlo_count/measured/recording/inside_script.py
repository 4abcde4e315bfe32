"""What `hlo-count run` starts: the script, in a process of its own, recorded from its first compile on.

    python -m hlo_count.measured.recording.inside_script FOLDER SKIP SECONDS SCRIPT [ARGUMENT ...]

JAX is not imported before the script does, and its backend not started: the script may set what they read. What
happened is written into the folder, as JSON beside the trace.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import json
import os
import runpy
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

SUMMARY = "hlo_count.json"
"""The file beside the trace."""


class Recorder:
    """The profiler, from the first compile that is over after `skip` seconds, for `seconds` or to the end."""

    def __init__(self, folder: Path, skip: float, seconds: float) -> None:
        self.folder = folder
        self.skip = skip
        self.seconds = seconds
        self.compile_seconds = 0.0
        self.compiles = 0
        self.recorded = 0.0
        self.problem = ""
        self.begun = time.perf_counter()
        self._started: float | None = None
        self._over = False
        self._lock = threading.RLock()

    def listen(self) -> None:
        """From the import of JAX on."""
        from hlo_count.lowering import compile_times

        compile_times.listen(self._compiled)
        if self.skip:
            timer = threading.Timer(self.skip, self._start_if_compiled)
            timer.daemon = True
            timer.start()

    def _compiled(self, seconds: float) -> None:
        self.compile_seconds += seconds
        self.compiles += 1
        if time.perf_counter() - self.begun >= self.skip:
            self._start()

    def _start_if_compiled(self) -> None:
        if self.compiles:
            self._start()

    def _start(self) -> None:
        from hlo_count.errors import HloCountError
        from hlo_count.lowering import profiler

        with self._lock:
            if self._started is not None or self._over:
                return
            try:
                profiler.start(self.folder)
            except HloCountError as problem:
                self._over, self.problem = True, str(problem)
                return
            self._started = time.perf_counter()
        if self.seconds:
            timer = threading.Timer(self.seconds, self.stop, kwargs={"wait": False})
            timer.daemon = True
            timer.start()

    def stop(self, wait: bool = True) -> None:
        """Write the trace, if one is being recorded."""
        from hlo_count.lowering import profiler

        with self._lock:
            if self._over or self._started is None:
                return
            self._over = True
            self.recorded = time.perf_counter() - self._started
            try:
                profiler.stop(wait)
            except Exception as problem:  # the script's own arrays, of which one may have failed
                self.problem = f"the trace could not be written: {type(problem).__name__}: {problem}"
            self.write()

    def write(self) -> None:
        """What is known by now."""
        found = {
            "wall_s": time.perf_counter() - self.begun,
            "compile_s": self.compile_seconds,
            "compiles": self.compiles,
            "recorded_s": self.recorded,
            "problem": self.problem,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / SUMMARY).write_text(json.dumps(found), encoding="utf-8")


class _AfterImport(importlib.abc.MetaPathFinder):
    """Calls back once, when a module has been imported."""

    def __init__(self, name: str, call: Callable[[], None]) -> None:
        self._name = name
        self._call = call

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def then(module: ModuleType) -> None:
                execute(module)
                self._call()

            spec.loader.exec_module = then  # type: ignore[method-assign]
        return spec


def main(arguments: Sequence[str]) -> None:
    folder, skip, seconds, script, *given = arguments
    recorder = Recorder(Path(folder), float(skip), float(seconds))
    sys.argv = [script, *given]
    sys.path[0] = os.path.dirname(os.path.abspath(script))
    sys.meta_path.insert(0, _AfterImport("jax", recorder.listen))
    sys.excepthook = _without_own_frames(script)
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        recorder.stop()
        recorder.write()


def _without_own_frames(script: str) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    """An excepthook that shows the script's failure as Python would."""

    def show(kind: type[BaseException], problem: BaseException, trace: TracebackType | None) -> None:
        at = trace
        while at is not None and at.tb_frame.f_code.co_filename != script:
            at = at.tb_next
        sys.__excepthook__(kind, problem.with_traceback(at or trace), at or trace)

    return show


if __name__ == "__main__":
    main(sys.argv[1:])
