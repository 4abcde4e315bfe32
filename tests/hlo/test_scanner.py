"""The scanner and the pattern for printed lines read the same."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import fixture_files
import pytest
from hypothesis import HealthCheck, given, settings
from random_hlo import modules

from hlo_count.hlo import Module, parse

STORED = sorted(fixture_files.FIXTURES.rglob("*.hlo.gz"))


def scanned(text: str) -> Module:
    """The module, each of its computations read by the scanner: a comment sends it there."""
    return parse(re.sub(r"\{\n(?=  )", "{ // scanned\n", text))


def content(module: Module) -> list[object]:
    """What the module says; a list of computations may have them with and without %."""
    return [
        (c.name, c.root.name, c.attributes, [(*i.content()[:4], str(i.attributes).replace("%", "")) for i in c])
        for c in module.computations.values()
    ]


@pytest.mark.parametrize("path", STORED[::6], ids=lambda path: "/".join(path.parts[-2:]))
def test_both_ways_give_the_same(path: Path) -> None:
    text = gzip.decompress(path.read_bytes()).decode()
    printed, other = parse(text), scanned(text)
    assert any(c.is_printed for c in printed.computations.values())
    assert not any(c.is_printed for c in other.computations.values())
    assert content(printed) == content(other)
    assert printed.source_tables == other.source_tables
    assert [i.line for i in printed.instructions()] == [i.line for i in other.instructions()]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(modules())
def test_both_ways_give_the_same_of_random_programs(text: str) -> None:
    assert content(parse(text)) == content(scanned(text))


def test_operands_of_a_printed_line_with_nested_tuples() -> None:
    text = """HloModule m

ENTRY %e (t: ((f32[2], s32[]), f32[2])) -> f32[2] {
  %t = ((f32[2]{0}, s32[]), f32[2]{0}) parameter(0)
  %g = (f32[2]{0}, s32[]) get-tuple-element(((f32[2]{0}, s32[]), f32[2]{0}) %t), index=0
  %l = f32[2]{0:T(256)S(1)} get-tuple-element((f32[2]{0:T(256)S(1)}, /*index=1*/s32[]) %g), index=0
  ROOT %a = f32[2]{0} add(f32[2]{0:T(256)S(1)} %l, f32[2]{0:T(256)S(1)} %l)
}
"""
    printed = parse(text)
    assert printed.entry.is_printed
    assert [i.operand_names for i in printed.entry] == [[], ["t"], ["g"], ["l", "l"]]
    assert content(printed) == content(scanned(text))
