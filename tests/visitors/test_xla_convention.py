"""The convention `xla`: each rule by arithmetic, and whole modules against XLA's own figures."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import fixture_files
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xla_reference import AVAILABLE, COMPARABLE, reference

from hlo_count.errors import HloCountError
from hlo_count.hlo import parse
from hlo_count.hlo.attributes import WindowDimension
from hlo_count.visitors.xla import XlaCost, xla_cost, xla_costs, xla_instruction_cost
from hlo_count.visitors.xla.convolution import valid_positions
from hlo_count.visitors.xla.float32 import f32, f32_of_int, int64

CONFORMANCE = Path(__file__).resolve().parents[3] / "shared" / "conformance" / "xla-modules.jsonl.gz"

ADD = """add {
  x = f32[] parameter(0)
  y = f32[] parameter(1)
  ROOT sum = f32[] add(x, y)
}
"""
GE = """ge {
  x = f32[] parameter(0)
  y = f32[] parameter(1)
  ROOT test = pred[] compare(x, y), direction=GE
}
"""
SQUARE = """square {
  x = f32[4] parameter(0)
  ROOT y = f32[4] multiply(x, x)
}
"""
UNKNOWN = """mystery {
  x = f32[4] parameter(0)
  ROOT y = f32[4] custom-call(x), custom_call_target="f"
}
"""
COPIED = """copied {
  x = f32[4] parameter(0)
  ROOT y = f32[4] copy(x)
}
"""

# name: (instructions of the entry, computations before it, FLOP, transcendentals, bytes)
CASES: dict[str, tuple[str, str, float, float, float]] = {
    "an elementwise operation per element, whatever its dtype": (
        "a = s32[6] parameter(0); b = s32[6] parameter(1); c = s32[6] add(a, b)",
        "",
        6,
        0,
        3 * 6 * 4,
    ),
    "a compare and a convert are flops": (
        "a = f32[6] parameter(0); c = pred[6] compare(a, a), direction=GE; d = s8[6] convert(c)",
        "",
        6 + 6,
        0,
        (24 + 24 + 6) + (6 + 6),
    ),
    "power and sqrt are transcendentals": (
        "a = f32[6] parameter(0); b = f32[6] power(a, a); c = f32[6] sqrt(b)",
        "",
        0,
        12,
        3 * 24 + 2 * 24,
    ),
    "what nothing uses is counted too": (
        "a = f32[6] parameter(0); dead = f32[6] negate(a); ROOT b = f32[6] negate(a)",
        "",
        12,
        0,
        4 * 24,
    ),
    "a tuple is a table of pointers, and an operand that is one too": (
        "a = f32[6] parameter(0); t = (f32[6], f32[6]) tuple(a, a); ROOT o = (f32[6], f32[6]) opt-barrier(t)",
        "",
        0,
        0,
        16 + (24 + 24 + 16),
    ),
    "a dynamic dimension carries the sizes of all dimensions": (
        "a = f32[<=6,2] parameter(0); b = f32[<=6,2] negate(a)",
        "",
        12,
        0,
        2 * (12 * 4 + 2 * 4),
    ),
    "an s4 takes a byte, and half of one with E(4)": (
        "a = s4[5] parameter(0); b = s4[5]{0:E(4)} copy(a)",
        "",
        0,
        0,
        5 + 3,
    ),
    "a constant's literal has no E(4)": (
        "c = s4[6]{0:E(4)} constant({1, 2, 3, 4, 5, 6}); b = s4[6]{0:E(4)} copy(c)",
        "",
        0,
        0,
        6 + 3,
    ),
    "a recv is what its first element says, whatever follows; its done too": (
        "t = token[] after-all(); r = (f32[8], f32[8], token[]) recv(t), channel_id=1; "
        "d = token[] recv-done(r), channel_id=1",
        "",
        0,
        0,
        (32 + 4) + (32 + 3 * 8),
    ),
    "a select without a shape has that of its values": (
        "p = pred[10] parameter(0); a = s4[10]{0:E(4)} parameter(1); b = select(p, a, a)",
        "",
        10,
        0,
        5 + 10 + 5 + 5,
    ),
    "a concatenation without a shape forgets E(4)": (
        "a = s4[4]{0:E(4)} parameter(0); b = concatenate(a, a), dimensions={0}",
        "",
        0,
        0,
        8 + 2 + 2,
    ),
    "comments and spaces in a shape": (
        "a = f32[/*rows*/2, 3] {0, 1} parameter(0); b = f32 [2,3] negate(a)",
        "",
        6,
        0,
        24 + 24,
    ),
    "tiles and memory spaces change nothing": (
        "a = f32[5]{0:T(1024)} parameter(0); b = f32[5]{0:T(1024)S(1)} copy(a)",
        "",
        0,
        0,
        20 + 20,
    ),
    "a transpose between layouts that agree moves nothing": (
        "a = f32[2,3]{1,0} parameter(0); b = f32[3,2]{0,1} transpose(a), dimensions={1,0}",
        "",
        0,
        0,
        0,
    ),
    "a transpose that is none of the layout moves both": (
        "a = f32[2,3]{1,0} parameter(0); b = f32[3,2]{1,0} transpose(a), dimensions={1,0}",
        "",
        0,
        0,
        48,
    ),
    "a slice reads what it writes": (
        "a = f32[100] parameter(0); b = f32[10] slice(a), slice={[0:10]}",
        "",
        0,
        0,
        2 * 40,
    ),
    "a dynamic-slice, and its first index only": (
        "a = f32[9,9] parameter(0); i = s32[] parameter(1); "
        "b = f32[2,3] dynamic-slice(a, i, i), dynamic_slice_sizes={2,3}",
        "",
        0,
        0,
        2 * 24 + 4,
    ),
    "a dynamic-update-slice moves its update": (
        "a = f32[99] parameter(0); u = f32[5] parameter(1); i = s64[] parameter(2); "
        "b = f32[99] dynamic-update-slice(a, u, i)",
        "",
        0,
        0,
        2 * 20 + 8,
    ),
    "a gather: twice the output, and the indices": (
        "a = f32[50,8] parameter(0); i = s32[3,1] parameter(1); b = f32[3,8] gather(a, i), offset_dims={1}, "
        "collapsed_slice_dims={0}, start_index_map={0}, index_vector_dim=1, slice_sizes={1,8}",
        "",
        0,
        0,
        2 * 96 + 12,
    ),
    "a scatter: three times the updates, and the indices": (
        "a = f32[50,8] parameter(0); i = s32[3,1] parameter(1); u = f32[3,8] parameter(2); "
        "b = f32[50,8] scatter(a, i, u), to_apply=add, "
        "update_window_dims={1}, inserted_window_dims={0}, scatter_dims_to_operand_dims={0}, "
        "index_vector_dim=1",
        ADD,
        24,
        0,
        3 * 96 + 12,
    ),
    "a dot": (
        "a = f32[4,5] parameter(0); b = f32[5,6] parameter(1); "
        "c = f32[4,6] dot(a, b), lhs_contracting_dims={1}, rhs_contracting_dims={0}",
        "",
        2 * 4 * 5 * 6,
        0,
        4 * (20 + 30 + 24),
    ),
    "a ragged-dot loses the first dimension of its result": (
        "a = f32[11,5] parameter(0); b = f32[3,5,7] parameter(1); g = s32[3] parameter(2); "
        "c = f32[11,7] ragged-dot(a, b, g), "
        "lhs_contracting_dims={1}, rhs_contracting_dims={1}, lhs_ragged_dims={0}, rhs_group_dims={0}",
        "",
        2 * 7 * 5,
        0,
        4 * (55 + 105 + 3 + 77),
    ),
    "a convolution, no padding counted": (  # of 3 · 4 taps, one at either end meets padding
        "a = f32[1,4,2] parameter(0); k = f32[3,2,5] parameter(1); "
        "c = f32[1,4,5] convolution(a, k), window={size=3 pad=1_1}, dim_labels=b0f_0io->b0f",
        "",
        2 * 2 * 5 * (3 * 4 - 2),
        0,
        4 * (8 + 30 + 20),
    ),
    "a reduce": (
        "a = f32[7,9] parameter(0); z = f32[] constant(0); b = f32[7] reduce(a, z), dimensions={1}, to_apply=add",
        ADD,
        63 - 7,
        0,
        4 * (63 + 1 + 7),
    ),
    "a reduce-window": (
        "a = f32[10] parameter(0); z = f32[] constant(0); "
        "b = f32[8] reduce-window(a, z), window={size=3}, to_apply=add",
        ADD,
        2 * 8,
        0,
        4 * (10 + 1 + 8),
    ),
    "a reduce-window that spreads one sum over its dimension": (
        "a = f32[10,6] parameter(0); z = f32[] constant(0); "
        "b = f32[10,6] reduce-window(a, z), window={size=19x1 pad=9_9x0_0}, to_apply=add",
        ADD,
        60 // 10 + 9,
        0,
        4 * 121,
    ),
    "a select-and-scatter": (
        "a = f32[8] parameter(0); s = f32[4] parameter(1); z = f32[] constant(0); "
        "b = f32[8] select-and-scatter(a, s, z), window={size=2 stride=2}, select=ge, scatter=add",
        GE + ADD,
        4 * (2 - 1) + 4,
        0,
        4 * (8 + 4 + 1 + 8),
    ),
    "a map": (
        "a = f32[8] parameter(0); b = f32[8] map(a, a), dimensions={0}, to_apply=add",
        ADD,
        8,
        0,
        3 * 32,
    ),
    "a sort by all elements": (
        "a = f32[3,5] parameter(0); b = f32[3,5] sort(a), dimensions={1}, to_apply=ge",
        GE,
        15 * 4,
        0,
        2 * 60,
    ),
    "an fft by the product of floor(log2)": (
        "a = c64[6,16] parameter(0); b = c64[6,16] fft(a), fft_type=FFT, fft_length={6,16}",
        "",
        8 * (2 * 4) * 96,
        0,
        2 * 8 * 96,
    ),
    "a cholesky": (
        "a = f32[2,5,5] parameter(0); b = f32[2,5,5] cholesky(a), lower=true",
        "",
        5 * 50 // 3,
        0,
        200,
    ),
    "a triangular-solve reads half of its matrix": (
        "a = f32[3,3] parameter(0); b = f32[3,7] parameter(1); "
        "x = f32[3,7] triangular-solve(a, b), left_side=true, "
        "lower=true, transpose_a=NO_TRANSPOSE",
        "",
        2 * 3 * 21,
        0,
        84 + 36 / 2 + 84,
    ),
    "random bits, the state included": (
        "s = u64[2] parameter(0); r = (u64[2], u32[9]) rng-bit-generator(s), algorithm=rng_three_fry",
        "",
        0,
        2 + 9,
        16 + 36 + 16,
    ),
    "an all-reduce as if between two": (
        "a = f32[9] parameter(0); b = f32[9] all-reduce(a), replica_groups={{0,1,2,3}}, to_apply=add",
        ADD,
        9,
        0,
        72,
    ),
    "a reduce-scatter computes nothing": (
        "a = f32[8] parameter(0); b = f32[4] reduce-scatter(a), replica_groups={{0,1}}, dimensions={0}, to_apply=add",
        ADD,
        0,
        0,
        48,
    ),
    "infeed and outfeed by their leaves": (
        "t = token[] after-all(); i = (f32[3], token[]) infeed(t); x = f32[3] get-tuple-element(i), index=0; "
        "o = token[] outfeed(x, t), outfeed_shape=f32[3]{0}",
        "",
        0,
        0,
        12 + 12,
    ),
    "each custom call is -1": (
        'a = f32[4] parameter(0); b = f32[4] custom-call(a), custom_call_target="f"; '
        'ROOT c = f32[4] custom-call(b), custom_call_target="g"',
        "",
        -2,
        0,
        -2,
    ),
    "a call is what it calls, and adds no bytes": (
        "a = f32[4] parameter(0); b = f32[4] call(a), to_apply=square",
        SQUARE,
        4,
        0,
        3 * 16,
    ),
    "an asynchronous computation, sugared; its done moves bytes": (
        "a = f32[4] parameter(0); s = ((f32[4]), f32[4], u32[]) call-start(a), to_apply=square; "
        "ROOT b = f32[4] call-done(s)",
        SQUARE,
        4,
        0,
        3 * 16 + (16 + 3 * 8),
    ),
    "a while: one body and one condition": (
        "a = f32[4] parameter(0); w = f32[4] while(a), condition=always, body=square",
        SQUARE + "always {\n  x = f32[4] parameter(0)\n  c = pred[] constant(true)\n  ROOT n = pred[] not(c)\n}\n",
        4 + 1,
        0,
        3 * 16 + 2,
    ),
    "a conditional: the larger of each figure": (
        "p = pred[] parameter(0); a = f32[4] parameter(1); "
        "b = f32[4] conditional(p, a, a), true_computation=square, false_computation=mystery",
        SQUARE + UNKNOWN,
        4,
        0,
        48,
    ),
    "a later branch without flops does not lift a -1": (
        "p = pred[] parameter(0); a = f32[4] parameter(1); "
        "b = f32[4] conditional(p, a, a), false_computation=copied, true_computation=mystery",
        UNKNOWN + COPIED,
        -1,
        0,
        32,
    ),
    "a fusion: the arithmetic of its body, the bytes at its border": (
        "a = f32[4] parameter(0); b = f32[4] fusion(a), kind=kLoop, calls=square",
        SQUARE,
        4,
        0,
        2 * 16,
    ),
    "a fused slice reads the slice, twice when sliced twice": (
        "a = f32[90] parameter(0); b = f32[3] fusion(a), kind=kLoop, calls=slices",
        "slices {\n  x = f32[90] parameter(0)\n  y = f32[3] slice(x), slice={[0:3]}\n"
        "  z = f32[3] slice(x), slice={[3:6]}\n  ROOT s = f32[3] add(y, z)\n}\n",
        3,
        0,
        12 + 2 * 12,
    ),
    "a fused update in place writes and reads its update": (
        "a = f32[90] parameter(0); u = f32[3] parameter(1); i = s32[] parameter(2); "
        "b = f32[90] fusion(a, u, i), kind=kLoop, calls=update",
        "update {\n  x = f32[90] parameter(0)\n  u = f32[3] parameter(1)\n  i = s32[] parameter(2)\n"
        "  ROOT y = f32[90] dynamic-update-slice(x, u, i)\n}\n",
        0,
        0,
        12 + (0 + 12 + 4),
    ),
    "a fused broadcast reads again what others share": (
        "a = f32[4] parameter(0); b = f32[4] fusion(a), kind=kLoop, calls=spread",
        "spread {\n  x = f32[4] parameter(0)\n  y = f32[4,4] broadcast(x), dimensions={0}\n"
        "  n = f32[4] negate(x)\n  ROOT m = f32[4] multiply(n, x)\n}\n",
        8,
        0,
        16 + (16 + 16),
    ),
    "a fused constant of more than one element, used or not": (
        "a = f32[4] parameter(0); b = f32[4] fusion(a), kind=kLoop, calls=holds",
        "holds {\n  x = f32[4] parameter(0)\n  c = f32[3] constant({1, 2, 3})\n  one = f32[] constant(1)\n"
        "  ROOT n = f32[4] negate(x)\n}\n",
        4,
        0,
        16 + 12 + 16,
    ),
    "a fusion's unused parameter": (
        "a = f32[4] parameter(0); b = f32[70] parameter(1); c = f32[4] fusion(a, b), kind=kLoop, calls=first",
        "first {\n  x = f32[4] parameter(0)\n  y = f32[70] parameter(1)\n  ROOT n = f32[4] negate(x)\n}\n",
        4,
        0,
        32,
    ),
}


def module_text(entry: str, before: str) -> str:
    lines = "\n  ".join(entry.split("; "))
    return f"HloModule m\n\n{before}\nENTRY main {{\n  {lines}\n}}\n"


@pytest.mark.parametrize("case", CASES)
def test_rule(case: str) -> None:
    entry, before, flops, transcendentals, moved = CASES[case]
    text = module_text(entry, before)
    assert xla_cost(parse(text)) == XlaCost(flops, transcendentals, moved)
    if AVAILABLE:
        theirs = reference(text)
        assert theirs.refused is None
        assert theirs.figures[:COMPARABLE] == (flops, transcendentals, moved)[:COMPARABLE]


def test_sums_are_float32_in_the_order_of_the_visit() -> None:
    """2^24 + 1 + 1 is 2^24, 1 + 1 + 2^24 is 2^24 + 2: dead code is first, in the text's order."""
    big, small = "ROOT big = f32[16777216] negate(a)", "one = f32[] negate(b); other = f32[] negate(b)"
    parameters = "a = f32[16777216] parameter(0); b = f32[] parameter(1)"
    first = xla_cost(parse(module_text(f"{parameters}; {small}; {big}", "")))
    assert first.flops == 2**24 + 2
    dead = "dead = f32[16777216] negate(a); one = f32[] negate(b); ROOT other = f32[] negate(b)"
    assert xla_cost(parse(module_text(f"{parameters}; {dead}", ""))).flops == 2**24


