"""A report as text."""

from __future__ import annotations

from collections.abc import Sequence

from hlo_count.errors import HloCountError
from hlo_count.harmless import printable
from hlo_count.layout import SHORTEST_NAME, cut, joined, number_of, tabular, width, wrapped
from hlo_count.report.collectives import collectives_table
from hlo_count.report.contributor_rows import ContributorRow, contributor_rows, default_key, runs_text
from hlo_count.report.counts import Counts
from hlo_count.report.dominant import dominant
from hlo_count.report.units import amount, column, percent, short_size
from hlo_count.visitors.cost import FLOP_PER_FMA, OP_COUNTERS, Cost
from hlo_count.visitors.unknowns import Settlement


def render(report: Counts, by: str | Sequence[str] | None = None, depth: int = 3, limit: int = 12) -> str:
    """Header, totals, contributors, unknowns."""
    if depth < 1 or limit < 1:
        raise HloCountError(f"depth={depth}, rows={limit}: a table has at least one row, a scope one level")
    parts = [header(report), *notes_lines(report), "", totals(report)]
    if report.convention == "default":
        contributors = contributors_table(report, by, depth, limit)
        if contributors:
            parts += ["", contributors]
    unknown = unknowns_text(report)
    if unknown:
        parts += ["", unknown]
    return printable("\n".join(parts))


def header(report: Counts) -> str:
    """What every number of the report needs to be understood, on one line where it fits."""
    devices = number_of(report.num_devices, "device")
    if report.num_devices != 1:
        mesh = ", ".join(f"{name}={size}" for name, size in report.mesh)
        slices = report.module.num_slices
        devices += f" in {slices} slices" if slices > 1 else ""
        devices += f"{f' ({mesh})' if mesh else ''}, counts are for {_whom(report)}"
    parts = [report.name, "backend not known" if report.backend == "unknown" else report.backend.upper()]
    if report.target:
        parts.append(report.target)
    parts += [devices, *_BEFORE.get(report.stage, ())]
    parts += [f"jax {report.jax_version}" if report.jax_version else "from text"]
    parts.append(f"1 FMA = {FLOP_PER_FMA} FLOP" if report.convention == "default" else "convention of XLA")
    return "\n".join(joined(parts))


def notes_lines(report: Counts) -> list[str]:
    """What there is to say of how the program was compiled, below the header."""
    return [line for note in report.notes for line in wrapped(f"note: {note}")]


_BEFORE = {"unpartitioned": ("not partitioned yet",), "unoptimized": ("before optimization",)}


def _whom(report: Counts) -> str:
    """Which of several devices the counts are for."""
    if report.stage != "unpartitioned":
        return "one"
    replicas = report.module.replica_count
    return "all together" if replicas == 1 else f"the {report.num_devices // replicas} of a replica together"


def totals(report: Counts) -> str:
    """The counters with their statuses, and what they are made of."""
    rows = totals_rows(report)
    room = width() - sum(max(len(row[n]) for row in rows) + 2 for n in range(3))
    lines = [
        (*(row[:3] if not n else ("", "", "")), line)
        for row in rows
        for n, line in enumerate(wrapped(row[3], room, others="") or [""])
    ]
    return tabular(lines, align=("right", "right", "left", "left"))


def totals_rows(report: Counts) -> list[tuple[str, str, str, str]]:
    """(counter, amount, status, what it is made of)."""
    total = report.total
    rows: list[tuple[str, str, str, str]] = [
        ("FLOP", amount(report.flops), report.status, "; ".join(filter(None, (_shares(total), _on_padding(report))))),
        ("transcendentals", amount(report.transcendentals), report.status, ""),
    ]
    if report.convention == "default":
        rows += [
            ("integer ops", amount(report.int_ops), report.status, ""),
            ("other ops", amount(report.other_ops), report.status, ""),
        ]
        moved = f"read {amount(report.bytes_read, 'B')}, written {amount(report.bytes_written, 'B')}"
        rows.append(
            (
                "bytes",
                amount(report.bytes, "B"),
                report.bytes_status,
                f"{moved}, compulsory {amount(report.compulsory_bytes, 'B')}",
            )
        )
        if report.network_bytes:
            balanced = report.devices.imbalance("network_bytes") == 1
            whom = _whom(report) if report.stage == "unpartitioned" else "one device"
            by_whom = f"sent by {whom}" if balanced else "sent by the largest sender of each collective"
            across = f", {amount(report.dcn_bytes, 'B')} of it to other slices" if report.dcn_bytes else ""
            rows.append(("network", amount(report.network_bytes, "B"), report.status, by_whom + across))
    else:
        rows.append(("bytes", amount(report.bytes, "B"), report.bytes_status, ""))
    rows.append(("intensity", _intensity(total), "", ""))
    if report.convention == "default":
        peak = report.peak
        named = {"arguments": peak.arguments, "outputs": peak.outputs, "temporaries": peak.temporaries}
        if peak.aliased:
            named["aliased"] = peak.aliased
        parts = ", ".join(f"{name} {short_size(size)}" for name, size in named.items())
        compilers = report.compiler_peak_bytes
        if compilers is not None and _size(compilers) != _size(report.peak_bytes):
            parts += f"; {_size(compilers)} by the compiler"
        rows.append(("peak memory", _size(report.peak_bytes), "" if peak.status == "exact" else peak.status, parts))
        if report.num_devices > 1 and report.stage != "unpartitioned":
            rows += _all_devices(report)
    return _beside_the_most(report, rows)


