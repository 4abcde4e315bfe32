"""Why a program took longer than it must: its measured time in parts that add up to it."""

from __future__ import annotations

from dataclasses import dataclass

from hlo_count.measured.programs.program_times import MeasuredRow, ProgramTimes


@dataclass(frozen=True, slots=True)
class TimePart:
    """Seconds of all runs, and what they went on."""

    name: str
    seconds: float
    why: str


def time_parts(program: ProgramTimes) -> list[TimePart]:
    """The parts of `program.total_seconds`, in the order in which they come on top of each other.

    Without bounds only what kernels, loops and waiting took is told. With them the kernels' time is that of the
    program's bound; what the kernels' bounds one by one have above it, memory above compulsory and resources that do
    not overlap; and the rest, in which they were below their roofs. What nothing ran in is launching, as often as
    kernels ran and as long as the device's profile says, and waiting. What a collective took above its bound is waiting
    too: for other devices, or the network.
    """
    rows = [row for row in program.rows if not row.calls_kernels]
    loops = sum(row.seconds for row in program.rows if row.calls_kernels)
    sending = sum(_above_bound(row) for row in rows if row.op_class == "collective")
    computing = sum(row.seconds for row in rows) - sending
    parts = []
    launch = 0.0
    if isinstance(program.limits, str) or program.bound is None:
        parts.append(TimePart("kernels", computing, "no bound to hold them to"))
    else:
        least = min(program.bound * program.runs, computing)
        alone = sum(row.bound or 0.0 for row in rows)
        unfused = max(0.0, min(alone, computing) - least)
        overhead = program.limits.device.launch_overhead_s or 0.0
        launch = min(program.idle, overhead * sum(float(row.runs) for row in rows))
        parts += [
            TimePart("bound", least, f"no schedule needs less: {program.limits.bottleneck}"),
            TimePart("unfused", unfused, "what kernels need one by one: memory above compulsory"),
            TimePart("below the roof", computing - least - unfused, "kernels slower than their bounds"),
            TimePart("launch", launch, "between kernels, as long as the profile says"),
        ]
    parts.append(TimePart("loops and calls", loops, "beside the kernels that they run"))
    parts.append(TimePart("waiting", program.idle - launch + sending, "for threads, for the host, for other devices"))
    return parts


def _above_bound(row: MeasuredRow) -> float:
    return max(0.0, row.seconds - (row.bound or 0.0))
