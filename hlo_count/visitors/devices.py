"""What each of a program's devices does, where that differs: who sends, and which branch a device takes.

Devices that do the same are one kind, and what they send a few numbers: there may be a trillion of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.hlo.opcodes import DEVICE_IDS
from hlo_count.hlo.trace import SLICE_ID, Tracer
from hlo_count.hlo.traced_values import TracedValue, evaluated, parts
from hlo_count.visitors.alike import first_of
from hlo_count.visitors.call_sites import branches_of
from hlo_count.visitors.cost import SENT, SENT_ACROSS, Cost
from hlo_count.visitors.network import senders
from hlo_count.visitors.sent import Sent
from hlo_count.visitors.walk import Walk

_MOST_OPERATIONS = 1_000_000
"""Scalar operations that finding out the branches of all devices may take: about half a second."""
_MOST_KINDS = 256
"""Kinds of devices that are told apart by their branches: stages of a pipeline are some dozens."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """Devices that take the same branches: `cost` is what each does, `sent` what each sends beside that, and `across`
    what of it goes to other slices."""

    cost: Cost
    sent: Sent
    across: Sent
    ids: Sequence[int] | None = None
    """None for all devices."""

    def of(self, device: int) -> Cost:
        return self._sending(self.cost, self.sent.by(device), self.across.by(device))

    def total(self, number: int) -> Cost:
        """What they do together, where there are `number` devices."""
        if self.ids is None:
            return self._sending(self.cost * number, self.sent.total, self.across.total)
        sent, across = (sum(map(each.by, self.ids)) for each in (self.sent, self.across))
        return self._sending(self.cost * len(self.ids), sent, across)

    def most(self, counter: str) -> int:
        """What the busiest of them does."""
        amount: int = getattr(self.cost, counter)
        sent = {"network_bytes": self.sent, "dcn_bytes": self.across}.get(counter)
        if sent is None:
            return amount
        return amount + (sent.most if self.ids is None else max(map(sent.by, self.ids)))

    @staticmethod
    def _sending(cost: Cost, sent: int, across: int) -> Cost:
        return cost + Cost.network(sent - across, across)


@dataclass(frozen=True)
class Devices:
    """The cost of one execution on each device, by id: (slice · replicas + replica) · num_partitions + partition.

    Of a program that is not partitioned yet: for each replica what its devices do together.
    """

    number: int
    kinds: tuple[_Kind, ...]

    @property
    def costs(self) -> Sequence[Cost]:
        """That of each device."""
        return _Costs(self)

    @cached_property
    def total(self) -> Cost:
        """What all devices do together."""
        return Cost.sum(kind.total(self.number) for kind in self.kinds)

    def imbalance(self, counter: str) -> float:
        """The busiest device's share over an equal one: 1.0 is balanced, and so is nothing at all."""
        together: int = getattr(self.total, counter)
        return max(kind.most(counter) for kind in self.kinds) * self.number / together if together else 1.0


class _Costs(Sequence[Cost]):
    def __init__(self, devices: Devices) -> None:
        self._devices = devices
        self._kinds = {device: kind for kind in devices.kinds for device in kind.ids or ()}

    def __len__(self) -> int:
        return self._devices.number

    def __getitem__(self, device: Any) -> Any:
        if isinstance(device, slice):
            return [self[one] for one in range(*device.indices(len(self)))]
        number = self._devices.number
        if not -number <= device < number:
            raise IndexError(f"there are {number} devices, and none of them is {device}")
        device %= number
        return self._kinds.get(device, self._devices.kinds[0]).of(device)

    def __iter__(self) -> Iterator[Cost]:
        return (self[device] for device in range(self._devices.number))


