"""Programs over several slices of TPUs, whose devices reach those of other slices over the data-centre network.

libtpu's text is the program of one slice, and its header has the partitions of one. What goes to other slices is a
`send` with its `recv`, handed to the megascale runtime; their frontend attributes say which collective they are, and
between whom: `"{1,2}x{0:7}"` each device with those of its place in these slices, `{{100000,200000},…}` devices by the
ids that libtpu gives them, and `{{100000->200000},…}` who sends to whom.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hlo_count.hlo.attributes import int_list
from hlo_count.hlo.device_groups import DeviceGroups, Lists

if TYPE_CHECKING:
    from hlo_count.hlo.instruction import Instruction
    from hlo_count.hlo.module import Module

_TRANSFERS = {
    "ALL_REDUCE": "all-reduce",
    "ALL_GATHER": "all-gather",
    "REDUCE_SCATTER": "reduce-scatter",
    "ALL_TO_ALL": "all-to-all",
    "ONE_TO_ONE": "collective-permute",
}
_TYPE = re.compile(r'_xla_megascale_transfer_type="?(\w+)')
_TARGET = re.compile(r'_xla_megascale_target="?(\{[\d,]*\}x\{[\d:,]*\}|\{(?:\{[\d,>-]*\},?)*\})', re.A)
_ALL_OF_SLICES = re.compile(r"\{([\d,]+)\}x\{0(?::(\d+))?\}\Z", re.A)
_GROUP = re.compile(r"\{([\d,>-]+)\}", re.A)
_IDS_OF_A_SLICE = 100_000
"""libtpu numbers the devices of slice 0 from 100,000 on, those of slice 1 from 200,000 on."""


def transfer_kind(instruction: Instruction) -> str | None:
    """The collective over slices that a `send` or a `recv` is part of; None of any other instruction.

    A type of transfer that is not known is its own name.
    """
    if instruction.opcode not in ("send", "recv"):
        return None
    found = _TYPE.search(instruction.attribute("frontend_attributes") or "")
    return None if found is None else _TRANSFERS.get(found[1], found[1])


def is_to_other_slices(instruction: Instruction) -> bool:
    """Whether it is a half of a transfer that the megascale runtime makes, and no word with the host."""
    return "xla_megascale_runtime" in (instruction.attribute("frontend_attributes") or "")


def transfer_groups(instruction: Instruction) -> DeviceGroups | None:
    """The groups of devices that a transfer joins, by id, and of a permute its pairs; None for an unknown spelling."""
    module = instruction.computation.module
    slices, each = module.num_slices, module.devices_of_slice
    found = _TARGET.search(instruction.attribute("frontend_attributes") or "")
    if found is None:
        return None
    if whole := _ALL_OF_SLICES.match(found[1]):
        if int(whole[2] or 0) != each - 1:
            return None
        return DeviceGroups((tuple(s - 1 for s in int_list(whole[1])),), Lists.REPLICAS, slices, each)
    if "x" in found[1]:
        return None
    ids = [int_list(group.replace("->", ",")) for group in _GROUP.findall(found[1])]
    if any(number < _IDS_OF_A_SLICE for group in ids for number in group):
        return None
    return DeviceGroups(tuple(tuple(map(module.device_of_id, group)) for group in ids), Lists.DEVICES, slices, each)


def transfer_text(instruction: Instruction) -> str:
    """The devices that a transfer joins, as the text has them; "" where it names none."""
    found = _TARGET.search(instruction.attribute("frontend_attributes") or "")
    return "" if found is None else found[1]


def slices_named(text: str) -> int:
    """How many slices a program runs on, by the largest that one of its transfers names; 1 where there is none."""
    most = 1
    for target in {found[1] for found in _TARGET.finditer(text)}:
        slices, _, of_each = target.partition("x")
        numbers = int_list(slices.replace("->", ","))
        most = max([most, *(number if of_each else number // _IDS_OF_A_SLICE for number in numbers)])
    return most


def slice_of_id(number: int) -> int:
    """The slice, from 0 on, of the device that libtpu gives this id."""
    return number // _IDS_OF_A_SLICE - 1


def place_in_slice(number: int) -> int:
    """Which device of its slice that is, from 0 on."""
    return number % _IDS_OF_A_SLICE


def devices_in_order(assignment: tuple[int, ...]) -> Mapping[int, int]:
    """The devices' ids in the program, slice by slice, by the ids that libtpu gives them.

    Within a slice they are numbered in the order of the device assignment, as partitions are.
    """
    in_slices = sorted(assignment, key=slice_of_id)  # a stable sort keeps the order within each
    return {number: device for device, number in enumerate(in_slices)}


def spread_over_slices(module: Module, groups: DeviceGroups) -> DeviceGroups:
    """Groups of devices of one slice, in every slice."""
    if module.num_slices == 1:
        return groups
    alike = groups.lists is Lists.DEVICES or (groups.lists is Lists.PARTITIONS and module.replica_count == 1)
    listed = groups.listed if alike else tuple(groups)
    return DeviceGroups(listed, Lists.PARTITIONS, module.num_slices, module.devices_of_slice)
