"""What `hlo-count run` starts: the script, in a process of its own, recorded from its first compile on.

    python -m hlo_count.measured.recording.inside_script FOLDER OPTIONS SCRIPT [ARGUMENT ...]

OPTIONS are those of a `Recorder`, as JSON. JAX is not imported before the script does, and its backend not started: the
script may set what they read. What happened is written into the folder, as JSON beside the trace.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import json
import os
import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from hlo_count.measured.recording.recorder import Recorder


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
    folder, options, script, *given = arguments
    recorder = Recorder(Path(folder), after_compile=True, **json.loads(options))
    sys.argv = [script, *given]
    sys.path[0] = os.path.dirname(os.path.abspath(script))

    def begin() -> None:
        from hlo_count.lowering import profiler

        recorder.listen()
        profiler.give_way(recorder.give_way)

    sys.meta_path.insert(0, _AfterImport("jax", begin))
    sys.excepthook = _without_own_frames(script)
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        recorder.stop()


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
