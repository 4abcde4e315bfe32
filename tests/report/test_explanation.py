"""`Report.explain`: what one instruction is, where it comes from, what it costs and why, held against the count."""

from __future__ import annotations

import fixture_files
import pytest
from source_tables import source_tables

import hlo_count as hc

TEXT = f"""HloModule step, is_scheduled=true

{source_tables(("model.py", "Model.__call__", 31), ("/lib/site-packages/flax/linear.py", "Dense.__call__", 287))}"""
TEXT += """%row (p0: f32[6,8,128], p1: s32[], p2: f32[3]) -> f32[8,128] {
  %p0 = f32[6,8,128]{2,1,0} parameter(0)
  %p1 = s32[] parameter(1)
  %p2 = f32[3]{0} parameter(2)
  %zero = s32[] constant(0)
  %slice = f32[1,8,128]{2,1,0} dynamic-slice(%p0, %p1, %zero, %zero), dynamic_slice_sizes={1,8,128}
  %row.1 = f32[8,128]{1,0} bitcast(%slice)
  ROOT %tanh = f32[8,128]{1,0} tanh(%row.1)
}

ENTRY %main (x: f32[6,8,128], i: s32[], w: f32[128,16], s: f32[3]) -> f32[8,16] {
  %x = f32[6,8,128]{2,1,0} parameter(0), metadata={op_name="params[\\'x\\']"}
  %i = s32[] parameter(1)
  %w = f32[128,16]{1,0} parameter(2)
  %s = f32[3]{0} parameter(3)
  %fusion.3 = f32[8,128]{1,0} fusion(%x, %i, %s), kind=kLoop, calls=%row, metadata={op_name="jit(step)/mlp/tanh"}
  ROOT %dot.1 = f32[8,16]{1,0} dot(%fusion.3, %w), lhs_contracting_dims={1}, rhs_contracting_dims={0}, metadata={op_name="jit(step)/mlp/dot_general" stack_frame_id=2}
}
"""
F32 = 4


def explained(name: str, **options: str):
    return hc.count(TEXT).explain(name, **options)


def test_bytes_are_told_operand_by_operand() -> None:
    moves = {(m.how, m.value): (m.bytes, m.whole, m.why) for m in explained("fusion.3").moves}
    assert moves == {
        ("read", "x"): (F32 * 8 * 128, F32 * 6 * 8 * 128, "only what slice takes of it"),
        ("read", "i"): (4, 4, "all of it, once"),
        ("not read", "s"): (0, F32 * 3, "nothing in the body uses it"),
        ("written", "fusion.3"): (F32 * 8 * 128, F32 * 8 * 128, "all of its result"),
    }


def test_costs_are_told_with_the_rule_and_its_formula() -> None:
    (applied,) = explained("dot.1").applied
    assert applied.cost.flops == 2 * 8 * 16 * 128
    assert applied.formula.startswith("2 · N · prod(contracting dimensions of lhs)")
    assert applied.rule == "hlo_count.visitors.contractions.dot"
    (applied,) = explained("%fusion.3").applied
    assert (applied.opcode, applied.number, applied.cost.transcendentals) == ("tanh", 1, 8 * 128)


def test_every_frame_is_there_the_innermost_first() -> None:
    assert [(f.source, f.function) for f in explained("dot.1").stack] == [
        ("/lib/site-packages/flax/linear.py:287", "Dense.__call__"),
        ("model.py:31", "Model.__call__"),
    ]


def test_its_code_holds_the_fused_body() -> None:
    code = "\n".join(explained("fusion.3").code)
    assert "fusion(%x, %i, %s), kind=kLoop" in code
    assert "ROOT %tanh = f32[8,128]{1,0} tanh(%row.1)" in code


def test_makers_and_users() -> None:
    it = explained("fusion.3")
    assert (it.operands[0].name, it.operands[0].opcode, it.operands[0].source) == ("x", "parameter", "params['x']")
    assert [user.name for user in it.users] == ["dot.1"]
    assert explained("dot.1").users == ()


def test_what_stands_inside_a_fusion_moves_nothing_of_its_own() -> None:
    it = explained("tanh")
    assert (it.moves, it.cost.bytes, it.cost.transcendentals) == ((), 0, 8 * 128)
    assert "runs inside that kernel" in it.what[1]


