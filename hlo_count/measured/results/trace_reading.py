"""Files of a profile to a Trace: the programs that ran, how often and how long, joined with their counts."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from hlo_count.errors import DeviceError, HloCountError
from hlo_count.hlo import parse
from hlo_count.hlo.garbage import no_garbage_collection
from hlo_count.layout import number_of
from hlo_count.measured.programs.courses_taken import CoursesTaken, courses_taken
from hlo_count.measured.programs.program_parts import ProgramPart, added_up
from hlo_count.measured.programs.program_times import HOW_TO_RECORD_HLO, PICO, report_of
from hlo_count.measured.programs.timeline import Span
from hlo_count.measured.results.recorded_trace import Trace
from hlo_count.measured.results.traced_program import TracedProgram
from hlo_count.measured.traces.host_activity import Transfers, busy_with
from hlo_count.measured.traces.kept_programs import KeptPrograms
from hlo_count.measured.traces.op_events import IN_FLIGHT, HostEvents, ProgramEvents, Unattributed, read_events
from hlo_count.measured.traces.trace_files import trace_files
from hlo_count.measured.traces.xspace import XSpace
from hlo_count.roofline.catalog import device as find_device
from hlo_count.roofline.device import Device


def read_trace(path: str | Path, *, device: str | Path | Device | None = None) -> Trace:
    """A profile of `jax.profiler`: an `.xplane.pb` file, or a folder, of which the latest profile is read, every host.

    `device`: whose profile bounds and utilization are of, by default the one that the trace names, `local` for a CPU.
    Nothing of the programs is needed but the trace, and no accelerator. Raises HloCountError where nothing can be read;
    what of it cannot is said in `problems`.
    """
    given = None if device is None else find_device(device)
    of_hosts = trace_files(Path(path))
    problems: list[str] = []
    hosts: list[_Host] = []
    for files in of_hosts:
        try:
            with no_garbage_collection():
                hosts.append(_Host(_opened(files, problems)))
        except HloCountError as problem:
            if len(of_hosts) == 1:
                raise
            problems.append(str(problem))
    if not hosts:
        raise HloCountError("; ".join(problems))
    for host in hosts:
        problems += host.problems()
    if given is None:
        given = _device_of(hosts, problems)
    return _joined(Path(path), hosts, given, problems)


def _opened(files: Sequence[Path], problems: list[str]) -> list[XSpace]:
    """The windows of one host that can be read. Raises HloCountError where none can."""
    found: list[XSpace] = []
    for file in files:
        try:
            found.append(XSpace(file))
        except HloCountError as problem:
            if file == files[-1] and not found:
                raise
            problems.append(str(problem))
    return found


class _Host:
    """The files of one host: their events, and the HLO of the programs in them."""

    def __init__(self, spaces: Sequence[XSpace]) -> None:
        self.spaces = spaces
        self.events: HostEvents = read_events(spaces)
        self.kept = [KeptPrograms(space) for space in spaces]

    @property
    def jax_version(self) -> str | None:
        return next((kept.jax_version for kept in self.kept if kept.jax_version), None)

    def text_of(self, program: ProgramEvents) -> str | None:
        """The HLO of a program as text; None where the files lack it. Raises HloCountError where it is damaged."""
        texts = (kept.text_of(program.name, program.program_id) for kept in self.kept)
        return next((text for text in texts if text is not None), None)

    def problems(self) -> Iterator[str]:
        events, path = self.events, self.spaces[0].path
        for space in self.spaces:
            if space.broken is not None:
                yield f"{space.path}: breaks off at byte {space.broken:,}: the program ended while it was written"
        if events.unread:
            yield f"{path}: breaks off in {number_of(events.unread, 'line')}, read up to there"
        if events.backwards:
            yield f"{path}: left out {number_of(events.backwards, 'event')} with an end before the beginning"
        if not events.programs and not events.unattributed:
            yield (
                f"{path}: no times of instructions: jax 0.4.31 and older record none on a CPU, and a TPU or GPU none "
                f"where its tracer could not start; record it again with a newer jax"
            )


def _device_of(hosts: Iterable[_Host], problems: list[str]) -> Device | None:
    """The device that a trace names; a CPU is taken to be the one at hand, where that was calibrated."""
    backends = {program.backend for host in hosts for program in host.events.programs.values()}
    kind = next((host.events.device_kind for host in hosts if host.events.device_kind), None)
    name = kind or ("local" if backends == {"cpu"} else None)
    if name is None:
        if backends:
            problems.append("no bounds: the trace does not name its device: pass device=, --device")
        return None
    try:
        return find_device(name)
    except DeviceError as problem:
        problems.append(f"no bounds: {problem}")
        return None


# Programs


def _joined(path: Path, hosts: list[_Host], device: Device | None, problems: list[str]) -> Trace:
    parts: dict[tuple[str, str | int | None], list[ProgramPart]] = {}  # by the text, which hosts share, else the id
    without = Counter[str]()
    first = [min(_starts(host), default=0) for host in hosts]
    covered: dict[tuple[int, int], list[Span]] = {}
    for number, host in enumerate(hosts):
        for events in host.events.programs.values():
            try:
                text = host.text_of(events)
                without[events.name] += text is None
            except HloCountError as problem:
                problems.append(str(problem))
                text = None
            earlier = parts.setdefault((events.name, events.program_id if text is None else text), [])
            module = earlier[0].module if earlier else None if text is None else parse(text, filename=events.name)
            part = added_up(events, module, number, host.events.windows)
            earlier.append(part)
            for where, spans in part.spans.items():
                covered.setdefault(where, []).extend(spans)
            part.runs = [[(start - first[number], end - first[number]) for start, end in run] for run in part.runs]
    if without.total():
        problems.append(
            f"the HLO of {', '.join(+without)} is not in the trace, so that they have times and no counts: "
            f"{HOW_TO_RECORD_HLO}"
        )
    seconds = sum(_lasted(host, covered, number) for number, host in enumerate(hosts)) * PICO / len(hosts)
    idle = seconds - sum(map(_covered, covered.values())) * PICO / max(1, len(covered))
    jax_version = next((host.jax_version for host in hosts if host.jax_version), None)
    programs = [_program(group, device, jax_version, seconds) for group in parts.values()]
    unattributed: dict[str, Unattributed] = {}
    for host in hosts:
        for name, kernel in host.events.unattributed.items():
            total = unattributed.setdefault(name, Unattributed())
            total.number += kernel.number
            total.picoseconds += kernel.picoseconds
            total.in_graph += kernel.in_graph
    transfers: dict[str, Transfers] = {}
    causes = Counter[str]()
    for number, host in enumerate(hosts):
        for way, copies in host.events.activity.transfers.items():
            transfers.setdefault(way, Transfers()).add(copies)
        causes.update(busy_with(host.events.activity, _idle_spans(host, covered, number)))
    return Trace(
        sorted(programs, key=lambda program: -program.total_seconds),
        path=path, hosts=len(hosts), seconds=seconds, idle=idle, device=device, jax_version=jax_version,
        unattributed=unattributed, problems=problems, transfers=transfers,
        idle_causes={cause: picoseconds * PICO / len(hosts) for cause, picoseconds in causes.items()},
    )  # fmt: skip


def _by_window(host: _Host, covered: Mapping[tuple[int, int], list[Span]], number: int) -> Iterator[list[Span]]:
    """From when to when programs ran on a host, of each of its windows."""
    windows: dict[int, list[Span]] = {}
    for (at, _), spans in covered.items():
        for span in spans if at == number else ():
            windows.setdefault(bisect_right(host.events.windows, span[0]), []).append(span)
    yield from windows.values()


def _lasted(host: _Host, covered: Mapping[tuple[int, int], list[Span]], number: int) -> int:
    """Picoseconds from the first kernel to the last, of each window of a host."""
    windows = _by_window(host, covered, number)
    return sum(max(end for _, end in spans) - min(start for start, _ in spans) for spans in windows)


def _idle_spans(host: _Host, covered: Mapping[tuple[int, int], list[Span]], number: int) -> list[Span]:
    """Between them: when nothing ran on any device of the host."""
    found: list[Span] = []
    for spans in _by_window(host, covered, number):
        now: int | None = None
        for start, end in sorted(spans):
            if now is not None and start > now:
                found.append((now, start))
            now = end if now is None else max(now, end)
    return sorted(found)


def _starts(host: _Host) -> Iterator[int]:
    for program in host.events.programs.values():
        for run in program.runs.values():
            yield from (device.start for device in run.values() if device.is_seen)


def _program(parts: list[ProgramPart], device: Device | None, jax_version: str | None, traced: float) -> TracedProgram:
    first = parts[0]
    spent: dict[str, list[int]] = {}
    for part in parts:
        for name, figures in part.spent.items():
            held = spent.get(name)
            spent[name] = figures if held is None else [a + b for a, b in zip(held, figures, strict=True)]
    for name in [name for name in spent if name.startswith(IN_FLIGHT)]:
        _, own, elapsed, hidden = spent.pop(name)
        figures = spent.setdefault(name.removeprefix(IN_FLIGHT), [0, 0, 0, 0])
        figures[1:] = [figures[1] + own, elapsed, figures[3] + hidden]  # it was under way from start to done
    ordered = [sorted(part.runs, key=min) for part in parts]
    runs = [[span for spans in together for span in spans] for together in zip_longest(*ordered, fillvalue=())]
    device_runs = sum(map(len, runs))
    devices = len({device for part in parts for device in part.spans})
    courses = CoursesTaken()
    report = None
    cut = sum(part.cut for part in parts)
    is_cut = all(part.is_cut for part in parts)
    if first.module is not None and not is_cut:
        seen = {name: figures[0] for name, figures in spent.items()}
        courses = courses_taken(first.module, seen, device_runs)
        report = report_of(first.module, first.backend, courses, jax_version)
    program = TracedProgram(
        first.name, report,
        seconds=[sum(end - start for start, end in run) * PICO / len(run) for run in runs],
        starts=[min(start for start, _ in run) * PICO for run in runs],
        spent={name: (figures[0], figures[1], figures[2], figures[3]) for name, figures in spent.items()},
        idle=sum(part.idle for part in parts) * PICO / devices,
        devices=devices, device=device, courses=courses, backend=first.backend, traced_seconds=traced,
    )  # fmt: skip
    if is_cut:
        program.notes.append(NONE_WHOLE.format(name=first.name))
    elif cut:
        program.notes.append(f"left out: {number_of(cut, 'run')} of it, cut where the recording began or ended")
    return program


NONE_WHOLE = "no run of {name} was recorded whole, so that it has times and no counts: record for longer"


def _covered(spans: list[Span]) -> int:
    """How much of the time some of the spans cover."""
    total, now = 0, 0
    for start, end in sorted(spans):
        total += max(0, end - max(start, now))
        now = max(now, end)
    return total
