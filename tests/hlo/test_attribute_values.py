"""How attributes are spelled, held against XLA's own parser where the installed jaxlib offers it."""

from __future__ import annotations

import time

import pytest
from xla_reference import AVAILABLE, VERIFIES, reference, verified

import hlo_count as hc
from hlo_count.errors import ParseError
from hlo_count.hlo.opcodes import ATTRIBUTES, COMMON_ATTRIBUTES, OPCODES, may_have
from hlo_count.hlo.verifier.attribute_values import value_problem

SUM = "sum { a = f32[] parameter(0)\n  b = f32[] parameter(1)\n  ROOT s = f32[] add(a, b)\n}\n\n"
RIGHT = {
    "negate(x), sharding={replicated}": "f32[4,8]",
    "negate(x), sharding={devices=[2,1]<=[2]}": "f32[4,8]",
    "negate(x), sharding={devices=[2,1]0,1 metadata={op_name=\"a\"}}": "f32[4,8]",
    "negate(x), sharding={devices=[2,1,2]<=[2,2]T(1,0) last_tile_dims={manual}}": "f32[4,8]",
    'negate(x), frontend_attributes={a="b",c={d = #e<[{}]>}}': "f32[4,8]",
    "negate(x), frontend_attributes={}": "f32[4,8]",
    'negate(x), backend_config="a"': "f32[4,8]",
    'negate(x), backend_config={"a":[1,"}"]}': "f32[4,8]",
    'negate(x), metadata={op_name="a" source_line=3, stack_frame_id=1}': "f32[4,8]",
    'negate(x), origin={{"y"}}': "f32[4,8]",
    "exponential(x), result_accuracy={mode=highest}": "f32[4,8]",
    "slice(x), slice={[0:4], [0:8:2]}": "f32[4,4]",
    "transpose(x), dimensions={1, 0}": "f32[8,4]",
    "all-gather(x), replica_groups={{0,1},{2,3}}, dimensions={0}": "f32[8,8]",
    "all-gather(x), replica_groups=[2,2]<=[2,2]T(1,0), dimensions={0}": "f32[8,8]",
    "collective-permute(x), source_target_pairs={{0,1},{1,0}}": "f32[4,8]",
    "compare(x, x), direction=LT, type=TOTALORDER": "pred[4,8]",
    'custom-call(x), custom_call_target="f", output_to_operand_aliasing={{}: (0, {})}, api_version=API_VERSION_TYPED_FFI': "f32[4,8]",
    'custom-call(x), custom_call_target="f", operand_layout_constraints={f32[4,8]{1,0}}': "f32[4,8]{1,0}",
}  # fmt: skip
WRONG = {
    "negate(x), sharding={replicated": "f32[4,8]",
    "negate(x), sharding={devices=[2,2]<=[2]}": "f32[4,8]",
    "negate(x), sharding==replicated": "f32[4,8]",
    "negate(x), frontend_attributes={a=b}": "f32[4,8]",
    'negate(x), backend_config={"a":{}': "f32[4,8]",
    'negate(x), metadata={op_name=a}': "f32[4,8]",
    'negate(x), metadata={op_name="a" op_name="b"}': "f32[4,8]",
    'negate(x), metadata={source_line=2147483648}': "f32[4,8]",
    "negate(x), , metadata={}": "f32[4,8]",
    "negate(x), dimensions={0}": "f32[4,8]",
    "slice(x), slice={[0:4], [0:8:2:1]}": "f32[4,4]",
    "slice(x), slice={[0:4] [0:4]}": "f32[4,4]",
    "transpose(x), dimensions={1,,0}": "f32[8,4]",
    "transpose(x), dimensions={1 0}": "f32[8,4]",
    "all-gather(x), replica_groups={{0,1},{2,,3}}, dimensions={0}": "f32[8,8]",
    "all-gather(x), replica_groups=[2,2]<=[2,3]T(1,0), dimensions={0}": "f32[8,8]",
    "all-gather(x), replica_groups={{0,1},{2,3}}, dimensions={0}, channel_id=x": "f32[8,8]",
    "collective-permute(x), source_target_pairs={0,1}": "f32[4,8]",
    "compare(x, x), direction=LT LT": "pred[4,8]",
    "compare(x, x), direction=LESS": "pred[4,8]",
    "reduce-window(x, z), window={size=2x2 stride=2}, to_apply=sum": "f32[3,7]",
    "reduce-window(x, z), window={size=2x2 size=2x2}, to_apply=sum": "f32[3,7]",
    "convolution(c, c), window={size=4}, dim_labels=b0f_0io->bf1": "f32[1,1,4]",
    'custom-call(x), custom_call_target="f", output_to_operand_aliasing={{}: 0}': "f32[4,8]",
    'custom-call(x), custom_call_target="f", index=0': "f32[4,8]",
    'fft(c), fft_type=FFTT, fft_length={4}': "f32[4,4,4]",
}  # fmt: skip


