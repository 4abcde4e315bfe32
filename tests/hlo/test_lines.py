"""Ends of lines and byte order marks: whatever they are, the same module, and the lines that an editor shows."""

from __future__ import annotations

import gzip
import re
from itertools import cycle
from pathlib import Path

import fixture_files
import pytest
from xla_reference import AVAILABLE, reference

from hlo_count.errors import ParseError
from hlo_count.hlo import parse
from hlo_count.hlo.lines import Lines

STORED = sorted(fixture_files.FIXTURES.rglob("*.hlo.gz"))
ENDS = {"CRLF": "\r\n", "CR": "\r"}


def with_ends(text: str, end: str) -> str:
    if end == "mixed":
        ends = cycle(("\r\n", "\n", "\r"))
        return re.sub("\n", lambda _: next(ends), text)
    return text.replace("\n", ENDS[end])


@pytest.mark.parametrize("end", [*ENDS, "mixed"])
@pytest.mark.parametrize("path", STORED[::8], ids=lambda path: "/".join(path.parts[-2:]))
def test_every_end_of_a_line_is_read(path: Path, end: str) -> None:
    text = gzip.decompress(path.read_bytes()).decode()
    plain, other = parse(text), parse(with_ends(text, end))
    assert other == plain
    assert [i.line for i in other.instructions()] == [i.line for i in plain.instructions()]
    assert other.entry.is_printed  # as fast as ever


@pytest.mark.skipif(not AVAILABLE, reason="this jaxlib has no jaxlib._hlo to read HLO text with")
@pytest.mark.parametrize("end", [*ENDS, "mixed"])
def test_xla_reads_them_too(end: str) -> None:
    text = "HloModule m\n\nENTRY e {\n  a = f32[8] parameter(0) // one\n  ROOT b = f32[8] negate(a)\n}\n"
    assert reference(with_ends(text, end)).refused is None
    assert parse(with_ends(text, end)) == parse(text)


@pytest.mark.parametrize("end", [*ENDS, "mixed"])
def test_an_error_has_the_line_that_an_editor_shows(end: str) -> None:
    text = with_ends("\ufeffHloModule m\n\nENTRY e {\n  a = f32[8] parameter(0)\n  ROOT b = f32[x] negate(a)\n}\n", end)
    with pytest.raises(ParseError) as raised:
        parse(text)
    assert (raised.value.line, raised.value.column, raised.value.source) == (5, 12, "  ROOT b = f32[x] negate(a)")


def test_places_in_any_order() -> None:
    text = "ab\ncd\n\nef"
    lines = Lines(text, first=7, prefixes=("> ", ">> "))
    expected = {0: 7, 2: 7, 3: 8, 5: 8, 6: 9, 7: 10, 8: 10}
    for at in [*expected, *reversed(expected), 3, 8, 0]:
        assert lines.number(at) == expected[at]
    assert lines.place(4) == (8, 5, ">> cd")
    assert lines.place(100) == (10, 3, "ef")
