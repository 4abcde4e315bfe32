"""Which devices a collective joins: `replica_groups` in every spelling and source-target pairs, as ids.

A device's id is its place in the device assignment: replica · num_partitions + partition.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain, pairwise
from math import prod

from hlo_count.errors import HloCountError
from hlo_count.hlo.attributes import int_list
from hlo_count.hlo.device_groups import DeviceGroups, Grid, Lists
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import COLLECTIVES, PAIRED, halved, having
from hlo_count.hlo.slices import spread_over_slices, transfer_groups, transfer_kind

Groups = tuple[tuple[int, ...], ...]

_TAKE_GLOBAL_IDS = having("global ids")


def collective_kind(instruction: Instruction) -> str | None:
    """The collective that the instruction begins, without `-start`; `send` and `recv` too; else None.

    A `send` to other slices is the collective that the megascale runtime makes of it.
    """
    opcode = instruction.opcode
    if opcode == "send" and (transfer := transfer_kind(instruction)):
        return transfer
    if opcode in COLLECTIVES or opcode in ("send", "recv"):
        return opcode
    wrapped, half = halved(opcode)
    return wrapped if half == "start" and wrapped in COLLECTIVES else None


def groups(instruction: Instruction) -> DeviceGroups | None:
    """The groups of devices that a collective joins, by id; None for no collective or an unknown spelling.

    What the text lists depends on `channel_id` and `use_global_device_ids` (XLA,
    collective_op_group_mode.cc): replicas without a channel; partitions with one, on an op that has no global
    ids; replicas times all partitions with `use_global_device_ids=false`, which is not printed; device ids
    with true. An empty list means all of them. Of a permute and of a send with pairs: the devices that its
    pairs connect.
    """
    kind = collective_kind(instruction)
    if kind is None:
        return None
    if transfer_kind(instruction) is not None:
        found = transfer_groups(instruction)
        return replace(found, listed=_connected(found.listed)) if found is not None and kind in PAIRED else found
    if kind in PAIRED:
        pairs = source_target_pairs(instruction)
        return None if pairs is None else replace(pairs, listed=_connected(pairs.listed))
    listed = _listed(groups_text(instruction))
    if listed is None:
        return None
    module = instruction.computation.module
    replicas, partitions = module.replica_count, module.num_partitions
    if instruction.attribute("channel_id") is None:
        lists, there = Lists.REPLICAS, replicas
    elif kind not in _TAKE_GLOBAL_IDS and instruction.attribute("use_global_device_ids") is None:
        lists, there = Lists.PARTITIONS, partitions
    elif instruction.attribute("use_global_device_ids") != "true":
        lists, there = Lists.REPLICAS_WITH_PARTITIONS, replicas
    else:
        lists, there = Lists.DEVICES, replicas * partitions
    return spread_over_slices(module, DeviceGroups(listed or Grid(((there, 1),), there), lists, replicas, partitions))


def group_size(instruction: Instruction) -> int | None:
    """Devices in a group, of the largest one where they differ; None where `groups` is."""
    found = groups(instruction)
    return None if found is None else found.largest


def largest_device(instruction: Instruction) -> int:
    """The largest id of a device that a collective names; 0 where it names none."""
    found = groups(instruction)
    return 0 if found is None else found.last


def source_target_pairs(instruction: Instruction) -> DeviceGroups | None:
    """Who sends to whom, by device id, as a permute, or the frontend attributes of a send, say; else None.

    The text lists partitions with a `channel_id`, else replicas.
    """
    if transfer_kind(instruction) is not None:
        return transfer_groups(instruction)
    text = instruction.attribute("source_target_pairs")
    if text is None:
        found = _SEND_PAIRS.search(instruction.attribute("frontend_attributes") or "")
        if found is None:
            return None
        text = found[1]
    numbers = int_list(text)
    if len(numbers) % 2:
        raise HloCountError(
            f"{instruction.place}: {instruction.name} has source_target_pairs that are no pairs: {text}"
        )
    lists = Lists.REPLICAS if instruction.attribute("channel_id") is None else Lists.PARTITIONS
    module = instruction.computation.module
    pairs = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    return spread_over_slices(module, DeviceGroups(pairs, lists, module.replica_count, module.num_partitions))


_SEND_PAIRS = re.compile(r'_xla_send_recv_source_target_pairs="?(\{[^"]*\})')


def mesh_axes(groups: Iterable[Sequence[int]], mesh: Mapping[str, int]) -> tuple[str, ...] | None:
    """The axes of a mesh (names and sizes, major first) along which groups lie; None if along none.

    Devices are taken to lie in the mesh in the order of their ids, as jax assigns them. An axis of size 1 is
    never among the answers; groups of one device each lie along no axis: ().
    """
    names, sizes = list(mesh), list(mesh.values())
    if isinstance(groups, DeviceGroups) and groups.number != prod(sizes):
        return None
    groups = list(groups)
    if sorted(chain.from_iterable(groups)) != list(range(prod(sizes))):
        return None
    strides = [prod(sizes[axis + 1 :]) for axis in range(len(sizes))]
    places = [
        [tuple(d // stride % size for stride, size in zip(strides, sizes, strict=True)) for d in g] for g in groups
    ]
    along = [axis for axis in range(len(sizes)) if len({place[axis] for place in places[0]}) > 1]
    across = [axis for axis in range(len(sizes)) if axis not in along]
    width = prod(sizes[axis] for axis in along)
    for group in places:
        # As many distinct devices as the axes span, all at one place of the others: exactly that part of the
        # mesh.
        if len(group) != width or len({tuple(place[axis] for axis in across) for place in group}) != 1:
            return None
    return tuple(names[axis] for axis in along)


def groups_text(instruction: Instruction) -> str:
    """`replica_groups` as the text has it, the device order of a mesh included; "{}" where there is none."""
    text = instruction.attribute("replica_groups") or "{}"
    order = instruction.attribute("device_ids") if text.startswith("mesh") else None
    return text if order is None else f"{text}, device_ids={order}"


_LIST = re.compile(r"\{\s*(?:\{[\d\s,]*\}[\s,]*)*\}\Z", re.A)
_INNER = re.compile(r"\{([\d\s,]*)\}", re.A)
_IOTA = re.compile(r"\[(\d+),\s*(\d+)\]<=\[([\d,\s]*)\](?:T\(([\d,\s]*)\))?\Z", re.A)
_MESH = re.compile(
    r"mesh\[(?P<axes>(?:'[^']*'|\"[^\"]*\"|[^\]'\"])*)\]"
    r"(?:\s*,\s*device_ids=\((?:\[(?P<dims>[\d,\s]*)\](?:T\((?P<order>[\d,\s]*)\))?|(?P<ids>[\d,\s]*))\))?"
    r"\s*\{(?P<grouped>.*)\}\Z",
    re.S | re.A,
)
_AXIS = re.compile(r"(?:'([^']*)'|\"([^\"]*)\")\s*=\s*(\d+)", re.A)
_AXIS_REF = re.compile(r"(?:'([^']*)'|\"([^\"]*)\")(?:\s*:\s*\((\d+)\)(\d+))?", re.A)
_BEYOND_64_BITS = re.compile(r"\d{20}", re.A)
_MAXIMAL = re.compile(r"maximal_mesh\[device_id=(\d+)\]\s*\{\s*\}\Z", re.A)


@lru_cache(maxsize=4096)
def _listed(text: str) -> Groups | Grid | None:
    """The groups as the text lists them, () for an empty list, None for a spelling that is none of XLA's."""
    if _BEYOND_64_BITS.search(text):
        return None
    if _LIST.match(text):
        return tuple(group for inner in _INNER.findall(text[1:-1]) if (group := int_list(inner)))
    if found := _IOTA.match(text):
        devices = _transposed(found[3], found[4], int(found[2]))
        return devices if devices is not None and devices.size == int(found[1]) * devices.width else None
    if found := _MESH.match(text):
        return _mesh_groups(found)
    if found := _MAXIMAL.match(text):
        return ((int(found[1]),),)
    return None