def test_the_place_in_the_roofline() -> None:
    place = explained("dot.1", device="h100-sxm").roofline
    rows = {row.name: row for row in hc.count(TEXT).roofline("h100-sxm").rows}
    assert place is not None
    assert place.kernel == rows["dot.1"]
    assert (place.kernels, place.rank) == (2, 1 + (rows["fusion.3"].estimate > rows["dot.1"].estimate))
    assert place.share == pytest.approx(rows["dot.1"].estimate / sum(row.estimate for row in rows.values()))
    assert explained("dot.1").roofline is None
    assert explained("tanh", device="h100-sxm").roofline is None


def test_the_text_says_all_of_it() -> None:
    text = str(explained("fusion.3", device="h100-sxm"))
    for part in ("only what slice takes of it", "elementwise.elementwise", "scope step/mlp", "on h100-sxm", "used by"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_loop_tells_its_trips_and_an_unknown_its_remedy() -> None:
    report = hc.count(fixture_files.text("cpu", "while_dynamic"))
    (unknown,) = report.unknowns
    it = report.explain(unknown.instruction)
    assert it.unknowns == (unknown,)
    assert "a loop of unknown trips, counted once" in it.what[0]
    assert f'trip_counts={{"{unknown.instruction}": n}}' in str(it)
    settled = hc.count(fixture_files.text("cpu", "while_dynamic"), trip_counts={unknown.instruction: 7})
    assert settled.explain(unknown.instruction).what[0] == "a loop of 7 trips, as trip_counts says"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fusoin.3", "step has no instruction 'fusoin.3'; near it: fusion.3"),
        ("dot", "near it: dot.1"),
        ("", "step has no instruction ''"),
        ("other/tanh", "step has no instruction 'other/tanh'"),
        ("x" * 10_000, "characters left out"),
    ],
)
def test_a_name_that_is_not_there_is_one_line(name: str, said: str) -> None:
    with pytest.raises(hc.HloCountError) as problem:
        explained(name)
    assert said in str(problem.value)
    assert "\n" not in str(problem.value) and len(str(problem.value)) < 300


def test_a_name_that_stands_twice_is_told_apart_by_its_computation() -> None:
    report = hc.count(TEXT.replace("%row.1", "%dot.1").replace("ROOT %dot.1 = f32[8,128]", "%dot.1 = f32[8,128]"))
    with pytest.raises(hc.HloCountError, match="2 instructions are called 'dot.1'; say which: row/dot.1, main/dot.1"):
        report.explain("dot.1")
    assert report.explain("main/dot.1").cost.flops == 2 * 8 * 16 * 128
    assert report.explain("row/dot.1").cost.flops == 0


def test_the_convention_of_xla_is_reconciled_not_explained() -> None:
    with pytest.raises(hc.HloCountError, match=r"use reconcile\(\)"):
        hc.count(TEXT, convention="xla").explain("dot.1")


@pytest.mark.parametrize("backend", ["cpu", "h100", "tpu-v5e"])
def test_explanations_add_up_in_every_fixture(backend: str) -> None:
    """Of the two kernels that move most in each program: operands and results add up to the bytes that were counted,
    rules to the operations, runs to the total."""
    for name in fixture_files.compiled_names(backend):
        report = hc.count(fixture_files.text(backend, name))
        kernels = {id(i): (i, times, cost) for i, times, cost in report.walk.kernels()}
        for instruction, times, cost in sorted(kernels.values(), key=lambda k: -k[2].bytes)[:2]:
            it = report.explain(f"{instruction.computation.name}/{instruction.name}")
            assert (it.runs, it.cost, it.total) == (times, cost, cost * times)
            if it.moves:
                for how, counter in (("read", "bytes_read"), ("written", "bytes_written")):
                    moved = sum(m.bytes for m in it.moves if m.how == how and m.space == "main")
                    assert moved == getattr(cost, counter), (name, it.name)
            else:
                assert it.bytes_by
            for counter in ("flops", "transcendentals", "int_ops", "other_ops"):
                counted = sum(getattr(a.cost, counter) for a in it.applied)
                assert counted == getattr(cost, counter), (name, it.name, counter)
            assert max(map(len, str(it).splitlines())) <= 100
