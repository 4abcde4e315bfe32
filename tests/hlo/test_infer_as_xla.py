"""Shapes that the text leaves out where they are dynamic, tiled, of mixed types or of odd sizes: XLA infers the same."""

from __future__ import annotations

import pytest
from xla_reference import AVAILABLE, COMPARABLE, FIGURES, reference

import hlo_count
from hlo_count.hlo import parse
from hlo_count.hlo.dtypes import DTYPES

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="this jaxlib has no jaxlib._hlo to read HLO text with")

BODIES = """add { x = f32[] parameter(0) y = f32[] parameter(1) ROOT s = f32[] add(x, y) }
pair {
  x = f32[] parameter(0) y = f32[] parameter(1) v = f32[] parameter(2) w = f32[] parameter(3)
  ROOT t = tuple(x, y)
}
half { x = f32[] parameter(0) ROOT h = bf16[] convert(x) }
whole { x = f32[<=4,3] parameter(0) ROOT h = f32[<=4,3] negate(x) }
fixed { x = f32[4,3] parameter(0) ROOT h = f32[4,3] negate(x) }
"""
TILED = "f32[6,<=5]{0,1:T(8,128)E(4)S(1)}"
ROWS = "offset_dims={1}, collapsed_slice_dims={0}, start_index_map={0}, index_vector_dim=1"
RAGGED = "lhs_contracting_dims={1}, rhs_contracting_dims={1}, lhs_ragged_dims={0}, rhs_group_dims={0}"

# parameters a, b, c ...: right-hand sides of `ROOT r = ...`
CASES: dict[str, list[str]] = {
    "c64[4]": ["abs(a)", "real(a)", "negate(a)"],
    "f32[5,5]{0,1:T(128)E(3)S(1)}": [
        *(
            "abs(a)",
            "real(a)",
            "negate(a)",
            "is-finite(a)",
            "add(a, a)",
            "complex(a, a)",
            "compare(a, a), direction=LT",
        ),
        *("transpose(a), dimensions={1,0}", "reverse(a), dimensions={0}", "fft(a), fft_type=RFFT, fft_length={5}"),
        *("clamp(a, a, a)", "tuple(a, a)", "broadcast(a), dimensions={3}"),
    ],
    "c64[5,<=5]{0,1:T(128)E(3)S(1)}": [
        *("abs(a)", "imag(a)", "fft(a), fft_type=IRFFT, fft_length={8}", "fft(a), fft_type=FFT, fft_length={5}"),
    ],
    "s4[6,5]{1,0:E(4)}; s4[6,5]": ["add(a, b)", "add(b, a)", "compare(a, b), direction=LT"],
    "bf16[6,5]; bf16[]": ["reduce(a, b), dimensions={0}, to_apply=add", "add(a, b)"],
    "bf16[6,<=5]; f32[]": [
        "reduce(a, b), dimensions={0}, to_apply=add",
        "reduce(a, a, b, b), dimensions={0}, to_apply=pair",
        "reduce-window(a, b), window={size=1x2 stride=1x2}, to_apply=add",
        "reduce-window(a, b), window={size=2x2 pad=1_0x0_0 lhs_dilate=2x1}, to_apply=add",
        "pad(a, b), padding=1_1x0_0_2",
        "map(b), dimensions={}, to_apply=half",
    ],
    "f32[1,5]; f32[6,5]": [
        f"{opcode}(a, b)"
        for opcode in ("add", "atan2", "divide", "maximum", "power", "subtract", "complex", "remainder")
    ]
    + ["compare(b, a), direction=GE"],
    "s32[1,5]; s32[6,1]": ["and(a, b)", "shift-left(b, a)", "xor(a, b)", "mulhi(a, a)"],
    "f32[1,<=5]{0,1}; f32[6,5]": ["add(a, b)", "compare(a, b), direction=LT"],
    f"{TILED}; f32[]": ["add(a, b)", "add(b, a)", "clamp(b, a, b)"],
    f"{TILED}; f32[6,5]": ["add(a, b)", "add(b, a)", "complex(b, a)"],
    f"{TILED}; bf16[6,5]; pred[6,5]{{0,1:T(2)E(2)S(3)}}; pred[]; pred[6,5]": [
        *("select(c, a, a)", "select(c, b, b)", "select(c, a, b)", "select(c, b, a)"),
        *("select(d, a, b)", "select(d, b, a)", "select(e, a, b)", "select(e, b, a)"),
    ],
    "f32[6,5]; f32[6,?]; pred[6,<=5]; f32[6,<=5]": ["select(c, a, b)", "select(c, b, b)", "select(c, b, d)"],
    "f32[<=8]{0:T(128)E(3)S(1)}": ["fft(a), fft_type=RFFT, fft_length={8}"],
    "f32[?]{0:T(128)E(3)S(1)}": ["fft(a), fft_type=RFFT, fft_length={8}"],
    "f32[0]": ["fft(a), fft_type=RFFT, fft_length={0}"],
    "f32[<=8,4]": ["topk(a), k=2, largest=true"],
    "f32[8,<=4]; f32[4]": [
        "topk(a), k=2, largest=true",
        "batch-norm-training(a, b, b), epsilon=1, feature_index=1",
        "batch-norm-grad(a, b, b, b, a), epsilon=1, feature_index=1",
        "batch-norm-inference(a, b, b, b, b), epsilon=1, feature_index=1",
    ],
    "f32[?,4]; f32[3,4]; f32[<=3,4]; f32[1,4]; f32[]; bf16[?,4]": [
        *(f"concatenate({x}, {y}), dimensions={{{axis}}}" for x, y in ("ab", "ba", "ac", "ca", "bc") for axis in "01"),
        *(f"add({x}, {y})" for x, y in ("aa", "ab", "ba", "ac", "ca", "ad", "da", "ae", "ea", "bc", "fa")),
        *(
            "negate(a)",
            "reverse(a), dimensions={0}",
            "pad(a, e), padding=1_1x1_1",
            "reduce(a, e), dimensions={1}, to_apply=add",
        ),
        *("dot(a, b), lhs_contracting_dims={1}, rhs_contracting_dims={1}", "transpose(a), dimensions={1,0}"),
        "reduce-window(a, e), window={size=1x2 stride=1x2}, to_apply=add",
    ],
    "bf16[3,4]; f32[3,4]": ["concatenate(a, b, a), dimensions={0}", "concatenate(b, a), dimensions={0}"],
    "f32[<=2,?,8,4]; f32[3,3,4,16]": ["convolution(a, b), window={size=3x3}, dim_labels=b01f_01io->b01f"],
    "f32[2,<=8,8,<=4]; f32[3,<=3,4,16]": [
        f"convolution(a, b), window={{size=3x3}}, dim_labels={labels}"
        for labels in ("b01f_01io->b01f", "b10f_10io->bf10", "b01f_10io->01bf")
    ],
    "f32[2,4]; f32[4,16]": ["convolution(a, b), dim_labels=bf_io->bf"],
    "f32[3,<=5]; s32[<=4,1]": [
        *(f"gather(a, b), {ROWS}, slice_sizes={{1,5}}", f"gather(a, b), {ROWS}, slice_sizes={{1,3}}"),
    ],
    "f32[<=11,5]; bf16[3,5,<=7]; s32[3]": [f"ragged-dot(a, b, c), {RAGGED}"],
    "f32[11,<=5]; f32[11,7]; s32[<=3]": [
        "ragged-dot(a, b, c), lhs_contracting_dims={0}, rhs_contracting_dims={0}, lhs_ragged_dims={0}"
    ],
    "bf16[<=2,11,5]; f32[2,5,7]; s32[3]": [
        "ragged-dot(a, b, c), lhs_batch_dims={0}, rhs_batch_dims={0}, lhs_contracting_dims={2}, "
        "rhs_contracting_dims={1}, lhs_ragged_dims={0}"
    ],
    "f32[8,16]; f32[8,1]; f32[16,4]": [
        "scaled-dot(a, b, c, c), lhs_contracting_dims={1}, rhs_contracting_dims={0}",
    ],
    "f32[]": ["broadcast(a), dimensions={}", "broadcast(a), dimensions={2,3}"],
    "s32[]; f32[4,3]": [
        "f32[<=4] constant({1, 2, 3, 4})",
        "(f32[<=2], s32[2]) constant(({1, 2}, {1, 2}))",
        "set-dimension-size(b, a), dimensions={0}",
    ],
    "pred[]; f32[4,3]; f32[<=4,3]": [
        "conditional(a, b, c), true_computation=fixed, false_computation=whole",
        "call(b), to_apply=fixed",
    ],
}
PAIRS = [(parameters, instruction) for parameters, instructions in CASES.items() for instruction in instructions]


