"""Shapes that the text leaves out: what XLA infers on the same text."""

from __future__ import annotations

import pytest
from xla_reference import AVAILABLE, reference

import hlo_count
from hlo_count.errors import HloCountError
from hlo_count.hlo import parse

ADD = "add {\n  x = f32[] parameter(0)\n  y = f32[] parameter(1)\n  ROOT s = f32[] add(x, y)\n}\n"
TO_BF16 = "half {\n  x = f32[] parameter(0)\n  ROOT h = bf16[] convert(x)\n}\n"

# right-hand side of `ROOT r = ...` over these parameters: the shape
PARAMETERS = {
    "a": "f32[2,3]{0,1}",
    "b": "f32[3,5]",
    "p": "pred[2,3]",
    "z": "f32[]",
    "i": "s32[4,1]",
    "n": "s4[6]{0:E(4)}",
    "d": "f32[<=8,3]",
    "c": "c64[4]",
    "g": "f32[1,8,8,4]",
    "k": "f32[3,3,4,16]",
    "t": "(f32[2], s8[3])",
    "u": "bf16[3,5]",
}
SHAPES = {
    "negate(a)": "f32[2,3]{0,1}",
    "add(a, a)": "f32[2,3]{0,1}",
    "add(n, n)": "s4[6]{0:E(4)}",
    "add(d, d)": "f32[<=8,3]",
    "compare(a, a), direction=LT": "pred[2,3]{0,1}",
    "compare(d, d), direction=LT": "pred[<=8,3]",
    "is-finite(a)": "pred[2,3]{0,1}",
    "select(p, a, a)": "f32[2,3]",  # as the predicate is laid out
    "clamp(z, a, z)": "f32[2,3]{0,1}",
    "tuple(a, (f32[2], s8[3]) t)": "(f32[2,3]{0,1}, (f32[2], s8[3]))",
    "get-tuple-element(t), index=1": "s8[3]",
    "transpose(a), dimensions={1,0}": "f32[3,2]{1,0}",
    "reshape(a)": None,  # nothing says to what
    "pad(b, z), padding=1_2x0_1_3": "f32[6,18]",  # 3 + 1 + 2; 5 + 1 + 3 * 4 holes
    "pad(b, z), padding=-1_0x0_0": "f32[2,5]",
    "concatenate(b, b), dimensions={1}": "f32[3,10]",
    "slice(b), slice={[1:3], [0:5:2]}": None,
    "dot(a, b), lhs_contracting_dims={1}, rhs_contracting_dims={0}": "f32[2,5]",
    "dot(a, u), lhs_contracting_dims={1}, rhs_contracting_dims={0}": "f32[2,5]",
    "convolution(g, k), window={size=3x3 pad=1_1x1_1 stride=2x2}, dim_labels=b01f_01io->b01f": "f32[1,4,4,16]",
    "convolution(g, k), window={size=3x3 rhs_dilate=2x1}, dim_labels=b01f_01io->b01f": "f32[1,4,6,16]",
    "reduce(b, z), dimensions={0}, to_apply=add": "f32[5]",
    "reduce(b, b, z, z), dimensions={0,1}, to_apply=both": "(f32[], f32[])",
    "reduce-window(b, z), window={size=2x2 stride=1x2}, to_apply=add": "f32[2,2]",
    "gather(b, i), offset_dims={1}, collapsed_slice_dims={0}, start_index_map={0}, index_vector_dim=1, "
    "slice_sizes={1,5}": "f32[4,5]",
    "map(z), dimensions={}, to_apply=half": "bf16[]",
    "call(z), to_apply=half": "bf16[]",
    "fft(c), fft_type=IFFT, fft_length={4}": "c64[4]",
    "fft(c), fft_type=IRFFT, fft_length={6}": "f32[6]",
    "fft(b), fft_type=RFFT, fft_length={5}": "c64[3,3]",
    "real(c)": "f32[4]",
    "complex(b, b)": "c64[3,5]",
    "sort(b), dimensions={0}, to_apply=less": "f32[3,5]",
    "reverse(b), dimensions={0}": "f32[3,5]",
    "get-dimension-size(d), dimensions={0}": "s32[]",
    "partition-id()": "u32[]",
    "after-all()": "token[]",
    "all-reduce(b), to_apply=add": "f32[3,5]",
    "opt-barrier(t)": "(f32[2], s8[3])",
}
LESS = "less {\n  x = f32[] parameter(0)\n  y = f32[] parameter(1)\n  ROOT l = pred[] compare(x, y), direction=LT\n}\n"
BOTH = """both {
  x = f32[] parameter(0)
  y = f32[] parameter(1)
  v = f32[] parameter(2)
  w = f32[] parameter(3)
  ROOT t = (f32[], f32[]) tuple(x, y)
}
"""


