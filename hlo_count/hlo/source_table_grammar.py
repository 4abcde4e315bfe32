"""Where the tables of source lines end, read as XLA's parser reads them (xla/hlo/parser/hlo_parser.cc)."""

from __future__ import annotations

import re
from collections import Counter

from hlo_count.hlo.shapes import GAP

_ID = rf"{GAP}\d{{1,19}}+{GAP}"
_NUMBER = r"-?+\d{1,10}+"
_STRING = r'"(?:[^"\\]|\\[abfnrtv?\'"\\0-7xXuU])*+"'
_LONG_NUMBER = re.compile(r"=\s*-?(\d{10})(?!\d)", re.A)


def _records(*fields: str) -> re.Pattern[str]:
    """`7 {line=1 column=2}` as often as it comes: each of the fields once, and what a newer XLA adds to them."""
    name = rf"(?:{'|'.join(fields)})="
    added = rf"(?:{GAP},?+{GAP}(?!{name})[A-Za-z_]\w*+={GAP}(?:{_NUMBER}|{_STRING}))*+"
    there = "".join(rf"(?=[^}}]*[{{ ,]{field}=)" for field in fields)
    one = rf"{there}\{{(?:{added}{GAP},?+{GAP}{name}{GAP}{_NUMBER}){{{len(fields)}}}{added}{GAP}\}}"
    return re.compile(rf"(?:{_ID}{one})*+", re.S | re.A)


_NAMES = re.compile(rf"(?:{_ID}{_STRING})*+", re.S | re.A)
_FIELD = re.compile(r"[{ ,](\w+)=")
TABLES = {
    "FileNames": _NAMES,
    "FunctionNames": _NAMES,
    "FileLocations": _records("file_name_id", "function_name_id", "line", "end_line", "column", "end_column"),
    "StackFrames": _records("file_location_id", "parent_frame_id"),
}
"""The entries of each table, in the order in which all four stand."""


def entries_end(table: str, text: str, at: int) -> int:
    """The index after the last whole entry of a table whose first would stand at `at`, or of what is wrong in one."""
    found = TABLES[table].match(text, at)
    end = found.end() if found is not None else at
    if TABLES[table] is _NAMES:
        return end
    wrong = [number.start(1) for number in _LONG_NUMBER.finditer(text, at, end) if int(number[1]) >= 2**31]
    fields = Counter(_FIELD.findall(text, at, end))
    records = text.count("{", at, end)
    odd = next((field for field, number in fields.items() if number != records), None)
    if odd is not None:  # what a newer XLA adds stands in every record
        wrong.append(text.index(f"{odd}=", at))
    return min(wrong, default=end)
