"""Shapes: bytes with tiles, element bits, dynamic bounds, tuples; spelled and read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xla_reference import AVAILABLE, reference

from hlo_count.errors import HloCountError
from hlo_count.hlo import parse, parse_shape
from hlo_count.hlo.dtypes import DTYPES
from hlo_count.hlo.shapes import UNBOUNDED, Layout, array, static, tuple_of

BYTES = {
    "f32[8,128]": 8 * 128 * 4,
    "bf16[3]{0}": 3 * 2,
    "pred[5]": 5,
    "c64[2]": 2 * 8,
    "c128[2]": 2 * 16,
    "f32[]": 4,
    "f32[0,7]": 0,
    "f8e4m3fn[10]": 10,
    "f4e2m1fn[10]": 10,  # a byte each, without E(4)
    "s4[10]": 10,
    "s4[10]{0:E(4)}": 5,
    "s4[11]{0:E(4)}": 6,  # ceil(44 / 8)
    "u2[9]{0:E(2)}": 3,  # ceil(18 / 8)
    "f32[<=8,3]": 8 * 3 * 4,
    # Only the first tile pads; the second one orders what is in the first.
    "bf16[9,130]{1,0:T(8,128)(2,1)}": 16 * 256 * 2,
    "bf16[9,130]{0,1:T(8,128)(2,1)}": 136 * 128 * 2,  # 130 major, 9 minor
    "f32[5,9,130]{2,1,0:T(8,128)}": 5 * 16 * 256 * 4,
    "f32[130]{0:T(256)}": 256 * 4,
    "f32[1000]{0:T(1024)S(1)}": 1024 * 4,
    "f32[]{:T(128)}": 512,
    "s32[3]{0:T(8,128)}": 8 * 128 * 4,  # fewer dimensions than the tile: 1 before them
    "s4[8,128]{1,0:T(8,128)(8,1)E(4)}": 8 * 128 // 2,
    "f32[3,5]{1,0:T(*,8)}": 3 * 8 * 4,  # * joins a dimension with the next one
    "(f32[2], s32[])": 2 * 4 + 4,
    "(f32[2], (bf16[3]{0}, pred[]), token[])": 2 * 4 + 3 * 2 + 1,
    "()": 0,
    "token[]": 0,
    "opaque[]": 0,
    "b(f32[4])": 4 * 4,
}


@pytest.mark.parametrize("text", BYTES)
def test_bytes(text: str) -> None:
    assert parse_shape(text).bytes == BYTES[text]


@pytest.mark.parametrize("text", BYTES)
def test_a_shape_prints_as_it_was_written(text: str) -> None:
    assert str(parse_shape(text)) == text
    assert parse_shape(str(parse_shape(text))) == parse_shape(text)


def test_parts() -> None:
    shape = parse_shape("bf16[8,<=16]{0,1:T(8,128)(2,1)E(16)S(5)}")
    assert (shape.dtype, shape.dimensions, shape.dynamic, shape.rank) == ("bf16", (8, 16), (False, True), 2)
    assert shape.layout == Layout((0, 1), ((8, 128), (2, 1)), 16, 5, "{0,1:T(8,128)(2,1)E(16)S(5)}")
    assert (shape.memory_space, shape.minor_to_major, shape.size) == (5, (0, 1), 128)
    assert shape.is_array
    assert shape.element_type.bits == 16


def test_tuples() -> None:
    shape = parse_shape("(token[], (f32[2,3], s8[4]{0:S(1)}), f32[])")
    assert shape.is_tuple
    assert [str(leaf) for leaf in shape.leaves] == ["token[]", "f32[2,3]", "s8[4]{0:S(1)}", "f32[]"]
    assert shape.size == 6  # of the first array leaf
    assert shape.bytes_by_space == ((0, 24 + 4), (1, 4))
    with pytest.raises(HloCountError, match="has no element type: it is a tuple"):
        _ = shape.element_type


def test_comments_and_spaces() -> None:
    text = "( f32 [2, /*rows=*/ 3 ] , /*index=1*/ s32[] // the count\n )"
    assert str(parse_shape(text)) == "(f32[2,3], s32[])"


COMMENTED = {
    "f32[2,/*}*/3]{1,0}": "f32[2,3]{1,0}",
    "f32[2,/*]*/3]{1,0}": "f32[2,3]{1,0}",
    "f32[2,3]{1,/*}*/0}": "f32[2,3]{1,0}",
    "f32[2,3]{/*{*/1,0:T(8,128)/*S(5)*/S(1)}": "f32[2,3]{1,0:T(8,128)S(1)}",
    "f32[2,3]{1,0:T(2,/*(*/3)}": "f32[2,3]{1,0:T(2,3)}",
    "f32[2, // x (}]\n 3]{1,0}": "f32[2,3]{1,0}",
    "f32[2,3]{1, // x (}\r 0}": "f32[2,3]{1, 0}",
    "f32/*[*/[2,3]/*{0}*/{1,0}": "f32[2,3]{1,0}",
    "f32[/**/]": "f32[]",
    "(/*)*/f32[2/*)*/], s32[/*)*/]/*,*/)": "(f32[2], s32[])",
    "b /*(*/ (f32[4])": "b(f32[4])",
}


@pytest.mark.parametrize("text", COMMENTED)
def test_comments_inside(text: str) -> None:
    assert str(parse_shape(text)).replace(" ", "") == COMMENTED[text].replace(" ", "")
    assert parse_shape(text).bytes == parse_shape(COMMENTED[text]).bytes


@pytest.mark.skipif(not AVAILABLE, reason="this jaxlib has no jaxlib._hlo to read HLO text with")
@pytest.mark.parametrize("text", COMMENTED)
def test_comments_inside_as_xla_reads_them(text: str) -> None:
    plain, commented = (
        f"HloModule m\n\nENTRY e {{\n  p = {shape} parameter(0)\n  q = {shape} copy({shape} p)\n  ROOT t = tuple(p, q)\n}}\n"
        for shape in (COMMENTED[text], text)
    )
    assert reference(commented).refused is None
    assert reference(commented).printed == reference(plain).printed
    assert parse(commented) == parse(plain)


def test_no_layout_is_row_major() -> None:
    assert parse_shape("f32[2,3,4]").minor_to_major == (2, 1, 0)
    assert str(parse_shape("bf16[2,3]{1,0:T(8,128)E(16)S(1)}").with_order((0, 1))) == "bf16[2,3]{0,1:T(8,128)E(16)S(1)}"
    assert str(parse_shape("f32[2,3]").with_order((0, 1))) == "f32[2,3]{0,1}"
    assert str(parse_shape("f32[2,3]").with_order((1, 0))) == "f32[2,3]"


@pytest.mark.parametrize(
    ("text", "bits", "expected"),
    [
        ("s4[6]", 4, "s4[6]{0:E(4)}"),
        ("s4[6]{0:T(8)S(1)}", 4, "s4[6]{0:T(8)E(4)S(1)}"),
        ("s4[6]{0:T(8)L(4)SC(0:1)}", 4, "s4[6]{0:T(8)L(4)E(4)SC(0:1)}"),
        ("s4[6]{0:T(8)E(4)S(1)}", 2, "s4[6]{0:T(8)E(2)S(1)}"),
        ("s4[6]{0:T(8)E(4)S(1)}", None, "s4[6]{0:T(8)S(1)}"),
        ("s4[6]{0:E(4)}", None, "s4[6]{0}"),
        ("s4[6]", None, "s4[6]"),
    ],
)
def test_other_element_bits(text: str, bits: int | None, expected: str) -> None:
    shape = parse_shape(text).with_element_bits(bits)
    assert str(shape) == expected
    assert shape == parse_shape(expected) or shape.layout is None


def test_static() -> None:
    assert str(static(parse_shape("(f32[<=2,3]{0,1}, (s32[<=4]))"))) == "(f32[2,3]{0,1}, (s32[4]))"


def test_an_unbounded_dimension() -> None:
    shape = parse_shape("f32[?,4]")
    assert shape.dimensions == (UNBOUNDED, 4)
    assert str(shape) == "f32[?,4]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no shape"),
        ("f32", "no shape"),
        ("f33[2]", "'f33' is no shape"),
        ("f32[2", "no shape"),
        ("f32[2,x]", r"'x' is no dimension in 'f32\[2,x\]'"),
        ("f32[-1]", "'-1' is no dimension"),
        ("f32[2,]", "'' is no dimension"),
        ("f32[2 3]", "has a space where"),
        ("f32[2/**/3]", "has a space where"),
        ("f32[2,3]{1 0}", "has a space where"),
        ("f32[2]{:S(1)}", "does not name each of its 1 dimensions"),
        ("f32[2,3]{}", "does not name each of its 2 dimensions"),
        ("f32[2,3]{2,100}", "does not name each"),  # XLA's parser lets it pass, and its transpose crashes on it
        ("f32[2,3]{1,-1}", "does not name each"),
        ("f32[2]{1}", "does not name each of its 1 dimensions"),
        ("f32[2,3]{1,1}", "does not name each"),
        ("f32[2]{0", "is not closed"),
        ("f32[2]{0:T(x)}", "no layout"),
        ("f32[2]{0:T(0)}", "empty tile"),
        ("(f32[2]", r"expected ',' or '\)'"),
        ("(f32[2] s32[])", r"expected ',' or '\)'"),
        ("b(f32[2]", r"expected '\)'"),
        ("f32[2] and more", "'and more' follows it"),
    ],
)
def test_what_is_no_shape(text: str, message: str) -> None:
    with pytest.raises(HloCountError, match=message):
        parse_shape(text)


ARRAYS = st.builds(
    array, st.sampled_from(sorted(set(DTYPES) - {"token", "opaque"})), st.tuples(st.integers(0, 9), st.integers(0, 9))
)
SHAPES = st.recursive(ARRAYS, lambda inner: st.lists(inner, max_size=3).map(tuple).map(tuple_of), max_leaves=6)


@given(SHAPES)
def test_reading_what_is_printed(shape) -> None:
    assert parse_shape(str(shape)) == shape
    assert shape.bytes == sum(leaf.size * DTYPES[leaf.dtype].stored_bytes for leaf in shape.leaves)
