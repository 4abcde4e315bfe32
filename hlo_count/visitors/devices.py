"""What each of a program's devices does, where that differs: who sends, and which branch a device takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil

from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import having
from hlo_count.hlo.trace import Tracer
from hlo_count.visitors.alike import first_of
from hlo_count.visitors.call_sites import branches_of
from hlo_count.visitors.cost import Cost, Key
from hlo_count.visitors.network import sent_by_device
from hlo_count.visitors.settings import Settings
from hlo_count.visitors.walk import Walk

_SENT: Key = ("network_bytes",)
_IDS = having("device")


@dataclass(frozen=True)
class Devices:
    """The cost of one execution on each device, by id: replica · num_partitions + partition.

    Of a program that is not partitioned yet: for each replica what its devices do together.
    """

    costs: Sequence[Cost]

    @cached_property
    def total(self) -> Cost:
        """What all devices do together."""
        return Cost.sum(self.costs)

    def imbalance(self, counter: str) -> float:
        """The busiest device's share over an equal one: 1.0 is balanced, and so is nothing at all."""
        amounts = [getattr(cost, counter) for cost in self.costs]
        return max(amounts) * len(amounts) / sum(amounts) if sum(amounts) else 1.0


def all_devices(walk: Walk) -> Devices:
    """The devices of a walk's module, each with the branches it takes and the bytes it sends itself.

    A conditional is settled for a device where its branch follows from the device's id alone, and the user said
    nothing of it; where it does not, it counts as the walk counts it.
    """
    module = walk.module
    if module.stage == "unpartitioned":
        return Devices([walk.total] * module.replica_count)
    computations = module.computations.values()
    with_conditionals = [c for c in computations if "conditional" in c.opcodes]
    conditionals = [i for c in with_conditionals for i in c.instructions if i.opcode == "conditional"]
    choosing = [i for i in conditionals if walk.settings.weights(i, len(branches_of(i))) is None]
    by_id = bool(choosing) and any(not c.opcodes.isdisjoint(_IDS) for c in computations)
    taken: dict[tuple[int | None, ...], list[int]] = {}
    for device in range(module.num_devices):
        branches = _branches(walk, device, choosing) if by_id else ()
        taken.setdefault(branches, []).append(device)
    costs: dict[int, Cost] = {}
    for branches, devices in taken.items():
        known = {i.name: branch for i, branch in zip(choosing, branches, strict=bool(branches)) if branch is not None}
        settings = Settings(walk.settings.trip_counts, {**walk.settings.branches, **known})
        costs |= _sending(Walk(module, walk.backend, settings) if known else walk, devices)
    return Devices([costs[device] for device in range(module.num_devices)])


def _branches(walk: Walk, device: int, conditionals: Iterable[Instruction]) -> tuple[int | None, ...]:
    """The branch that a device takes at each conditional, None where its id does not tell."""
    replica, partition = divmod(device, walk.module.num_partitions)
    tracer = Tracer(walk.module, {"replica-id": replica, "partition-id": partition})
    taken: list[int | None] = []
    for conditional in conditionals:
        index = tracer.value(conditional.operands[0])
        last = len(branches_of(conditional)) - 1
        # As HLO has it, an index outside of the branches takes the last one.
        taken.append(None if index is None else int(index) if 0 <= int(index) <= last else last)
    return tuple(taken)


def _sending(walk: Walk, devices: Sequence[int]) -> dict[int, Cost]:
    """The walk's cost for each of `devices`, with the bytes that it sends itself."""
    same = 0
    sent = dict.fromkeys(devices, 0)
    for row, times, cost in walk.rows():
        if not cost.network_bytes:
            continue
        instruction = first_of(row)  # what sends is a row of its own
        by_device = sent_by_device(instruction)
        if not by_device:  # a formula of the user's, or a send whose pairs are not in the text
            same += cost.network_bytes
            continue
        for device in devices:
            sent[device] += ceil(by_device.get(device, 0) * times)
    rest = {key: amount for key, amount in walk.total.amounts.items() if key != _SENT}
    return {device: Cost({**rest, _SENT: same + sent[device]}, walk.status) for device in devices}
