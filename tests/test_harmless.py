"""Text made harmless: seen, on one line, bounded, obeyed by nothing, and left alone where it is already."""

from __future__ import annotations

import html
import json
import shlex

import pytest
from hostile import HOSTILE, hostile_text, offences, quoted
from hypothesis import example, given, settings
from hypothesis import strategies as st

import hlo_count as hc
from hlo_count.harmless import (
    LONGEST,
    harmless,
    harmless_lines,
    html_text,
    json_text,
    markdown_cell,
    markdown_code,
    markdown_prose,
    plot_label,
    printable,
    spreadsheet_cell,
)

ANY = st.one_of(
    st.text(st.characters(), max_size=60),  # surrogates too
    st.lists(
        st.sampled_from(["::", "##", "[", "vso", "\\", '"', "\u0301", "\x1b", "\n", "\r\n", " ", "`", "|", "=", "$"])
    ).map("".join),
)


@given(ANY, st.integers(120, 300))
@example(HOSTILE, 300)
@example("::", 120)
@example("\\" * 500, 121)
@example("\u0301" * 500, 120)
@settings(max_examples=400, deadline=None)
def test_harmless_text_is_seen_bounded_and_stays(text: str, longest: int) -> None:
    shown = harmless(text, longest)
    assert offences(shown) == []
    assert "\n" not in shown
    assert len(shown) <= longest
    assert harmless(shown, longest) == shown
    if text.isascii() and text.isprintable() and len(text) <= longest and "::" not in text and "##" not in text:
        assert shown == text


@given(ANY)
@example(HOSTILE)
@settings(max_examples=300, deadline=None)
def test_lines_stay_lines(text: str) -> None:
    shown = harmless_lines(text)
    assert offences(shown) == []
    assert shown.count("\n") == text.count("\n")
    assert harmless_lines(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("jit(f)/été/注意/\U0001f600", "jit(f)/été/注意/\U0001f600"),
        ("model.py:31", "model.py:31"),
        ("xla::cpu::Thunk", "xla::cpu::Thunk"),
        ("::error::x", "\\x3a:error::x"),
        ("  ::error::x", "  \\x3a:error::x"),
        ("a ##[group]", "a \\x23#[group]"),
        ("##teamcity[x]", "\\x23#teamcity[x]"),
        ("## a title", "## a title"),
        ("a\x1b[31m\tb\r\n", "a\\x1b[31m\\tb\\r\\n"),
        ("\u202eabc\u2066\u200d\ufeff", "\\u202eabc\\u2066\\u200d\\ufeff"),
        ("\ud83d", "\\ud83d"),
        ("a\u00a0b\u3000", "a\\xa0b\\u3000"),
        ("e\u0301", "e\u0301"),
        ("\u0301e", "\\u0301e"),
        ("e\u0301\u0302\u0303\u0303", "e\u0301\u0302\\u0303\\u0303"),
        (r"C:\new\x1b", r"C:\new\x1b"),
    ],
)
def test_what_it_becomes(text: str, shown: str) -> None:
    assert harmless(text) == shown


def test_what_is_left_out_is_said() -> None:
    shown = harmless("a" * 5000 + "z")
    assert len(shown) <= LONGEST
    head, _, rest = shown.partition(" [... ")
    number, _, tail = rest.partition(" characters left out ...] ")
    assert len(head) + int(number.replace(",", "")) + len(tail) == 5001
    assert tail.endswith("z")
    lines = harmless_lines("\n".join(map(str, range(1000))), 10).split("\n")
    assert lines == [*map(str, range(9)), "... and 991 more lines"]


@given(st.integers(0, 4), st.integers(0, 4))
def test_a_cut_ends_no_string(before: int, after: int) -> None:
    """What was escaped to be pasted is escaped still: a quote keeps its backslash, or goes with it."""
    name = "a" * (900 + before) + '");boom("' * 60 + "b" * after
    shown = harmless(json.dumps(name))
    inside = shown[1:-1].replace("\\\\", "").replace('\\"', "")
    assert '"' not in inside
    assert "left out" in shown


