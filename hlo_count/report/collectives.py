"""The collectives of a program by what they are: kind, element type, group size, axes of the mesh."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hlo_count.hlo.attributes import unquote
from hlo_count.hlo.device_groups import DeviceGroups
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import COMPUTING
from hlo_count.hlo.replica_groups import mesh_axes
from hlo_count.layout import tabular
from hlo_count.report.units import amount, column, percent
from hlo_count.visitors.alike import Alike, Entry, first_of
from hlo_count.visitors.cost import Cost, Times
from hlo_count.visitors.network import collective

_Kind = tuple[str, str, int | None, tuple[str, ...] | None, bool]
"""Kind, element type, group size, mesh axes, whether across slices: what makes collectives alike."""


@dataclass(frozen=True, slots=True)
class CollectiveRow:
    """Collectives that are alike, synchronous or not, and what they cost one device.

    `group_size` is None where the text does not tell it; `axes` are those of the mesh along which the groups lie,
    None where they lie along none or no mesh is known; `across_slices` ones send over the data-centre network between
    slices of TPUs. `instructions` stand in the program, and run `runs` times
    together; `cost` is that of all runs. What a fusion around a collective reads and writes is the fusion's.
    """

    kind: str
    dtype: str
    group_size: int | None
    axes: tuple[str, ...] | None
    across_slices: bool
    instructions: int
    runs: Times
    cost: Cost

    @property
    def label(self) -> str:
        """`all-gather f32 over 8 (data)`: its key in `report.by("collective")`."""
        return _label(self.kind, self.dtype, self.group_size, self.axes, self.across_slices)


def collective_rows(entries: Iterable[Entry], mesh: Mapping[str, int]) -> list[CollectiveRow]:
    """The rows of a program, those that send most first."""
    alike: dict[_Kind, list[tuple[Times, Cost]]] = {}
    for instruction, times, cost in entries:
        kind = _kind_of(instruction, cost, mesh)
        if kind is not None:
            alike.setdefault(kind, []).append((times, cost))
    rows = [
        CollectiveRow(*kind, len(members), sum(times for times, _ in members), Cost.sum(cost for _, cost in members))
        for kind, members in alike.items()
    ]
    return sorted(rows, key=lambda row: (row.cost.network_bytes, row.cost.flops, row.cost.bytes), reverse=True)


def collective_label(instruction: Instruction | Alike, cost: Cost, mesh: Mapping[str, int]) -> str | None:
    """The label of the row that an instruction belongs to; None where it begins no collective and sends nothing."""
    kind = _kind_of(instruction, cost, mesh)
    return None if kind is None else _label(*kind)


def _kind_of(instruction: Instruction | Alike, cost: Cost, mesh: Mapping[str, int]) -> _Kind | None:
    if instruction.opcode in COMPUTING:
        return None
    instruction = first_of(instruction)
    found = collective(instruction)
    if found is not None:
        axes = None
        if mesh and found.groups is not None:
            axes = _axes(found.groups, tuple(mesh.items()), instruction.computation.module.places_in_mesh)
        return found.kind, found.dtype, found.group_size, axes, found.across_slices
    if not cost.network_bytes:
        return None
    leaf = instruction.shape.first_leaf  # a custom call whose registered formula sends
    target = unquote(instruction.attribute("custom_call_target") or instruction.opcode)
    return target, leaf.dtype if leaf is not None else "", None, None, False


@lru_cache(maxsize=1024)
def _axes(
    groups: DeviceGroups, mesh: tuple[tuple[str, int], ...], places: tuple[int, ...] | None
) -> tuple[str, ...] | None:
    # A program has many collectives, of thousands of devices, in few groupings.
    if places is None or groups.number > len(places) or groups.last >= len(places):
        return mesh_axes(groups, dict(mesh))
    return mesh_axes([tuple(places[device] for device in group) for group in groups], dict(mesh))


def _label(kind: str, dtype: str, group_size: int | None, axes: tuple[str, ...] | None, across_slices: bool) -> str:
    along = f" ({', '.join(axes)})" if axes else ""
    slices = " across slices" if across_slices else ""
    return f"{kind} {dtype} over {'?' if group_size is None else group_size}{slices}{along}"


def collectives_table(rows: list[CollectiveRow], limit: int) -> str:
    """How many instructions, how often they run, and what they send: in all, and each time."""
    sent = sum(row.cost.network_bytes for row in rows)
    shown, rest = rows[:limit], rows[limit:]
    figures = [(row.label, row.instructions, row.runs, row.cost) for row in shown]
    if rest:
        instructions, runs = sum(row.instructions for row in rest), sum(row.runs for row in rest)
        figures.append((f"everything else ({len(rest)})", instructions, runs, Cost.sum(row.cost for row in rest)))
    columns = {
        "collective": [label for label, _, _, _ in figures],
        "instructions": [f"{count:,}" for _, count, _, _ in figures],
        "runs": [f"{float(runs):,.10g}" for _, _, runs, _ in figures],
        "sent": column([cost.network_bytes for _, _, _, cost in figures], "B"),
        "%": [percent(cost.network_bytes, sent) for _, _, _, cost in figures],
        "sent each run": [amount(float(cost.network_bytes / runs), "B") for _, _, runs, cost in figures],
        "FLOP": column([cost.flops for _, _, _, cost in figures]),
    }
    align = ["left", *["right"] * (len(columns) - 1)]
    return tabular(zip(*columns.values(), strict=True), tuple(columns), align)


def collective_dict(row: CollectiveRow) -> dict[str, Any]:
    """A row as plain data."""
    return {
        "kind": row.kind,
        "dtype": row.dtype,
        "group_size": row.group_size,
        "axes": None if row.axes is None else list(row.axes),
        "across_slices": row.across_slices,
        "instructions": row.instructions,
        "runs": int(row.runs) if row.runs == int(row.runs) else float(row.runs),
        "network_bytes": row.cost.network_bytes,
        "dcn_bytes": row.cost.dcn_bytes,
        "flops": row.cost.flops,
        "status": row.cost.status,
    }
