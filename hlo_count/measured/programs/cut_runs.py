"""Runs that were under way when the recording began or ended: what is left of them is no run."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

from hlo_count.hlo import Module
from hlo_count.measured.programs.program_times import instructions_that_run
from hlo_count.measured.traces.op_events import ENTRIES, OP, DeviceRun, ProgramEvents


def leave_out_cut_runs(events: ProgramEvents, module: Module, windows: Sequence[int]) -> tuple[int, int]:
    """Take the first and last runs of each window (`windows`: when each began) out of `events.runs` that are not whole.
    Gives how many were cut and how many are left, on all devices together; where none would be, all stay.

    Each run of a program runs all of its entry once. So a run that lacks an instruction of the entry which another has
    was cut; so was one of a CPU, which tells its loops too, that has the body of a loop and not the loop.
    """
    is_whole = _rule(events, module)
    cut: list[tuple[int, int]] = []
    by_window: dict[tuple[int, int], list[tuple[int, int, bool]]] = {}
    for number, run in events.runs.items():
        for device, each in run.items():
            if each.is_seen and each.span is None:  # a device that says when a program ran tells of whole runs
                window = bisect_right(windows, each.start)
                by_window.setdefault((device, window), []).append((each.start, number, is_whole(each)))
    for (device, _), runs in by_window.items():
        runs.sort()
        whole = [at for at, run in enumerate(runs) if run[2]] or [len(runs)]
        cut += [(runs[at][1], device) for at in (*range(whole[0]), *range(whole[-1] + 1, len(runs)))]
    left = sum(map(len, by_window.values())) - len(cut)
    if left:
        for number, device in cut:
            del events.runs[number][device]
    return len(cut), left


def _rule(events: ProgramEvents, module: Module) -> Callable[[DeviceRun], bool]:
    """Whether a run is whole."""
    expected = {events.numbers[i.name] for i in module.entry.instructions if i.name in events.numbers}
    loops = {i.name for i in module.instructions() if i.opcode == "while"} if events.backend == "cpu" else set()
    unseen = len(events.numbers)  # the number of no instruction
    needing: dict[int, set[int]] = {}
    for instruction, above in instructions_that_run(module) if loops else ():
        if instruction.name in events.numbers and above & loops:
            needing[events.numbers[instruction.name]] = {events.numbers.get(name, unseen) for name in above & loops}

    def is_whole(run: DeviceRun) -> bool:
        seen = set(run.events[OP::ENTRIES])
        return expected <= seen and all(needing.get(number, seen) <= seen for number in seen)

    return is_whole
