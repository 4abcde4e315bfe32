"""What one device sends over the interconnect, each collective taken as the ring algorithm that needs least.

Bytes are those of the elements: the padding of a TPU tile stays in memory, so that what an all-gather sends
of a parameter is the closed form of its size. A fraction of a byte rounds up, once for an instruction.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from hlo_count.hlo.computation import Computation
from hlo_count.hlo.device_groups import DeviceGroups, Lists
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import DEVICE_IDS, PAIRED
from hlo_count.hlo.replica_groups import collective_kind, group_size, groups, groups_text, source_target_pairs
from hlo_count.hlo.shapes import Shape
from hlo_count.hlo.slices import transfer_kind, transfer_text

_ROUNDS = {
    "all-reduce": 2,
    "all-gather": 1,
    "reduce-scatter": 1,
    "all-to-all": 1,
    "ragged-all-to-all": 1,
}
"""How often (g − 1)/g of the full operand goes round a ring of g devices; a ragged exchange is a bound."""
_SENDING = PAIRED - {"recv"}
_DATA_FIRST = _SENDING | {"ragged-all-to-all"}
"""Their further operands are buffers to write into, offsets and sizes."""


@dataclass(frozen=True)
class Collective:
    """One collective of one device's program, for one run of it.

    `kind` is its opcode without `-start`, or "reduce-scatter" for an all-reduce that is one in disguise; `dtype`
    the element type of what it sends, `f32+bf16` where it combines several; `group_size` and `bytes_sent` are None
    where the text does not tell them. `across_slices`: it goes over the data-centre network to other slices of TPUs.
    """

    instruction: Instruction
    kind: str
    dtype: str
    group_size: int | None
    bytes_sent: int | None
    across_slices: bool = False

    @property
    def dcn_bytes(self) -> int:
        """Those of the bytes sent that leave the slice: of an exchange among devices of several slices, what others of
        the same slice get does not."""
        if not self.across_slices or not self.bytes_sent:
            return 0
        others = (self.group_size or 1) - 1
        if self.kind in _SENDING or self.groups is None or not others:
            return self.bytes_sent
        beside = self._fewest_of_a_slice(self.groups) - 1
        return -(-self.bytes_sent * (others - beside) // others)

    def _fewest_of_a_slice(self, groups: DeviceGroups) -> int:
        """Devices of a group that are in one slice."""
        if groups.lists is Lists.REPLICAS:  # each with those of its place in other slices
            return 1
        each = self.instruction.computation.module.devices_of_slice
        return min((min(Counter(d // each for d in group).values()) for group in groups if group), default=1)

    @cached_property
    def groups(self) -> DeviceGroups | None:
        """The devices it joins, by id; `hlo.replica_groups.mesh_axes` turns them into the axes of a mesh."""
        return groups(self.instruction)

    @property
    def groups_text(self) -> str:
        """The groups, or source-target pairs, as the text has them."""
        if self.across_slices:
            return transfer_text(self.instruction)
        return self.instruction.attribute("source_target_pairs") or groups_text(self.instruction)


def collective(instruction: Instruction) -> Collective | None:
    """The collective that the instruction begins; None where it begins none, as `recv` and later steps."""
    kind = collective_kind(instruction)
    if kind is None or kind == "recv" or continues_collective(instruction):
        return None
    across = transfer_kind(instruction) is not None
    if not across and instruction.attribute("is_host_transfer") == "true":
        return None
    if kind == "all-reduce" and is_disguised_reduce_scatter(instruction):
        kind = "reduce-scatter"
    operands = instruction.operands[:1] if kind in _DATA_FIRST or across else instruction.operands
    dtypes = dict.fromkeys(leaf.dtype for operand in operands for leaf in operand.shape.leaves if leaf.is_array)
    return Collective(
        instruction=instruction,
        kind=kind,
        dtype="+".join(dtypes),
        group_size=group_size(instruction),
        bytes_sent=_bytes_sent(instruction, kind),
        across_slices=across,
    )


def network_bytes(instruction: Instruction) -> int | None:
    """Bytes that one device sends when the instruction runs once; None where its groups cannot be told.

    With g devices in a group and N the bytes of the full (gathered or unreduced) operand, in a ring:
    all-reduce 2·N·(g−1)/g; all-gather, reduce-scatter, all-to-all and, as a bound, ragged-all-to-all
    N·(g−1)/g; collective-broadcast N; collective-permute and send N, what the largest sender sends. Where all
    groups have one device, or all pairs lead from a device to itself, nothing leaves it: 0. An asynchronous
    pair counts at its start, and whatever is no collective is 0.
    """
    found = collective(instruction)
    return found.bytes_sent if found is not None else 0


def continues_collective(instruction: Instruction) -> bool:
    """Whether it goes on with a collective that was begun, and counted, before.

    TPU runs an all-gather in steps beside other work: a fusion around `AsyncCollectiveStart`, fusions that
    carry it on, and one around `AsyncCollectiveDone` each print the whole collective, with one `chain_id`.
    """
    if "chain_id=" not in (instruction.attribute("frontend_attributes") or ""):
        return False
    users = instruction.computation.users[instruction]
    return not any(user.attribute("custom_call_target") == '"AsyncCollectiveStart"' for user in users)


def is_disguised_reduce_scatter(instruction: Instruction) -> bool:
    """Whether an all-reduce in a fusion feeds only dynamic-slices that take a device's 1/g of it."""
    size = group_size(instruction)
    if size is None or size < 2:
        return False
    slices = _final_users(instruction)
    return (
        bool(slices)
        and all(
            user.opcode == "dynamic-slice"
            and user.operands[0].shape.size == size * user.shape.size
            and _depends_on_device(user)
            for user in slices
        )
        and _is_fused(instruction.computation)
    )


