"""What a host did while nothing ran, and what was copied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from measured.conftest import needs_thunks
from measured.xspace_files import plane

import hlo_count as hc

US = 1_000_000
"""Picoseconds."""
PUTS, READ = 4, 3


def host(name: str, start: int, duration: int) -> dict[str, Any]:
    return {"name": name, "start": start * US, "duration": duration * US, "stats": {}}


def kernel(run: int, start: int) -> dict[str, Any]:
    stats = {"hlo_op": "dot.1", "hlo_module": "jit_f", "program_id": 7, "run_id": run, "device_ordinal": 0}
    return {"name": "dot.1", "start": start * US, "duration": 10 * US, "stats": stats}


def read(tmp_path: Path, *planes: bytes) -> hc.Trace:
    file = tmp_path / "host.xplane.pb"
    file.write_bytes(b"".join(planes))
    return hc.read_trace(file)


def test_idle_time_is_told_by_what_the_host_did(tmp_path):
    """100 µs between two runs: an instant in which several things are under way is told once, as what is inside."""
    python = [
        host("PjitFunction(f)", 10, 60),  # 60, less the 30 in which it compiles
        host("backend_compile_and_load", 30, 30),
        host("np.asarray(jax.Array)", 75, 5),
        host("next batch", 85, 20),  # an annotation of the program's, of which 5 are in the second run
        host("DevicePut", 90, 4),
        host("$f.py:1 f", 0, 120),  # a function of Python
    ]
    compiler = [host("CpuCompiler::RunBackend", 30, 25), host("algsimp", 60, 30)]
    planes = plane("/host:CPU", {"python": python, "compiler": compiler, "worker": [kernel(1, 0), kernel(2, 110)]})
    trace = read(tmp_path, planes)
    assert trace.idle == pytest.approx(100e-6)
    told = {"compiling": 30, "transfers": 5 + 4, "tracing and dispatch": 30, "next batch": 20 - 4}
    assert trace.idle_causes == pytest.approx({cause: spent * 1e-6 for cause, spent in told.items()})
    assert "30.0 µs compiling; 9.00 µs transfers" in trace.table() and "in 'next batch'" in trace.table()
    assert "15.0 µs of which nothing is known" in " ".join(trace.table().split())


def test_copies_of_a_gpu_are_told_with_their_bytes(tmp_path):
    """As CUPTI's and ROCm's collectors of XLA write them; the host's events of the same copies are not told again."""
    stats = {"hlo_op": "dot.1", "hlo_module": "jit_f", "program_id": 7}
    copies = [
        ("MemcpyH2D", 5, "kind_src:pinned kind_dst:device size:4000 dest:0 async:1"),
        ("MemcpyH2D", 3, "kind_src:pageable kind_dst:device size:1000 dest:0 async:1"),
        ("CopyDeviceToHost", 2, "kind:Unknown size:500 dest:0 async:1"),
        ("CopyDeviceToDevice", 1, "kind:Unknown size:655360 dest:2 async:1"),
    ]
    events = [{**kernel(1, 0), "stats": stats}]
    for number, (name, long, details) in enumerate(copies):
        events.append({**host(name, 20 + 10 * number, long), "stats": {"memcpy_details": details}})
    trace = read(
        tmp_path,
        plane("/device:GPU:0", {"Stream #7(Kernel)": events}),
        plane("/host:CPU", {"python": [host("DevicePut", 20, 9)]}),
    )
    assert {way: (each.number, each.picoseconds, each.bytes) for way, each in trace.transfers.items()} == {
        "host to device": (2, 8 * US, 5000),
        "device to host": (1, 2 * US, 500),
        "device to device": (1, 1 * US, 655360),
    }
    assert trace.to_dict()["transfers"]["host to device"]["bytes"] == 5000
    assert not trace.unattributed  # a copy is no kernel that tells no instruction
    assert "device to host" in trace.table()


@needs_thunks
def test_copies_of_this_machine_are_counted():
    double = jax.jit(lambda x: x * 2)
    ready = [np.full((64, 64), n, np.float32) for n in range(PUTS)]
    jax.block_until_ready(double(jax.device_put(ready[0])))
    with hc.track() as t:
        results = [double(jax.device_put(each)) for each in ready]
        for each in results[:READ]:
            jax.device_get(each)
        double(ready[0]).block_until_ready()  # NumPy's array is put, too
    assert t.trace.transfers["host to device"].number == PUTS + 1
    assert t.trace.transfers["device to host"].number == READ
    assert t.trace.transfers["host to device"].bytes is None  # a CPU does not tell
