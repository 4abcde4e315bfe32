"""The opcodes of HLO: one row each, with what every layer asks of it.

Operands and attributes are those of XLA's parser and verifier (xla/hlo/ir/hlo_opcode.h, xla/hlo/parser/hlo_parser.cc).
A new opcode is one row here and one rule in visitors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

TRAITS = {
    "elementwise": "an element of the result comes from the same element of each operand",
    "transcendental": "elementwise, by evaluating a special function",
    "movement": "computes nothing: moves data, or says where it is",
    "communication": "computes nothing: moves data between devices, or asks which device this is",
    "control": "computes nothing: orders other instructions",
    "leaf": "takes no operands: what stands in its parentheses is a number or a literal",
    "name": "its value is operand 0, where it is",
    "alias": "its bytes are those of operand 0, where they are",
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
    "inlined": "its value is what the one computation gives that it calls, once, with its operands",
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
    takes: frozenset[str]
    """Attributes it may have, these among them; beside those that any opcode may have, `COMMON_ATTRIBUTES`."""
    kinds: frozenset[str] = frozenset()
    """Kinds of elements (`DType.kind`) that operand 0 may have, or the result where there is none; empty for any."""
    wraps: str = ""
    """Of half of an asynchronous pair: the opcode that the pair is; "" of any other, and of `async-start` itself."""
    half: str = ""
    """`start`, `update` or `done`; "" of what is no half."""
    result: int | None = None
    """Of a start whose tuple holds more than what its `done` gives: which element of it that is."""


def _op(
    name: str, operands: str, traits: str = "", needs: str = "", calls: str = "", takes: str = "", pair: str = ""
) -> Opcode:
    """`operands` is a number, `2+` or `1-2`; `calls` marks with `?` what may be left out; `takes` lists what else may
    be there; `pair` is `opcode/half`."""
    fewest, most = operands.rstrip("+").partition("-")[::2]
    callees = tuple(attribute.removesuffix("?") for attribute in calls.split())
    needed = (*(a for a in calls.split() if not a.endswith("?")), *needs.split())
    words = frozenset(word.strip() for word in traits.split(",") if word)
    assert words <= TRAITS.keys(), words - TRAITS.keys()
    wraps, _, half = pair.partition("/")
    at_most = None if operands.endswith("+") else int(most or fewest)
    taken = frozenset((*needed, *callees, *takes.split()))
    kinds = frozenset(_KINDS.get(name, "").split())
    return Opcode(name, int(fewest), at_most, words, needed, callees, taken, kinds, wraps, half, _RESULTS.get(name))


_KINDS = {
    name: kinds
    for kinds, names in {
        "float": "cbrt ceil complex erf floor is-finite reduce-precision round-nearest-afz round-nearest-even "
        "stochastic-convert batch-norm-training batch-norm-inference batch-norm-grad",
        "float complex": "acos acosh asin asinh atan2 atanh cholesky cosine cosh exp2 exponential "
        "exponential-minus-one imag log log-plus-one log2 logistic real rsqrt sine sinh sqrt tan tanh triangular-solve",
        "int uint": "count-leading-zeros popcnt",
        "int float complex": "abs sign",
        "int uint float complex": "divide iota negate power remainder shift-left shift-right-arithmetic "
        "shift-right-logical subtract",
        "pred int uint": "and not or xor",
    }.items()
    for name in names.split()
}
"""After XLA's shape inference, which asks nothing of the others."""