_PASSES_ON = frozenset(("bitcast", "convert", "copy", "get-tuple-element", "pad", "reshape"))


def _final_users(instruction: Instruction) -> list[Instruction]:
    """Its users, and in place of those that only pass it on, theirs; [] where it leaves the computation."""
    found: list[Instruction] = []
    work = [instruction]
    while work:
        current = work.pop()
        if current.is_root:
            return []
        for user in instruction.computation.users[current]:
            (work if user.opcode in _PASSES_ON else found).append(user)
    return found


def _depends_on_device(dynamic_slice: Instruction) -> bool:
    """Whether an index of the slice comes from the device's id."""
    work = list(dynamic_slice.operands[1:])
    seen = set(work)
    while work:
        current = work.pop()
        if current.opcode in DEVICE_IDS:
            return True
        new = [operand for operand in current.operands if operand not in seen]
        seen.update(new)
        work += new
    return False


def _is_fused(computation: Computation) -> bool:
    module = computation.module
    return any(i.opcode == "fusion" and i.callee("calls") is computation for i in module.instructions())


@dataclass(frozen=True, slots=True)
class Senders:
    """Who sends how much when an instruction runs once: (first, one past the last, bytes that each sends) of what its
    groups list; whoever is missing sends nothing."""

    lists: Lists
    sent: tuple[tuple[int, int, int], ...]
    across: Fraction = Fraction(0)
    """The part of it that goes to other slices."""


def senders(instruction: Instruction) -> Senders | None:
    """Of what its devices send `network_bytes` is the largest; None where the text does not tell who takes part."""
    found = collective(instruction)
    if found is None:
        return Senders(Lists.DEVICES, ())
    across = Fraction(found.dcn_bytes, found.bytes_sent or 1)
    if found.kind in _SENDING:
        pairs = source_target_pairs(instruction)
        if pairs is None:
            return None
        payload = _payload(instruction, found.kind)
        sources = dict.fromkeys(source for source, target in pairs.listed if source != target)
        return Senders(pairs.lists, tuple((source, source + 1, payload) for source in sources), across)
    if found.groups is None:
        return None
    by_size: dict[int, int] = {}
    sent: list[tuple[int, int, int]] = []
    for first, end, size in found.groups.sizes():
        if size not in by_size:
            by_size[size] = _ring_bytes(instruction, found.kind, size)
        sent.append((first, end, by_size[size]))
    return Senders(found.groups.lists, tuple(sent), across)


def _bytes_sent(instruction: Instruction, kind: str) -> int | None:
    if kind.isupper():  # a type of transfer between slices that is not known
        return None
    if kind in _SENDING:
        pairs = source_target_pairs(instruction)
        if pairs is not None and all(source == target for source, target in pairs.listed):
            return 0
        return _payload(instruction, kind)
    size = group_size(instruction)
    return None if size is None else _ring_bytes(instruction, kind, size)


def _payload(instruction: Instruction, kind: str) -> int:
    """Bytes that a source sends to its target."""
    # A send takes the data, then a token; a permute in place takes input, output and the offsets of its slices.
    operands = instruction.operands
    sliced = instruction.attribute("slice_sizes")
    if sliced is not None:
        return _sliced_bytes(operands[0].shape, sliced)
    return sum(_bytes(operand.shape) for operand in (operands[:1] if kind == "send" else operands))


def _ring_bytes(instruction: Instruction, kind: str, size: int) -> int:
    """Bytes that a device in a group of `size` sends."""
    full = _full_bytes(instruction, kind, size)
    if kind not in _ROUNDS:
        return full if size > 1 else 0
    return -(-_ROUNDS[kind] * full * (size - 1) // size)


def _full_bytes(instruction: Instruction, kind: str, size: int) -> int:
    operands = instruction.operands
    if kind == "ragged-all-to-all":
        # Then follow the buffer to write into, the offsets and the sizes.
        operands = operands[:1]
    total = sum(_bytes(operand.shape) for operand in operands)
    return total * size if kind == "all-gather" else total


def _bytes(shape: Shape) -> int:
    """Bytes of the elements in a shape, without the padding of tiles."""
    return sum(-(-leaf.size * _bits(leaf) // 8) for leaf in shape.leaves if leaf.is_array)


def _bits(leaf: Shape) -> int:
    if leaf.layout is not None and leaf.layout.element_bits:
        return leaf.layout.element_bits
    return 8 * leaf.element_type.stored_bytes


def _sliced_bytes(shape: Shape, text: str) -> int:
    """Bytes of the slices `{{2,4},{1,4}}` of an array, or of the arrays of a tuple, one after another."""
    numbers = [int(part) for part in text.replace("{", " ").replace("}", " ").replace(",", " ").split()]
    leaves = [leaf for leaf in shape.leaves if leaf.is_array]
    if numbers and not any(leaf.rank for leaf in leaves):
        raise ValueError(f"slices {text} of what has no dimensions")
    total = at = 0
    while at < len(numbers):
        for leaf in leaves:
            elements = 1
            for number in numbers[at : at + leaf.rank]:
                elements *= number
            total += -(-elements * _bits(leaf) // 8)
            at += leaf.rank
    return total