def test_conformance_modules() -> None:
    if not CONFORMANCE.exists():
        pytest.skip(f"no conformance modules at {CONFORMANCE}")
    with gzip.open(CONFORMANCE, "rt") as file:
        modules: list[dict[str, Any]] = [json.loads(line) for line in file]
    wrong = []
    for module in modules:
        theirs = XlaCost(*(module["xla"].get(k, 0.0) for k in ("flops", "transcendentals", "bytes accessed")))
        ours = xla_cost(parse(module["hlo"], filename=module["name"]))
        if ours != theirs:
            wrong.append(f"{module['name']}: {ours}, XLA says {theirs}")
    assert len(modules) == 2154
    assert not wrong, f"{len(wrong)} of {len(modules)} differ:\n" + "\n".join(wrong[:20])


@pytest.mark.skipif(not AVAILABLE, reason="this jaxlib has no jaxlib._hlo to read HLO text with")
@pytest.mark.parametrize("backend", ["cpu", "tpu-v5e", "h100"])
def test_fixtures(backend: str) -> None:
    """Every stored text parses in XLA, and costs what XLA's CPU analysis says of it."""
    for name in fixture_files.compiled_names(backend):
        text = fixture_files.text(backend, name)
        ours, theirs = xla_cost(parse(text)), reference(text)
        assert theirs.refused is None, f"{backend}/{name}: {theirs.refused}"
        figures = (ours.flops, ours.transcendentals, ours.bytes)
        assert figures[:COMPARABLE] == theirs.figures[:COMPARABLE], f"{backend}/{name}"


