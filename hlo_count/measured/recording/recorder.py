"""The profiler over the life of a process: a window of it, or as many as cost little.

What a trace costs is known when a window of it is over: to write an event down takes half a microsecond, to make the
trace of it ten times that. So windows begin short. The next is eight times as long where the last cost less than its
share, twice as long where it did not, and waits until all of them together cost no more than FREE seconds and SHARE of
the time that the process has used.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

from hlo_count.measured.traces.trace_files import SUMMARY
from hlo_count.whole_file import replace_text

SHARE = 0.02
"""Of the process's time on processors since the first began, that starting and ending windows may take: with what is
written down meanwhile it is below 5 %. What else the machine does changes neither."""
FREE = 0.1
"""Seconds of a processor that they may take in any case: of a script of a few seconds hardly a run were seen else, and
of one of ten it is 1 %."""
FIRST = 0.05
"""Seconds of the first window, and of the first after a compile: what was compiled may run quite otherwise."""
QUIET = 1.0
"""Seconds after a compile in which half of the share is kept."""
CHEAP, DEAR = 8.0, 2.0
"""How many times as long the next window may be, after one that cost less than its share and after another."""


class Recorder:
    """Records into a folder from `skip` seconds on: `seconds` long, to the end with `whole`, else windows
    (`is_sampled`); with `after_compile` not before a first compile is over, until when JAX is not touched. JAX is
    imported by whoever calls `listen`, and not here before."""

    def __init__(
        self,
        folder: Path,
        *,
        skip: float = 0.0,
        seconds: float = 0.0,
        whole: bool = False,
        after_compile: bool = False,
    ) -> None:
        self.folder = folder
        self.skip = skip
        self.seconds = seconds
        self.after_compile = after_compile
        self.is_sampled = not seconds and not whole
        self.compile_seconds = 0.0
        self.compiles = 0
        self.windows: list[tuple[float, float]] = []
        """From when to when the profiler ran, in seconds since this was made."""
        self.files: list[str] = []
        self.cost = 0.0
        """Seconds of a processor that starting and ending windows took."""
        self._before = 0.0
        """The same before the window that is open."""
        self._used_before = 0.0
        """Seconds of processors that the process had used when the first began."""
        self.problem = ""
        self.begun = time.perf_counter()
        self._end_listening: Callable[[], None] = lambda: None
        self._open: float | None = None
        self._ended: float | None = None
        self._started = False
        self._over = False
        self._compiled_at = 0.0
        self._length = FIRST
        self._until = FIRST
        self._rate = 0.0
        """What the last window cost, of each second."""
        self._least = inf
        """What a window costs in which nothing happens: the least that one did."""
        self._woken = threading.Event()
        self._lock = threading.RLock()

    @property
    def now(self) -> float:
        return time.perf_counter() - self.begun

    @property
    def recorded(self) -> float:
        return sum(end - start for start, end in self.windows)

    def listen(self) -> None:
        """From the import of JAX on."""
        from hlo_count.lowering import compile_times

        self._end_listening = compile_times.listen(self._compiled)
        if self.skip:
            _later(self.skip, self._begin)
        else:
            self._begin()

    def _compiled(self, seconds: float) -> None:
        """What was compiled runs next. It must not wait for a window that is being written."""
        self.compile_seconds += seconds
        self.compiles += 1
        self._compiled_at = self.now
        if not self._started:
            self._begin()
        elif self.is_sampled and self._lock.acquire(blocking=False):
            try:
                self._length = FIRST
                if self._open is None and self._missing() <= 0:
                    self._start()
                self._until = self.now + FIRST
            finally:
                self._lock.release()
            self._woken.set()

    def _begin(self) -> None:
        """Start, if it is time."""
        if self._over or self.now < self.skip or (self.after_compile and not self.compiles):
            return
        with self._lock:
            if self._started:
                return
            self._started, self._used_before = True, time.process_time()
            if self.is_sampled:
                self._try()
            self._start()
        if self.is_sampled:
            threading.Thread(target=self._sample, daemon=True).start()
        elif self.seconds:
            _later(self.seconds, self._end_window)

    # Windows

    def _sample(self) -> None:
        while not self._over:
            with self._lock:
                left = self._turn()
            self._woken.wait(left)
            self._woken.clear()

    def _try(self) -> None:
        """A window in which nothing happens, twice, as the first has much to prepare."""
        for _ in range(2):
            spent = self.cost
            self._start()
            self._end()
            self._least = min(self._least, self.cost - spent)
        self.windows, self.files = [], []

    def _turn(self) -> float:
        """End the window or start the next, if it is time; gives how long there is nothing to do."""
        if self._open is not None and self.now >= self._until:
            spent, lasted = self._before, self.now - self._open
            self._end()
            self.write()
            cost = self.cost - spent
            self._least = min(self._least, cost)
            self._rate = (cost - self._least) / lasted
            self._length *= CHEAP if self._rate < SHARE else DEAR
        if self._open is None:
            if (missing := self._missing()) > 0:
                return max(0.01, missing / SHARE / (os.cpu_count() or 1))  # if all of them work for it
            self._start()
        return max(0.0, self._until - self.now)

    def _missing(self) -> float:
        """Seconds that the next window would cost too much by now, if it costs what the last did in its time."""
        affordable = FREE + SHARE * (time.process_time() - self._used_before)
        if (
            self.now < self._compiled_at + QUIET
        ):  # what runs between compiles must not use what the loop after them needs
            affordable /= 2
        return self.cost + self._least + self._rate * self._length - affordable

    def _start(self) -> None:
        from hlo_count.errors import HloCountError
        from hlo_count.lowering import profiler

        if self._over:
            return
        self._before, began = self.cost, time.thread_time()
        try:
            profiler.start(self.folder)
        except HloCountError as problem:
            self._over, self.problem = True, str(problem)
            return
        self.cost += time.thread_time() - began
        self._open = self.now
        self._until = self._open + self._length

    def _end(self) -> None:
        from hlo_count.lowering import profiler

        if self._open is None:
            return
        window, self._open = (self._open, self.now), None
        began = time.thread_time()
        try:
            file = profiler.stop()
        except (OSError, RuntimeError) as problem:  # a full disk, a profiler that the script has ended itself
            self._over, self.problem = True, f"the trace could not be written: {problem}"
            return
        self.cost += time.thread_time() - began
        self.windows.append(window)
        if file is not None:
            self.files.append(str(file.relative_to(self.folder)))

    def _end_window(self) -> None:
        with self._lock:
            self._end()
            self._over = True
            self.write()

    def stop(self) -> None:
        """Record no more once all that is under way is over, and write what is known."""
        from hlo_count.lowering import profiler

        if self._open is not None:
            try:
                profiler.wait_for_arrays()
            except Exception as problem:  # the script's own arrays, of which one may have failed
                self.problem = f"not all arrays could be waited for: {type(problem).__name__}: {problem}"
        self._ended = self.now
        with self._lock:
            self._end()
            self._over = True
            self._woken.set()
        self.write()

    def give_way(self) -> None:
        """End what is recorded, for a profiler of the script's own."""
        with self._lock:
            self._end()
            if not self._over:
                self._over, self.problem = True, "the script started a profiler itself: what it did since is not told"
            self._woken.set()

    def close(self) -> None:
        """What was recorded is over: stop, and take the hooks out."""
        self.stop()
        self._end_listening()

    def write(self) -> None:
        """What is known by now, as JSON beside the traces."""
        with self._lock:
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_text(self.folder / SUMMARY, json.dumps(self.summary()))

    def summary(self) -> dict[str, Any]:
        """What is known by now."""
        return {
            "wall_s": self.now if self._ended is None else self._ended,
            "compile_s": self.compile_seconds,
            "compiles": self.compiles,
            "recorded_s": self.recorded,
            "is_sampled": self.is_sampled,
            "windows": self.windows,
            "cost_s": self.cost,
            "files": self.files,
            "problem": self.problem,
            "is_over": self._ended is not None,
        }


def _later(seconds: float, call: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()