def program(line: str, shape: str) -> str:
    before = "c = f32[4,4,4] parameter(1)\n  z = f32[] parameter(2)"
    return f"HloModule m, num_partitions=4\n\n{SUM}ENTRY e {{\n  x = f32[4,8] parameter(0)\n  {before}\n  ROOT r = {shape} {line}\n}}\n"


@pytest.mark.parametrize("line", RIGHT)
def test_what_xla_takes(line: str) -> None:
    text = program(line, RIGHT[line])
    assert hc.parse(text).contradictions == []
    if AVAILABLE:
        assert reference(text).refused is None or "origin" in line or "result_accuracy" in line  # of newer ones


@pytest.mark.parametrize("line", WRONG)
def test_what_it_does_not_take(line: str) -> None:
    text = program(line, WRONG[line])
    with pytest.raises(ParseError, match=r"\n    .*\n +\^"):
        hc.parse(text)
    if VERIFIES:
        assert not verified(text).accepted


@pytest.mark.parametrize("line", ["negate(x), unheard_of={1}", "unheard-of(x)", "negate(x), dimenzions={0}"])
def test_what_only_a_newer_xla_may_know_is_a_lower_bound(line: str) -> None:
    assert [problem for _, _, problem in hc.parse(program(line, "f32[4,8]")).contradictions]
    report = hc.count(program(line, "f32[4,8]"))
    assert report.status == "lower bound"
    assert "not known here" in str(report.unknowns[0])


def test_metadata_may_have_fields_of_a_newer_xla() -> None:
    assert hc.count(program('negate(x), metadata={op_name="a" tomorrow="b" next={1}}', "f32[4,8]")).status == "exact"


HEADERS = {
    "is_scheduled=yes": "expected true or false",
    "is_scheduled=true, is_scheduled=true": "stands twice",
    "replica_count=many": "expected an integer",
    "input_output_alias={ {}: (0, {}, perhaps) }": "expected pairs",
    "entry_computation_layout={(f32[4,8]{1,,0})->f32[4,8]{1,0}}": "expected shapes",
    'frontend_attributes={a="b}': "",
}  # fmt: skip


@pytest.mark.parametrize("said", HEADERS)
def test_headers_are_held_to_it_too(said: str) -> None:
    text = program("negate(x)", "f32[4,8]").replace("HloModule m", f"HloModule m, {said}")
    with pytest.raises(ParseError, match=HEADERS[said] or "."):
        hc.parse(text)
    if AVAILABLE:
        assert reference(text).refused is not None


def test_a_header_with_more_than_is_known_is_a_lower_bound() -> None:
    text = program("negate(x)", "f32[4,8]").replace("HloModule m", "HloModule m, unheard_of=1")
    assert hc.count(text).status == "lower bound"


OPEN = {
    "slice": ("{", "[1:2], "), "replica_groups": ("{", "{0,"), "sharding": ("{", "{devices=[1]0,"),
    "metadata": ("{", 'op_name="a" '), "frontend_attributes": ("{", 'a="b",'), "backend_config": ("{", '"a":{'),
    "window": ("{", "size=1 "), "padding": ("", "1_1x"), "output_to_operand_aliasing": ("{", "{}: (0, "),
    "branch_computations": ("{", "a, "), "dim_labels": ("", "b0"), "operand_precision": ("{", "high,"),
}  # fmt: skip


@pytest.mark.parametrize("name", OPEN)
def test_what_is_never_closed_is_given_up_in_one_pass(name: str) -> None:
    """Seconds of the processor, a hundred times what one pass takes here: two nested ones take minutes."""
    start, again = OPEN[name]
    before = time.process_time()
    assert value_problem(name, start + again * 100_000)
    assert time.process_time() - before < 10


def test_every_attribute_of_a_row_is_one_that_its_opcode_may_have() -> None:
    for name, row in OPCODES.items():
        assert {*row.needs, *row.calls} <= row.takes <= may_have(name) <= ATTRIBUTES
    assert may_have("slice-start") == COMMON_ATTRIBUTES | {"slice"} | OPCODES["async-start"].takes
    assert value_problem("literal", "anything") == ""
