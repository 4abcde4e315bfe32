"""Positions in a text as lines and columns, as an editor shows them."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property

_NEWLINE = re.compile("\n")


class Lines:
    """The lines of a text that may be part of a file.

    `first` is the number of its first line in the file, `prefixes` what stood before each of its lines there (the
    prefixes of a log), where anything did.
    """

    def __init__(self, text: str, first: int = 1, prefixes: Sequence[str] = ()) -> None:
        self._text = text
        self.first = first
        self._prefixes = prefixes
        self._last = (0, 0)
        """The index that was asked for last, and how many newlines stand before it: places mostly come in order."""

    def number(self, at: int) -> int:
        """The line of the file on which index `at` of the text stands, from 1."""
        return self.first + self._index(at)

    def place(self, at: int) -> tuple[int, int, str]:
        """Line and column of index `at`, both from 1, and that line, as the file has them."""
        at = min(at, len(self._text))
        index = self._index(at)
        start = self._text.rfind("\n", 0, at) + 1
        return self.first + index, len(self._prefix(index)) + at - start + 1, self.line(self.first + index)

    def line(self, number: int) -> str:
        """The line of that number, as the file has it; "" for one that is not there."""
        index = number - self.first
        if not 0 <= index <= len(self._starts):
            return ""
        start = self._starts[index - 1] if index else 0
        end = self._text.find("\n", start)
        return self._prefix(index) + self._text[start : end if end >= 0 else len(self._text)]

    def _prefix(self, index: int) -> str:
        return self._prefixes[index] if index < len(self._prefixes) else ""

    def _index(self, at: int) -> int:
        last, newlines = self._last
        if at < last:
            return bisect_right(self._starts, at)
        self._last = at, newlines + self._text.count("\n", last, at)
        return self._last[1]

    @cached_property
    def _starts(self) -> array[int]:
        """Where each line but the first begins; found once, however many places are asked for."""
        return array("Q", [newline.end() for newline in _NEWLINE.finditer(self._text)])


def with_newlines(text: str) -> str:
    """The text with a single newline where CR, or CR and LF, end a line, and without a byte order mark.

    XLA's lexer takes a CR for white space and for the end of a comment, which a newline is as well.
    """
    if text.startswith("\ufeff"):
        text = text[1:]
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
