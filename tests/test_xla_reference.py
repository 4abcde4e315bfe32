"""The oracle of other tests: XLA's verifier is asked in a roundabout way, so what it takes and refuses is held here."""

from __future__ import annotations

import fixture_files
import pytest
from xla_reference import VERIFIES, verified

pytestmark = pytest.mark.skipif(not VERIFIES, reason="this jaxlib does not let us ask XLA's verifier")

FUSION = """HloModule m
%fused (a: f32[4]) -> f32[4] {
  %a = f32[4]{0} parameter(0)
  ROOT %b = f32[4]{0} exponential(%a)
}
ENTRY %e (p: f32[4]) -> f32[4] {
  %p = f32[4]{0} parameter(0)
  ROOT %c = f32[4]{0} fusion(%p), kind=kLoop, calls=%fused
}
"""


@pytest.mark.parametrize(
    ("backend", "name"),
    [("cpu", "scan_grad"), ("tpu-v5e", "transformer_step_fsdp"), ("h100", "ring_matmul"), ("h100", "while_dynamic")],
)
def test_takes_what_compilers_print(backend: str, name: str) -> None:
    assert verified(fixture_files.text(backend, name)).accepted


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("exponential(%a)", "add(%a)", "expects 2 operands"),
        ("ROOT %b = f32[4]{0} exponential(%a)", "ROOT %b = f32[4]{0} broadcast(%a), dimensions={1}", "broadcast"),
        ("ROOT %b = f32[4]{0} exponential(%a)", "%b = f32[8]{0} exponential(%a)\n ROOT %d = f32[4] slice(%b), slice={[0:4]}",
         "Expected instruction to have shape equal to f32[4], actual shape is f32[8]"),
        ("%p = f32[4]{0} parameter(0)\n  ROOT %c = f32[4]{0} fusion(%p)",
         "%p = f32[4]{0} parameter(0)\n  %q = f32[5]{0} pad(%p, %z), padding=0_1\n  ROOT %c = f32[4]{0} fusion(%q)", "does not exist: z"),
    ],
)  # fmt: skip
def test_refuses_what_is_wrong(old: str, new: str, said: str) -> None:
    assert verified(FUSION).accepted
    answer = verified(FUSION.replace(old, new))
    assert said in (answer.refused or answer.unverified)


def test_an_entry_of_any_shape_can_be_asked_of() -> None:
    text = """HloModule m, num_partitions=2
ENTRY %e (p: (f32[2,<=4], token[]), q: s4[3]) -> (f32[], token[]) {
  %p = (f32[2,<=4]{1,0:T(8,128)}, token[]) parameter(0)
  %q = s4[3]{0:E(4)} parameter(1)
  ROOT %r = (f32[], token[]) custom-call(%p, %q), custom_call_target="x"
}
"""
    assert verified(text).accepted


def test_a_text_that_kills_later_passes_is_taken() -> None:
    """Two loops share a condition: scheduling, which XLA goes on with, aborts of it; the verifier does not mind."""
    text = """HloModule m
%condition (s: s32[]) -> pred[] {
  %s = s32[] parameter(0)
  ROOT %more = pred[] constant(false)
}
%body (s: s32[]) -> s32[] {
  %s = s32[] parameter(0)
  %t = token[] after-all()
  %o = token[] outfeed(%s, %t), outfeed_shape=s32[]
  ROOT %r = s32[] add(%s, %s)
}
ENTRY %e (p: s32[]) -> s32[] {
  %p = s32[] parameter(0)
  %w = s32[] while(%p), condition=%condition, body=%body
  ROOT %x = s32[] while(%w), condition=%condition, body=%body
}
"""
    assert verified(text).accepted
