"""Conditionals that only raise an error count as not raising, and say so."""

from __future__ import annotations

from typing import Any

import pytest

import hlo_count as hc

FLOPS = 2 * 8**3
"""A product of 8 × 8 matrices, which every program here makes."""


def program(branch: str, *, gives: str = "f32[8,8]", hands: str = "f32[8,8]") -> str:
    """A conditional whose branch 1 is given, before a product of its result with itself."""
    return f"""HloModule m

keep {{
  ROOT x = {gives} parameter(0)
}}

raise {{
  {branch}
}}

ENTRY main {{
  flag = pred[] parameter(0)
  x = {gives} parameter(1)
  handed = {hands} parameter(2)
  checked = {gives} conditional(flag, handed, x), true_computation=raise, false_computation=keep
  ROOT product = f32[8,8] dot(checked, checked), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}
}}
"""


CALL = 'custom_call_target="xla_ffi_python_cpu_callback"'
HOST = "is_host_transfer=true"
RAISING = {
    "callback": f"p = f32[8,8] parameter(0)\n  z = s32[] constant(0)\n  ROOT y = f32[8,8] custom-call(z), {CALL}",
    "callback of a callback": f"p = f32[8,8] parameter(0)\n  z = s32[] constant(0)\n  a = f32[8,8] custom-call(z), {CALL}\n"
    f"  ROOT y = f32[8,8] custom-call(a, z), {CALL}",
    "NaN": "p = f32[8,8] parameter(0)\n  n = f32[] constant(nan)\n  ROOT y = f32[8,8] broadcast(n), dimensions={}",
    "to the host and back": "p = f32[8,8] parameter(0)\n  z = s32[] constant(0)\n  t = token[] after-all()\n"
    f"  s = (s32[], u32[], token[]) send(z, t), channel_id=1, {HOST}\n"
    f"  sd = token[] send-done(s), channel_id=1, {HOST}\n"
    f"  r = (f32[8,8], u32[], token[]) recv(sd), channel_id=2, {HOST}\n"
    f"  rd = (f32[8,8], token[]) recv-done(r), channel_id=2, {HOST}\n"
    "  ROOT y = f32[8,8] get-tuple-element(rd), index=0",
}
WORKING = {
    "zeros": "p = f32[8,8] parameter(0)\n  n = f32[] constant(0)\n  ROOT y = f32[8,8] broadcast(n), dimensions={}",
    "infinity": "p = f32[8,8] parameter(0)\n  n = f32[] constant(inf)\n  ROOT y = f32[8,8] broadcast(n), dimensions={}",
    "what it is given": "ROOT y = f32[8,8] parameter(0)",
    "arithmetic": "p = f32[8,8] parameter(0)\n  ROOT y = f32[8,8] add(p, p)",
    "NaN for some": "p = f32[8,8] parameter(0)\n  n = f32[] constant(nan)\n  b = f32[8,8] broadcast(n), dimensions={}\n"
    "  c = pred[8,8] compare(p, p), direction=EQ\n  ROOT y = f32[8,8] select(c, b, p)",
    "an array for Python": f"p = f32[8,8] parameter(0)\n  ROOT y = f32[8,8] custom-call(p), {CALL}",
    "another custom call": 'p = f32[8,8] parameter(0)\n  ROOT y = f32[8,8] custom-call(), custom_call_target="load"',
    "to another device": "p = f32[8,8] parameter(0)\n  ROOT y = f32[8,8] collective-permute(p), source_target_pairs={{0,0}}",
}


@pytest.mark.parametrize("how", RAISING)
def test_a_branch_that_only_raises(how: str) -> None:
    text = program(RAISING[how])
    report = hc.count(text)
    assert (report.flops, report.status, report.unknowns) == (FLOPS, "exact", [])
    (settled,) = report.settled
    assert "raises an error in branch 1" in settled.unknowns[0].reason
    assert "counted as not raising" in " ".join(str(report).split())
    assert report.to_dict()["settled"][0]["call"] == 'count(…, branches={"checked": 1})'
    raised = hc.count(text, branches={"checked": 1})
    assert raised.settled == []
    assert raised.status == ("exact" if how in ("NaN", "to the host and back") else "lower bound")


@pytest.mark.parametrize("what", WORKING)
def test_a_branch_that_does_something_else(what: str) -> None:
    report = hc.count(program(WORKING[what]))
    assert report.settled == []
    assert bool(report.unknowns) == (what != "what it is given")


def test_an_integer_that_says_which_error_it_is() -> None:
    index = f"p = s32[] parameter(0)\n  ROOT y = f32[8,8] custom-call(p), {CALL}"
    assert hc.count(program(index, hands="s32[]")).status == "exact"


def test_of_several_branches_those_that_do_not_raise_are_left() -> None:
    """An index of 0 keeps, 1 squares, 2 raises."""
    square = "square {\n  p = f32[8,8] parameter(0)\n  ROOT y = f32[8,8] multiply(p, p)\n}\n\nENTRY"
    text = program(RAISING["NaN"]).replace("ENTRY", square).replace("flag = pred[]", "flag = s32[]")
    text = text.replace(
        "(flag, handed, x), true_computation=raise, false_computation=keep",
        "(flag, x, x, x), branch_computations={keep, square, raise}",
    )
    report = hc.count(text)
    assert (report.flops, report.status) == (FLOPS + 64, "estimate")
    assert "takes one of 2 branches, counted as branch 1" in report.unknowns[0].reason
    assert len(report.settled) == 1


# What libraries compile to


def compiled(fn: Any, target: str, *arguments: Any) -> hc.Report:
    if target not in {t.name for t in hc.targets() if t.available}:
        pytest.skip(f"cannot compile for {target} here")
    return hc.count(fn, *arguments, target=target)


@pytest.mark.parametrize(
    ("target", "on_error"),
    [("cpu", "raise"), ("tpu:v5e", "raise"), ("cpu", "nan"), ("tpu:v5e", "nan"), ("h100-sxm", "nan")],
)
def test_equinox(target: str, on_error: Any) -> None:
    jax = pytest.importorskip("jax")
    equinox = pytest.importorskip("equinox")

    def fn(x: Any, n: Any) -> Any:
        x = equinox.error_if(x, n > 3, "n is too large", on_error=on_error)
        x = equinox.error_if(x, (x < 0).any(), "x is negative", on_error=on_error)
        return x @ x

    matrix, number = jax.ShapeDtypeStruct((8, 8), "float32"), jax.ShapeDtypeStruct((), "int32")
    report = compiled(fn, target, matrix, number)
    assert (report.flops, report.status, report.unknowns) == (FLOPS, "exact", [])
    assert sum(len(group.unknowns) for group in report.settled) == 2


@pytest.mark.parametrize("target", ["cpu", "tpu:v5e"])
def test_checkify_has_no_conditional(target: str) -> None:
    jax = pytest.importorskip("jax")
    checkify = pytest.importorskip("jax.experimental.checkify")

    def fn(x: Any) -> Any:
        checkify.check((x > 0).all(), "x is not positive")
        return x @ x

    report = compiled(checkify.checkify(fn), target, jax.ShapeDtypeStruct((8, 8), "float32"))
    assert (report.flops, report.status, report.settled) == (FLOPS, "exact", [])
