"""What a program consists of most: what its rows are ranked by."""

from __future__ import annotations

from hlo_count.visitors.cost import OP_COUNTERS, Cost

_RANKED = ("flops", "bytes", "transcendentals", "int_ops", "other_ops", "network_bytes")


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
    sums = dict.fromkeys(_RANKED, 0)
    for key, amount in cost.amounts.items():  # once for all counters: a breakdown may have a hundred thousand groups
        if key[0] in sums:
            sums[key[0]] += amount
    sums["bytes"] = cost.bytes
    return (sums[by], *sums.values(), cost.dcn_bytes)


def weight(cost: Cost, total: Cost, by: str) -> float:
    """The larger share of the total: of the counter that dominates it, or of its bytes."""
    whole, part = getattr(total, by), getattr(cost, by)
    return max(part / whole if whole else 0.0, cost.bytes / total.bytes if total.bytes else 0.0)