_RESULTS = {"copy-start": 0, "recv": 0, "all-gather-start": 1, "collective-permute-start": 1, "async-start": 1}
_DOT = "lhs_contracting_dims rhs_contracting_dims lhs_batch_dims rhs_batch_dims operand_precision"
_ASYNC = "async_execution_thread output_to_operand_aliasing"
_GROUPS = "replica_groups device_ids channel_id constrain_layout"
"""Of collectives; `device_ids` follows `replica_groups=mesh[...]`."""
_GLOBAL_GROUPS = f"{_GROUPS} use_global_device_ids mode"
_CHANNEL = "channel_id is_host_transfer"


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
        yield _op(name, "1", "elementwise,transcendental", takes="result_accuracy")
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
    yield _op("compare", "2", "elementwise", needs="direction", takes="type order")
    yield _op("complex", "2", "elementwise,movement")
    yield _op("clamp", "3", "elementwise")
    yield _op("select", "3", "elementwise")

    # moves data, or names it
    yield _op("parameter", "0", "movement,leaf,free")
    yield _op("constant", "0", "movement,leaf,free")
    yield _op("iota", "0", "movement", needs="iota_dimension")
    yield _op("tuple", "0+", "movement,free")
    yield _op("get-tuple-element", "1", "movement,free", needs="index")
    yield _op("bitcast", "1", "movement,alias,free")
    yield _op("broadcast", "1", "movement,rearranges", takes="dimensions")
    yield _op("concatenate", "1+", "movement", needs="dimensions")
    yield _op("pad", "2", "movement", needs="padding")
    yield _op("reshape", "1", "movement,rearranges", takes="inferred_dimension")
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
        takes="indices_are_sorted operand_batching_dims start_indices_batching_dims",
    )
    yield _op("get-dimension-size", "1", "movement", needs="dimensions")
    yield _op("set-dimension-size", "2", "movement", needs="dimensions")
    yield _op("copy-start", "1", "movement,copy", takes="cross_program_prefetch_index", pair="copy/start")
    yield _op("copy-done", "1", "movement,copy,free", pair="copy/done")

    # orders other instructions
    yield _op("add-dependency", "2", "control,name,alias,free")
    yield _op("after-all", "0+", "control,free")
    yield _op("domain", "1", "control,name,alias,free", needs="domain")
    yield _op("opt-barrier", "1", "control,name,alias,free")

    # arithmetic that is not elementwise
    yield _op("dot", "2", "contraction,library", takes=f"{_DOT} algorithm")
    yield _op("scaled-dot", "4", "contraction", takes=f"{_DOT} algorithm")
    yield _op("ragged-dot", "3", "contraction", takes=f"{_DOT} lhs_ragged_dims rhs_group_dims")
    yield _op(
        *("convolution", "2+", "contraction,window,library"),
        needs="dim_labels",
        takes="window feature_group_count batch_group_count convolution_kind operand_precision algorithm "
        "sparsity_config",
    )
    yield _op("reduce", "2+", needs="dimensions", calls="to_apply")
    yield _op("reduce-window", "2+", "window", calls="to_apply", takes="window")
    yield _op("select-and-scatter", "3", "window", calls="select scatter", takes="window")
    yield _op(
        *("scatter", "3+", "updates"),
        needs="update_window_dims inserted_window_dims scatter_dims_to_operand_dims index_vector_dim",
        calls="to_apply",
        takes="indices_are_sorted unique_indices input_batching_dims scatter_indices_batching_dims",
    )
    yield _op("map", "1+", calls="to_apply", takes="dimensions")
    yield _op("scan", "0+", needs="dimensions num_carries", calls="to_apply", takes="is_reverse is_associative")
    yield _op("sort", "1+", "library", needs="dimensions", calls="to_apply", takes="is_stable")
    yield _op("topk", "1", "library", needs="k", calls="to_apply?", takes="largest is_stable")
    yield _op("fft", "1", "library", needs="fft_type fft_length")
    yield _op("cholesky", "1", "library", takes="lower")
    yield _op("triangular-solve", "2", "library", takes="left_side lower unit_diagonal transpose_a")
    yield _op("batch-norm-training", "3", needs="epsilon feature_index")
    yield _op("batch-norm-inference", "5", needs="epsilon feature_index")
    yield _op("batch-norm-grad", "5", needs="epsilon feature_index")
    yield _op("rng", "0+", "varies", needs="distribution")
    yield _op("rng-bit-generator", "1", "varies", needs="algorithm")
    yield _op("rng-get-and-update-state", "0", "varies", needs="delta")

    # callers
    yield _op("fusion", "0+", "runs,inlined", needs="kind", calls="calls", takes="output_to_operand_aliasing")
    yield _op("call", "0+", "runs,inlined,free", calls="to_apply", takes="is_composite")
    yield _op("while", "1", "runs,free", calls="condition body")
    yield _op(*("conditional", "2+", "runs,free"), calls="branch_computations? true_computation? false_computation?")
    yield _op("async-start", "0+", "runs,free", calls="calls", takes=_ASYNC, pair="/start")
    yield _op("async-update", "1+", "control,free", calls="calls?", takes=_ASYNC, pair="/update")
    yield _op("async-done", "1", "control,free", calls="calls?", takes=_ASYNC, pair="/done")
    yield _op(
        *("custom-call", "0+", "library"),
        needs="custom_call_target",
        calls="to_apply? called_computations? calls?",
        takes="window dim_labels feature_group_count batch_group_count operand_precision padding_type literal schedule "
        "operand_layout_constraints output_to_operand_aliasing custom_call_has_side_effect api_version",
    )

    # between devices
    gathers = {"needs": "dimensions", "takes": _GLOBAL_GROUPS}
    reduces = {"calls": "to_apply", "takes": _GLOBAL_GROUPS}
    exchanges = {"takes": f"{_GROUPS} dimensions"}
    permutes = {"needs": "source_target_pairs", "takes": "channel_id slice_sizes"}
    yield _op("all-gather", "1+", "collective,communication,global ids", **gathers)
    yield _op("all-gather-start", "1+", "communication,global ids", **gathers, pair="all-gather/start")
    yield _op("all-gather-done", "1", "communication,free", pair="all-gather/done")
    yield _op("all-reduce", "1+", "collective,global ids", **reduces)
    yield _op("all-reduce-start", "1+", "global ids", **reduces, pair="all-reduce/start")
    yield _op("all-reduce-done", "1", "communication,free", pair="all-reduce/done")
    yield _op("reduce-scatter", "1+", "collective,global ids", needs="dimensions", **reduces)
    yield _op("collective-reduce", "1+", "collective", **reduces)
    yield _op("all-to-all", "1+", "collective,communication", **exchanges)
    yield _op("ragged-all-to-all", "6", "collective,communication", **exchanges)
    yield _op("collective-broadcast", "1+", "collective,communication", takes=f"{_GROUPS} has_dynamic_root")
    yield _op("collective-permute", "1+", "collective,communication,paired", **permutes)
    yield _op(*("collective-permute-start", "1+", "communication,paired"), **permutes, pair="collective-permute/start")
    yield _op("collective-permute-done", "1", "communication,free", pair="collective-permute/done")
    yield _op("partition-id", "0", "communication,device")
    yield _op("replica-id", "0", "communication,device")

    # with the host, or other programs
    yield _op("infeed", "1", "communication,host,varies", takes="infeed_config")
    yield _op("outfeed", "2", "communication,host", takes="outfeed_config outfeed_shape")
    yield _op("send", "2", "communication,host,paired", takes=_CHANNEL)
    yield _op("send-done", "1", "communication,host,free", takes=_CHANNEL, pair="send/done")
    yield _op("recv", "1", "communication,host,paired,varies", takes=_CHANNEL)
    yield _op("recv-done", "1", "communication,host,free,varies", takes=_CHANNEL, pair="recv/done")


