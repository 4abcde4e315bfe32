"""What is alike is counted once and shown as one row, and is not taken for alike where it is not."""

import pytest

import hlo_count as hc
from hlo_count.hlo import Instruction, parse
from hlo_count.visitors.alike import how_many
from hlo_count.visitors.registry import RULES, Body

BODY = """
%body.NUMBER (p.NUMBER: f32[8,8]) -> f32[8,8] {
  %p.NUMBER = f32[8,8]{1,0} parameter(0)
  %d.NUMBER = f32[8,8]{1,0} dot(%p.NUMBER, %p.NUMBER), lhs_contracting_dims={1}, rhs_contracting_dims={0}, \
metadata={op_name="f/SCOPE/dot" source_file="SCOPE.py" source_line=1}
  %a.NUMBER = f32[8,8]{1,0} add(%d.NUMBER, %p.NUMBER), \
metadata={op_name="f/SCOPE/add" scheduling_name="a.NUMBER" source_file="SCOPE.py" source_line=2}
  %b.NUMBER = f32[8,8]{1,0} add(%a.NUMBER, %p.NUMBER), \
metadata={op_name="f/SCOPE/add" scheduling_name="b.NUMBER" source_file="SCOPE.py" source_line=2}
  ROOT %c.NUMBER = f32[8,8]{1,0} add(%b.NUMBER, %p.NUMBER), metadata={op_name="f/SCOPE/add" source_file="o.py"}
}
"""
ENTRY = """
ENTRY %main (x: f32[8,8]) -> f32[8,8] {
  %x = f32[8,8]{1,0} parameter(0)
  %one = f32[8,8]{1,0} fusion(%x), kind=kLoop, calls=%body.1
  ROOT %two = f32[8,8]{1,0} fusion(%one), kind=kLoop, calls=%body.2
}
"""


def twins(first: str = "left", second: str = "right") -> str:
    bodies = [BODY.replace("NUMBER", n).replace("SCOPE", scope) for n, scope in (("1", first), ("2", second))]
    return "HloModule twins\n" + "".join(bodies) + ENTRY


def test_instructions_of_one_shape_and_place_are_one_row() -> None:
    report = hc.count(twins())
    rows = [(how_many(row), row.opcode, cost.flops) for row, _, cost in report.rows if cost.flops]
    a_dot, an_add = 2 * 8 * 8 * 8, 8 * 8
    assert rows == 2 * [(1, "dot", a_dot), (2, "add", 2 * an_add), (1, "add", an_add)]
    assert report.flops == 2 * (a_dot + 3 * an_add)
    assert {name: cost.flops for name, cost in report.by("scope").items() if cost.flops} == {
        "f/left": a_dot + 3 * an_add,
        "f/right": a_dot + 3 * an_add,
    }


def test_what_is_alike_in_two_bodies_is_one_row_where_its_source_is_known() -> None:
    report = hc.count(twins("same", "same"))
    rows = [(how_many(row), row.opcode, cost.flops) for row, _, cost in report.rows if cost.flops]
    a_dot, an_add = 2 * 8 * 8 * 8, 8 * 8
    assert rows == [(2, "dot", 2 * a_dot), (4, "add", 4 * an_add), (2, "add", 2 * an_add)]
    assert sum(cost.flops for cost in report.by("computation").values()) == report.flops
    assert report.by("computation")["body.1"].flops == a_dot + 3 * an_add


def test_bodies_that_run_differently_often_have_rows_of_their_own() -> None:
    loop = """
%step (s: (s32[], f32[8,8])) -> (s32[], f32[8,8]) {
  %s = (s32[], f32[8,8]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%s), index=0
  %v = f32[8,8]{1,0} get-tuple-element(%s), index=1
  %w = f32[8,8]{1,0} fusion(%v), kind=kLoop, calls=%body.1
  ROOT %t = (s32[], f32[8,8]{1,0}) tuple(%i, %w)
}
%more (s: (s32[], f32[8,8])) -> pred[] {
  %s = (s32[], f32[8,8]{1,0}) parameter(0)
  ROOT %yes = pred[] constant(true)
}
"""
    entry = ENTRY.replace(
        "%one = f32[8,8]{1,0} fusion(%x), kind=kLoop, calls=%body.1",
        "%o = s32[] constant(0)\n  %s = (s32[], f32[8,8]{1,0}) tuple(%o, %x)\n  %l = (s32[], f32[8,8]{1,0}) while(%s), "
        'condition=%more, body=%step, backend_config={"known_trip_count":{"n":"5"}}\n'
        "  %one = f32[8,8]{1,0} get-tuple-element(%l), index=1",
    )
    bodies = twins("same", "same").removesuffix(ENTRY)
    rows = [(times, how_many(row)) for row, times, _ in hc.count(bodies + loop + entry).rows if row.opcode == "dot"]
    assert sorted(rows) == [(1, 1), (5, 1)]


