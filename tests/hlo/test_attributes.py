"""Attributes: split, unquoted, and the values read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hlo_count.hlo.attributes import (
    WindowDimension,
    attribute_of,
    int_list,
    parse_config,
    parse_window,
    split_attributes,
    unquote,
)

SPLIT = {
    "": {},
    ", a=1": {"a": "1"},
    ", a=1, b={x, y}": {"a": "1", "b": "{x, y}"},
    ', a="x, b=2", c=3': {"a": '"x, b=2"', "c": "3"},
    ', a="say \\"hi, }\\"", c=3': {"a": '"say \\"hi, }\\""', "c": "3"},
    ', dims={0,1}, op={op_name="f(a)/{b}" source_line=3}': {
        "dims": "{0,1}",
        "op": '{op_name="f(a)/{b}" source_line=3}',
    },
    ", a={1, /*index=5*/2}": {"a": "{1, 2}"},
    ", groups=mesh['x'=2] {'x'}, b=1": {"groups": "mesh['x'=2] {'x'}", "b": "1"},
    ", deep={1{2{3{4{5{6{7{8}}}}}}}}, b=1": {"deep": "{1{2{3{4{5{6{7{8}}}}}}}}", "b": "1"},
    ", slice={[0:4], [1:3:2]}": {"slice": "{[0:4], [1:3:2]}"},
    ", control-predecessors={%a, %b}, x=y": {"control-predecessors": "{%a, %b}", "x": "y"},
}


@pytest.mark.parametrize("text", SPLIT)
def test_split(text: str) -> None:
    assert split_attributes(text) == SPLIT[text]


@pytest.mark.parametrize("text", SPLIT)
@pytest.mark.parametrize("name", sorted({"none", *(name for found in SPLIT.values() for name in found)}))
def test_one_attribute_is_that_of_all(text: str, name: str) -> None:
    assert attribute_of(text, name) == SPLIT[text].get(name)


def test_one_attribute_is_not_taken_out_of_another() -> None:
    text = ', kind=kLoop, metadata={op_name="a, calls=%b"}, calls=%c'
    assert attribute_of(text, "calls") == "%c"
    assert attribute_of(text, "kind") == "kLoop"
    assert attribute_of(text, "op_name") is None


@given(st.text("ab{}[]()\"'\\,= /*", max_size=40))
def test_splitting_anything_ends(text: str) -> None:
    assert isinstance(split_attributes(f", x={text}"), dict)


@given(st.text(max_size=20))
def test_a_string_is_read_whole_whatever_is_in_it(content: str) -> None:
    written = '"' + content.replace("\\", "\\\\").replace('"', '\\"') + '"'
    found = split_attributes(f", a={written}, b=2")
    assert list(found) == ["a", "b"]
    assert unquote(found["a"]) == content


UNQUOTED = {
    '"plain"': "plain",
    "'single'": "single",
    "bare": "bare",
    r'"a \"b\" \\ c"': 'a "b" \\ c',
    r'"tab\there\nand on"': "tab\there\nand on",
    # XLA escapes what is not ASCII as C does, byte by byte.
    r'"\303\251t\303\251"': "été",
    r'"\xc3\xa9"': "é",
    '"é"': "é",
    '""': "",
}


@pytest.mark.parametrize("text", UNQUOTED)
def test_unquote(text: str) -> None:
    assert unquote(text) == UNQUOTED[text]


def test_int_list() -> None:
    assert int_list("{0,2, -1}") == (0, 2, -1)
    assert int_list("{}") == ()
    assert int_list(None) == ()


def test_windows() -> None:
    assert parse_window("{size=3x2 pad=1_1x-1_2 stride=2x1 lhs_dilate=1x4 rhs_dilate=2x1 rhs_reversal=0x1}") == (
        WindowDimension(3, 2, 1, 1, 1, 2, False),
        WindowDimension(2, 1, -1, 2, 4, 1, True),
    )
    assert parse_window("{pad=-1_2 size=3}") == (WindowDimension(size=3, padding_low=-1, padding_high=2),)
    assert parse_window(None, 2) == (WindowDimension(), WindowDimension())
    assert parse_window("{}", 1) == (WindowDimension(),)


def test_configs() -> None:
    assert parse_config('{"a":{"n":"10"}}') == {"a": {"n": "10"}}
    assert parse_config('"{\\"a\\":1}"') == {"a": 1}
    for other in (None, "", "{mode = 86 : ui8}", "[1]", "3", '"text"', "[" * 100_000):
        assert parse_config(other) is None


def test_a_window_field_may_have_blanks_after_its_sign() -> None:
    assert [w.size for w in parse_window("{size= 3x5 stride=\n2x2}")] == [3, 5]
