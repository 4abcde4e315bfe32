"""What holds of every comparison, whatever the two programs are."""

from __future__ import annotations

import hlo_count as hc
from hlo_count.visitors.cost import Cost

COSTS = ("unfused", "recomputed", "inserted", "unfolded", "only after", "more runs")
SAVES = ("fused", "eliminated", "folded", "only before", "fewer runs")


def content(diff):
    """The rows, in an order of their own."""
    return sorted(
        (
            row.scope,
            row.source,
            row.opcode,
            row.op_class,
            row.reason,
            row.instructions,
            repr(row.before),
            repr(row.after),
        )
        for row in diff.rows
    )


def agrees(change, reason):
    """Whether a reason that only adds goes with a change that does, and one that only takes away."""
    amounts = (change.flops, change.bytes, change.transcendentals)
    inserted, removed = (
        any(f"{what} {word}" in reason for what in ("copy", "collective")) for word in ("inserted", "removed")
    )
    if reason.startswith(COSTS) or inserted:
        return min(amounts) >= 0
    if (reason.startswith(SAVES) and reason != "fused otherwise") or removed:
        return max(amounts) <= 0
    return True


def check(one, other):
    """The comparison of two Reports, once every law holds of it."""
    forth, back = hc.diff(one, other), hc.diff(other, one)
    assert content(-forth) == content(back)
    assert content(-back) == content(forth)
    assert (
        Cost.sum(r.after for r in forth.rows) - Cost.sum(r.before for r in forth.rows)
    ).amounts == forth.change.amounts
    for row in (*forth.rows, *forth.by("reason")):
        assert agrees(row.change, row.reason), row
    for report in (one, other):
        assert not hc.diff(report, report)
        assert hc.diff(report, report).rows == []
    return forth
