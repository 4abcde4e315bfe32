"""Where one run of a program on a GPU ends and the next begins: its kernels tell their instruction, not their run.

Kernels of one stream run in the order of the schedule. So a run begins where that order starts again, on the stream
with the most kernels; what the others hold belongs to the run that it begins in.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from itertools import pairwise

from hlo_count.measured.traces.op_events import ENTRIES, OP, START, DeviceRun, ProgramEvents


def split_runs(program: ProgramEvents, positions: Mapping[int, int]) -> None:
    """Make runs of what stands by stream, as a GPU's events do. `positions`: where in the schedule of the entry each
    instruction, by number, or what calls it, stands; without any all is one run."""
    streams_of: dict[int, list[DeviceRun]] = {}
    for streams in program.runs.values():
        for device, stream in streams.items():
            if stream.events:
                streams_of.setdefault(device, []).append(stream)
    program.runs = {}
    for device, on_device in streams_of.items():
        main = max(on_device, key=lambda stream: len(stream.events))
        begins = _begins(main, positions, program.kernels)
        for stream in on_device:
            for at in range(0, len(stream.events), ENTRIES):
                event = stream.events[at : at + ENTRIES]
                run = max(0, bisect_right(begins, event[START]) - 1)
                program.run(run, device).events.extend(event)


def _begins(stream: DeviceRun, positions: Mapping[int, int], kernels: Mapping[int, set[str]]) -> list[int]:
    """When each run begins."""
    ordered = sorted(zip(stream.events[START::ENTRIES], stream.events[OP::ENTRIES], strict=True))
    known = [(start, positions[op], op) for start, op in ordered if op in positions]
    if not known:
        return [ordered[0][0]]
    if len({position for _, position, _ in known}) == 1:
        if len({op for _, _, op in known}) > 1:  # a loop and nothing else: its trips and its runs look the same
            return [known[0][0]]
        each = max(1, len(kernels.get(known[0][2], ())))
        return [start for start, _, _ in known[::each]]
    begins = [known[0][0]]
    for (_, before, _), (start, position, _) in pairwise(known):
        if position < before:
            begins.append(start)
    return begins