_COUNTERS = {
    "FLOP": ("flops", ""),
    "transcendentals": ("transcendentals", ""),
    "integer ops": ("int_ops", ""),
    "other ops": ("other_ops", ""),
    "bytes": ("bytes", "B"),
    "network": ("network_bytes", "B"),
}


def _beside_the_most(report: Counts, rows: list[tuple[str, str, str, str]]) -> list[tuple[str, str, str, str]]:
    """The rows with what each counter is at most, where that is certain and more than was counted."""
    most = report.at_most if report.status != "exact" else None
    if most is None or most.status != "exact":
        return rows
    found = []
    for name, value, status, made_of in rows:
        counter, unit = _COUNTERS.get(name, ("", ""))
        if counter and getattr(most, counter) > getattr(report, counter):
            made_of = "; ".join(filter(None, (f"at most {amount(getattr(most, counter), unit)}", made_of)))
        found.append((name, value, status, made_of))
    return found


def _all_devices(report: Counts) -> list[tuple[str, str, str, str]]:
    """What all devices do together, and which share of it the busiest has."""
    devices = report.devices
    total = devices.total
    moved = f"{amount(total.bytes, 'B')} read and written, {amount(total.network_bytes, 'B')} sent"
    named = {"flops": "FLOP", "bytes": "bytes", "network_bytes": "bytes sent"}
    busiest = {text: devices.imbalance(counter) for counter, text in named.items()}
    uneven = [f"{value:.2f} times the mean {text}" for text, value in busiest.items() if value >= 1.005]
    equal = "an equal share" if max(busiest.values()) == 1 else "nearly an equal share"
    each = f"the busiest device has {', '.join(uneven)}" if uneven else f"every device has {equal}"
    return [("all devices", amount(total.flops, "FLOP"), total.status, moved), ("", "", "", each)]


RUNS = "runs: how often a row's parts run, the least of those that are 1 % of it"
_OPS = {"transcendentals": "evaluations", "int_ops": "int ops", "other_ops": "other ops"}


