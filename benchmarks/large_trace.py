"""Makes a trace of any size and reads it: `python benchmarks/large_trace.py [megabytes]`.

A real one is recorded (a loop of small kernels on this CPU), and its threads are repeated, each time later and as other
runs, until the file is large enough. Told are the seconds of a processor that reading takes, and the most memory.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hlo_count.lowering.wire_format import fields, varint
from hlo_count.measured.traces.trace_files import trace_files

APART = "--xla_disable_hlo_passes=small-while-loop-hoisting"
SIZE = 10
"""Bytes of a number that changes: a varint may be longer than it need be."""
RECORD = """
import sys, jax, jax.numpy as jnp
f = jax.jit(lambda x, n: jax.lax.fori_loop(0, n, lambda i, c: jnp.sin(jnp.sort(c)), x))
x = jnp.ones(16)
f(x, 2).block_until_ready()
with jax.profiler.trace(sys.argv[1]):
    for _ in range(4):
        f(x, 500).block_until_ready()
"""


def main() -> None:
    if sys.argv[1:2] == ["read"]:
        read(Path(sys.argv[2]))
        return
    size = int(float(sys.argv[1]) * 1e6) if len(sys.argv) > 1 else 2_000_000_000
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "XLA_FLAGS": APART, "JAX_PLATFORMS": "cpu"}
        subprocess.run([sys.executable, "-c", RECORD, folder], env=environment, check=True, capture_output=True)
        ((small,),) = trace_files(Path(folder))
        large = Path(folder) / "large.xplane.pb"
        repetitions = write(small.read_bytes(), large, size)
        small.unlink()
        print(f"{large.stat().st_size / 1e6:,.0f} MB: {repetitions:,} times a trace of 4 runs", flush=True)
        subprocess.run([sys.executable, __file__, "read", str(large)], check=True)


def read(path: Path) -> None:
    import hlo_count as hc

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    trace = hc.read_trace(path)
    spent = time.process_time() - begun
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    (program,) = (each for each in trace.programs if each.runs > 1)
    kernels = sum(int(row.runs) for row in program.rows)
    mapped = path.stat().st_size  # pages of the file count as resident, and are given back when others need them
    print(
        f"{program.runs:,} runs, {kernels:,} kernels: {spent:.1f} s of a processor, {1e6 * spent / kernels:.1f} µs a "
        f"kernel; at most {most / 1e3:,.0f} MB more than before, of which at most {mapped / 1e6:,.0f} are pages of the "
        f"file; {program.courses.trip_counts}"
    )


# Writing


def fixed(value: int) -> bytes:
    """A varint of SIZE bytes."""
    value &= 2**64 - 1
    return bytes([*((value >> 7 * n) & 127 | 128 for n in range(SIZE - 1)), value >> 63])


def sized(number: int, data: bytes) -> bytes:
    length, found = len(data), bytearray()
    while length > 127:
        found.append(length & 127 | 128)
        length >>= 7
    return bytes([number << 3 | 2, *found, length]) + data


class Threads:
    """The lines of a plane with room for other times and runs."""

    def __init__(self, data: bytes, lines: list[tuple[int, int]], run_id: int) -> None:
        self.last = 0
        whole = bytearray()
        offsets: list[int] = []
        runs: list[int] = []
        self._offsets: list[int] = []
        self._runs: list[int] = []
        for start, end in lines:
            line = bytearray()
            places: list[tuple[int, bool, int]] = []
            for number, value in fields(data, start, end):
                if number != 4 or not isinstance(value, tuple):
                    line += piece(number, value, data)
                    continue
                event = bytearray()
                for of_event, held in fields(data, *value):
                    if of_event == 2 and isinstance(held, int):
                        event += bytes([2 << 3])
                        places.append((len(line) + 2 + len(event), False, held))
                        event += fixed(held)
                        self.last = max(self.last, held)
                    elif (
                        of_event == 4 and isinstance(held, tuple) and (id_of := run_of(data, held, run_id)) is not None
                    ):
                        stat = bytes([1 << 3]) + short(run_id) + bytes([4 << 3])
                        event += bytes([4 << 3 | 2, len(stat) + SIZE]) + stat
                        places.append((len(line) + 2 + len(event), True, id_of))
                        event += fixed(id_of)
                    else:
                        event += piece(of_event, held, data)
                head = sized(4, bytes(event))
                shift = len(head) - len(event) - 2
                places = [(at + shift if at >= len(line) + 2 else at, run, held) for at, run, held in places]
                line += head
            message = sized(3, bytes(line))
            shift = len(whole) + len(message) - len(line)
            for at, is_run, held in places:
                (runs if is_run else offsets).append(at + shift)
                (self._runs if is_run else self._offsets).append(held)
            whole += message
        self._bytes = np.frombuffer(bytes(whole), np.uint8).copy()
        self._at = np.array(offsets), np.array(runs)
        self._values = np.array(self._offsets, np.int64), np.array(self._runs, np.int64)

    def __len__(self) -> int:
        return len(self._bytes)

    def repeated(self, number: int) -> bytes:
        times, runs = self._values
        for places, values in zip(self._at, (times + number * (self.last + 10**6), runs + number * 7919), strict=True):
            unsigned = values.view(np.uint64)
            for n in range(SIZE - 1):
                self._bytes[places + n] = (unsigned >> np.uint64(7 * n) & np.uint64(127)).astype(np.uint8) | 128
            self._bytes[places + SIZE - 1] = (unsigned >> np.uint64(63)).astype(np.uint8)
        return self._bytes.tobytes()


def short(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128, value >> 7])


def piece(number: int, value: object, data: bytes) -> bytes:
    if isinstance(value, tuple):
        return sized(number, data[slice(*value)])
    assert isinstance(value, int)
    return short(number << 3) + fixed(value)


def run_of(data: bytes, stat: object, run_id: int) -> int | None:
    assert isinstance(stat, tuple)
    held = dict(fields(data, *stat))
    return held[4] if held.get(1) == run_id and isinstance(held.get(4), int) else None  # type: ignore[return-value]


def planes(data: bytes) -> Iterator[tuple[int, int]]:
    return (value for number, value in fields(data, 0, len(data)) if number == 1 and isinstance(value, tuple))


def write(data: bytes, path: Path, size: int) -> int:
    """The trace with the threads of its CPU repeated; gives how often."""
    with path.open("wb") as file:
        repetitions = 0
        for start, end in planes(data):
            held = list(fields(data, start, end))
            names = [data[slice(*value)] for number, value in held if number == 2 and isinstance(value, tuple)]
            if names != [b"/host:CPU"]:
                file.write(sized(1, data[start:end]))
                continue
            run_id = next(key for key, name in stat_names(data, held) if name == b"run_id")
            threads = Threads(data, [value for number, value in held if number == 3], run_id)  # type: ignore[misc]
            rest = b"".join(piece(number, value, data) for number, value in held if number != 3)
            repetitions = max(1, (size - len(data)) // len(threads))
            length, found = len(rest) + repetitions * len(threads), bytearray()
            while length > 127:
                found.append(length & 127 | 128)
                length >>= 7
            file.write(bytes([1 << 3 | 2, *found, length]) + rest)
            for number in range(repetitions):
                file.write(threads.repeated(number))
    return repetitions


def stat_names(data: bytes, held: list[tuple[int, object]]) -> Iterator[tuple[int, bytes]]:
    for number, value in held:
        if number == 5 and isinstance(value, tuple):
            entry = dict(fields(data, *value))
            name = dict(fields(data, *entry[2]))[2]  # type: ignore[misc]
            yield int(entry[1]), data[slice(*name)]  # type: ignore[arg-type, misc]


if __name__ == "__main__":
    assert varint(fixed(150), 0, SIZE) == (150, SIZE)
    main()
