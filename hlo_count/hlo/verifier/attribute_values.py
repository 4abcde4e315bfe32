"""Whether attributes are spelled as XLA's parser takes them (xla/hlo/parser/hlo_parser.cc): one pattern for each."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from math import prod

from hlo_count.errors import HloCountError
from hlo_count.hlo.attributes import int_list
from hlo_count.hlo.metadata import without_scheduling_names
from hlo_count.hlo.shapes import parse_shape
from hlo_count.hlo.verifier.literals import FLOAT

_GAP = r"[ \t\r\n]*+"
_INT = r"-?+\d{1,20}+"
_BOOL = r"(?:true|false)"
_NAME = r"[A-Za-z_][\w.\-]*+"
STRING = r'"[^"\\]*+(?:\\[abfnrtv?\'"\\0-7xXuU][^"\\]*+)*+"'
_ANY_STRING = rf"(?:{STRING}|'(?:[^'\\]|\\[abfnrtv?'\"\\0-7xXuU])*+')"


def _listed(item: str, opened: str = r"\{", closed: str = r"\}", *, least: int = 0) -> str:
    """Items with commas between them, in brackets."""
    items = rf"{item}{_GAP}(?:,{_GAP}{item}{_GAP})*+"
    return rf"{opened}{_GAP}{items if least else f'(?:{items})?+'}{closed}"


_INTS = _listed(_INT)
_IN_SQUARES = _listed(_INT, r"\[", r"\]", least=1)
_IN_ROUND = _listed(_INT, r"\(", r"\)", least=1)
_IOTA = rf"{_IN_SQUARES}{_GAP}<={_GAP}{_IN_SQUARES}{_GAP}(?:T{_GAP}{_IN_ROUND})?+"
_FLOAT = "(?:f8|f16|bf16|tf32|f32|f64)"
_PAD = rf"{_INT}_{_INT}"
_AT = rf"\({_GAP}{_INT}{_GAP},{_GAP}{_INTS}{_GAP}"
_DEVICES = rf"devices={_GAP}(?:{_IOTA}|{_IN_SQUARES}{_GAP}{_INT}{_GAP}(?:,{_GAP}{_INT}{_GAP})*+)"
_TEXT_FIELDS = "op_type|op_name|source_file|deduplicated_name|scheduling_name|metadata_payload"
_NUMBER_FIELDS = "source_line|source_end_line|source_column|source_end_column|stack_frame_id"
_METADATA = (
    rf"\{{(?:{_GAP},?+{_GAP}(?:(?:{_TEXT_FIELDS})={_GAP}{_ANY_STRING}|(?:{_NUMBER_FIELDS})={_GAP}-?+\d{{1,10}}+"
    # A field that a newer XLA has: nothing is read from it.
    rf"|(?!(?:{_TEXT_FIELDS}|{_NUMBER_FIELDS})=){_NAME}={_GAP}(?:{_ANY_STRING}|{_INT}|{_INTS})))*+{_GAP}\}}"
)
_SHARDED = (
    rf"(?:maximal|replicated|manual|unknown|unreduced|last_tile_dim_replicate|shard_(?:as|like){_GAP}{_INT}|"
    rf"device={_GAP}{_INT}|{_DEVICES}|last_tile_dims={_GAP}{_listed('[a-z_]+')}|"
    rf"metadata={_GAP}(?:{_METADATA}|{_listed(_METADATA)}))"
)
_SHARDING = rf"\{{(?:{_GAP}{_SHARDED})++{_GAP}\}}"
_WINDOW = (
    rf"\{{(?:{_GAP}(?:(?:size|stride|lhs_dilate|rhs_dilate|rhs_reversal)={_GAP}\d{{1,20}}+(?:x\d{{1,20}}+)*+"
    rf"|pad={_GAP}{_PAD}(?:x{_PAD})*+))*+{_GAP}\}}"
)
_WINDOW_FIELD = re.compile(r"(\w+)=\s*([^\s}]+)")
_LABELS = re.compile(r"([0-9bf?]{2,})_([0-9io?]{2,})->([0-9bf?]{2,})")
_RANGE = rf"\[{_GAP}{_INT}{_GAP}:{_GAP}{_INT}{_GAP}(?::{_GAP}{_INT}{_GAP})?+\]"
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}"]', re.S)
_AFTER_FRONTEND = re.compile(rf"{_GAP}([,}}])").match
_FRONTEND_NAME = re.compile(rf"{_GAP}{_NAME}={_GAP}", re.A)


@dataclass(frozen=True, slots=True)
class AttributeValue:
    """A kind of value: what it is, in words, and how it is told."""

    what: str
    is_one: Callable[[str], object]


@lru_cache(maxsize=64)
def _whole(pattern: str) -> Callable[[str], object]:
    """Whether a text is of a pattern, which is compiled when the first is asked for: few texts have all attributes, and
    compiling the patterns of all takes longer than counting a small program."""
    return re.compile(pattern, re.A).fullmatch


def _matched(what: str, pattern: str) -> AttributeValue:
    return AttributeValue(what, lambda text: _whole(pattern)(text))


def _json_end(text: str, at: int) -> int:
    """The index after the `{...}` that opens at `at`, strings skipped; -1 where it is not closed."""
    depth = 0
    for token in _JSON_TOKEN.finditer(text, at):
        if token[0] == '"':
            return -1
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if depth == 0:
            return token.end()
    return -1


def _is_json(text: str) -> bool:
    """Whether it is in braces that close at its end; whatever else JSON asks, XLA does not."""
    if not text.startswith("{"):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return _json_end(text, 0) == len(text)
    return text.endswith("}")


_IS_STRING = re.compile(_ANY_STRING).fullmatch
_STARTS_STRING = re.compile(_ANY_STRING).match


def _is_string_or_json(text: str) -> bool:
    return _IS_STRING(text) is not None or _is_json(text)


def _is_frontend(text: str) -> bool:
    """`{name="text",other={...}}`."""
    if not text.startswith("{"):
        return False
    at = 1
    if text[at:].strip() == "}":
        return True
    while (name := _FRONTEND_NAME.match(text, at)) is not None:
        value = _STARTS_STRING(text, name.end())
        at = value.end() if value is not None else _json_end(text, name.end()) if text[name.end()] == "{" else -1
        if at < 0:
            return False
        after = _AFTER_FRONTEND(text, at)
        if after is None:
            return False
        at = after.end()
        if after[1] == "}":
            return at == len(text)
    return False


_SHARDINGS = rf"{_SHARDING}|{_listed(_SHARDING)}"
_TILED = re.compile(r"devices=\s*\[([^\]]*)\]\s*(?:<=\s*\[([^\]]*)\])?")


_NAMED_SHARDING = re.compile(r"\{\s*(?:\{\s*)?[a-z_]+\s*\[")
"""`{mesh['d'=8], [{'d'}, {}]}`, `{single_device[device_id=0]}`: as newer XLAs print them."""


def _is_sharding(text: str) -> bool:
    if _NAMED_SHARDING.match(text):
        return _is_json(text)
    if _whole(_SHARDINGS)(text) is None:
        return False
    return all(
        prod(int_list(tiles)) == prod(int_list(sizes)) if sizes else prod(int_list(tiles)) > 1
        for tiles, sizes in _TILED.findall(text)
    )


_GROUPS = rf"{_listed(_INTS)}|{_IOTA}"


def _is_groups(text: str) -> bool:
    if text[:1].isalpha():
        return True  # a mesh, or what a newer XLA prints: whoever reads it does not know it
    if _whole(_GROUPS)(text) is None:
        return False
    groups, _, sizes = text.partition("<=")
    return not sizes or (
        len(int_list(groups)) == 2 and prod(int_list(groups)) == prod(int_list(sizes.partition("T")[0]))
    )


def _is_window(text: str) -> bool:
    """Each field at most once, for as many dimensions as `size`; XLA takes a list of reversals that is too short."""
    if _whole(_WINDOW)(text) is None:
        return False
    fields = _WINDOW_FIELD.findall(text)
    counts = {name: value.count("x") for name, value in fields}
    reversals = counts.pop("rhs_reversal", 0)
    return len({name for name, _ in fields}) == len(fields) and (
        not fields or ("size" in counts and len(set(counts.values())) == 1 and reversals <= counts["size"])
    )


def _is_labels(text: str) -> bool:
    """Each dimension once, and the same spatial ones in all three."""
    found = _LABELS.fullmatch(text)
    if found is None:
        return False
    spatial = []
    for labels in found.groups():
        named = labels.replace("?", "")
        if len(set(named)) < len(named):
            return False
        spatial.append(sorted(label for label in named if label.isdigit()))
    return spatial[0] == spatial[1] == spatial[2] == [str(n) for n in range(len(spatial[0]))]


def _is_shape(text: str) -> bool:
    try:
        parse_shape(text)
    except HloCountError:
        return False
    return True


_FIELD_NAME = re.compile(rf"({_NAME})={_GAP}(?:{_ANY_STRING})?+", re.A)
_LONG_NUMBER = re.compile(r"=\s*-?(\d{10})(?!\d)", re.A)


def _is_metadata(text: str) -> bool:
    """Fields that are known of their types, each once. Of those that a newer XLA has nothing is read."""
    return _whole(_METADATA)(text) is not None and not _has_field_twice(text) and not _is_long(text)


def _has_field_twice(text: str) -> bool:
    names = _FIELD_NAME.findall(text)
    return len(set(names)) < len(names)


def _is_long(text: str) -> bool:
    """Whether a number stands in it that has more than 32 bits."""
    return any(int(number) >= 2**31 for number in _LONG_NUMBER.findall(text))


_INTEGER = _matched("an integer", _INT)
_TRUTH = _matched("true or false", _BOOL)
_INTEGERS = _matched("a list of integers, {0,1}", _INTS)
_PLAIN_STRING = _matched("a string", _ANY_STRING)
_WORD = _matched("a word", _NAME)
_BRACED = AttributeValue("what stands in braces", _is_json)
_CALLEE = _matched("the name of a computation", rf"%?+{_NAME}")
_CALLEES = _matched("a list of computations", _listed(rf"%?+{_NAME}"))
_FRONTEND = AttributeValue("a list of names, each with a string or {...}", _is_frontend)


def _one_of(*words: str) -> AttributeValue:
    return AttributeValue(f"one of {', '.join(words)}", words.__contains__)


def _each(value: AttributeValue, names: str) -> dict[str, AttributeValue]:
    return dict.fromkeys(names.split(), value)


_VALUES = {
    **_each(_INTEGER, "channel_id index iota_dimension feature_group_count batch_group_count k num_carries delta"),
    **_each(_INTEGER, "exponent_bits mantissa_bits index_vector_dim feature_index inferred_dimension"),
    **_each(_INTEGER, "cross_program_prefetch_index"),
    **_each(_TRUTH, "use_global_device_ids constrain_layout is_host_transfer custom_call_has_side_effect is_composite"),
    **_each(_TRUTH, "indices_are_sorted unique_indices is_stable largest lower left_side unit_diagonal"),
    **_each(_TRUTH, "is_reverse is_associative has_dynamic_root"),
    **_each(_INTEGERS, "dimensions fft_length dynamic_slice_sizes lhs_contracting_dims rhs_contracting_dims"),
    **_each(_INTEGERS, "lhs_batch_dims rhs_batch_dims lhs_ragged_dims rhs_group_dims offset_dims start_index_map"),
    **_each(_INTEGERS, "collapsed_slice_dims operand_batching_dims start_indices_batching_dims update_window_dims"),
    **_each(_INTEGERS, "inserted_window_dims scatter_dims_to_operand_dims input_batching_dims"),
    **_each(_INTEGERS, "scatter_indices_batching_dims"),
    **_each(_PLAIN_STRING, "custom_call_target async_execution_thread infeed_config outfeed_config"),
    **_each(_WORD, "order schedule api_version mode convolution_kind padding_type"),
    "epsilon": _matched("a number", FLOAT),
    "algorithm": _matched(
        "a way to multiply or to draw random numbers, dot_bf16_bf16_f32",
        rf"(?i:unset|dot_(?:any_)?+{_FLOAT}_(?:any_)?+{_FLOAT}_{_FLOAT}(?:_fast_accum|_x\d)?+|rng_(?:default|three_fry|philox))",
    ),
    "distribution": _matched("rng_uniform or rng_normal", "(?i:rng_uniform|rng_normal)"),
    "transpose_a": _one_of("NO_TRANSPOSE", "TRANSPOSE", "ADJOINT"),
    **_each(_CALLEE, "to_apply calls condition body select scatter true_computation false_computation"),
    **_each(_CALLEES, "branch_computations called_computations"),
    **_each(_BRACED, "origin original_value domain sparsity_config result_accuracy statistics"),
    "backend_config": AttributeValue("a string or {...}", _is_string_or_json),
    "frontend_attributes": _FRONTEND,
    "metadata": AttributeValue('fields, each once, {op_name="f" source_line=3}', _is_metadata),
    "sharding": AttributeValue("a sharding, {replicated} or {devices=[2,1]<=[2]}", _is_sharding),
    "parameter_replication": _matched("a list of true or false", _listed(_BOOL)),
    "control-predecessors": _matched("a list of instructions", _listed(rf"%?+{_NAME}", least=1)),
    "operand_precision": _matched("a list of precisions", _listed("(?i:default|highest|high|packed_nibble)")),
    "slice_sizes": _matched("a list of integers, {0,1}", f"{_INTS}|{_listed(_INTS)}"),
    "source_target_pairs": _matched("a list of pairs, {{0,1},{1,0}}", _listed(_INTS)),
    "replica_groups": AttributeValue("groups, {{0,1},{2,3}} or [2,2]<=[4]", _is_groups),
    "output_to_operand_aliasing": _matched(
        "pairs of an output and an operand, {{0}: (0, {})}", _listed(rf"{_INTS}{_GAP}:{_GAP}{_AT}\)")
    ),
    "operand_layout_constraints": AttributeValue("a list of shapes", lambda text: _is_shape(f"({text[1:-1]})")),
    "outfeed_shape": AttributeValue("a shape", _is_shape),
    "window": AttributeValue("a window, {size=3x3 pad=1_1x1_1}", _is_window),
    "dim_labels": AttributeValue("labels of dimensions, b01f_01io->b01f", _is_labels),
    "padding": _matched("paddings, 1_1x0_0_1", rf"{_PAD}(?:_{_INT})?(?:x{_PAD}(?:_{_INT})?)*"),
    "slice": _matched("ranges, {[0:4], [0:8:2]}", _listed(_RANGE)),
    "direction": _one_of("EQ", "NE", "GE", "GT", "LE", "LT"),
    "type": _one_of("FLOAT", "TOTALORDER", "SIGNED", "UNSIGNED"),
    "kind": _one_of("kLoop", "kInput", "kOutput", "kCustom"),
    "fft_type": _one_of("FFT", "IFFT", "RFFT", "IRFFT"),
}  # fmt: skip
"""Of instructions. What is not here may be anything: literals, numbers with a point."""

_HEADER = {
    **_each(_TRUTH, "is_scheduled alias_passthrough_params"),
    **_each(_INTEGER, "replica_count num_partitions"),
    **_each(
        _matched("true, false or a list of them", rf"{_BOOL}|{_listed(_BOOL)}"),
        "allow_spmd_sharding_propagation_to_parameters allow_spmd_sharding_propagation_to_output",
    ),
    **_each(_BRACED, "origin_recovery_table debug_attributes"),
    "frontend_attributes": _FRONTEND,
    "input_output_alias": _matched(
        "pairs of an output and a parameter, {{0}: (0, {}, may-alias)}",
        _listed(rf"{_INTS}{_GAP}:{_GAP}{_AT}(?:,{_GAP}(?:may|must)-alias{_GAP})?\)"),
    ),
    "buffer_donor": _matched("a list of parameters, {(0, {})}", _listed(rf"{_AT}\)")),
    "entry_computation_layout": _BRACED,  # entry_layout reads it
}
HEADER_ATTRIBUTES = _HEADER.keys()
"""All that are known. A newer XLA may print others."""


def value_problem(name: str, value: str) -> str:
    """What is wrong with an attribute of an instruction, in words that follow its name; "" where nothing is."""
    return _problem(_VALUES, name, value)


def header_value_problem(name: str, value: str) -> str:
    """The same of an attribute of the header."""
    return _problem(_HEADER, name, value)


def _problem(values: dict[str, AttributeValue], name: str, value: str) -> str:
    kind = values.get(name)
    return "" if kind is None or kind.is_one(value) else f"has {name}={value}: expected {kind.what}"


@cache
def _whole_metadata() -> re.Pattern[str]:
    return re.compile(rf", metadata={_METADATA}(?=,|\s*$)", re.A | re.M)


@cache
def _printed_metadata() -> re.Pattern[str]:
    """As XLA prints it, fields in their order and none twice (xla/hlo/ir/hlo_op_metadata.cc)."""
    texts, numbers = r'="[^"\\\n]*+(?:\\[abfnrtv?\'"\\0-7xXuU][^"\\\n]*+)*+" ?', r"=-?\d{1,9}+ ?"
    fields = (
        *(name + texts for name in ("op_type", "op_name", "source_file")),
        *(name + numbers for name in ("source_line", "source_end_line", "source_column", "source_end_column")),
        *("deduplicated_name" + texts, "stack_frame_id" + numbers),
    )
    optional = "".join(f"(?:{field})?+" for field in fields)
    return re.compile(rf"^, metadata=\{{{optional}\}}()$", re.A | re.M)


def metadata_is_right(metadata: Sequence[str]) -> bool:
    """Whether metadata, or the attributes with metadata, of many instructions are surely right; where this is False,
    they may be."""
    text = without_scheduling_names("\n".join(metadata))
    if len(_printed_metadata().findall(text)) == len(metadata):
        return True
    found = _whole_metadata().findall(text)
    return text.count(", metadata=") == len(found) and not _is_long(text) and not any(map(_has_field_twice, set(found)))
