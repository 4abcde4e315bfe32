"""The schedule as trace events, which Perfetto and chrome://tracing open: kernel after kernel, loops around theirs.

Times are those of the estimate on a device, and in a track of its own what was measured, where it was. All runs of a
kernel at one place are one event, with `runs` among its arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.harmless import harmless, json_text
from hlo_count.hlo.computation import Computation
from hlo_count.hlo.instruction import Instruction
from hlo_count.report.counts import Counts
from hlo_count.roofline.roofline import BEYOND, Roofline
from hlo_count.roofline.time_rows import KernelRow
from hlo_count.visitors.cost import Times
from hlo_count.visitors.peak import temporaries_over_time

_MOST = 100_000
"""Events of a track: a computation stands at each place that calls it. What is called beyond has no events inside."""
_MOMENTS = 2000
_MICRO = 1e6

Event = dict[str, Any]
Seconds = Mapping[Instruction, float]
"""What all runs of each kernel take together."""


def trace_events(report: Counts, roofline: Roofline | None, measured: Mapping[str, float] | None = None) -> str:
    """The Trace Event Format in JSON; `measured` are seconds in a run of the program by the name of the instruction.

    Raises HloCountError where there are neither times of a device nor measured ones.
    """
    if report.walk.is_beyond_drawing:
        raise HloCountError(f"{report.name}: {BEYOND}")
    rows = dict(roofline.kernels) if roofline is not None else {}
    tracks: list[tuple[str, Seconds]] = []
    if measured:
        instructions = ((i, measured.get(i.name)) for i in report.module.instructions())
        tracks.append(("measured, a mean run", {i: seconds for i, seconds in instructions if seconds}))
    if roofline is not None:
        tracks.append((f"estimated on {roofline.device.name}", {i: row.estimate for i, row in rows.items()}))
    if not tracks:
        raise HloCountError("a schedule has times of a device: name one, device=, --device")
    events: list[Event] = [_named("process_name", 0, report.name)]
    for number, (title, seconds) in enumerate(tracks, start=1):
        track = _Track(report, seconds, rows, number)
        events += [_named("thread_name", number, title), *track.events()]
    return json_text({"traceEvents": [*events, *_memory(report, track.seconds)], "displayTimeUnit": "ns"}, None)


def _named(what: str, thread: int, name: str) -> Event:
    return {"name": what, "ph": "M", "pid": 1, "tid": thread, "args": {"name": harmless(name, 200)}}


class _Track:
    """The events of one clock."""

    def __init__(self, report: Counts, seconds: Seconds, rows: Mapping[Instruction, KernelRow], thread: int) -> None:
        self._report = report
        self._runs = report.walk.runs
        self._own = seconds
        self._rows = rows
        self._thread = thread
        self._once = self._of_one_run()

    @property
    def seconds(self) -> float:
        return self._once[self._report.module.entry]

    def _of_one_run(self) -> dict[Computation, float]:
        """Seconds of one run of each computation, callees before callers."""
        own: dict[Computation, float] = {}
        for instruction, seconds in self._own.items():
            own[instruction.computation] = own.get(instruction.computation, 0.0) + seconds
        found: dict[Computation, float] = {}
        for (computation, is_kernel), times in reversed(self._runs.items()):
            if is_kernel:
                found[computation] = own.get(computation, 0.0) / float(times) if times else 0.0
                found[computation] += sum(self._called(edges, found) for _, edges in self._sites(computation))
        return found

    def _called(self, edges: Any, once: Mapping[Computation, float]) -> float:
        return sum(float(edge.times) * once.get(edge.callee, 0.0) for edge in edges if edge.kernels)

    def _sites(self, computation: Computation) -> Any:
        return self._report.walk.edges(computation)

    def events(self) -> list[Event]:
        found: list[Event] = []
        waiting: list[tuple[Computation, float, Times]] = [(self._report.module.entry, 0.0, 1)]
        while waiting:
            computation, at, runs = waiting.pop()
            here, all_runs = float(runs), float(self._runs[(computation, True)])
            sites = dict(self._sites(computation))
            for instruction in computation.instructions:
                edges = sites.get(instruction, ())
                own = self._own.get(instruction, 0.0) * here / all_runs
                seconds = own + here * self._called(edges, self._once)
                if not seconds:
                    continue
                found.append(self._event(instruction, at, seconds, here))
                inside = at + own
                for edge in edges:
                    took = here * float(edge.times) * self._once.get(edge.callee, 0.0) if edge.kernels else 0.0
                    if took and len(found) < _MOST:
                        waiting.append((edge.callee, inside, runs * edge.times))
                    inside += took
                at += seconds
        return found

    def _event(self, instruction: Instruction, at: float, seconds: float, runs: float) -> Event:
        row = self._rows.get(instruction)
        told: dict[str, Any] = {"opcode": instruction.opcode, "runs": runs}
        told["scope"] = "/".join(self._report.scopes.of(instruction))
        told["source"] = self._report.places.of(instruction) or ""
        if row is not None:
            told |= {"FLOP": row.flops, "bytes": row.bytes, "limited by": row.limit}
        return {
            "name": harmless(instruction.name, 200),
            "cat": harmless(instruction.opcode, 60),
            "ph": "X",
            "ts": at * _MICRO,
            "dur": seconds * _MICRO,
            "pid": 1,
            "tid": self._thread,
            "args": {name: harmless(value, 200) if isinstance(value, str) else value for name, value in told.items()},
        }


def _memory(report: Counts, seconds: float) -> list[Event]:
    """What is in memory, spread evenly over the time: the schedule has moments, and no clock."""
    moments, _ = temporaries_over_time(report.module)
    peak = report.peak
    always = peak.arguments + peak.outputs - peak.aliased + peak.gaps
    step = max(1, -(-len(moments) // _MOMENTS))
    largest = [max(moments[n : n + step]) for n in range(0, len(moments), step)]
    return [
        {
            "name": "memory",
            "ph": "C",
            "pid": 1,
            "ts": seconds * _MICRO * n / len(largest),
            "args": {"bytes": always + m},
        }
        for n, m in enumerate(largest)
    ]