def all_devices(walk: Walk) -> Devices:
    """The devices of a walk's module, each with the branches it takes and the bytes it sends itself.

    A conditional is settled for a device where its branch follows from the device's id alone, and the user said
    nothing of it; where it does not, it counts as the walk counts it. So it does where there are so many devices that
    asking each of them takes more than a million operations, or where they are of more than 256 kinds.
    """
    module = walk.module
    if module.stage == "unpartitioned":
        none = Sent(module.replica_count, 1)
        return Devices(module.replica_count, (_Kind(walk.total, none, none),))
    choosing = _choosing(walk)
    taken = _taken(module, choosing)
    kinds = []
    for branches, ids in taken.items():
        known = {i.name: branch for i, branch in zip(choosing, branches, strict=True) if branch is not None}
        settings = replace(walk.settings, branches={**walk.settings.branches, **known})
        settled = Walk(module, walk.backend, settings) if known else walk
        kinds.append(_kind(settled, ids if len(taken) > 1 else None))
    return Devices(module.num_devices, tuple(kinds))


def _choosing(walk: Walk) -> list[Instruction]:
    """The conditionals of which the user said nothing, in a program that asks for its device's id."""
    computations = walk.module.computations.values()
    if walk.module.num_slices == 1 and all(c.opcodes.isdisjoint(DEVICE_IDS) for c in computations):
        return []
    conditionals = (i for c in computations if "conditional" in c.opcodes for i in c.instructions)
    return [
        i for i in conditionals if i.opcode == "conditional" and walk.settings.weights(i, len(branches_of(i))) is None
    ]


_Taken = tuple[int | None, ...]
"""The branch that a device takes at each conditional, None where its id does not tell."""


def _taken(module: Module, conditionals: Sequence[Instruction]) -> dict[_Taken, list[int]]:
    """The devices that take the same branches; all of them under None where they are too many to be asked."""
    all_alike: dict[_Taken, list[int]] = {(None,) * len(conditionals): []}
    if not conditionals:
        return all_alike
    tracer = Tracer(module, by_device=True)
    asked = [parts([tracer.expression(conditional.operands[0])]) for conditional in conditionals]
    lasts = [len(branches_of(conditional)) - 1 for conditional in conditionals]
    if module.num_devices * sum(map(len, asked)) > _MOST_OPERATIONS:
        return all_alike
    taken: dict[_Taken, list[int]] = {}
    numbers = product(*map(range, (module.num_slices, module.replica_count, module.num_partitions)))
    for device, (in_slice, replica, partition) in enumerate(numbers):
        ids = {"partition-id": partition, "replica-id": replica, SLICE_ID: in_slice}
        branches = tuple(_branch(made_of, last, ids) for made_of, last in zip(asked, lasts, strict=True))
        taken.setdefault(branches, []).append(device)
        if len(taken) > _MOST_KINDS:
            return all_alike
    return taken


def _branch(made_of: Sequence[TracedValue], last: int, ids: Mapping[str, int]) -> int | None:
    index = evaluated(made_of, ids)
    # As HLO has it, an index outside of the branches takes the last one.
    return None if index is None else int(index) if 0 <= int(index) <= last else last


def _kind(walk: Walk, ids: Sequence[int] | None) -> _Kind:
    """The walk's cost, with what each of its devices sends apart."""
    module = walk.module
    slices = module.num_slices
    sizes = (slices, module.devices_of_slice) if slices > 1 else (module.replica_count, module.num_partitions)
    same, sent, across = Cost(), Sent(*sizes), Sent(*sizes)
    for row, times, cost in walk.rows():
        if not cost.network_bytes:
            continue
        found = senders(first_of(row))  # what sends is a row of its own
        if found is None or not found.sent:  # a formula of the user's, or a send whose pairs are not in the text
            same += cost.only("network_bytes")
        else:
            sent.add(found, times)
            across.add(found, times * found.across)
    rest = {key: amount for key, amount in walk.total.amounts.items() if key not in (SENT, SENT_ACROSS)}
    return _Kind(Cost({**rest, **same.amounts}, walk.status), sent, across, ids)
