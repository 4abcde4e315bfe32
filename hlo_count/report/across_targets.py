"""One program for several targets, side by side; where their matmuls differ, which ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from hlo_count.errors import DeviceError
from hlo_count.harmless import printable
from hlo_count.layout import SHORTEST_NAME, cut, tabular, width, wrapped
from hlo_count.report.counts import Counts
from hlo_count.report.export import to_dict
from hlo_count.report.scopes import scope_path
from hlo_count.report.table import unknowns_text
from hlo_count.report.units import column
from hlo_count.roofline.roofline_table import seconds_column
from hlo_count.visitors.alike import Entry
from hlo_count.visitors.cost import Cost

_CONTRACTIONS = ("matmul", "convolution")
_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Contraction:
    """A matmul or convolution of a program: where it stands, what it gives, and the operations of all its runs."""

    place: str
    shape: str
    flops: int


def targets_table(done: Mapping[Any, Counts | str]) -> str:
    """A row a target: matmul and other FLOP, bytes, intensity, network, peak memory, status; then what differs.

    What stands in place of a report is why that target has none.
    """
    reports = {name: each for name, each in done.items() if not isinstance(each, str)}
    problems = {name: each for name, each in done.items() if isinstance(each, str)}
    rows = list(reports.values())
    devices = [report.num_devices for report in rows]
    matmul = [_contraction_flops(report.total) for report in rows]
    bounds, estimates = zip(*map(_seconds, rows), strict=True)
    both = seconds_column([*bounds, *estimates])  # in one unit, to be compared
    columns: dict[str, list[str]] = {
        "target": [f"{name:<{max(len(str(each)) for each in done)}}" for name in reports],
        "devices": [str(number) for number in devices],
        "matmul FLOP": [f"{n:,}" for n in matmul],
        "other FLOP": column([report.flops - n for report, n in zip(rows, matmul, strict=True)]),
        "bytes": column([report.bytes for report in rows], "B"),
        "FLOP/B": [f"{report.intensity:.1f}" if report.bytes else "" for report in rows],
        "sent": column([report.network_bytes for report in rows], "B"),
        "bound": both[: len(rows)],
        "estimate": both[len(rows) :],
        "peak memory": column([report.peak_bytes for report in rows], "B", binary=True),
        "status": [str(report.status) for report in rows],
    }
    if not any(report.network_bytes for report in rows):
        del columns["sent"]
    for name, known in (("bound", bounds), ("estimate", estimates)):
        if all(each is None for each in known):
            del columns[name]
    number = ""
    if len(set(devices)) == 1:
        number = f" of {devices[0]}" if devices[0] > 1 else ""
        del columns["devices"]
    longest = max(len(str(name)) for name in done)
    align = ["left", *["right"] * (len(columns) - 2), "left"]
    counted = tabular(zip(*columns.values(), strict=True), tuple(columns), align)
    table = "\n".join([counted, *(_problem_row(str(name), said, longest) for name, said in problems.items())])
    parts = [f"{rows[0].name}: counts are for one device{number}", "", table]
    if len(reports) > 1:
        parts += ["", differences(reports)]
    for name, report in reports.items():
        for note in report.notes:
            parts += ["", *wrapped(f"{name}: note: {note}")]
        unknown = unknowns_text(report)
        if unknown:
            parts += ["", f"{name}: {unknown}"]
    return printable("\n".join(parts))


def _problem_row(name: str, problem: str, longest: int) -> str:
    """A target without a report, and why, on the one line that a row is."""
    reason = " ".join(problem.split()).replace(f" for {name}:", ":")
    return cut(f"{name:<{max(longest, len('target') + 2)}}  {reason}", width())


def _seconds(report: Counts) -> tuple[float | None, float | None]:
    """Bound and estimate on the device of its target; None where no profile has all that it takes."""
    try:
        found = report.roofline()
    except DeviceError:
        return None, None
    return found.bound, found.estimate


def differences(reports: Mapping[str, Counts]) -> str:
    """Whether the matmul flops agree to the operation; where they do not, which matmuls are others.

    Compared with the first target, on as many devices. Targets that differ in the same way stand together.
    """
    first, *others = reports
    expected = contractions(reports[first])
    alike: dict[str, list[str]] = {}
    apart = []
    for name in others:
        if reports[name].num_devices != reports[first].num_devices:
            apart.append(name)
            continue
        found = contractions(reports[name])
        more = sum(c.flops for c in found) - sum(c.flops for c in expected)
        if more:
            lines = [f"{abs(more):,} {'more' if more > 0 else 'fewer'} matmul FLOP than {first}:"]
            alike.setdefault("\n".join(lines + _changes(expected, found)), []).append(name)
    texts = [f"{', '.join(names)}: {text}" for text, names in alike.items()]
    if apart:
        texts += wrapped(f"{', '.join(apart)}: not compared with {first}, which runs on another number of devices")
    return "\n".join(texts) if texts else "matmul FLOP agree to the operation"


def contractions(report: Counts) -> list[Contraction]:
    """The matmuls and convolutions that run, in the order of the walk."""
    return [_contraction(entry) for entry in report.entries if _contraction_flops(entry[2])]


def _contraction(entry: Entry) -> Contraction:
    instruction, _, cost = entry
    op_name = instruction.metadata.op_name
    place = "/".join([*scope_path(op_name), op_name.rpartition("/")[2]])
    leaf = instruction.shape.first_leaf
    dimensions = ",".join(str(size) for size in leaf.dimensions) if leaf is not None else ""
    return Contraction(
        place or instruction.name, f"{leaf.dtype if leaf else ''}[{dimensions}]", _contraction_flops(cost)
    )


def _changes(expected: list[Contraction], found: list[Contraction]) -> list[str]:
    """The contractions that have no equal, in operations, on the other side; paired by where they stand."""
    before, after = _without_equal(expected, found), _without_equal(found, expected)
    lines = []
    for old in sorted(before, key=lambda c: -c.flops):
        same = [new for new in after if new.place == old.place]
        new = min(same or after, key=lambda c: abs(c.flops - old.flops), default=None)
        if new is not None:
            after.remove(new)
        lines.append(_change(old, new))
    for new in sorted(after, key=lambda c: -c.flops):
        again = any((c.place, c.flops) == (new.place, new.flops) for c in expected)
        lines.append(_change(None, new) + (" again" if again else ""))
    if len(lines) > _SHOWN:
        lines = [*lines[: _SHOWN - 1], f"  and {len(lines) - _SHOWN + 1} more"]
    return lines


def _without_equal(these: list[Contraction], others: list[Contraction]) -> list[Contraction]:
    """Those of `these` that have no counterpart of as many operations: at the same place, else anywhere."""
    for key in (_flops_and_place, _flops):
        these, others = _difference(these, others, key), _difference(others, these, key)
    return these


def _flops_and_place(each: Contraction) -> Hashable:
    return each.flops, each.place


def _flops(each: Contraction) -> Hashable:
    return each.flops


def _difference(
    these: list[Contraction], others: list[Contraction], key: Callable[[Contraction], Hashable]
) -> list[Contraction]:
    left = Counter(key(c) for c in others)
    kept = []
    for each in these:
        if left[key(each)]:
            left[key(each)] -= 1
        else:
            kept.append(each)
    return kept


def _change(old: Contraction | None, new: Contraction | None) -> str:
    found = [c for c in (old, new) if c is not None]
    # One that the other side lacks altogether has a sign before its operations.
    amounts = " -> ".join(f"{c.flops:,}" for c in found) if old and new else f"{'+' if new else '-'}{found[0].flops:,}"
    text = f"{amounts}  {' -> '.join(dict.fromkeys(c.shape for c in found))}"
    place, room = found[0].place, max(SHORTEST_NAME, width() - len(text) - 10)
    return f"  {cut(place, room, 'start')}  {text}"


def _contraction_flops(cost: Cost) -> int:
    """Operations of matmuls and convolutions, those on integers too."""
    return sum(n for key, n in cost.amounts.items() if key[0] in ("flops", "int_ops") and key[1] in _CONTRACTIONS)


def targets_dict(done: Mapping[Any, Counts | str]) -> dict[str, Any]:
    """The report of each target as plain data, or `{"problem": …}` in full."""
    return {name: {"problem": each} if isinstance(each, str) else to_dict(each) for name, each in done.items()}
