"""What a user, or a kernel's author, says that a call costs, made into its Cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.shapes import Shape
from hlo_count.visitors.cost import MAIN, OP_COUNTERS, Cost, Key, weakest
from hlo_count.visitors.kernels.kernel_count import KernelCount, Open, Traffic, arrays_of, moved_once
from hlo_count.visitors.registry import KernelCost

Amounts = Mapping[str, int]
"""Amounts by counter: those of operations, `bytes_read`, `bytes_written`, `network_bytes`."""
Given = Cost | Amounts
_MOVED = ("bytes_read", "bytes_written")
GIVEN_COUNTERS = (*OP_COUNTERS, *_MOVED, "network_bytes")
_SAID = "costs what you say"
_UNITS = {"flops": "matrix", "transcendentals": "special"}


def cost_of_amounts(call: Instruction, amounts: Amounts) -> Cost:
    """Operations are of the class `custom` and the dtype of the first result; FLOP of the matrix unit, the fastest."""
    leaf = call.shape.first_leaf
    dtype = leaf.dtype if leaf is not None and leaf.element_type.is_float else "f32"
    keys: dict[str, Key] = {name: (name, "custom", dtype, _UNITS.get(name, "vector")) for name in OP_COUNTERS}
    keys |= {name: (name, MAIN) for name in _MOVED}
    keys["network_bytes"] = ("network_bytes",)
    return Cost({keys[name]: amount for name, amount in amounts.items()})


def settled_cost(call: Instruction, given: Given, found: Cost | None, backend: str) -> Cost:
    """What a user says that a call costs; what it moves and sends is that of `found` where that is not given too.

    `found` is what the call's code or formula tells; None where nothing does: then each operand is read and each result
    written once, and no read is certain.
    """
    cost = given if isinstance(given, Cost) else cost_of_amounts(call, given)
    if cost.only(*_MOVED).amounts:
        return KernelCost(cost, _SAID, _shared_out(call, cost))
    if isinstance(found, KernelCost):
        return _with_traffic_of(found, cost)
    if found is None:
        told = cost.only(*OP_COUNTERS, "network_bytes")
        count = moved_once(call, told, told, Open())
        traffic = count.traffic(call, backend)
        return KernelCost(Cost((cost + traffic).amounts, cost.status), _SAID, count)
    return Cost((cost + found.only(*_MOVED)).amounts, cost.status)


def _with_traffic_of(kernel: KernelCost, cost: Cost) -> KernelCost:
    """A kernel whose code tells what it moves, as far as it does."""

    def said(amounts: Cost) -> Cost:
        return cost if cost.network_bytes else Cost((cost + amounts.only("network_bytes")).amounts)

    count = replace(kernel.count, least=said(kernel.count.least), counted=said(kernel.count.counted))
    status = cost.status if count.tells_traffic else weakest(cost.status, kernel.status)
    amounts = (count.counted + kernel.only(*_MOVED)).amounts
    return KernelCost(Cost(amounts, status), f"{_SAID}, and {kernel.reason}" if status != cost.status else _SAID, count)


def _shared_out(call: Instruction, cost: Cost) -> KernelCount:
    """Traffic that is given for all arrays together: nothing of one is certain, each may have its share by its size."""
    read, written = (
        _shares(amount, shapes)
        for amount, shapes in zip((cost.bytes_read, cost.bytes_written), arrays_of(call), strict=True)
    )
    told = cost.only(*OP_COUNTERS, "network_bytes")
    return KernelCount(told, told, read, written, (Traffic(),) * len(read), (Traffic(),) * len(written))


def _shares(amount: int, shapes: Sequence[Shape]) -> tuple[Traffic, ...]:
    whole = sum(shape.bytes for shape in shapes) or 1
    shares = [amount * shape.bytes // whole for shape in shapes]
    return tuple(Traffic(0, share, min(share, shape.bytes)) for share, shape in zip(shares, shapes, strict=True))
