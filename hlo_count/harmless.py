"""Text from elsewhere, made harmless before it is shown: what a program's text holds, paths, other people's messages.

Whatever stands in it, a reader sees every character, and nothing that reads along obeys it: no terminal, no CI log, no
Markdown, no notebook, no spreadsheet, no plot. All that is shown passes `harmless`; data (`to_dict`, JSON) stay as is.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterator
from html import escape
from typing import Any, TextIO

LONGEST = 1000
"""Characters on a line; of a longer text the middle is left out."""
MOST_LINES = 400
"""Lines of a message."""

_ABOUT_THE_REST = 60
"""Room for what a text that is too long says of what it leaves out."""
_STACKED = 2
"""Accents on one letter: more cover the lines above."""
_UNSEEN = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\U00016fe4\U0001d159"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)
"""What Unicode counts among letters, marks and symbols, and shows as nothing."""
_OBEYED = re.compile(r"\A( *):(?=:)|#(?=#\w*\[)")
"""What CI systems take for a command: `::` where a line begins (GitHub), `##[` (GitHub, Azure), `##teamcity[`."""


def harmless(text: object, longest: int = LONGEST) -> str:
    """The text on one line of at most `longest` characters, each of them seen; what is harmless stays as it is.

    Controls, directions of writing, zero widths, odd blanks, stacked accents and halves of surrogate pairs stand as
    Python would escape them; what CI systems would obey is broken by an escape.
    """
    text = str(text)
    if len(text) <= longest and len(shown := _seen(text)) <= longest:
        return shown
    room = (longest - _ABOUT_THE_REST) // 2
    head, tail = _fitting(text[:room], room), _fitting(text[-room:][::-1], room)[::-1]
    # Of what is escaped already neither half stays alone: without its backslash a quote would end a string.
    head = head[:-1] if _ends_in_escape(head) else head
    tail = tail[1:] if _ends_in_escape(text[: len(text) - len(tail)]) else tail
    left_out = len(text) - len(head) - len(tail)
    return f"{_seen(head)} [... {left_out:,} characters left out ...] {_seen(tail)}"


def harmless_lines(text: str, most: int | None = None) -> str:
    """A text whose lines were meant to be lines: each harmless, blanks at its start kept, `most` of them."""
    lines = text.replace("\r\n", "\n").split("\n")
    more = len(lines) - most + 1 if most is not None and len(lines) > most else 0
    shown = [harmless(line.expandtabs()) for line in lines[: len(lines) - more]]
    return "\n".join([*shown, *([f"... and {more:,} more lines"] if more else [])])


def printable(text: str, most: int | None = None) -> str:
    """A text of lines for a terminal or a log, where every one of ours ends: harmless, in signs that can be printed."""
    return for_terminal(harmless_lines(text, most))


def _ends_in_escape(text: str) -> bool:
    """Whether it ends in a backslash that belongs to what follows."""
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1


def _seen(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        text = "".join(_escapes(text))
    return _OBEYED.sub(_broken, text) if ":" in text or "#" in text else text


def _broken(command: re.Match[str]) -> str:
    blanks = command[1]
    return "\\x23" if blanks is None else f"{blanks}\\x3a"


def _escapes(text: str) -> Iterator[str]:
    stacked = _STACKED  # an accent without a letter would stand on what comes before
    for char in text:
        stacked = stacked + 1 if _is_accent(char) else 0
        yield char if _is_seen(char) and stacked <= _STACKED else _escape(char)


def _is_seen(char: str) -> bool:
    return char.isprintable() and char not in _UNSEEN


def _is_accent(char: str) -> bool:
    return not char.isascii() and unicodedata.category(char) in ("Mn", "Me")


_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escape(char: str) -> str:
    code = ord(char)
    width, letter = (2, "x") if code < 0x100 else (4, "u") if code < 0x10000 else (8, "U")
    return _NAMED.get(char, f"\\{letter}{code:0{width}x}")


def _fitting(text: str, room: int) -> str:
    """As much of its start as takes no more than `room`, whatever has to be escaped in it."""
    for at, char in enumerate(text):
        may_stay = _is_seen(char) and char not in "#:" and not _is_accent(char)
        room -= 1 if may_stay else len(_escape(char))
        if room < 0:
            return text[:at]
    return text


# What a terminal can print

_SIGNS = {
    "·": "|", "…": "~", "µ": "u", "×": "x", "−": "-", "≤": "<=", "≥": ">=", "±": "+-", "²": "^2", "³": "^3", "⁹": "^9",
    "–": "-", "’": "'",
}  # fmt: skip
"""Signs of ours, and what a terminal gets that lacks them."""


def for_terminal(text: str, stream: TextIO | None = None) -> str:
    """The text in characters that a stream, standard output unless given, can carry: other signs for ours, and escapes
    for all else."""
    if text.isascii():
        return text
    encoding = _encoding(stream or sys.stdout)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.replace("(…", "(...").encode(encoding, "hlo_count.signs").decode(encoding)
    except LookupError:  # an encoding that Python does not have: the stream knows what to do
        return text
    return text


def _encoding(stream: TextIO | None) -> str:
    """That of a stream. For LC_ALL=C, which asks for ASCII, Python writes UTF-8 unless told otherwise."""
    told = "utf8" in sys._xoptions or {"PYTHONUTF8", "PYTHONIOENCODING"} & {*os.environ}
    if os.environ.get("LC_ALL") in ("C", "POSIX") and not told:
        return "ascii"
    return getattr(stream, "encoding", None) or "utf-8"


def _other_signs(problem: UnicodeError) -> tuple[str, int]:
    if not isinstance(problem, UnicodeEncodeError):
        raise problem
    missing = problem.object[problem.start : problem.end]
    return "".join(_SIGNS.get(char) or _escape(char) for char in missing), problem.end


codecs.register_error("hlo_count.signs", _other_signs)


# What else reads along


def html_text(text: object) -> str:
    """As text of an HTML document, attributes too; lines stay lines."""
    return escape(harmless_lines(str(text)))


_PLAIN_MARKDOWN = re.compile(r"(?!.*(?:www\.|://))(?:[^\W_]|[ .,:+%/()…·\-]|(?<=-)>|<(?=\d))*", re.I)


def markdown_cell(text: object) -> str:
    """As a cell of a Markdown table: words and numbers as they are, all else as code, in which nothing means more."""
    shown = harmless(text, 300)
    return shown if _PLAIN_MARKDOWN.fullmatch(shown) else markdown_code(shown.replace("|", "\\x7c"))


def markdown_code(text: object) -> str:
    """As code in Markdown, whatever backticks it holds."""
    shown = harmless(text)
    fence = "`" * (max(map(len, re.findall("`+", shown)), default=0) + 1)
    blank = " " if shown[:1] in ("`", " ", "") or shown[-1:] in ("`", " ") else ""
    return f"{fence}{blank}{shown}{blank}{fence}"


_MARKDOWN = re.compile(r"[\\`*_{}\[\]<>&|~$!]")
_MARKDOWN_LINKS = re.compile(r"[@#]|://|www\.", re.I)


def markdown_prose(text: object) -> str:
    """As a sentence in Markdown: no markup, no mention of people or issues, no link."""
    escaped = _MARKDOWN.sub(r"\\\g<0>", harmless(text))
    return _MARKDOWN_LINKS.sub(r"`\g<0>`", escaped)


_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


def spreadsheet_cell(text: object) -> str:
    """As a cell of a table that a spreadsheet may open: text, where it would be taken for a formula."""
    shown = harmless(text)
    return f"'{shown}" if shown.lstrip(" '").startswith(_FORMULA) else shown


def plot_label(text: object) -> str:
    """As a label that matplotlib draws: `$` begins no formula."""
    return harmless(text, 200).replace("$", r"\$")


def json_text(data: Any, indent: int | None = 2) -> str:
    """Data as JSON in ASCII. Nothing is lost: what a terminal or a CI system would obey is escaped as JSON does."""
    return json.dumps(data, indent=indent).replace("\x7f", "\\u007f").replace("##", "\\u0023#")