OPCODES = {row.name: row for row in _rows()}


def having(*traits: str) -> frozenset[str]:
    """The opcodes that have one of these traits; KeyError for a word that is no trait."""
    unknown = [trait for trait in traits if trait not in TRAITS]
    if unknown:
        raise KeyError(unknown[0])
    return frozenset(name for name, row in OPCODES.items() if not row.traits.isdisjoint(traits))


COMMON_ATTRIBUTES = frozenset(
    (
        *("backend_config", "control-predecessors", "frontend_attributes", "metadata", "origin", "original_value"),
        *("parameter_replication", "sharding", "statistics"),
    )
)
"""Those that any opcode may have."""
ATTRIBUTES = COMMON_ATTRIBUTES.union(*(row.takes for row in OPCODES.values()))
"""All that are known. A newer XLA may print others, and what they mean nobody here knows."""

# What is asked of the table again and again
ELEMENTWISE, TRANSCENDENTAL = having("elementwise"), having("transcendental")
CONTRACTIONS, WINDOWED, LIBRARY = having("contraction"), having("window"), having("library")
MOVEMENT, COMMUNICATION, CONTROL, FREE = having("movement"), having("communication"), having("control"), having("free")
LEAVES, NAMES, ALIASES, COPIES = having("leaf"), having("name"), having("alias"), having("copy")
SLICES, UPDATES = having("slices"), having("updates")
COLLECTIVES, PAIRED, DEVICE_IDS = having("collective"), having("paired"), having("device")
COLLECTIVE_STARTS = frozenset(name for name, row in OPCODES.items() if row.half == "start" and row.wraps in COLLECTIVES)
COMPUTING = ELEMENTWISE - MOVEMENT - {"bitcast-convert"}
"""Elementwise opcodes that compute."""
HOST, VARYING = having("host"), having("varies")
RUNNING, INLINED = having("runs"), having("inlined")
CALLERS = RUNNING & FREE
"""Opcodes that run what they call one instruction after another, each a kernel of its own."""
HALVES = frozenset(name for name, row in OPCODES.items() if row.half)
RESULT_ELEMENTS = {name: row.result for name, row in OPCODES.items() if row.result is not None}
"""Of a start whose tuple holds more than what its `-done` gives: which element of it that is."""
MAY_HAVE_EFFECTS = VARYING | HOST | COLLECTIVES | {"custom-call"}
"""Opcodes that may do more than give a value: whoever uses it, and even where nobody does."""
LOOKS_AROUND = RUNNING | HOST | DEVICE_IDS | COLLECTIVES | {"custom-call"}
"""Opcodes of which more than operands and attributes tells: names, neighbours, settings and formulas of users."""
CALLING = frozenset(name for name, row in OPCODES.items() if row.calls)
"""Opcodes whose attributes may name computations."""
CALLING_ATTRIBUTES = frozenset(attribute for row in OPCODES.values() for attribute in row.calls)