def text_of(instruction: str) -> str:
    lines = [f"  {name} = {shape} parameter({n})" for n, (name, shape) in enumerate(PARAMETERS.items())]
    body = "\n".join([*lines, f"  ROOT r = {instruction}"])
    return f"HloModule m\n\n{ADD}\n{TO_BF16}\n{LESS}\n{BOTH}\nENTRY e {{\n{body}\n}}\n"


@pytest.mark.parametrize("instruction", [text for text, shape in SHAPES.items() if shape is not None])
def test_inferred(instruction: str) -> None:
    assert str(parse(text_of(instruction)).entry.root.shape) == SHAPES[instruction]


@pytest.mark.skipif(not AVAILABLE, reason="this jaxlib has no jaxlib._hlo to read HLO text with")
@pytest.mark.parametrize("instruction", [text for text, shape in SHAPES.items() if shape is not None])
def test_inferred_as_xla_does(instruction: str) -> None:
    """Dimensions, dtype and dynamic bounds are XLA's; where it names a layout, so is that."""
    found = reference(text_of(instruction))
    if found.refused is not None:
        pytest.skip(f"XLA infers no shape here: {found.refused.splitlines()[-1]}")
    theirs, ours = parse(found.printed).entry.root.shape, parse(text_of(instruction)).entry.root.shape
    assert len(theirs.leaves) == len(ours.leaves)
    for one, other in zip(theirs.leaves, ours.leaves, strict=True):
        assert (one.dtype, one.dimensions, one.dynamic) == (other.dtype, other.dimensions, other.dynamic)
        if one.is_array:
            assert one.minor_to_major == other.minor_to_major


@pytest.mark.parametrize("instruction", [text for text, shape in SHAPES.items() if shape is None])
def test_what_operands_do_not_settle_is_an_error_with_a_line(instruction: str) -> None:
    with pytest.raises(HloCountError, match=r":\d+: r has no shape|:\d+: the shape of r does not follow"):
        parse(text_of(instruction))


@pytest.mark.parametrize(
    "instruction",
    [
        "pad(b, z), padding=x",
        "gather(b, i)",
        "gather(b, i), offset_dims={7}, index_vector_dim=1, slice_sizes={1,5}",
        "convolution(g, k)",
        "fft(c)",
        "transpose(a), dimensions={4,0}",
        "get-tuple-element(a), index=0",
        "map(z), dimensions={}",
        "topk(b)",
    ],
)
def test_attributes_that_are_missing_or_wrong(instruction: str) -> None:
    with pytest.raises(HloCountError, match="write it out|no tuple|names no to_apply"):
        parse(text_of(instruction))


RECOMPUTED = {
    "(f32[7,7], u32[], token[]) send(b, after-all()), channel_id=1": "(f32[3,5], u32[], token[])",
    "f32[7] add-dependency(b, after-all())": "f32[3,5]",
    "(f32[7], f32[3]) infeed(after-all())": "(f32[7], token[])",
    "(f32[7]) tuple(b)": "(f32[7])",  # what the text says
    "f32[7] get-tuple-element(t), index=0": "f32[7]",
}


@pytest.mark.parametrize("instruction", RECOMPUTED)
def test_what_is_recomputed_whatever_the_text_says(instruction: str) -> None:
    assert str(parse(text_of(instruction)).entry.root.shape) == RECOMPUTED[instruction]
    if AVAILABLE:
        theirs = parse(reference(text_of(instruction)).printed).entry.root.shape
        assert str(theirs).replace("{0}", "").replace("{1,0}", "") == RECOMPUTED[instruction]


def test_inferred_shapes_are_counted() -> None:
    text = "HloModule m\nf { x = f32[4] parameter(0) y = add(x, x) ROOT z = multiply(y, y) }\n"
    report = hlo_count.count(
        text + "ENTRY e { a = f32[4] parameter(0) ROOT r = f32[4] fusion(a), kind=kLoop, calls=f }"
    )
    assert report.flops == 2 * 4


@pytest.mark.parametrize("callers_first", [False, True])
def test_a_nest_of_calls_without_shapes_is_settled_however_deep(callers_first: bool) -> None:
    depth = 3000  # Python's stack has 1000
    callees = [
        f"c{n} {{\n  p = f32[8] parameter(0)\n  ROOT r = {f'call(p), to_apply=c{n - 1}' if n else 'negate(p)'}\n}}\n"
        for n in range(depth)
    ]
    entry = f"ENTRY e {{\n  p = f32[8] parameter(0)\n  ROOT r = call(p), to_apply=c{depth - 1}\n}}\n"
    texts = [*callees, entry]
    module = parse("HloModule m\n" + "".join(reversed(texts) if callers_first else texts))
    assert {str(c.root.shape) for c in module.computations.values()} == {"f32[8]"}
