"""Writes XSpace files, field by field as `xplane.proto` of XLA's sources numbers them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def varint_field(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def message(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def text(number: int, value: str) -> bytes:
    return message(number, value.encode())


class _Names:
    """Numbers for names, from 1."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def __getitem__(self, name: str) -> int:
        return self.numbers.setdefault(name, len(self.numbers) + 1)


def _stat(names: _Names, name: str, value: Any) -> bytes:
    held = (
        message(6, value)
        if isinstance(value, bytes)
        else text(5, value)
        if isinstance(value, str)
        else varint_field(4, value)
    )
    return varint_field(1, names[name]) + held


def plane(
    name: str,
    lines: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    stats: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Mapping[str, Any]] | None = None,
) -> bytes:
    """A plane as field of an XSpace. An event has name, start and duration (picoseconds) and stats; `metadata` are
    the display_name, id and stats of kinds of events, by name, also of those that no event is of."""
    kinds, stat_names = _Names(), _Names()
    written = b""
    for line, events in lines.items():
        held = b"".join(
            message(
                4,
                varint_field(1, kinds[event["name"]])
                + varint_field(2, event["start"])
                + varint_field(3, event["duration"])
                + b"".join(message(4, _stat(stat_names, *stat)) for stat in event["stats"].items()),
            )
            for event in events
        )
        written += message(3, text(2, line) + held)
    described = dict(metadata or {})
    for kind in described:
        kinds[kind]
    for kind, number in kinds.numbers.items():
        said = described.get(kind, {})
        held = varint_field(1, number) + text(2, kind) + text(4, said.get("display_name", ""))
        held += b"".join(message(5, _stat(stat_names, *stat)) for stat in said.get("stats", {}).items())
        written += message(4, varint_field(1, number) + message(2, held))
    written += b"".join(message(6, _stat(stat_names, *stat)) for stat in (stats or {}).items())
    for stat, number in stat_names.numbers.items():
        written += message(5, varint_field(1, number) + message(2, varint_field(1, number) + text(2, stat)))
    return message(1, text(2, name) + written)
