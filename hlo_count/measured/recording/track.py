"""Record all that JAX compiles and runs inside a `with`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from hlo_count.errors import HloCountError
from hlo_count.measured.results.trace_reading import read_trace
from hlo_count.measured.results.tracked import Tracked
from hlo_count.roofline.device import Device


@contextmanager
def track(*, folder: str | Path | None = None, device: str | Path | Device | None = None) -> Iterator[Tracked]:
    """`with hc.track() as t: train()`: every program that JAX ran inside, how often and how long; `print(t)`.

    `folder` keeps the trace, for `read_trace` and other tools. `device`: whose profile bounds are of, by default the
    one at hand. Keep what is inside to some seconds of work: the trace grows with it. Raises HloCountError where a
    profiler runs already; what is raised inside goes through, and what was recorded before it is kept.
    """
    from hlo_count.lowering import compile_times, profiler

    found = Tracked(name="tracked")
    made = tempfile.TemporaryDirectory(prefix="hlo-count-") if folder is None else nullcontext(str(folder))
    with made as name:

        def compiled(seconds: float) -> None:
            found.compile_seconds += seconds
            found.compiles += 1

        profiler.start(Path(name))
        end = compile_times.listen(compiled)
        begun = time.perf_counter()
        try:
            yield found
        finally:
            found.wall_seconds = found.recorded_seconds = time.perf_counter() - begun
            end()
            profiler.stop()
            try:
                found.result = read_trace(name, device=device)
            except HloCountError as problem:
                found.problems.append(str(problem))
