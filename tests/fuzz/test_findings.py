"""What the fuzzer found, as small as it gets: XLA refuses each, so nothing exact may be said of it."""

from __future__ import annotations

import jax
import pytest
from xla_reference import VERIFIES, verified

from fuzz.judge import say

pytestmark = [
    pytest.mark.skipif(not VERIFIES, reason="this jaxlib does not let us ask XLA's verifier"),
    pytest.mark.skipif(jax.__version__ != "0.10.2", reason="the verifier of another XLA takes other texts"),
]

A, S = "%a = f32[4,8]{1,0} parameter(0)", "%s = f32[] parameter(1)"
FINDINGS = {
    "another float type from a tuple": f"{A}\n %t = (f32[4,8]) tuple(%a)\n ROOT %r = bf16[4,8] get-tuple-element(%t), index=0",
    "a scalar beside an array": f"{A}\n {S}\n ROOT %r = f32[4,8] multiply(%a, %s)",
    "a constant that is a name": f"{A}\n ROOT %r = f32[4,8] constant(%a)",
    "an attribute of another opcode": f"{A}\n ROOT %r = f32[4,8] exponential(%a), dimensions={{1,0}}",
    "an index on a copy": f"{A}\n ROOT %r = f32[4,8] copy(%a), index=0",
    "starts of another rank": f"{A}\n %z = s32[] constant(0)\n ROOT %r = f32[1,8] dynamic-slice(%a, %z, %z, %z), dynamic_slice_sizes={{1,8}}",
    "starts that are no integers": f"{A}\n {S}\n ROOT %r = f32[1,8] dynamic-slice(%a, %s, %s), dynamic_slice_sizes={{1,8}}",
    "a padding that is an array": f"{A}\n %b = f32[2] parameter(1)\n ROOT %r = f32[5,8] pad(%a, %b), padding=0_1x0_0",
    "a chooser of another size": f"{A}\n %p = pred[4,7] parameter(1)\n ROOT %r = f32[4,8] select(%p, %a, %a)",
    "a real transform of bf16": "%a = bf16[4,8] parameter(0)\n ROOT %r = c64[4,5] fft(%a), fft_type=RFFT, fft_length={8}",
    "a transform of another length": f"{A}\n ROOT %r = c64[4,5] fft(%a), fft_type=RFFT, fft_length={{6}}",
    "a copy of another size": f"{A}\n %c = (f32[4,9], f32[4,8], u32[]) copy-start(%a)\n ROOT %r = f32[4,9] copy-done(%c)",
    "a copy under way that is used": f"{A}\n %c = (f32[4,8], f32[4,8], u32[]) copy-start(%a)\n ROOT %r = f32[4,8] get-tuple-element(%c), index=0",
    "a permutation of two operands into one": f"{A}\n ROOT %r = f32[4,8] collective-permute(%a, %a), source_target_pairs={{{{0,1}}}}",
    "layouts of more operands": f'{A}\n ROOT %r = f32[4,8] custom-call(%a), custom_call_target="x", operand_layout_constraints={{f32[4,8]{{1,0}}, f32[4]{{0}}}}',
    "a window of no rank": "%a = f32[1,8,4] parameter(0)\n %k = f32[3,4,4] parameter(1)\n ROOT %r = f32[1,8,4] convolution(%a, %k), dim_labels=b0f_0io->b0f",
    "a tile of any size": "ROOT %a = f32[4,8]{1,0:T(99999999999999999999,128)} parameter(0)",
}  # fmt: skip


@pytest.mark.parametrize("name", FINDINGS)
def test_is_not_exact(name: str) -> None:
    text = f"HloModule m, num_partitions=2\n\nENTRY %main {{\n {FINDINGS[name]}\n}}\n"
    assert not verified(text).accepted
    said = say(text)
    assert said.escaped == ""
    assert said.refused or said.status == "lower bound"
