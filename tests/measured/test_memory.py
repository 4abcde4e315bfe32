"""How much memory a trace takes to be read."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

from measured.xspace_files import plane

import hlo_count as hc

RUNS, KERNELS = 200, 50


def write(path: Path, runs: int) -> Path:
    """A CPU's trace in which each event has a number of its own, as real ones have."""
    events = [
        {
            "name": f"dot.{kernel}",
            "start": (run * KERNELS + kernel) * 10,
            "duration": 9,
            "stats": {
                "hlo_op": f"dot.{kernel}", "hlo_module": "jit_f", "program_id": 7, "run_id": run,
                "device_ordinal": 0, "_p": 2**40 + run * KERNELS + kernel,
            },
        }
        for run in range(runs)
        for kernel in range(KERNELS)
    ]  # fmt: skip
    path.write_bytes(plane("/host:CPU", {"worker": events}))
    return path


def most_memory(path: Path) -> int:
    tracemalloc.start()
    try:
        hc.read_trace(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_grows_by_less_than_the_trace(tmp_path):
    """Of an event four numbers of 8 bytes are kept until its run is added up; half of that again is room into which an
    array grows. A run has an object of its own. An event takes 70 bytes and more in the file, and hundreds as objects."""
    small, large = write(tmp_path / "small.xplane.pb", RUNS // 4), write(tmp_path / "large.xplane.pb", RUNS)
    hc.read_trace(small)  # what is loaded and cached once
    more = most_memory(large) - most_memory(small)
    events = (RUNS - RUNS // 4) * KERNELS
    assert more < 1.5 * 32 * events + 1000 * (RUNS - RUNS // 4)
    assert more < large.stat().st_size - small.stat().st_size