def test_instructions_sum_to_the_module() -> None:
    """What `xla_costs` lists, added in its order in float32, is the module's figure."""
    for name in fixture_files.compiled_names("cpu"):
        module = parse(fixture_files.text("cpu", name))
        total = XlaCost()
        for instruction, cost in xla_costs(module.entry):
            assert xla_instruction_cost(instruction) == cost
            total = XlaCost(
                f32(total.flops + cost.flops),
                f32(total.transcendentals + cost.transcendentals),
                f32(total.bytes + cost.bytes),
            )
        assert total == xla_cost(module)


def test_one_instruction_costs_what_it_calls() -> None:
    entry = "a = f32[4] parameter(0); b = f32[4] fusion(a), kind=kLoop, calls=square; "
    entry += "c = f32[4] call(b), to_apply=square"
    module = parse(module_text(entry, SQUARE))
    assert xla_instruction_cost(module.entry["b"]) == XlaCost(4.0, 0.0, 32.0)
    assert xla_instruction_cost(module.entry["c"]) == XlaCost(4.0, 0.0, 48.0)
    assert xla_instruction_cost(module.entry["a"]) == XlaCost(0.0, 0.0, 0.0)


def test_a_call_without_callee_is_an_error() -> None:
    text = module_text("a = f32[4] parameter(0); b = f32[4] fusion(a), kind=kLoop", "")
    with pytest.raises(HloCountError, match=r"dump\.txt:6:\d+: b is a fusion without calls="):
        xla_cost(parse(text, filename="dump.txt"))