def test_signs_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        encoding = "ascii"

    monkeypatch.setattr("sys.stdout", Stream())
    assert printable("a · b … 3 µs ≤ 10⁹, count(…) été") == "a | b ~ 3 us <= 10^9, count(...) \\xe9t\\xe9"
    Stream.encoding = "no such encoding"
    assert printable("a · b") == "a · b"
    Stream.encoding = "utf-16"
    assert printable("a · b") == "a · b"


@given(ANY)
@settings(max_examples=300, deadline=None)
def test_html(text: str) -> None:
    shown = html_text(text)
    assert not {*shown} & set("<>\"'")
    assert html.unescape(shown) == harmless_lines(text)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum", "\t=1", " =1", "'=1", "\uff1d1", "\r=1"])
def test_cells_of_spreadsheets(text: str) -> None:
    shown = spreadsheet_cell(text)
    assert shown[0] in "'\\"
    assert spreadsheet_cell(f"a{text}") == harmless(f"a{text}")


def test_cells_of_markdown() -> None:
    assert markdown_cell("everything else (5)") == "everything else (5)"
    assert markdown_cell("+1.5 %") == "+1.5 %"
    assert markdown_cell("<0.001 G") == "<0.001 G"
    assert markdown_cell("a_b") == "`a_b`"
    assert markdown_cell("a|b") == "`a\\x7cb`"
    assert markdown_cell("www.example.org") == "`www.example.org`"
    assert markdown_cell("http://x") == "`http://x`"
    assert markdown_cell("<b>") == "`<b>`"
    assert markdown_code("``") == "``` `` ```"
    assert markdown_code("a`b") == "``a`b``"
    assert markdown_prose("see @someone #1 <b> [x](http://y) **z** `c`") == (
        "see `@`someone `#`1 \\<b\\> \\[x\\](http`://`y) \\*\\*z\\*\\* \\`c\\`"
    )


def test_labels_of_plots() -> None:
    cbook = pytest.importorskip("matplotlib.cbook")
    for text in ("$x^2$", "$", "\\$x$", "\\$x\\$ $y$", HOSTILE):
        assert not cbook.is_math_text(plot_label(text))


@given(st.recursive(ANY | st.integers(), lambda part: st.lists(part) | st.dictionaries(ANY, part), max_leaves=9))
@settings(max_examples=200, deadline=None)
def test_json_loses_nothing(data: object) -> None:
    shown = json_text(data)
    assert offences(shown) == []
    assert json.loads(shown) == data


def test_what_cannot_be_shown_as_it_is_is_not_offered_for_pasting() -> None:
    """A flag with an escape in it matches nothing; one that is cut may end its string."""
    name = "'; touch x; '"
    for hostile in (name, name * 100, "\x1b" + name, "\n" + name):
        text = hostile_text(hostile=hostile).replace('/while" source', f'/{quoted(hostile)[1:-1]}" source')
        # Two loops with one op_name: a pattern stands for them, which is their op_name.
        again = text.replace("%loop = (s32[], s32[]) while", "%loop2 = (s32[], s32[]) while").split("\n")
        (line,) = (each for each in again if "%loop2" in each)
        report = hc.count(text.replace("  %y = ", f"{line}\n  %y = "))
        (group,) = (g for g in report.settlements if g.unknowns[0].keyword == "trip_counts")
        assert len(group.unknowns) == 2
        assert shlex.split(group.flags)[1] == f"{group.keys[0]}=n"
        shown = str(report)
        if hostile == name:
            assert f"    {group.flags}" in shown
            assert group.call in shown
        else:
            assert "--trip-count" not in shown
            assert "the names in to_dict() or --json" in " ".join(shown.split())
