"""Whether the groups of a collective hold each device once, as many as it takes (xla/service/hlo_verifier.cc)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hlo_count.hlo.device_groups import Grid, Lists
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import COLLECTIVES, PAIRED, halved
from hlo_count.hlo.replica_groups import groups, source_target_pairs
from hlo_count.hlo.shapes import Shape

_NUMBER = re.compile(r"\d", re.A)
_EMPTY = re.compile(r"\{\s*\}")
_OF_ANY_SIZE = ("all-reduce", "all-reduce-start")


def groups_problem(i: Instruction) -> str:
    """What is wrong with the devices of a collective, in words that follow its name; "" where nothing is."""
    kind = i.opcode if i.opcode in COLLECTIVES else halved(i.opcode)[0]
    if kind not in COLLECTIVES or halved(i.opcode)[1] in ("update", "done"):
        return ""
    if i.opcode in PAIRED:
        return _pairs_problem(i)
    found = groups(i)
    if found is None:
        return ""  # whoever counts it says so
    listed = found.listed
    text = i.attribute("replica_groups") or "{}"
    if found.lists is Lists.DEVICES and not _NUMBER.search(text) and text.startswith("{"):
        return f"lists no devices in replica_groups={text}, with use_global_device_ids=true"
    if _EMPTY.search(text, 1):
        return f"has an empty group in replica_groups={text}"
    if not isinstance(listed, Grid):
        ids = [device for group in listed for device in group]
        if len(set(ids)) < len(ids):
            return f"has a device twice in replica_groups={text}"
        if set(ids) != set(range(len(ids))):
            return f"has replica_groups={text}, which are not of the devices 0 to {len(ids) - 1}"
        if i.opcode not in _OF_ANY_SIZE and len(set(map(len, listed))) > 1:
            return f"has groups of several sizes in replica_groups={text}"
    number = listed.size if isinstance(listed, Grid) else sum(map(len, listed))
    there = {
        Lists.REPLICAS: found.replicas,
        Lists.REPLICAS_WITH_PARTITIONS: found.replicas,
        Lists.PARTITIONS: found.partitions,
        Lists.DEVICES: found.replicas * found.partitions,
    }[found.lists]
    if number < there:  # more than there are is what whoever counts it says
        return f"has {number} devices in replica_groups={text}, of {there}"
    return _parts_problem(i, found.largest)


def _parts_problem(i: Instruction, devices: int) -> str:
    """A gathered dimension has a part of each device of a group."""
    if i.opcode not in ("all-gather", "all-gather-start", "reduce-scatter") or devices == 1 or not i.operands:
        return ""
    small, large = i.operands[0].shape, _result(i)
    if i.opcode == "reduce-scatter":
        small, large = large, small
    axes = i.dims("dimensions")
    if len(axes) != 1 or not (small.is_array and large.is_array and axes[0] < min(small.rank, large.rank)):
        return ""  # which the check of shapes says
    part, whole = small.dimensions[axes[0]], large.dimensions[axes[0]]
    if part > 0 and -(-whole // part) != devices:
        return f"makes {large} of parts {small}, with groups of {devices} devices"
    return ""


def _result(i: Instruction) -> Shape:
    """The first array that it gives."""
    shape = i.shape
    if i.opcode == "all-gather-start" and len(shape.elements) == 2:
        shape = shape.elements[1]
    return shape.elements[0] if shape.is_tuple and shape.elements else shape


def _pairs_problem(i: Instruction) -> str:
    pairs = source_target_pairs(i)
    if pairs is None or isinstance(pairs.listed, Grid) or len(i.operands) == 4:
        return ""  # into buffers, at offsets: as often as these say
    if any(device < 0 for pair in pairs.listed for device in pair):
        return f"names a device below 0 in source_target_pairs={i.attribute('source_target_pairs')}"
    for what, number in (("source", 0), ("target", 1)):
        twice = _twice([pair[number] for pair in pairs.listed])
        if twice is not None:
            return f"has the {what} {twice} twice in source_target_pairs={i.attribute('source_target_pairs')}"
    return ""


def _twice(numbers: Sequence[int]) -> int | None:
    seen: set[int] = set()
    return next((number for number in numbers if number in seen or seen.add(number)), None)  # type: ignore[func-returns-value]