def contributors_table(report: Counts, by: str | Sequence[str] | None, depth: int, limit: int) -> str:
    """The largest contributors with their shares of FLOP and bytes, and of the operations that the program is made of
    where those are others."""
    keys = (default_key(report),) if not by else (by,) if isinstance(by, str) else tuple(by)
    key = " · ".join(keys)
    if key == "collective":
        return collectives_table(report.collectives, limit) if report.collectives else "nothing is sent: no collectives"
    if key == "memory_space" and report.by(key):
        return _memory_spaces(report.by(key))
    rows = contributor_rows(report, keys, depth, limit)
    if not rows:
        return "\n".join(wrapped("nothing to count: the program does no operations and moves no bytes"))
    columns = contributor_columns(report, rows, key)
    align = ["left", *["right"] * (len(columns) - 1)]
    room = width() - sum(_width(name, cells) for name, cells in columns.items() if name not in (key, "source"))
    if any(row.source for row in rows):
        columns["source"] = [_place(row.source, max(_SHORTEST_PLACE, room // 2 - 2)) for row in rows]
        align[-1] = "left"
        room -= _width("source", columns["source"])
    columns[key] = [_label(row, room) for row in rows]
    table = tabular(zip(*columns.values(), strict=True), tuple(columns), align)
    return "\n".join([table, "", *wrapped(RUNS)]) if "runs" in columns else table


def contributor_columns(report: Counts, rows: Sequence[ContributorRow], key: str) -> dict[str, list[str]]:
    """The columns that these rows have something in, each with its cells; names and places whole."""
    columns = {key: [" " * row.depth + row.name for row in rows]}
    if any(row.runs is not None for row in rows):
        columns["runs"] = [runs_text(row.runs) for row in rows]
    total = report.total
    main = dominant(total)
    if main in _OPS:
        columns[_OPS[main]] = column([getattr(row.cost, main) for row in rows])
        columns[" % "] = [percent(getattr(row.cost, main), getattr(total, main)) for row in rows]
    if total.flops or main not in _OPS:
        columns["FLOP"] = column([row.cost.flops for row in rows])
        columns["%"] = [percent(row.cost.flops, total.flops) for row in rows]
    columns["bytes"] = column([row.cost.bytes for row in rows], "B")
    columns["% "] = [percent(row.cost.bytes, total.bytes) for row in rows]
    if main not in _OPS:  # else it is not what tells whether memory or arithmetic decides
        columns["FLOP/B"] = [_intensity(row.cost).removesuffix(" FLOP/B") for row in rows]
    if report.network_bytes:
        columns["sent"] = column([row.cost.network_bytes for row in rows], "B")
    if any(row.source for row in rows):
        columns["source"] = [row.source for row in rows]
    return columns


def _memory_spaces(spaces: dict[str, Cost]) -> str:
    """What is read from and written to each memory space, the main memory among them."""
    moved = sum(cost.bytes for cost in spaces.values())
    columns = {
        "memory_space": list(spaces),
        "read": column([cost.bytes_read for cost in spaces.values()], "B"),
        "written": column([cost.bytes_written for cost in spaces.values()], "B"),
        "both": column([cost.bytes for cost in spaces.values()], "B"),
        "%": [percent(cost.bytes, moved) for cost in spaces.values()],
    }
    align = ["left", *["right"] * (len(columns) - 1)]
    return tabular(zip(*columns.values(), strict=True), tuple(columns), align)


def unknowns_text(report: Counts) -> str:
    """What is not known, what rests on a choice, and what settles each in one move; nothing when all is known."""
    estimated = [group for group in report.settlements if group.unknowns[0].status == "estimate"]
    unknown = [group for group in report.settlements if group.unknowns[0].status != "estimate"]
    sections = (
        ("unknown", "Settle", unknown),
        ("estimated", "Settle", estimated),
        ("settled", "Count", report.settled),
    )
    lines: list[str] = []
    for word, verb, groups in sections:
        if groups:
            lines.append(f"{sum(len(group.unknowns) for group in groups)} {word}:")
            lines += [line for group in groups[:_GROUPS] for line in _settlement_lines(group, verb)]
        if len(groups) > _GROUPS:
            lines.append(f"  and {len(groups) - _GROUPS} more kinds: to_dict() and --json have them all")
    return "\n".join(lines)


_GROUPS = 10


def _settlement_lines(group: Settlement, verb: str) -> list[str]:
    """What it is, wrapped, and what to paste, which is not."""
    them = "it" if len(group.unknowns) == 1 else "them"
    move = f"{verb} {them}{' otherwise' if verb == 'Count' else ''}:"
    pasted = [*group.call_lines(width() - 4), *group.flag_lines(width() - 4)] if group.can_be_pasted else []
    text = f"{group}. {move}" + ("" if pasted else f" {group.advice}")
    lines = wrapped(text, first="  ", others="    ", hyphens=False)
    return lines + [f"    {line}" for line in pasted]


def _width(name: str, cells: list[str]) -> int:
    """What a column takes of a line: tabulate makes it two wider than its name, and leaves two between columns."""
    return max(len(name) + 2, *map(len, cells)) + 2


def _label(row: ContributorRow, room: int) -> str:
    return 2 * row.depth * " " + cut(row.name, max(SHORTEST_NAME, room - 2 * row.depth), "middle")


_SHORTEST_PLACE = 20


def _place(source: str, room: int) -> str:
    """A line of a file by its last folder and name, where there is room for the folder."""
    with_folder = "/".join(source.split("/")[-2:])
    return with_folder if len(with_folder) <= min(room, 30) else cut(source.split("/")[-1], min(room, 30), "start")


def _shares(total: Cost) -> str:
    """`matmul 97.4 %, add 1.0 %, other 1.6 %`: the op classes of the flops."""
    flops = total.flops
    classes = {name: cost.flops for name, cost in total.split(1, OP_COUNTERS[:1]).items()}
    if not flops or set(classes) == {"xla"}:
        return ""
    ranked = sorted(classes.items(), key=lambda item: -item[1])
    shown = [f"{name} {100 * n / flops:.1f} %" for name, n in ranked[:3]]
    rest = sum(n for _, n in ranked[3:])
    return ", ".join([*shown, f"other {100 * rest / flops:.1f} %"] if rest >= 0.0005 * flops else shown)


def _on_padding(report: Counts) -> str:
    """What others would count of convolutions, where it is another figure."""
    more = 0 if report.convention == "xla" else report.padding_flops
    return f"{amount(report.flops + more)} with taps that fall on padding" if 2000 * more >= report.flops > 0 else ""


def _intensity(cost: Cost) -> str:
    if not cost.bytes:
        return "no bytes" if cost.flops else ""
    value = cost.intensity
    if 0 < value < 0.01:
        return "<0.01 FLOP/B"
    return f"{value:.3g} FLOP/B" if value < 100 else f"{value:.0f} FLOP/B"


def _size(value: int) -> str:
    return amount(value, "B", binary=True)
