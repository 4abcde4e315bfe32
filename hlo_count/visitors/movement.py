"""Opcodes that compute nothing: they move data, order work, or are names for other values."""

from __future__ import annotations

from hlo_count.hlo.instruction import Instruction
from hlo_count.visitors.cost import ZERO, Cost
from hlo_count.visitors.registry import Body, rule

MOVEMENT = frozenset(
    (
        "parameter constant tuple get-tuple-element bitcast copy transpose reshape dynamic-reshape broadcast "
        "slice pad concatenate gather dynamic-slice dynamic-update-slice iota reverse real imag complex "
        "shuffle get-dimension-size set-dimension-size copy-start copy-done"
    ).split()
)
COMMUNICATION = frozenset(
    (
        "all-gather all-gather-start all-gather-done all-reduce-done all-to-all ragged-all-to-all "
        "collective-permute collective-permute-start collective-permute-done collective-broadcast send "
        "send-done recv recv-done infeed outfeed partition-id replica-id"
    ).split()
)
CONTROL = frozenset(["after-all", "add-dependency", "opt-barrier", "domain", "async-update", "async-done"])


@rule(*sorted(MOVEMENT | COMMUNICATION | CONTROL))
def nothing(instruction: Instruction, body: Body) -> Cost:
    """0 operations: bytes and network bytes are counted elsewhere."""
    return ZERO
