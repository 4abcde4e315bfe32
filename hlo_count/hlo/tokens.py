"""The tokens of a text and the places of what is wrong: white space, comments, names, shapes, strings, brackets."""

from __future__ import annotations

import re

from hlo_count.errors import HloCountError, ParseError
from hlo_count.hlo.attributes import skip_string
from hlo_count.hlo.lines import Lines
from hlo_count.hlo.shapes import COMMENT, GAP, Shape, scan_shape

NAME = re.compile(r"%?([A-Za-z_][\w.\-]*+)", re.A)
_SKIP = re.compile(GAP, re.S)
_OPENERS, _CLOSERS = tuple("=({[,<"), tuple(")}],<")
_STRING_OR_COMMENT = re.compile(rf'"(?:[^"\\]|\\.)*+"|(?<!\s)\s*+(?:{COMMENT}){GAP}', re.S)
_WHITE = re.compile(r"\s++")


class Tokens:
    """Of one text. Positions are indices into it; an error names the line and column of one."""

    def __init__(self, text: str, lines: Lines, filename: str | None) -> None:
        self.text = text
        self.lines = lines
        self.filename = filename

    def error(self, message: str, at: int) -> ParseError:
        line, column, source = self.lines.place(at)
        return ParseError(message, filename=self.filename, line=line, column=column, source=source)

    def skip(self, at: int) -> int:
        """The index of the next token: past white space and comments."""
        found = _SKIP.match(self.text, at)
        at = found.end() if found is not None else at
        if self.text.startswith("/*", at):
            raise self.error("this comment is not closed", at)
        return at

    def expect(self, token: str, at: int, where: str) -> int:
        at = self.skip(at)
        if not self.text.startswith(token, at):
            raise self.error(f"expected {token!r} {where}{self.instead(at)}", at)
        return at + len(token)

    def instead(self, at: int) -> str:
        if at >= len(self.text):
            return ", but the text ends here: is it truncated?"
        word = NAME.match(self.text, at)
        return f", not {word[0] if word else self.text[at]!r}"

    def name(self, at: int, what: str) -> tuple[str, int]:
        at = self.skip(at)
        found = NAME.match(self.text, at)
        if found is None:
            raise self.error(f"expected {what}{self.instead(at)}", at)
        return found[1], found.end()

    def shape(self, at: int) -> tuple[Shape, int]:
        try:
            return scan_shape(self.text, at)
        except HloCountError as problem:
            raise self.error(str(problem) if len(str(problem)) < 120 else "this is no shape", at) from None

    # What is skipped, not read

    def balanced(self, at: int) -> int:
        """The index after the bracket that closes the one at `at`; strings and comments inside do not count."""
        start = at
        depth = 0
        interesting = re.compile(r"[\"'(){}\[\]]|//|/\*")
        while True:
            found = interesting.search(self.text, at)
            if found is None:
                raise self.error(f"this {self.text[start]!r} is never closed; is the text truncated?", start)
            token = found[0]
            if token in ("//", "/*"):
                at = self.skip(found.start())
                continue
            if token in "\"'":
                at = self.string(found.start())
                continue
            depth += 1 if token in "({[" else -1
            at = found.end()
            if depth == 0:
                return at

    def string(self, at: int) -> int:
        end = skip_string(self.text, at)
        if self.text[end - 1] != self.text[at] or end == at + 1:
            raise self.error("this string is never closed", at)
        return end

    def uncommented(self, start: int, end: int, *, joined: bool = True) -> str:
        """The text between two places without its comments, on one line if `joined`."""
        raw = self.text[start:end]
        if "//" not in raw and "/*" not in raw:
            return raw if not joined or "\n" not in raw else _on_one_line(raw)
        parts: list[str] = []
        at = 0
        for found in _STRING_OR_COMMENT.finditer(raw):
            parts.append(raw[at : found.start()])
            if found[0].startswith('"'):
                parts.append(found[0])
            elif raw[max(0, found.start() - 1) : found.start()] not in _OPENERS and (
                raw[found.end() : found.end() + 1] not in _CLOSERS
            ):
                parts.append(" ")
            at = found.end()
        return _on_one_line("".join([*parts, raw[at:]])).strip()


def _on_one_line(text: str) -> str:
    """The text with one space for what is white around each newline."""
    return _WHITE.sub(lambda white: " " if "\n" in white[0] else white[0], text)
