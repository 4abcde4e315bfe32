"""What a program consists of most: what its rows are ranked by."""

from __future__ import annotations

from hlo_count.visitors.cost import OP_COUNTERS, Cost


def dominant(total: Cost) -> str:
    """The counter that decides how long a program takes: flops, transcendentals, int_ops, other_ops or bytes.

    Bytes where there is less than an operation to each: no device that we have a profile of takes longer over an
    operation of its vector unit than over a byte of its main memory. Else the operations that are most.
    """
    amounts = {name: getattr(total, name) for name in OP_COUNTERS}
    if sum(amounts.values()) < total.bytes:
        return "bytes"
    return max(amounts, key=amounts.__getitem__)


def rank(cost: Cost, by: str) -> tuple[int, ...]:
    """Sorts costs by a counter, then by the others."""
    first: int = getattr(cost, by)
    return (
        first,
        cost.flops,
        cost.bytes,
        cost.transcendentals,
        cost.int_ops,
        cost.other_ops,
        cost.network_bytes,
        cost.dcn_bytes,
    )


def weight(cost: Cost, total: Cost, by: str) -> float:
    """The larger share of the total: of the counter that dominates it, or of its bytes."""
    whole, part = getattr(total, by), getattr(cost, by)
    return max(part / whole if whole else 0.0, cost.bytes / total.bytes if total.bytes else 0.0)