def text_of(parameters: str, instruction: str) -> str:
    lines = [f"  {'abcdef'[n]} = {shape} parameter({n})\n" for n, shape in enumerate(parameters.split("; "))]
    return f"HloModule m\n\n{BODIES}\nENTRY e {{\n{''.join(lines)}  ROOT r = {instruction}\n}}\n"


def said(text: str) -> list[tuple[object, ...]]:
    """All that the root's shape says, leaf by leaf; default layouts spelled out."""
    found = []
    for leaf in parse(text).entry.root.shape.leaves:
        layout = leaf.layout
        rest = (layout.tiles, layout.element_bits, layout.memory_space) if layout is not None else ((), None, 0)
        marks = leaf.dynamic or (False,) * leaf.rank
        found.append((leaf.dtype, leaf.dimensions, marks, leaf.minor_to_major, *rest))
    return found


@pytest.mark.parametrize(("parameters", "instruction"), PAIRS)
def test_inferred_as_xla_does(parameters: str, instruction: str) -> None:
    text = text_of(parameters, instruction)
    theirs = reference(text)
    if "?" in parameters and "aborted" in (theirs.refused or "") and len(FIGURES) > COMPARABLE:
        pytest.skip("newer jaxlibs abort when they count what has a size of ?")
    assert theirs.refused is None, theirs.refused
    assert said(text) == said(theirs.printed)


@pytest.mark.parametrize(("parameters", "instruction"), PAIRS)
def test_what_is_inferred_can_be_read_again(parameters: str, instruction: str) -> None:
    module = parse(text_of(parameters, instruction))
    again = parse(module.to_text())
    assert [str(i.shape) for i in again.entry] == [str(i.shape) for i in module.entry]


def test_types_that_meet() -> None:
    """Every two floating types: what XLA adds them in, where it knows."""
    floats = [name for name, dtype in DTYPES.items() if dtype.is_float]
    known = 0
    for n, one in enumerate(floats):
        for other in floats[n + 1 :]:
            text = text_of(f"{one}[2]; {other}[2]", "add(a, b)")
            theirs = reference(text)
            if theirs.refused is None:  # it aborts for two with the same range and precision
                known += 1
                assert said(text) == said(theirs.printed), (one, other)
    assert known > 100


def test_reduced_in_a_wider_type_is_counted() -> None:
    text = text_of("bf16[6,5]; bf16[]", "reduce(a, b), dimensions={0}, to_apply=add")
    report = hlo_count.count(text, convention="xla")
    assert report.flops == 5 * 5  # five additions for each of five sums of six
    if len(FIGURES) == COMPARABLE:
        assert report.bytes == reference(text).figures[2]
