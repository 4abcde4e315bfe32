"""The tables of source lines at the top of newer texts, as XLA's parser reads them."""

from __future__ import annotations

import pytest
from xla_reference import AVAILABLE, reference

import hlo_count as hc
from hlo_count.errors import ParseError

TABLES = """
FileNames
1 "a.py"
2 "b \\"c\\".py"

FunctionNames
1 "main"

FileLocations
1 {file_name_id=1 function_name_id=1 line=3 end_line=3 column=4 end_column=9}
2 {file_name_id=2 function_name_id=1 line=5 end_line=5 column=0 end_column=2}

StackFrames
1 {file_location_id=1 parent_frame_id=1}
2 {file_location_id=2 parent_frame_id=2}

"""
WRONG = {
    "a table that is lost": ("FunctionNames\n", ""),
    "a name that is open": ('"a.py"', '"a.py'),
    "a field that is lost": (" column=4", ""),
    "a field twice": ("line=3 end_line=3", "line=3 line=3 end_line=3"),
    "a field of another name": ("1 {file_location_id=1", "1 {file_locatoin_id=1"),
    "a field more, in one record": ("end_column=9}", "end_column=9 e=9}"),
    "a number that is none": ("line=5", "line="),
    "a number of more than 32 bits": ("column=0", "column=2147483648"),
    "a record of another table": ("\nStackFrames", "\nStackFrames\n1 {file_name_id=1}"),
    "tables in another order": ("FunctionNames", "FileLocations"),
}  # fmt: skip


def program(tables: str, frame: str = "2") -> str:
    return (
        f"HloModule m\n{tables}ENTRY e {{\n  x = f32[4] parameter(0)\n"
        f'  ROOT r = f32[4] negate(x), metadata={{op_name="n" stack_frame_id={frame}}}\n}}\n'
    )


def test_tables_are_read() -> None:
    assert hc.parse(program(TABLES)).entry.root.metadata.source == 'b "c".py:5'
    on_one_line = " ".join(TABLES.split())
    assert hc.parse(program(f"{on_one_line}\n")).entry.root.name == "r"
    if AVAILABLE:
        assert reference(program(f"{on_one_line}\n")).refused is None


@pytest.mark.parametrize("case", WRONG)
def test_damaged_tables_are_refused_with_a_caret(case: str) -> None:
    old, new = WRONG[case]
    text = program(TABLES.replace(old, new, 1))
    with pytest.raises(ParseError, match="source lines"):
        hc.parse(text)
    if AVAILABLE:
        assert reference(text).refused is not None


def test_what_a_newer_xla_adds_stands_in_every_record() -> None:
    assert hc.parse(program(TABLES.replace(" column=", " byte=7 column="))).entry.root.metadata.source == 'b "c".py:5'


@pytest.mark.parametrize("frame", ["0", "3", "99", "-1"])
def test_a_frame_that_is_not_there_is_no_source(frame: str) -> None:
    report = hc.count(program(TABLES, frame))
    assert report.module.entry.root.metadata.source == ""
    assert report.table("source")
