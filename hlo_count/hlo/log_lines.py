"""What a log puts before the lines of a text: times, threads, ranks, marks of a quotation."""

from __future__ import annotations

import re
from collections.abc import Sequence

_COLOURS = re.compile(r"\x1b\[[0-9;]*+m")
_TIME = (
    r"\d{4}[-/]\d\d[-/]\d\d"
    r"|\d\d:\d\d:\d++(?:[.,]\d++)*+"
    r"|(?<![\d.])\d{9,}+(?:\.\d++)?+(?![\d.])"
    r"|(?<![\d.]) *+\d++\.\d++(?![\d.])"
    r"|(?<![^\s\"'])[IWEF]\d{4}(?= )"
)
"""A date, a time of day, seconds since the epoch or the start, and the date of Abseil's logs: `I1127`."""
_TIMES = re.compile(_TIME, re.A)
_NUMBER = re.compile(r"\d++", re.A)
_ABSEIL = r"[IWEF]\d{4} [\d:.]++ ++\d++ [^\]\s:]++:\d++\] ?"
_MOST_BETWEEN = 1000
"""Lines of other streams that may stand between the first two of one."""


def without_colours(text: str) -> str:
    """The text without a terminal's codes for colours, which have no width."""
    return _COLOURS.sub("", text) if "\x1b[" in text else text


def stream_of(text: str, start: int, prefix: str) -> str:
    """What the lines of one stream have in common: `prefix` but for its times, where the line after the one at `start`
    has it too; "" where that one alone has it, as a message of several lines does."""
    if not prefix.strip():
        return ""
    own, others = _stream(prefix), _other_streams(prefix)
    for _ in range(_MOST_BETWEEN):
        start = text.find("\n", start) + 1
        if start and own.match(text, start):
            return _TIMES.sub("?", prefix.rstrip())
        if not start or not (others.match(text, start) or text.startswith("\n", start)):
            return ""
    return ""


def without_prefixes(text: str, prefix: str) -> tuple[str, Sequence[str]]:
    """A text of which each line of one stream has `prefix`, but for its times, without it, and what was before each.

    A line of another stream (a rank, a thread, another place that logs) becomes an empty one.
    """
    own, others = _stream(prefix), _other_streams(prefix)
    lines, prefixes = [], []
    for line in text.split("\n"):
        found = own.match(line)
        before = found[0] if found is not None else ""
        lines.append(line[len(before) :] if found is not None or not others.match(line) else "")
        prefixes.append(before)
    return "\n".join(lines), prefixes


def _stream(prefix: str) -> re.Pattern[str]:
    """What its lines begin with; an empty line may lack the space at the end."""
    spaces = prefix[len(prefix.rstrip()) :]
    end = rf"(?:{re.escape(spaces)}|[ \t]*+(?=\n|\Z))" if spaces else ""
    return re.compile(_with_any(_TIMES, _TIME, prefix.rstrip()) + end)


def _other_streams(prefix: str) -> re.Pattern[str]:
    """What the lines of streams begin with whose prefixes are written alike, and those of Abseil's logs."""
    written_alike = _with_any(_NUMBER, r"\d++", prefix.rstrip())
    return re.compile(f"(?:{written_alike}|{_ABSEIL})")


def _with_any(token: re.Pattern[str], pattern: str, text: str) -> str:
    """An expression for the text, with any token in the place of each that it has."""
    parts, at = [], 0
    for found in token.finditer(text):
        parts += [re.escape(text[at : found.start()]), f"(?:{pattern})"]
        at = found.end()
    return "".join([*parts, re.escape(text[at:])])
