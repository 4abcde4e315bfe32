"""A trace as text: the programs that ran, and where the time of the largest went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hlo_count.errors import HloCountError
from hlo_count.harmless import printable
from hlo_count.layout import SHORTEST_NAME, aligned, cut, joined, number_of, tabular, width, wrapped
from hlo_count.measured.programs.program_times import PICO, ProgramTimes
from hlo_count.measured.programs.time_parts import time_parts
from hlo_count.measured.tables.measured_groups import GROUPINGS, MeasuredGroup, grouped_rows
from hlo_count.measured.traces.host_activity import CAUSES, Transfers
from hlo_count.roofline.roofline_table import AMOUNTS, TIMES, scaled_column, seconds

if TYPE_CHECKING:
    from hlo_count.measured.results.recorded_trace import Trace

_PROGRAMS = 8
BETWEEN = "(between kernels)"


def trace_table(trace: Trace, by: str, rows: int) -> str:
    """The programs, and where the time of the one with the most went."""
    hosts = number_of(trace.hosts, "host")
    jax = f"jax {trace.jax_version}" if trace.jax_version else "jax of unknown version"
    backends = ", ".join(dict.fromkeys(program.backend.upper() for program in trace.programs))
    device = trace.device.name if trace.device is not None else backends
    traced = f"{seconds(trace.seconds)} traced" if trace.programs else "no program ran"
    lines = [*joined([part for part in (str(trace.path), hosts, jax, device, traced, "1 FMA = 2 FLOP") if part]), ""]
    if trace.programs:
        lines += [
            programs_table(trace.programs, trace.seconds, trace.idle),
            *idle_lines(trace),
            *transfer_lines(trace),
            "",
            *program_lines(trace.programs[0], by, rows),
        ]
    if trace.unattributed:
        lines += ["", *unattributed_lines(trace)]
    if trace.problems:
        lines += ["", *(line for problem in trace.problems for line in wrapped(problem, first="- "))]
    return printable("\n".join(lines))


def program_table(program: ProgramTimes, by: str, rows: int) -> str:
    """One program: its runs, and where their time went."""
    jax = "" if program.report is None or not program.report.jax_version else f"jax {program.report.jax_version}"
    device = program.device.name if program.device is not None else program.backend.upper()
    devices = number_of(program.devices, "device")
    lines = [*joined([part for part in (program.name, device, devices, jax, "1 FMA = 2 FLOP") if part]), ""]
    lines += [programs_table([program], program.total_seconds, None), "", *program_lines(program, by, rows)]
    return printable("\n".join(lines).rstrip())


def programs_table(programs: Sequence[ProgramTimes], traced: float, idle: float | None) -> str:
    """A row a program, those after the largest in one, and the time between them, if any is told: the column adds
    up."""
    head, rest = programs[:_PROGRAMS], programs[_PROGRAMS:]
    labels = [program.name for program in head]
    total = [program.total_seconds for program in head]
    if rest:
        labels.append(f"everything else ({len(rest)})")
        total.append(sum(program.total_seconds for program in rest))
    if idle is not None:
        labels.append("(between programs)")
        total.append(idle)
    blank: list[None] = [None] * (len(total) - len(head))
    columns = {
        "runs": [f"{program.runs:,}" for program in head] + [""] * len(blank),
        "seconds": scaled_column(total, TIMES),
        "%": [f"{100 * each / traced:.1f}" if traced else "" for each in total],
        "median": scaled_column([*(program.median for program in head), *blank], TIMES),
        "first": scaled_column([*(program.seconds[0] for program in head), *blank], TIMES),
        "spread": [_spread(program) for program in head] + [""] * len(blank),
        "FLOP/s": scaled_column([*(program.flops_per_s for program in head), *blank], AMOUNTS),
    }
    if any(program.device is not None for program in head):
        columns["HFU %"] = [_hfu(program) for program in head] + [""] * len(blank)
        columns["x bound"] = [_times_bound(program) for program in head] + [""] * len(blank)
    else:
        columns["B/s"] = scaled_column([*(program.bytes_per_s for program in head), *blank], AMOUNTS)
    return _laid_out("program", labels, columns)


def idle_lines(trace: Trace) -> list[str]:
    """What the host did while nothing ran."""
    known = {cause: spent for cause, spent in trace.idle_causes.items() if spent >= 0.005 * trace.seconds}
    if not known:
        return []
    rest = trace.idle - sum(known.values())
    parts = [f"{seconds(spent)} {cause if cause in CAUSES else f'in {cause!r}'}" for cause, spent in known.items()]
    if rest >= 0.005 * trace.seconds:
        parts.append(f"{seconds(rest)} of which nothing is known")
    return ["", *wrapped(f"(between programs): the host was {'; '.join(parts)}")]


def transfer_lines(trace: Trace) -> list[str]:
    """Copies between host and devices."""
    if not trace.transfers:
        return []
    ways = list(trace.transfers.values())
    columns = {
        "number": [f"{copies.number:,}" for copies in ways],
        "seconds": scaled_column([copies.picoseconds * PICO for copies in ways], TIMES),
        "bytes": scaled_column([copies.bytes for copies in ways], AMOUNTS),
        "B/s": scaled_column([_rate(copies) for copies in ways], AMOUNTS),
    }
    return ["", _laid_out("transfers", list(trace.transfers), columns)]


def _rate(copies: Transfers) -> float | None:
    return None if not copies.bytes or not copies.picoseconds else copies.bytes / (copies.picoseconds * PICO)


def _spread(program: ProgramTimes) -> str:
    """The middle half of the runs, of the median."""
    if program.runs < 4 or not program.median:
        return ""
    ordered = sorted(program.seconds)
    low, high = ordered[len(ordered) // 4], ordered[(3 * len(ordered)) // 4]
    return f"{100 * (high - low) / program.median:.0f} %"


def _hfu(program: ProgramTimes) -> str:
    if isinstance(program.limits, str) or not program.typical:
        return ""
    found = program.hfu()
    return f"{100 * found:.1f}" if found else ""


def _times_bound(program: ProgramTimes) -> str:
    return _times(program.typical / program.bound) if program.bound else ""


def _times(number: float | None) -> str:
    """How many times a bound, in three digits."""
    if number is None:
        return ""
    return f"{number:.3g}" if number < 1000 else f"{number:,.0f}" if number < 100_000 else ">99,999"


def program_lines(program: ProgramTimes, by: str, most: int) -> list[str]:
    """Where the time of one program went, and what its runs settled."""
    if by not in GROUPINGS:
        raise HloCountError(f"by={by!r}: a trace has rows by {', '.join(GROUPINGS)}")
    on = f", means over {program.devices} devices" if program.devices > 1 else ""
    times = number_of(program.runs, "run")
    lines = [f"{program.name}: where {seconds(program.total_seconds)} of {times} went{on}"]
    found = grouped_rows(program, by)
    head, rest = found[:most], found[most:]
    shown = [*head, *([MeasuredGroup.of(f"everything else ({len(rest)})", rest)] if rest else [])]
    shown.append(MeasuredGroup.of_idle(BETWEEN, program))
    columns = {
        "runs": [group.runs for group in shown],
        "seconds": scaled_column([group.seconds for group in shown], TIMES),
        "%": [f"{100 * group.share:.1f}" for group in shown],
        "FLOP": scaled_column([group.flops for group in shown], AMOUNTS),
        "bytes": scaled_column([group.bytes for group in shown], AMOUNTS),
    }
    if any(group.bound is not None for group in shown):
        columns["x bound"] = [_times(group.times_bound) for group in shown]
        columns["limit"] = [group.limit.removesuffix(" bandwidth").removesuffix(" overhead") for group in shown]
    else:
        columns["FLOP/s"] = scaled_column([group.flops_per_s for group in shown], AMOUNTS)
    if by != "source":
        columns["source"] = [group.source for group in shown]
    lines += [_laid_out(by, [group.name for group in shown], columns)]
    if program.bound is not None:
        lines += ["", *_parts(program)]
    notes = said(program)
    return [*lines, *([""] if notes else []), *notes]


def _parts(program: ProgramTimes) -> list[str]:
    """Why it took so long, in parts that add up."""
    parts, total = time_parts(program), program.total_seconds
    seconds_of = scaled_column([part.seconds for part in parts], TIMES)
    shares = [f"{100 * part.seconds / total:.1f} %" if total else "" for part in parts]
    rows = [(part.name, shown, share, part.why) for part, shown, share in zip(parts, seconds_of, shares, strict=True)]
    return aligned(rows, "<>><")


def said(program: ProgramTimes) -> list[str]:
    """What the runs settled of loops and conditionals, what they left open, and what was sent."""
    lines: list[str] = []
    courses = program.courses
    for name, trips in courses.trip_counts.items():
        each = f"{int(trips):,}" if isinstance(trips, int) else f"{float(trips):,.2f} on average"
        lines += wrapped(f"{name} ran {each} times, as its events say", first="- ")
    for name, weights in courses.branches.items():
        taken = ", ".join(f"branch {n} {100 * float(w):.3g} %" for n, w in enumerate(weights) if w)
        lines += wrapped(f"{name} took {taken}", first="- ")
    for problem in [*courses.problems, *([program.limits] if isinstance(program.limits, str) else [])]:
        lines += wrapped(problem, first="- ")
    if program.exposed_communication or program.hidden_communication:
        exposed, hidden = seconds(program.exposed_communication), seconds(program.hidden_communication)
        lines += wrapped(f"communication: {exposed} exposed, {hidden} hidden behind computation", first="- ")
    if program.report is not None:
        for group in program.report.settlements:
            lines += wrapped(f"not settled: {group}", first="- ")
    for note in program.notes:
        lines += wrapped(note, first="- ")
    return lines


def unattributed_lines(trace: Trace) -> list[str]:
    """Kernels that tell no instruction, the longest first."""
    kernels = sorted(trace.unattributed.items(), key=lambda item: -item[1].picoseconds)
    total = sum(kernel.picoseconds for _, kernel in kernels) * PICO
    number = sum(kernel.number for _, kernel in kernels)
    in_graph = sum(kernel.in_graph for _, kernel in kernels)
    lines = wrapped(f"without an instruction: {number_of(number, 'kernel')} of {seconds(total)}")
    shown = kernels[:5]
    columns = {
        "runs": [f"{kernel.number:,}" for _, kernel in shown],
        "seconds": scaled_column([kernel.picoseconds * PICO for _, kernel in shown], TIMES),
    }
    lines.append(_laid_out("kernel", [name for name, _ in shown], columns))
    if in_graph:
        lines += wrapped(
            f"- {in_graph:,} of them ran in command buffers (CUDA graphs), which hide them: record with "
            f"XLA_FLAGS=--xla_gpu_enable_command_buffer= to see them"
        )
    return lines


def _laid_out(first: str, labels: Sequence[str], columns: dict[str, list[str]]) -> str:
    """Columns with the first cut so that all fit."""
    columns = {name: cells for name, cells in columns.items() if any(cells)}
    source = columns.pop("source", None)
    taken = sum(2 + max(len(name) + 2, *map(len, cells)) for name, cells in columns.items())  # tabulate pads heads
    room = width() - taken
    if source is None:
        columns = {first: [cut(label, max(SHORTEST_NAME, room), "middle") for label in labels], **columns}
    else:
        name_room = min(max(map(len, labels)), max(SHORTEST_NAME, room * 3 // 5))
        left = max(SHORTEST_NAME, room - name_room - 4)
        columns = {
            first: [cut(label, name_room, "middle") for label in labels],
            **columns,
            "source": [cut(place, left, "start") for place in source],
        }
    text = {first, "limit", "source"}
    return tabular(
        zip(*columns.values(), strict=True), list(columns), ["left" if name in text else "right" for name in columns]
    )
