"""Where an instruction comes from: `metadata={...}`, and the tables at the top of newer texts that it points into."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from hlo_count.hlo.attributes import split_attributes, unquote
from hlo_count.hlo.own_code import is_library


@dataclass(frozen=True, slots=True)
class Metadata:
    """`op_name` is JAX's path of scopes; `source_file` and `source_line` the user's own line; empty when unknown.

    His own is the innermost call in no installed package, where the text holds all calls (`Instruction.stack`)
    and one of them is his.
    """

    op_name: str = ""
    op_type: str = ""
    source_file: str = ""
    source_line: int = 0
    frame: int = 0
    """Its stack_frame_id in the module's `SourceTables`, 0 where the text has none."""

    @property
    def source(self) -> str:
        """`file:line`, or "" where the text has none."""
        return f"{self.source_file}:{self.source_line}" if self.source_file else ""


NO_METADATA = Metadata()

_SECTION = re.compile(r"^[ \t]*+(FileNames|FunctionNames|FileLocations|StackFrames)[ \t]*+$", re.M)
_NAMED = re.compile(r'^[ \t]*+(\d{1,18})[ \t]++"((?:[^"\\\n]|\\.)*+)"', re.M | re.A)
_RECORD = re.compile(r"^[ \t]*+(\d{1,18})[ \t]++\{([^}\n]*+)\}", re.M | re.A)
_FIELD = re.compile(r"(?<!\w)(\w++)=(\d{1,18})(?!\w)", re.A)


@dataclass(frozen=True, slots=True)
class Frame:
    """A call on the stack when JAX traced an operation; `function` is its qualified name, "" where not known."""

    file: str
    line: int
    function: str = ""

    @property
    def source(self) -> str:
        """`file:line`, or "" without a file."""
        return f"{self.file}:{self.line}" if self.file else ""


_DEEPEST = 1000
"""Frames of one stack that are followed: JAX writes ten unless told otherwise, and Python's own stack ends there."""


_Frames = dict[int, tuple[str, int, str, int]]


@dataclass(frozen=True)
class SourceTables:
    """`frames` maps a stack_frame_id to (file, line, function, id of the calling frame, 0 for none)."""

    frames: _Frames = field(default_factory=dict)

    def stack(self, frame: int) -> list[Frame]:
        """The calls that led to an operation, the innermost first; none where the tables do not have the frame.

        A call that stands on it twice is given once: JAX repeats those around a scan, once for each that it is in.
        """
        found: dict[Frame, None] = {}
        for _ in range(_DEEPEST):
            if frame not in self.frames:
                break
            file, line, function, frame = self.frames[frame]
            found[Frame(file, line, function)] = None
        return list(found)

    def own(self, frame: int) -> int:
        """The innermost call, from `frame` outward, that is in no installed package; `frame` where all of them are."""
        passed: list[int] = []
        at = frame
        while at in self.frames and at not in self._own and len(passed) < len(self.frames):
            if not is_library(self.frames[at][0]):
                self._own[at] = at
                break
            passed.append(at)
            at = self.frames[at][3]
        found = self._own.get(at, 0)
        self._own.update(dict.fromkeys(passed, found))
        return found or frame

    @cached_property
    def _own(self) -> dict[int, int]:
        """By frame what `own` found, 0 for none: each frame is walked over once."""
        return {}

    @classmethod
    def parse(cls, text: str) -> SourceTables:
        parts = _SECTION.split(text)
        sections = dict(zip(parts[1::2], parts[2::2], strict=True))
        files = {int(n): unquote(f'"{s}"') for n, s in _NAMED.findall(sections.get("FileNames", ""))}
        functions = {int(n): unquote(f'"{s}"') for n, s in _NAMED.findall(sections.get("FunctionNames", ""))}
        locations = _records(sections.get("FileLocations", ""))
        frames: _Frames = {}
        ends: dict[int, int] = {}
        for number, frame in _records(sections.get("StackFrames", "")).items():
            location = locations.get(frame.get("file_location_id", 0), {})
            # The text prints each parent one higher than it is: a frame that prints 1 has none.
            frames[number] = (
                files.get(location.get("file_name_id", 0), ""),
                location.get("line", 0),
                functions.get(location.get("function_name_id", 0), ""),
                max(0, frame.get("parent_frame_id", 1) - 1),
            )
            ends[number] = location.get("end_line", 0)
        return cls(_rejoined(frames, ends))


def _rejoined(frames: _Frames, ends: dict[int, int]) -> _Frames:
    """With the calls that JAX loses: of a branch of `cond` or `switch` under `vmap` the text names as its caller the
    line that compiles the program, and leaves out all calls between.

    A branch that is a function inside another, `f.<locals>.<lambda>`, was called in `f`: in a line that holds the
    branch's own, or else any. Where `f` was called by several it is not known by which, and the branch has no caller.
    """
    by_function: dict[tuple[str, str], list[int]] = {}
    for number, (file, _, function, _) in frames.items():
        by_function.setdefault((file, function), []).append(number)
    found = dict(frames)
    for number, (file, line, function, caller) in frames.items():
        around = by_function.get((file, function.rpartition(_INSIDE)[0]), ()) if _INSIDE in function else ()
        callers = [caller, *_callers(frames, caller)]
        if not around or any(each in callers for each in around):
            continue
        below = [each for each in around if caller in _callers(frames, each)]
        holding = [each for each in below if frames[each][1] <= line <= ends[each]] or below
        if holding:
            is_one_call = len({frames[each][3] for each in holding}) == 1
            found[number] = (file, line, function, holding[0] if is_one_call else 0)
    return found