def _transposed(dims_text: str, order_text: str | None, width: int) -> Grid | None:
    """`[2,4]T(1,0)`; None where that is no order of its dimensions."""
    dims, order = int_list(dims_text), int_list(order_text)
    if order_text is not None and sorted(order) != list(range(len(dims))):
        return None
    return Grid.transposed(dims, order or range(len(dims)), width)


def _mesh_groups(found: re.Match[str]) -> Groups | Grid | None:
    """`mesh['a'=4,'b'=2], device_ids=(…) {'a':(1)2,'b'}`: devices that differ only along these.

    A sub-axis `(p)s` is the part of size s of an axis that has p more major to it (MeshAxesReplicaGroupList).
    """
    sizes = {single or double: int(size) for single, double, size in _AXIS.findall(found["axes"])}
    wanted = [
        (single or double, int(before or 1), int(size) if size else None)
        for single, double, before, size in _AXIS_REF.findall(found["grouped"])
    ]
    names = list(sizes)
    if not all(size > 0 for size in sizes.values()) or any(before < 1 or size == 0 for _, before, size in wanted):
        return None
    # An axis may be named by its index in the mesh.
    by_name = {str(index): name for index, name in enumerate(names)} | {name: name for name in names}
    if any(name not in by_name for name, _, _ in wanted):
        return None
    wanted = [(by_name[name], before, size) for name, before, size in wanted]
    # Each axis falls apart where a listed sub-axis begins or ends; a part is known by its axis and what is
    # before it.
    parts: dict[tuple[str, int], int] = {}
    for name, full in sizes.items():
        cuts = {1, full}
        for other, before, size in wanted:
            if other == name:
                cuts |= {before, before * (size or full)}
        edges = sorted(cuts)
        parts |= {(name, low): high // low for low, high in pairwise(edges)}
        if full == 1:
            parts[name, 1] = 1
    keys = list(parts)
    grouped = [keys.index((name, before)) for name, before, _ in wanted]
    rest = [index for index in range(len(keys)) if index not in grouped]
    dims = tuple(parts.values())
    places = Grid.transposed(dims, [*rest, *grouped], prod(dims[index] for index in grouped))
    if found["ids"] is not None:
        devices = int_list(found["ids"])
        return tuple(tuple(devices[place] for place in row) for row in places) if len(devices) == places.size else None
    if found["dims"] is None:
        return places
    among = _transposed(found["dims"], found["order"], 1)
    return None if among is None or among.size != places.size else places.through(among)


def _connected(pairs: Iterable[Sequence[int]]) -> Groups:
    """The sets of devices that pairs connect, each in ascending order, by their first device."""
    parents: dict[int, int] = {}

    def find(device: int) -> int:
        while parents.setdefault(device, device) != device:
            parents[device] = device = parents[parents[device]]
        return device

    for source, target in pairs:
        one, other = find(source), find(target)
        parents[max(one, other)] = min(one, other)
    sets: dict[int, list[int]] = {}
    for device in sorted(parents):
        sets.setdefault(find(device), []).append(device)
    return tuple(map(tuple, sets.values()))
