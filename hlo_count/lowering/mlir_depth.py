"""How deep MLIR nests: its parser, in C++, goes as deep as the text does, and ends the process where the stack ends."""

from __future__ import annotations

import re

MOST_NESTED = 500
"""Brackets in brackets. Programs nest a tenth as deep: a loop in a loop is two."""
_STRING = re.compile(rb'"(?:[^"\\\n]|\\.)*+"')
_PAIRS = re.compile(rb"\(\)|\[\]|\{\}|<>")
_OTHERS = bytes(set(range(256)) - set(b"()[]{}<>"))


def nests_too_deep(text: bytes) -> bool:
    """Whether brackets of a text of MLIR nest deeper than `MOST_NESTED`, be they closed or not."""
    left = _STRING.sub(b"", text).replace(b"->", b"").translate(None, _OTHERS)
    for _ in range(MOST_NESTED):  # the innermost ones each time
        before, left = left, _PAIRS.sub(b"", left)
        if left == before:  # what is left is not closed
            return len(left) > MOST_NESTED
    return bool(left)
