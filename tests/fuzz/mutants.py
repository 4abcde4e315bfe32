"""Texts with something wrong in them: every way in which a disk, a hand, a printer or a stranger may spoil one."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|%?[A-Za-z_][\w.\-]*|-?\d+(?:\.\d+)?|->|<=|[^\s\w]')
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?![\w.])")
_ATTRIBUTE = re.compile(r", ([\w\-]+)=(?:\{(?:[^{}\n]|\{[^{}\n]*\})*\}|\"[^\"\n]*\"|[^,\s{}]+)")
_SHAPE = re.compile(r"\b[a-z]+\d*[a-z0-9]*\[[\d,<=]*\](?:\{[^{}\s]*\})?")
_DTYPE = re.compile(r"\b([a-z]+\d*[a-z0-9]*)\[")
_OPCODE = re.compile(r"(?<=[\])}] )([a-z][a-z0-9\-]*)(?=\()")
_NAME = re.compile(r"%[\w.\-]+")
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?[\w.\-]+ [^\n]*\{$", re.M)

NUMBERS = ("0", "1", "-1", "2", "3", "7", "8", "64", "1000000", str(2**31), str(2**63 - 1), str(2**63), "9" * 30)
DTYPES = ("f32", "bf16", "f16", "f64", "s32", "s8", "u32", "pred", "c64", "s4", "f8e4m3fn", "token", "q7")
OPCODES = (
    "add", "exponential", "dot", "reduce", "copy", "tuple", "fusion", "while", "call", "parameter", "constant",
    "broadcast", "custom-call", "all-reduce", "convolution", "iota", "select", "get-tuple-element", "adjust",
)  # fmt: skip
ATTRIBUTES = (
    ", dimensions={0}", ", dimensions={1}", ", dimensions={}", ", to_apply=%region", ", calls=%fused_computation",
    ", index=0", ", control-predecessors={%nobody}", ", replica_groups={{0,0}}", ", replica_groups={{0,99}}",
    ", channel_id=1", ", window={size=3}", ", fft_type=RFFT", ", is_scheduled=true", ", metadata={op_name=\"x\"}",
)  # fmt: skip
CHARACTERS = "\0\t\n\r\x1b\x7f{}()[]<>=,%\"'#/*\\ .-0aZ\u00e9\u202e\ufeff\u2028\U0001f600"


@dataclass(frozen=True)
class Mutant:
    """A damaged text and what was done to it."""

    text: str
    before: tuple[str, ...]
    """The text that it was, and what it was after all but the last of what was done to it."""
    done: str

    @property
    def whole(self) -> str:
        return self.before[0]


class Mutator:
    """Damages texts of a pool; the same seed gives the same mutants."""

    def __init__(self, pool: Sequence[str], seed: int) -> None:
        self.pool = pool
        self.random = random.Random(seed)

    def mutants(self) -> Iterator[Mutant]:
        """One after the other, without end: most with one thing wrong, some with several."""
        while True:
            yield self.mutant(self.random.choice(self.pool))

    def mutant(self, whole: str) -> Mutant:
        text, before, done = whole, [], []
        for _ in range(self.random.choices((1, 2, 3, 6), (70, 15, 10, 5))[0]):
            way = self.random.choices(list(WAYS), list(WAYS.values()))[0]
            before.append(text)
            text = way(self, text)
            done.append(way.__name__.removeprefix("_"))
        return Mutant(text, tuple(before), ", ".join(done))

    def truncations(self) -> Iterator[Mutant]:
        """Texts that end too early, without end: at a computation, a line, or anywhere."""
        while True:
            whole = self.random.choice(self.pool)
            way = self.random.choice(TRUNCATIONS)
            yield Mutant(way(self, whole), (whole,), way.__name__.removeprefix("_"))

    # What the ways are made of

    def span(self, text: str, longest: int = 60) -> tuple[int, int]:
        start = self.random.randrange(len(text) + 1)
        return start, min(len(text), start + self.random.randint(1, longest))

    def found(self, pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
        """One of the places where a pattern matches."""
        matches = list(pattern.finditer(text))
        return self.random.choice(matches) if matches else None

    def replace(self, pattern: re.Pattern[str], text: str, by: Callable[[str], str]) -> str:
        match = self.found(pattern, text)
        return text if match is None else text[: match.start()] + by(match[0]) + text[match.end() :]

    def another(self, pattern: re.Pattern[str], text: str) -> str:
        """One of the places becomes what stands at another, of this text or of one in the pool."""
        source = text if self.random.random() < 0.8 else self.random.choice(self.pool)
        other = self.found(pattern, source)
        return text if other is None else self.replace(pattern, text, lambda _: other[0])


def computation_starts(text: str) -> list[int]:
    """Where each computation begins."""
    return [match.start() for match in _COMPUTATION.finditer(text)]


# Bytes


def _other_character(m: Mutator, text: str) -> str:
    at = m.random.randrange(len(text))
    return text[:at] + m.random.choice(CHARACTERS) + text[at + 1 :]


def _more_characters(m: Mutator, text: str) -> str:
    at = m.random.randrange(len(text) + 1)
    return text[:at] + "".join(m.random.choices(CHARACTERS, k=m.random.randint(1, 4))) + text[at:]


def _lost_span(m: Mutator, text: str) -> str:
    start, end = m.span(text)
    return text[:start] + text[end:]


def _repeated_span(m: Mutator, text: str) -> str:
    start, end = m.span(text)
    return text[:end] + text[start:]


def _lost_block(m: Mutator, text: str) -> str:
    """What a full disk does to the middle of a file."""
    start, end = m.span(text, max(2, len(text) // 3))
    return text[:start] + text[end:]


def _spliced(m: Mutator, text: str) -> str:
    other = m.random.choice(m.pool)
    return text[: m.random.randrange(len(text) + 1)] + other[m.random.randrange(len(other) + 1) :]


# Lines


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True) or [""]


def _lost_line(m: Mutator, text: str) -> str:
    lines = _lines(text)
    del lines[m.random.randrange(len(lines))]
    return "".join(lines)


def _repeated_line(m: Mutator, text: str) -> str:
    lines = _lines(text)
    at = m.random.randrange(len(lines))
    lines.insert(m.random.randrange(len(lines)) if m.random.random() < 0.5 else at, lines[at])
    return "".join(lines)


def _moved_line(m: Mutator, text: str) -> str:
    lines = _lines(text)
    line = lines.pop(m.random.randrange(len(lines)))
    lines.insert(m.random.randint(0, len(lines)), line)
    return "".join(lines)


def _foreign_line(m: Mutator, text: str) -> str:
    lines = _lines(text)
    lines.insert(m.random.randint(0, len(lines)), m.random.choice(_lines(m.random.choice(m.pool))))
    return "".join(lines)


def _broken_line(m: Mutator, text: str) -> str:
    start, _ = m.span(text)
    return text[:start] + "\n" + text[start:]


# Tokens


def _lost_token(m: Mutator, text: str) -> str:
    return m.replace(_TOKEN, text, lambda _: "")


def _repeated_token(m: Mutator, text: str) -> str:
    return m.replace(_TOKEN, text, lambda token: f"{token} {token}")


def _other_token(m: Mutator, text: str) -> str:
    return m.another(_TOKEN, text)


def _other_number(m: Mutator, text: str) -> str:
    def changed(number: str) -> str:
        near = [str(int(number) + step) for step in (-1, 1)] + [str(int(number) * 2), number + "0"]
        return m.random.choice([*near, *near, *NUMBERS])

    return m.replace(_NUMBER, text, changed)


def _other_name(m: Mutator, text: str) -> str:
    return m.another(_NAME, text)


def _other_shape(m: Mutator, text: str) -> str:
    return m.another(_SHAPE, text)


def _other_dtype(m: Mutator, text: str) -> str:
    return m.replace(_DTYPE, text, lambda _: m.random.choice(DTYPES) + "[")


def _other_opcode(m: Mutator, text: str) -> str:
    if m.random.random() < 0.5:
        return m.another(_OPCODE, text)
    return m.replace(_OPCODE, text, lambda _: m.random.choice(OPCODES))


def _lost_attribute(m: Mutator, text: str) -> str:
    return m.replace(_ATTRIBUTE, text, lambda _: "")


def _repeated_attribute(m: Mutator, text: str) -> str:
    return m.replace(_ATTRIBUTE, text, lambda attribute: attribute * 2)


def _more_attributes(m: Mutator, text: str) -> str:
    return m.replace(_ATTRIBUTE, text, lambda attribute: attribute + m.random.choice(ATTRIBUTES))


def _other_attribute(m: Mutator, text: str) -> str:
    return m.another(_ATTRIBUTE, text)


def _lost_operand(m: Mutator, text: str) -> str:
    return m.replace(re.compile(r"(?<=\()%[\w.\-]+(?:, )?|, %[\w.\-]+(?=[,)])"), text, lambda _: "")


def _repeated_operand(m: Mutator, text: str) -> str:
    return m.replace(re.compile(r"(?<=[( ])%[\w.\-]+(?=[,)])"), text, lambda name: f"{name}, {name}")


def _moved_root(m: Mutator, text: str) -> str:
    place = m.found(re.compile(r"(?<=\n)  (?=%)"), text)
    more = text if place is None else f"{text[: place.end()]}ROOT {text[place.end() :]}"
    return more if m.random.random() < 0.5 else more.replace("ROOT ", "", 1)


def _lost_computation(m: Mutator, text: str) -> str:
    starts = [*computation_starts(text), len(text)]
    at = m.random.randrange(max(1, len(starts) - 1))
    return text[: starts[at]] + text[starts[min(at + 1, len(starts) - 1)] :]


# Ends


def _cut_anywhere(m: Mutator, text: str) -> str:
    return text[: m.random.randrange(len(text))]


def _cut_at_a_line(m: Mutator, text: str) -> str:
    lines = _lines(text)
    return "".join(lines[: m.random.randrange(len(lines))])


def _cut_at_a_computation(m: Mutator, text: str) -> str:
    starts = computation_starts(text)
    return text[: m.random.choice(starts)] if starts else _cut_at_a_line(m, text)


TRUNCATIONS = (_cut_anywhere, _cut_at_a_line, _cut_at_a_line, _cut_at_a_computation)
WAYS: dict[Callable[[Mutator, str], str], int] = {
    _other_character: 6, _more_characters: 4, _lost_span: 4, _repeated_span: 3, _lost_block: 2, _spliced: 1,
    _lost_line: 8, _repeated_line: 5, _moved_line: 6, _foreign_line: 4, _broken_line: 2,
    _lost_token: 6, _repeated_token: 4, _other_token: 6, _other_number: 14, _other_name: 10, _other_shape: 10,
    _other_dtype: 6, _other_opcode: 8, _lost_attribute: 8, _repeated_attribute: 2, _more_attributes: 4,
    _other_attribute: 8, _lost_operand: 5, _repeated_operand: 4, _moved_root: 4, _lost_computation: 3,
    _cut_anywhere: 1, _cut_at_a_line: 2, _cut_at_a_computation: 2,
}  # fmt: skip
"""Each way, and how often it is taken."""
