"""The file that a profiler writes, `.xplane.pb`: an XSpace of planes, of lines, of events, read where it lies.

The file is mapped and its events are read one after the other, so that a trace of gigabytes needs the memory of what is
kept of it. The format is that of `xplane.proto` in XLA's sources (tsl/profiler/protobuf).
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from hlo_count.errors import HloCountError
from hlo_count.lowering.wire_format import BrokenMessageError, Data, Span, fields, signed, varint

Stats = dict[str, Any]
"""What is said of a plane, an event or its metadata, by name: numbers, texts, and where bytes lie, as a Span."""


_EVENT = 4
"""The field of a line that holds its events."""
_STAT_KEY = 4 << 3 | 2
_STAT_NAME, _STAT_INT64 = 1 << 3, 4 << 3
"""Of a stat: the keys of its name, by number, and of a number with a sign."""
_NUMBER_KEYS = frozenset(number << 3 for number in (1, 2, 3))
"""Of an event: its metadata, offset and duration."""
_MOST_STATS = 100_000
"""Of which the bytes are remembered: a number that only one event has is of no use."""


@dataclass(frozen=True, slots=True)
class EventMetadata:
    """What all events of one kind have in common; `name` and `display_name` may be empty."""

    name: str
    display_name: str
    stats: Stats


class Event(NamedTuple):
    """From `start` to `end` in picoseconds since the epoch, or since the trace began."""

    metadata: EventMetadata
    start: int
    end: int
    stats: Stats


@dataclass(frozen=True, slots=True)
class Line:
    """The events of a thread, a stream or a unit; `span` is where all of it lies."""

    name: str
    timestamp: int
    """Picoseconds that the offsets of its events count from."""
    span: Span


class Plane:
    """What one host or device recorded, its lines in the order of the file."""

    def __init__(self, data: Data, span: Span) -> None:
        self._data = data
        self._lines: list[Span] = []
        self._events: dict[int, Span] = {}
        self._stats: list[Span] = []
        self._stat_names: dict[int, str] = {}
        self._known: dict[int, EventMetadata] = {}
        self._seen_stats: dict[bytes, tuple[str, Any]] = {}
        self.name = ""
        for number, value in fields(data, *span):
            if not isinstance(value, tuple):
                continue
            match number:
                case 2:
                    self.name = self._text(value)
                case 3:
                    self._lines.append(value)
                case 4:
                    key, held = self._entry(value)
                    self._events[key] = held
                case 5:
                    key, held = self._entry(value)
                    self._stat_names[key] = next((self._text(v) for n, v in self._texts(held) if n == 2), "")
                case 6:
                    self._stats.append(value)

    def _text(self, span: Span) -> str:
        return self._data[slice(*span)].decode(errors="replace")

    def _texts(self, span: Span) -> Iterator[tuple[int, Span]]:
        return ((number, value) for number, value in fields(self._data, *span) if isinstance(value, tuple))

    def _entry(self, span: Span) -> tuple[int, Span]:
        """A key and a message, as a map has them."""
        held = dict(fields(self._data, *span))
        key, value = held.get(1, 0), held.get(2, (span[1], span[1]))
        if not isinstance(key, int) or not isinstance(value, tuple):
            raise BrokenMessageError(span[0])
        return key, value

    @cached_property
    def stats(self) -> Stats:
        return dict(self._stat(span) for span in self._stats)

    @property
    def metadata(self) -> Iterator[tuple[int, EventMetadata]]:
        """All kinds of events that the plane knows, by id, also those that no event is of."""
        return ((key, self._metadata(key)) for key in self._events)

    @property
    def lines(self) -> Iterator[Line]:
        for span in self._lines:
            name, nanoseconds = "", 0
            for number, value in fields(self._data, *span):
                if number == _EVENT:
                    break  # what names a line stands before its events, of which there may be millions
                if number == 2 and isinstance(value, tuple):
                    name = self._text(value)
                elif number == 3 and isinstance(value, int):
                    nanoseconds = signed(value)
            yield Line(name, nanoseconds * 1000, span)

    def events(self, line: Line, wanted: Callable[[EventMetadata], bool]) -> Iterator[Event]:
        """Those of a line whose metadata are wanted; of others no more is read than that.

        Raises BrokenMessageError at one that cannot be read.
        """
        wants: dict[int, bool] = {}
        data = self._data
        for number, value in fields(data, *line.span):
            if number != _EVENT or not isinstance(value, tuple):
                continue
            start, end = value
            key = varint(data, start + 1, end)[0] if end - start > 1 and data[start] == 8 else 0
            if key not in wants:
                wants[key] = wanted(self._metadata(key))
            if wants[key]:
                yield self._event(line.timestamp, start, end)

    def _event(self, timestamp: int, start: int, end: int) -> Event:
        """One event. The hot path of a trace: numbers are read in place, and a stat that was seen before is known by
        its bytes."""
        data = self._data[start:end]
        size = end - start
        numbers = [0, 0, 0, 0]
        stats: Stats = {}
        at = 0
        while at < size:
            key = data[at]
            if key == _STAT_KEY:
                length, at = varint(data, at + 1, size)
                piece = data[at : at + length]
                known = self._seen_stats.get(piece)
                if known is None:
                    known = self._number(piece) or self._stat((start + at, start + at + length))
                    # Where bytes lie is another place each time, and what ties two events together another number.
                    if not isinstance(known[1], tuple) and not known[0].startswith("_"):
                        if len(self._seen_stats) > _MOST_STATS:
                            self._seen_stats.clear()
                        self._seen_stats[piece] = known
                stats[known[0]] = known[1]
                at += length
                if at > size:
                    raise BrokenMessageError(start + at)
            elif key in _NUMBER_KEYS:
                numbers[key >> 3], at = varint(data, at + 1, size)
            else:  # a field of a later version
                for _, value in fields(data, at, size):
                    at = value[1] if isinstance(value, tuple) else size
                    break
        begin = timestamp + signed(numbers[2])
        return Event(self._metadata(numbers[1]), begin, begin + signed(numbers[3]), stats)

    def _number(self, piece: bytes) -> tuple[str, int] | None:
        """A stat that is a whole number, as most are that differ from event to event; None for any other."""
        if len(piece) < 4 or piece[0] != _STAT_NAME or piece[1] > 127 or piece[2] != _STAT_INT64:
            return None
        value, end = varint(piece, 3, len(piece))
        return None if end < len(piece) else (self._stat_names.get(piece[1], ""), signed(value))

    def _metadata(self, key: int) -> EventMetadata:
        found = self._known.get(key)
        if found is None:
            texts = {2: "", 4: ""}
            stats: Stats = {}
            for number, value in self._texts(self._events.get(key, (0, 0))):
                if number in texts:
                    texts[number] = self._text(value)
                elif number == 5:
                    name, held = self._stat(value)
                    stats[name] = held
            found = self._known[key] = EventMetadata(texts[2], texts[4], stats)
        return found

    def _stat(self, span: Span) -> tuple[str, Any]:
        name = ""
        found: Any = None
        for number, value in fields(self._data, *span):
            if number == 1 and isinstance(value, int):
                name = self._stat_names.get(value, "")
            elif number == 5 and isinstance(value, tuple):
                found = self._text(value)
            elif number == 4 and isinstance(value, int):
                found = signed(value)
            elif number == 7 and isinstance(value, int):
                found = self._stat_names.get(value, "")
            elif number in (2, 3, 6):
                found = value
        return name, found

    def bytes(self, span: Span) -> bytes:
        """The bytes of a stat that holds some."""
        return bytes(self._data[slice(*span)])


def _mapped(path: Path) -> Data:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


class XSpace:
    """One trace file, or what one held. `broken` says from which byte on it cannot be read; None where all of it can.

    Raises HloCountError for a file that cannot be opened, or that is no trace.
    """

    def __init__(self, path: Path, data: bytes | None = None) -> None:
        self.path = path
        try:
            self._data: Data = _mapped(path) if data is None else data
        except ValueError:
            raise HloCountError(f"{path}: this trace is empty: the program ended before the profiler did") from None
        except OSError as problem:
            raise HloCountError(f"{path}: {problem.strerror or problem}") from None
        self.planes: list[Plane] = []
        self.hostname = ""
        self.broken: int | None = None
        try:
            for number, value in fields(self._data, 0, len(self._data)):
                if number == 1 and isinstance(value, tuple):
                    self.planes.append(Plane(self._data, value))
                elif number == 4 and isinstance(value, tuple):
                    self.hostname = self._data[slice(*value)].decode(errors="replace")
        except BrokenMessageError as problem:
            self.broken = problem.at
        if not self.planes:
            raise HloCountError(
                f"{path}: no trace that can be read: it breaks off, or is none (an .xplane.pb of jax.profiler is)"
            )