_INSIDE = ".<locals>."


def _callers(frames: _Frames, frame: int) -> list[int]:
    """The calls that led to a frame, the innermost first."""
    found: list[int] = []
    while frame in frames and len(found) < _DEEPEST:
        frame = frames[frame][3]
        found.append(frame)
    return found


def _records(text: str) -> dict[int, dict[str, int]]:
    return {int(n): {k: int(v) for k, v in _FIELD.findall(body)} for n, body in _RECORD.findall(text)}


_ATTRIBUTE = re.compile(r', metadata=\{(?:[^"{}]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+\}(?=,|\s*\Z)')

_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.S)


def without_metadata(attribute_text: str) -> str:
    """An instruction's attributes but for its metadata."""
    found = _metadata_in(attribute_text)
    return attribute_text if found is None else attribute_text[: found.start()] + attribute_text[found.end() :]


_QUOTED = r'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"'
_IN_LINES = re.compile(
    rf'^((?:[^"{{}}\n]|{_QUOTED}|\{{(?:[^"{{}}\n]|{_QUOTED}|\{{(?:[^"{{}}\n]|{_QUOTED})*+\}})*+\}})*?)'
    rf'(, metadata=\{{(?:[^"{{}}\n]++|{_QUOTED})*+\}})(?=,|[ \t]*$)([^\n]*+)',
    re.M,
)
"""What stands before the metadata of a line, these, and the rest."""


def metadata_apart(attribute_texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """The attributes of many instructions without metadata, and the metadata; of an instruction of which something else
    may be metadata too, all attributes are in both."""
    said = list(attribute_texts)
    holding = [number for number, text in enumerate(said) if ", metadata=" in text]
    if not holding:
        return said, []
    parts = _IN_LINES.split("\n".join([said[number] for number in holding]))
    metadata = parts[2::4]
    del parts[2::4]
    for number, text in zip(holding, "".join(parts).split("\n"), strict=True):
        if ", metadata=" in text:
            metadata.append(said[number])
        else:
            said[number] = text
    return said, metadata


def _metadata_in(attribute_text: str) -> re.Match[str] | None:
    """Where `, metadata={...}` stands; None where what stands before it may be an open string or bracket."""
    at = attribute_text.find(", metadata={")
    found = _ATTRIBUTE.search(attribute_text, at) if at >= 0 else None
    if found is None or found.start() == 0:
        return found
    before = attribute_text[: found.start()]
    if '"' in before:
        before = _STRING.sub("", before)
    return None if '"' in before or before.count("{") != before.count("}") else found


class MetadataTable:
    """Metadata by its text, each read once: 100,000 instructions have a few hundred."""

    def __init__(self, tables: SourceTables) -> None:
        self._tables = tables
        self._by_text: dict[str, Metadata] = {}
        self._by_attributes: dict[str, Metadata] = {}

    def of(self, attribute_text: str) -> Metadata:
        """That which the attributes of an instruction hold."""
        found = self._by_attributes.get(attribute_text)
        if found is None:
            found = self._by_attributes[attribute_text] = self._read(attribute_text)
        return found

    def _read(self, attribute_text: str) -> Metadata:
        if "metadata={" not in attribute_text:
            return NO_METADATA
        at = _metadata_in(attribute_text)
        text = without_scheduling_names(attribute_text if at is None else at[0])
        found = self._by_text.get(text)
        if found is None:
            metadata = split_attributes(text).get("metadata") if at is None else text.partition("=")[2]
            found = self._by_text[text] = parse_metadata(metadata, self._tables)
        return found


_SCHEDULED = re.compile(r'scheduling_name="[^"\\]*+"(?=[ }]) ?+')


def without_scheduling_names(text: str) -> str:
    """Attributes, of any number of instructions, without what GPU's XLA says in the metadata of each: its own name
    again. Nothing asks for it."""
    return _SCHEDULED.sub("", text) if "scheduling_name=" in text else text


_METADATA_FIELD = re.compile(r'(?<!\w)(\w++)=(?:"((?:[^"\\]|\\.)*+)"|([^\s{}"]++)|\{[^{}]*+\})', re.S)


def parse_metadata(text: str | None, tables: SourceTables) -> Metadata:
    """Read `{op_name="..." stack_frame_id=3}` or `{op_name="..." source_file="..." source_line=7}`."""
    if not text:
        return NO_METADATA
    strings: dict[str, str] = {}
    numbers: dict[str, int] = {}
    for name, string, plain in _METADATA_FIELD.findall(text):
        if plain.isdecimal() and len(plain) < 19:
            numbers[name] = int(plain)
        else:
            strings[name] = unquote(f'"{string}"')
    file, line = strings.get("source_file", ""), numbers.get("source_line", 0)
    frame = numbers.get("stack_frame_id", 0)
    if frame not in tables.frames:
        frame = 0
    elif not file or is_library(file):
        file, line = tables.frames[tables.own(frame)][:2]
    return Metadata(strings.get("op_name", ""), strings.get("op_type", ""), file, line, frame)
