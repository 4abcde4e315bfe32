"""Record all that JAX compiles and runs inside a `with`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from math import inf
from pathlib import Path

from hlo_count.errors import HloCountError
from hlo_count.measured.recording.outcome import take
from hlo_count.measured.recording.recorder import Recorder
from hlo_count.measured.results.tracked import Tracked
from hlo_count.roofline.device import Device


@contextmanager
def track(
    *,
    seconds: float | None = None,
    skip: float = 0.0,
    folder: str | Path | None = None,
    device: str | Path | Device | None = None,
) -> Iterator[Tracked]:
    """`with hc.track() as t: train()`: every program that JAX ran inside, how often and how long; `print(t)`.

    The profiler runs from `skip` seconds on, for `seconds`, or to the end: a trace grows with what it records. `folder`
    keeps the trace, for `read_trace` and other tools. `device`: whose profile bounds are of, by default the one at
    hand. Raises HloCountError where a profiler runs already; what is raised inside goes through, and what was recorded
    before it is kept.
    """
    if not 0 <= skip < inf or not (seconds is None or 0 < seconds < inf):
        raise HloCountError(f"skip={skip!r}, seconds={seconds!r}: numbers of seconds, those to record more than 0")
    found = Tracked(name="tracked")
    made = tempfile.TemporaryDirectory(prefix="hlo-count-") if folder is None else nullcontext(str(folder))
    with made as name:
        recorder = Recorder(Path(name), skip=skip, seconds=seconds or 0.0, whole=seconds is None)
        recorder.listen()
        if recorder.problem:
            recorder.close()
            raise HloCountError(recorder.problem)
        try:
            yield found
        finally:
            recorder.close()
            take(found, recorder.summary(), Path(name), device)
