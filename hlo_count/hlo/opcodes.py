"""The opcodes of HLO: one row each, with what every layer asks of it.

Operands and attributes are those of XLA's parser and verifier (xla/hlo/ir/hlo_opcode.h, xla/hlo/parser/hlo_parser.cc).
A new opcode is one row here and one rule in visitors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

TRAITS = {
    "elementwise": "an element of the result comes from the same element of each operand",
    "transcendental": "elementwise, by evaluating a special function",
    "movement": "computes nothing: moves data, or says where it is",
    "communication": "computes nothing: moves data between devices, or asks which device this is",
    "control": "computes nothing: orders other instructions",
    "leaf": "takes no operands: what stands in its parentheses is a number or a literal",
    "name": "its value is operand 0, where it is",
    "copy": "its value is operand 0, at another place",
    "rearranges": "each element of the result is one of operand 0, and each of operand 0 is in the result",
    "free": "moves no bytes of its own: names, callers, and halves whose start did",
    "slices": "takes a part of operand 0, and reads no more of it",
    "updates": "writes into a part of operand 0, and leaves the rest where it is",
    "window": "slides a window over operand 0",
    "contraction": "multiplies two operands and adds over dimensions of both",
    "library": "a CPU runs it in a routine of a library",
    "collective": "every device of a group takes part",
    "global ids": "its replica groups may list devices by global id",
    "paired": "its devices are listed as pairs of source and target",
    "host": "exchanges values with the host or another program",
    "varies": "gives another value each time that it runs",
    "device": "says which device runs it",
    "runs": "runs the computations it calls as a caller does, not once for each element",
}
"""What a row may say beside operands and attributes."""


@dataclass(frozen=True, slots=True)
class Opcode:
    """A row: an opcode and what is known of it, whatever its operands are."""

    name: str
    fewest: int
    """Operands it has at least."""
    most: int | None
    """Operands it has at most; None for any number."""
    traits: frozenset[str]
    needs: tuple[str, ...]
    """Attributes without which it means nothing; those that name computations are among them."""
    calls: tuple[str, ...]
    """Attributes that name the computations it calls, needed or not."""
    wraps: str = ""
    """Of half of an asynchronous pair: the opcode that the pair is; "" of any other, and of `async-start` itself."""
    half: str = ""
    """`start`, `update` or `done`; "" of what is no half."""


def _op(name: str, operands: str, traits: str = "", needs: str = "", calls: str = "", pair: str = "") -> Opcode:
    """`operands` is a number, `2+` or `1-2`; `calls` marks with `?` what may be left out; `pair` is `opcode/half`."""
    fewest, most = operands.rstrip("+").partition("-")[::2]
    callees = tuple(attribute.removesuffix("?") for attribute in calls.split())
    needed = (*(a for a in calls.split() if not a.endswith("?")), *needs.split())
    words = frozenset(word.strip() for word in traits.split(",") if word)
    assert words <= TRAITS.keys(), words - TRAITS.keys()
    wraps, _, half = pair.partition("/")
    at_most = None if operands.endswith("+") else int(most or fewest)
    return Opcode(name, int(fewest), at_most, words, needed, callees, wraps, half)


def _rows() -> Iterator[Opcode]:
    # elementwise: one operand
    for name in (
        *("abs", "ceil", "convert", "count-leading-zeros", "floor", "is-finite", "negate", "not", "popcnt"),
        *("round-nearest-afz", "round-nearest-even", "sign", "bitcast-convert"),
    ):
        yield _op(name, "1", "elementwise")
    for name in (
        *("acos", "acosh", "asin", "asinh", "atanh", "cbrt", "cosine", "cosh", "erf", "exp2", "exponential"),
        *("exponential-minus-one", "log", "log-plus-one", "log2", "logistic", "rsqrt", "sine", "sinh", "sqrt"),
        *("tan", "tanh"),
    ):
        yield _op(name, "1", "elementwise,transcendental")
    yield _op("reduce-precision", "1", "elementwise", needs="exponent_bits mantissa_bits")
    yield _op("copy", "1", "elementwise,movement,copy,rearranges")
    yield _op("real", "1", "elementwise,movement")
    yield _op("imag", "1", "elementwise,movement")

    # elementwise: two and three operands
    for name in (
        *("add", "and", "divide", "maximum", "minimum", "mulhi", "multiply", "or", "remainder", "shift-left"),
        *("shift-right-arithmetic", "shift-right-logical", "stochastic-convert", "subtract", "xor"),
    ):
        yield _op(name, "2", "elementwise")
    yield _op("atan2", "2", "elementwise,transcendental")
    yield _op("power", "2", "elementwise,transcendental")
    yield _op("compare", "2", "elementwise", needs="direction")
    yield _op("complex", "2", "elementwise,movement")
    yield _op("clamp", "3", "elementwise")
    yield _op("select", "3", "elementwise")

    # moves data, or names it
    yield _op("parameter", "0", "movement,leaf,free")
    yield _op("constant", "0", "movement,leaf,free")
    yield _op("iota", "0", "movement", needs="iota_dimension")
    yield _op("tuple", "0+", "movement,free")
    yield _op("get-tuple-element", "1", "movement,free", needs="index")
    yield _op("bitcast", "1", "movement,free")
    yield _op("broadcast", "1", "movement,rearranges")
    yield _op("concatenate", "1+", "movement", needs="dimensions")
    yield _op("pad", "2", "movement", needs="padding")
    yield _op("reshape", "1", "movement,rearranges")
    yield _op("dynamic-reshape", "1+", "movement")
    yield _op("reverse", "1", "movement,rearranges", needs="dimensions")
    yield _op("shuffle", "1+", "movement")
    yield _op("transpose", "1", "movement,rearranges", needs="dimensions")
    yield _op("slice", "1", "movement,slices", needs="slice")
    yield _op("dynamic-slice", "1+", "movement,slices", needs="dynamic_slice_sizes")
    yield _op("dynamic-update-slice", "2+", "movement,updates")
    yield _op(
        *("gather", "2", "movement,slices"),
        needs="offset_dims collapsed_slice_dims start_index_map index_vector_dim slice_sizes",
    )
    yield _op("get-dimension-size", "1", "movement", needs="dimensions")
    yield _op("set-dimension-size", "2", "movement", needs="dimensions")
    yield _op("copy-start", "1", "movement,copy", pair="copy/start")
    yield _op("copy-done", "1", "movement,copy,free", pair="copy/done")

    # orders other instructions
    yield _op("add-dependency", "2", "control,name,free")
    yield _op("after-all", "0+", "control,free")
    yield _op("domain", "1", "control,name,free", needs="domain")
    yield _op("opt-barrier", "1", "control,name,free")

    # arithmetic that is not elementwise
    yield _op("dot", "2", "contraction,library")
    yield _op("scaled-dot", "4", "contraction")
    yield _op("ragged-dot", "3", "contraction")
    yield _op("convolution", "2+", "contraction,window,library", needs="dim_labels")
    yield _op("reduce", "2+", needs="dimensions", calls="to_apply")
    yield _op("reduce-window", "2+", "window", calls="to_apply")
    yield _op("select-and-scatter", "3", "window", calls="select scatter")
    yield _op(
        *("scatter", "3+", "updates"),
        needs="update_window_dims inserted_window_dims scatter_dims_to_operand_dims index_vector_dim",
        calls="to_apply",
    )
    yield _op("map", "1+", calls="to_apply")
    yield _op("scan", "0+", needs="dimensions num_carries", calls="to_apply")
    yield _op("sort", "1+", "library", needs="dimensions", calls="to_apply")
    yield _op("topk", "1", "library", needs="k", calls="to_apply?")
    yield _op("fft", "1", "library", needs="fft_type fft_length")
    yield _op("cholesky", "1", "library")
    yield _op("triangular-solve", "2", "library")
    yield _op("batch-norm-training", "3", needs="epsilon feature_index")
    yield _op("batch-norm-inference", "5", needs="epsilon feature_index")
    yield _op("batch-norm-grad", "5", needs="epsilon feature_index")
    yield _op("rng", "0+", "varies", needs="distribution")
    yield _op("rng-bit-generator", "1", "varies", needs="algorithm")
    yield _op("rng-get-and-update-state", "0", "varies", needs="delta")

    # callers
    yield _op("fusion", "0+", "runs", needs="kind", calls="calls")
    yield _op("call", "0+", "runs,free", calls="to_apply")
    yield _op("while", "1", "runs,free", calls="condition body")
    yield _op(*("conditional", "2+", "runs,free"), calls="branch_computations? true_computation? false_computation?")
    yield _op("async-start", "0+", "runs,free", calls="calls", pair="/start")
    yield _op("async-update", "1+", "control,free", calls="calls?", pair="/update")
    yield _op("async-done", "1", "control,free", calls="calls?", pair="/done")
    yield _op(
        *("custom-call", "0+", "library"), needs="custom_call_target", calls="to_apply? called_computations? calls?"
    )

    # between devices
    yield _op("all-gather", "1+", "collective,communication,global ids", needs="dimensions")
    yield _op("all-gather-start", "1+", "communication,global ids", needs="dimensions", pair="all-gather/start")
    yield _op("all-gather-done", "1", "communication,free", pair="all-gather/done")
    yield _op("all-reduce", "1+", "collective,global ids", calls="to_apply")
    yield _op("all-reduce-start", "1+", "global ids", calls="to_apply", pair="all-reduce/start")
    yield _op("all-reduce-done", "1", "communication,free", pair="all-reduce/done")
    yield _op("reduce-scatter", "1+", "collective,global ids", needs="dimensions", calls="to_apply")
    yield _op("collective-reduce", "1+", "collective", calls="to_apply")
    yield _op("all-to-all", "1+", "collective,communication")
    yield _op("ragged-all-to-all", "6", "collective,communication")
    yield _op("collective-broadcast", "1+", "collective,communication")
    yield _op("collective-permute", "1+", "collective,communication,paired", needs="source_target_pairs")
    yield _op(
        *("collective-permute-start", "1+", "communication,paired"),
        needs="source_target_pairs",
        pair="collective-permute/start",
    )
    yield _op("collective-permute-done", "1", "communication,free", pair="collective-permute/done")
    yield _op("partition-id", "0", "communication,device")
    yield _op("replica-id", "0", "communication,device")

    # with the host, or other programs
    yield _op("infeed", "1", "communication,host,varies")
    yield _op("outfeed", "2", "communication,host")
    yield _op("send", "2", "communication,host,paired")
    yield _op("send-done", "1", "communication,host,free", pair="send/done")
    yield _op("recv", "1", "communication,host,paired,varies")
    yield _op("recv-done", "1", "communication,host,free,varies", pair="recv/done")


OPCODES = {row.name: row for row in _rows()}


def having(*traits: str) -> frozenset[str]:
    """The opcodes that have one of these traits; KeyError for a word that is no trait."""
    unknown = [trait for trait in traits if trait not in TRAITS]
    if unknown:
        raise KeyError(unknown[0])
    return frozenset(name for name, row in OPCODES.items() if not row.traits.isdisjoint(traits))


_ALSO = {
    "dimensions": ("broadcast", "all-reduce", "all-reduce-start", "all-to-all", "ragged-all-to-all", "map"),
    "slice_sizes": ("collective-permute", "collective-permute-start"),
    "algorithm": ("dot", "scaled-dot", "convolution"),
}
"""Opcodes that take an attribute, beside those that need it."""
OWNERS = {
    attribute: frozenset(_ALSO.get(attribute, ())).union(
        name for name, row in OPCODES.items() if attribute in row.needs or attribute in row.calls
    )
    for row in OPCODES.values()
    for attribute in (*row.needs, *row.calls)
}
"""Which opcodes take an attribute that some opcode needs; any takes one that is not listed, for all we know."""

ELEMENTWISE = having("elementwise")
COLLECTIVES = having("collective")
COLLECTIVE_STARTS = frozenset(name for name, row in OPCODES.items() if row.half == "start" and row.wraps in COLLECTIVES)
LEAVES = having("leaf")
MOVEMENT = having("movement")
CALLING = frozenset(name for name, row in OPCODES.items() if row.calls)
"""Opcodes whose attributes may name computations."""
CALLING_ATTRIBUTES = frozenset(attribute for row in OPCODES.values() for attribute in row.calls)


def elementwise(operands: int) -> frozenset[str]:
    """The elementwise opcodes of one, two or three operands."""
    return frozenset(name for name in ELEMENTWISE if OPCODES[name].fewest == operands)


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


def halved(opcode: str) -> tuple[str, str]:
    """What half of an asynchronous pair is half of, and which half, sugared or not; ("", "") of any other opcode."""
    row = OPCODES.get(opcode)
    return (row.wraps, row.half) if row is not None else async_sugar(opcode) or ("", "")
