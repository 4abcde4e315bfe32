"""The opcodes of HLO, and the sugar that prints an asynchronous instruction under the name of what it wraps."""

from __future__ import annotations

from functools import cache

ELEMENTWISE_UNARY = frozenset(
    (
        "abs acos acosh asin asinh atanh cbrt ceil convert copy cosine cosh count-leading-zeros erf exp2 "
        "exponential exponential-minus-one floor imag is-finite log log2 log-plus-one logistic negate not popcnt "
        "real reduce-precision round-nearest-afz round-nearest-even rsqrt sign sine sinh sqrt tan tanh "
        "bitcast-convert"
    ).split()
)
ELEMENTWISE_BINARY = frozenset(
    (
        "add and atan2 compare complex divide maximum minimum mulhi multiply or power remainder shift-left "
        "shift-right-arithmetic shift-right-logical stochastic-convert subtract xor"
    ).split()
)
ELEMENTWISE_TERNARY = frozenset(("clamp", "select"))
COLLECTIVES = frozenset(
    (
        "all-gather all-reduce all-to-all collective-broadcast collective-permute collective-reduce "
        "ragged-all-to-all reduce-scatter"
    ).split()
)
CALLING = frozenset(
    "all-reduce all-reduce-start async-done async-start async-update call collective-reduce conditional custom-call "
    "fusion map reduce reduce-scatter reduce-window scan scatter select-and-scatter sort topk while".split()
)
"""Opcodes whose attributes may name computations."""

OPCODES = (
    ELEMENTWISE_UNARY
    | ELEMENTWISE_BINARY
    | ELEMENTWISE_TERNARY
    | COLLECTIVES
    | frozenset(
        (
            "add-dependency after-all all-gather-done all-gather-start all-reduce-done all-reduce-start "
            "async-done async-start async-update batch-norm-grad batch-norm-inference batch-norm-training bitcast "
            "broadcast call cholesky collective-permute-done collective-permute-start concatenate conditional "
            "constant convolution copy-done copy-start custom-call domain dot dynamic-reshape dynamic-slice "
            "dynamic-update-slice fft fusion gather get-dimension-size get-tuple-element infeed iota map "
            "opt-barrier outfeed pad parameter partition-id ragged-dot recv recv-done reduce reduce-window "
            "replica-id reshape reverse rng rng-bit-generator rng-get-and-update-state scaled-dot scan scatter "
            "select-and-scatter send send-done set-dimension-size shuffle slice sort topk transpose "
            "triangular-solve tuple while"
        ).split()
    )
)

FEWEST_OPERANDS = {
    **dict.fromkeys(ELEMENTWISE_UNARY, 1),
    **dict.fromkeys(ELEMENTWISE_BINARY, 2),
    **dict.fromkeys(ELEMENTWISE_TERNARY, 3),
    **dict.fromkeys(
        (
            "add-dependency bitcast broadcast cholesky concatenate copy-done copy-start domain dynamic-reshape fft "
            "get-dimension-size get-tuple-element map opt-barrier reshape reverse rng-bit-generator slice sort topk "
            "transpose while"
        ).split(),
        1,
    ),
    **dict.fromkeys(
        (
            "conditional convolution dot dynamic-slice dynamic-update-slice gather pad reduce reduce-window "
            "set-dimension-size triangular-solve"
        ).split(),
        2,
    ),
    **dict.fromkeys(("batch-norm-training", "ragged-dot", "scatter", "select-and-scatter"), 3),
    **dict.fromkeys(("batch-norm-grad", "batch-norm-inference"), 5),
}
"""How many operands an opcode has at least, where that is more than none."""


@cache
def async_sugar(opcode: str) -> tuple[str, str] | None:
    """What a sugared name wraps and which half it is: `slice-start` is ("slice", "start"); None for any other.

    The native pairs (`all-gather-start`, `copy-done`, `send-done` ...) are opcodes of their own, and no sugar.
    """
    if opcode in OPCODES:
        return None
    wrapped, _, half = opcode.rpartition("-")
    if half in ("start", "update", "done") and wrapped in OPCODES:
        return wrapped, half
    return None
