"""What goes wrong in ways a user can mend. Each message says what to do about it."""

from __future__ import annotations

from functools import partial

from hlo_count.harmless import MOST_LINES, printable


class HloCountError(Exception):
    """Base of every error that hlo_count raises on purpose. As text it is harmless, whatever names it quotes."""

    def __str__(self) -> str:
        return printable(super().__str__(), MOST_LINES)


class ParseError(HloCountError):
    """HLO text that cannot be read; the message holds file, line, column, and the line with a caret if it has text."""

    def __init__(self, message: str, *, filename: str | None, line: int, column: int, source: str) -> None:
        self.reason = message
        self.filename = filename or "<text>"
        self.line = line
        self.column = column
        self.source = source
        shown, caret_at = _excerpt(source, column - 1)
        # A caret under nothing, or under what a terminal would obey, shows nobody where to look.
        below = f"\n    {shown}\n    {' ' * caret_at}^" if shown.strip() and shown.isprintable() else ""
        super().__init__(f"{self.filename}:{line}:{column}: {message}{below}")

    def __reduce__(self) -> tuple[object, ...]:
        again = partial(ParseError, filename=self.filename, line=self.line, column=self.column, source=self.source)
        return again, (self.reason,)


class UnknownCostError(HloCountError):
    """`strict=True` met something whose cost is not known."""


class TargetError(HloCountError):
    """A target that does not exist, cannot be compiled for here, or was refused by its compiler."""


class DeviceError(HloCountError):
    """A device profile that does not exist, is malformed, or lacks a figure that was needed."""


class BudgetExceeded(HloCountError, AssertionError):  # noqa: N818 - the public name says what happened
    """A counter passed its limit."""


def _excerpt(source: str, at: int, width: int = 90) -> tuple[str, int]:
    """`source` cut to `width` characters around index `at`, and where `at` stands in the cut text."""
    line = source.replace("\t", " ")
    if len(line) <= width:
        return line, max(0, min(at, len(line)))
    start = max(0, min(at - width // 2, len(line) - width))
    head = "..." if start else ""
    tail = "..." if start + width < len(line) else ""
    return f"{head}{line[start : start + width]}{tail}", at - start + len(head)


def last_line(problem: Exception) -> str:
    """What an error of a library says last, where what it is about usually stands; the error's class if it is mute."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return (lines[-1] if lines else type(problem).__name__).rstrip(" .:")[:200]
