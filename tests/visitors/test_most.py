"""The totals with the most trips that are certain: arithmetic on loops and branches."""

from __future__ import annotations

import pytest

import hlo_count as hc

LOOP = """HloModule m

{name}_body {{
  p = (s32[], f32[8], f32[]) parameter(0)
  i = s32[] get-tuple-element(p), index=0
  x = f32[8] get-tuple-element(p), index=1
  y = f32[] get-tuple-element(p), index=2
  one = s32[] constant(1)
  next = s32[] add(i, one)
  {inside}
  ROOT t = (s32[], f32[8], f32[]) tuple(next, z, y)
}}

{name}_condition {{
  p = (s32[], f32[8], f32[]) parameter(0)
  i = s32[] get-tuple-element(p), index=0
  y = f32[] get-tuple-element(p), index=2
  n = s32[] constant({bound})
  zero = f32[] constant(0)
  below = pred[] compare(i, n), direction=LT
  more = pred[] compare(y, zero), direction=GT
  ROOT goes_on = pred[] {join}(below, more)
}}
"""
ENTRY = """
ENTRY main {
  x = f32[8] parameter(0)
  y = f32[] parameter(1)
  start = s32[] constant(0)
  t = (s32[], f32[8], f32[]) tuple(start, x, y)
  ROOT loop = (s32[], f32[8], f32[]) while(t), condition=a_condition, body=a_body
}
"""


def loop(inside: str = "z = f32[8] add(x, x)", join: str = "and", name: str = "a", bound: int = 10) -> str:
    return LOOP.format(name=name, inside=inside, join=join, bound=bound)


def test_a_loop_that_data_may_end() -> None:
    report = hc.count(loop() + ENTRY)
    assert (report.flops, report.status) == (8, "lower bound")
    most = report.at_most
    assert most is not None
    # An integer add a trip; two compares and an `and` each time that the condition is asked.
    assert (most.flops, most.int_ops, most.other_ops, most.status) == (10 * 8, 10, 11 * 3, "exact")
    assert most.bytes == hc.count(loop() + ENTRY, trip_counts={"loop": 10}).bytes
    assert "at most 80" in str(report)
    assert report.to_dict()["at_most"]["flops"] == 80


def test_an_exact_count_is_at_most_itself() -> None:
    report = hc.count(loop() + ENTRY, trip_counts={"loop": 4})
    assert report.at_most == report.total
    assert "at most" not in str(report)


def test_a_loop_that_nothing_ends() -> None:
    report = hc.count(loop(join="or") + ENTRY)
    assert report.at_most is None
    assert report.to_dict()["at_most"] is None


def test_loops_in_loops() -> None:
    start = "zero = s32[] constant(0)\n  s = (s32[], f32[8], f32[]) tuple(zero, x, y)"
    inner = f"{start}\n  w = (s32[], f32[8], f32[]) while(s), condition=b_condition, body=b_body"
    text = (
        loop(name="b", bound=7)
        + loop(f"{inner}\n  z = f32[8] get-tuple-element(w), index=1").removeprefix("HloModule m\n")
        + ENTRY
    )
    report = hc.count(text)
    assert report.flops == 8
    assert report.at_most is not None
    assert report.at_most.flops == 10 * 7 * 8
    assert hc.count(text, trip_counts={"w": 3}).at_most.flops == 10 * 3 * 8


@pytest.mark.parametrize(
    "choice", [{}, {"branches": {"c": 0}}, {"branches": {"c": [0.25, 0.75]}}], ids=["open", "index", "probabilities"]
)
def test_each_counter_s_dearest_branch(choice: dict[str, object]) -> None:
    """Branch 0 makes 8 FLOP, branch 1 reads and writes 64 numbers and compares them."""
    text = """HloModule m

few {
  t = (f32[8], f32[64]) parameter(0)
  x = f32[8] get-tuple-element(t), index=0
  z = f32[8] add(x, x)
  ROOT w = f32[8] multiply(z, x)
}

many {
  t = (f32[8], f32[64]) parameter(0)
  y = f32[64] get-tuple-element(t), index=1
  c = f32[64] negate(y)
  ROOT z = f32[8] slice(c), slice={[0:8]}
}

ENTRY main {
  x = f32[8] parameter(0)
  y = f32[64] parameter(1)
  b = pred[] parameter(2)
  t = (f32[8], f32[64]) tuple(x, y)
  ROOT c = f32[8] conditional(b, t, t), true_computation=many, false_computation=few
}
"""
    report = hc.count(text, **choice)
    most = report.at_most
    assert most is not None
    both = [hc.count(text, branches={"c": n}) for n in (0, 1)]
    if not choice:
        assert (most.flops, most.other_ops) == (16, 64)
        assert (most.bytes_read, most.bytes_written) == (4 * (64 + 8), 4 * (64 + 8))
        assert most.status == "exact"
        assert all(most.bytes >= each.bytes for each in both)
    else:
        assert most == report.total


def test_a_cost_that_is_not_known_has_no_most() -> None:
    text = 'ENTRY e {\n  x = f32[4] parameter(0)\n  ROOT y = f32[4] custom-call(x), custom_call_target="mystery"\n}'
    assert hc.count(text).at_most is None
    assert hc.count(text, convention="xla").at_most is None


def test_an_estimate_is_no_bound() -> None:
    text = (
        "ENTRY e {\n  a = f32[4,4] parameter(0)\n  ROOT y = (f32[4,4], f32[4], s32[]) custom-call(a), "
        'custom_call_target="lapack_ssyevd_ffi", backend_config={mode = 86 : ui8, uplo = 76 : ui8}\n}'
    )
    report = hc.count(text)
    assert report.at_most is not None
    assert (report.at_most.flops, report.at_most.status) == (9 * 4**3, "estimate")
    assert "at most" not in str(report)