def test_bodies_that_differ_in_names_and_metadata_are_twins() -> None:
    bodies = parse(twins()).computations
    assert bodies["body.1"].twin is bodies["body.1"]
    assert bodies["body.2"].twin is bodies["body.1"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("add(%b.2, %p.2)", "add(%p.2, %p.2)"),
        ("ROOT %c.2 = f32[8,8]{1,0} add", "ROOT %c.2 = f32[8,8]{1,0} multiply"),
        ("%d.2 = f32[8,8]{1,0}", "%d.2 = f32[8,8]{0,1}"),
        ('op_name="f/right/add" source_file="o.py"}', 'op_name="f/right/add" source_file="o.py"}, note="a"'),
    ],
    ids=["operand", "opcode", "layout", "attribute"],
)
def test_bodies_that_differ_otherwise_are_no_twins(old: str, new: str) -> None:
    text = twins()
    assert text.count(old) == 1
    bodies = parse(text.replace(old, new)).computations
    assert bodies["body.1"].twin is not bodies["body.2"].twin


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("add(%b.2, %p.2)", "add(%b.2, %q.2)", "c.2 takes the operand q.2"),
        ("add(%b.2, %p.2)", "add(b.3, %p.2)", "c.2 takes the operand b.3"),
        ("ROOT %c.2", "ROOT %p.2", "p.2 is the name of a second instruction"),
        ('source_file="o.py"}', 'source_file="o.py"}, metadata={}', "the attribute metadata stands twice"),
    ],
    ids=["a name that is not there", "without %", "a name twice", "an attribute twice"],
)
def test_a_second_body_is_verified_as_the_first_is(old: str, new: str, problem: str) -> None:
    body = BODY.replace("NUMBER", "2").replace("SCOPE", "right")
    assert body.count(old) == 1
    with pytest.raises(hc.HloCountError, match=problem):
        parse("HloModule twins\n" + BODY.replace("NUMBER", "1") + body.replace(old, new) + ENTRY)


def test_callees_are_told_apart_by_what_they_do() -> None:
    caller = """
%outer.NUMBER (p.NUMBER: f32[8,8]) -> f32[8,8] {
  %p.NUMBER = f32[8,8]{1,0} parameter(0)
  ROOT %f.NUMBER = f32[8,8]{1,0} fusion(%p.NUMBER), kind=kLoop, calls=%body.NUMBER
}
"""
    third = BODY.replace("NUMBER", "3").replace("SCOPE", "other").replace("add(%b.3, %p.3)", "add(%p.3, %p.3)")
    callers = "".join(caller.replace("NUMBER", n) for n in "123")
    bodies = parse(twins().removesuffix(ENTRY) + third + callers + ENTRY).computations
    assert bodies["outer.2"].twin is bodies["outer.1"]
    assert bodies["outer.3"].twin is bodies["outer.3"]


def test_what_stands_in_a_string_is_no_metadata() -> None:
    text = twins("same", "same").replace("contracting_dims={0}", 'contracting_dims={0}, note="x, metadata={NUMBER}, y"')
    for numbers, are_twins in (("11", True), ("12", False)):
        bodies = parse(text.replace("NUMBER", numbers[0], 1).replace("NUMBER", numbers[1], 1)).computations
        assert (bodies["body.2"].twin is bodies["body.1"]) == are_twins


def test_a_rule_from_outside_sees_the_metadata_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    def by_scope(instruction: Instruction, body: Body) -> hc.Cost:
        return hc.Cost.ops("flops", 1000 if "left" in instruction.metadata.op_name else 1, "matmul", "f32")

    monkeypatch.setitem(RULES, "dot", by_scope)
    assert hc.count(twins()).flops == 1001 + 6 * 8 * 8


def test_a_name_in_a_scope_is_no_scheduling_name() -> None:
    text = twins('a scheduling_name=\\"x\\" b', "plain")
    names = {i.metadata.op_name for i in parse(text).computations["body.1"].instructions}
    assert 'f/a scheduling_name="x" b/add' in names


def test_kernels_of_what_has_another_shape_than_stated_are_not_alike() -> None:
    """XLA gives an add-dependency the shape of its operand, whatever the text says."""
    small, large, one_size = 8 * 4, 4000 * 4, "f32[8]{0}"
    report = hc.count(f"""HloModule m

%body (p: f32[8]) -> f32[8] {{
  %p = {one_size} parameter(0)
  ROOT %n = {one_size} negate(%p)
}}

ENTRY %main (a: f32[8], b: f32[4000]) -> (f32[8], f32[8], f32[8]) {{
  %a = {one_size} parameter(0)
  %b = f32[4000]{{0}} parameter(1)
  %token = token[] after-all()
  %one = {one_size} add-dependency(%a, %token)
  %other = {one_size} add-dependency(%b, %token)
  %fused = {one_size} fusion(%a), kind=kLoop, calls=%body
  %first = {one_size} negate(%one)
  %second = {one_size} negate(%other)
  ROOT %all = ({one_size}, {one_size}, {one_size}) tuple(%first, %second, %fused)
}}
""")
    read = {i.name: cost.bytes_read for i, _, cost in report.entries}
    assert {read["first"], read["second"]} == {small, large}