def elementwise_of(operands: int) -> frozenset[str]:
    """The elementwise opcodes of one, two or three operands."""
    return frozenset(name for name in ELEMENTWISE if OPCODES[name].fewest == operands)


@lru_cache(maxsize=1024)
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


@lru_cache(maxsize=1024)
def may_have(opcode: str) -> frozenset[str]:
    """The attributes that an opcode may have, one of its own or half of a pair with a sugared name; any, if unknown."""
    sugared = async_sugar(opcode)
    if sugared is not None:
        wrapped, half = sugared
        own = OPCODES[wrapped].takes if half == "start" else frozenset()
        return COMMON_ATTRIBUTES | own | OPCODES[f"async-{half}"].takes
    row = OPCODES.get(opcode)
    return ATTRIBUTES if row is None else COMMON_ATTRIBUTES | row.takes


@lru_cache(maxsize=1024)
def asked_of(opcode: str) -> Opcode | None:
    """The row that says which operands and attributes an opcode has: of half of a sugared pair that of what it wraps,
    or of an asynchronous half; None of one that is not known."""
    sugared = async_sugar(opcode)
    if sugared is None:
        return OPCODES.get(opcode)
    wrapped, half = sugared
    return OPCODES[wrapped if half == "start" else f"async-{half}"]