def test_a_missing_attribute_is_an_error_with_its_place() -> None:
    text = module_text("a = f32[1,4,2] parameter(0); c = f32[1,4,2] convolution(a, a), window={size=3}", "")
    with pytest.raises(HloCountError, match=r"dump\.txt:6:\d+: c is a convolution without dim_labels="):
        xla_cost(parse(text, filename="dump.txt"))


def test_calls_nest_deeper_than_the_stack() -> None:
    depth = 2000
    names = ["square", *(f"c{n}" for n in range(depth))]
    calls = [
        f"{caller} {{\n  x = f32[4] parameter(0)\n  ROOT y = f32[4] call(x), to_apply={callee}\n}}\n"
        for callee, caller in pairwise(names)
    ]
    entry = f"a = f32[4] parameter(0); b = f32[4] call(a), to_apply={names[-1]}"
    assert xla_cost(parse(module_text(entry, SQUARE + "".join(calls)))) == XlaCost(4.0, 0.0, 48.0)


@given(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 2**29).map(lambda n: (n << 33) + 1))
def test_integers_round_once(value: int) -> None:
    assert f32_of_int(value) == float(np.int64(value).astype(np.float32))


@given(st.floats(width=32, allow_nan=False), st.floats(width=32, allow_nan=False))
def test_sums_and_products_round_as_float32(a: float, b: float) -> None:
    with np.errstate(all="ignore"):
        expected = [float(np.float32(a) + np.float32(b)), float(np.float32(a) * np.float32(b))]
    assert np.array_equal([f32(a + b), f32(a * b)], expected, equal_nan=True)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_int64_wraps(a: int, b: int) -> None:
    with np.errstate(over="ignore"):
        assert int64(a * b) == int(np.int64(a) * np.int64(b))


@given(
    st.integers(1, 9),
    st.integers(1, 6),
    st.integers(1, 12),
    st.builds(
        WindowDimension,
        stride=st.integers(1, 4),
        padding_low=st.integers(-3, 9),
        base_dilation=st.integers(1, 4),
        window_dilation=st.integers(1, 3),
    ),
)
def test_valid_positions_are_those_that_a_walk_finds(
    inputs: int, kernel: int, outputs: int, window: WindowDimension
) -> None:
    holes = window.base_dilation
    landings = (
        o * window.stride - window.padding_low + k * window.window_dilation
        for k in range(kernel)
        for o in range(outputs)
    )
    found = sum(at % holes == 0 and 0 <= at // holes < inputs for at in landings)
    assert valid_positions(inputs, kernel, outputs, window) == found
