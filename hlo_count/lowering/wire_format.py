"""The wire format of protocol buffers: fields one after the other, each a key and a value."""

from __future__ import annotations

from collections.abc import Iterator
from mmap import mmap
from struct import unpack_from

Data = bytes | mmap
"""What is read: bytes at hand, or a file that is mapped and never in memory as a whole."""
Span = tuple[int, int]
"""Where a message or a text lies: its first byte, and the one after its last."""


class BrokenMessageError(ValueError):
    """The bytes are no message, or one that breaks off. `at` is where."""

    def __init__(self, at: int) -> None:
        super().__init__(f"no protocol buffer from byte {at:,} on")
        self.at = at


def fields(data: Data, start: int, end: int) -> Iterator[tuple[int, int | float | Span]]:
    """The number and value of each field of the message in `data[start:end]`, in their order.

    A value of a length (text, bytes, message) is where it lies; a double a float; all else the unsigned integer.
    Raises BrokenMessageError where the message breaks off or has a wire type that is none.
    """
    at = start
    value: int | float | Span
    while at < end:
        here = at
        key, at = varint(data, at, end)
        match key & 7:
            case 0:
                value, at = varint(data, at, end)
            case 2:
                size, at = varint(data, at, end)
                value, at = (at, at + size), at + size
            case 1 | 5 as kind:
                size = 8 if kind == 1 else 4
                if at + size > end:
                    raise BrokenMessageError(here)
                value, at = unpack_from("<d" if kind == 1 else "<f", data, at)[0], at + size
            case _:
                raise BrokenMessageError(here)
        if at > end or key >> 3 == 0:
            raise BrokenMessageError(here)
        yield key >> 3, value


def varint(data: Data, at: int, end: int) -> tuple[int, int]:
    """The unsigned integer at `at`, and where it ends. Raises BrokenMessageError where it does not end before `end`."""
    if at < end and data[at] < 128:
        return data[at], at + 1
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        value, at, shift = value | (byte & 127) << shift, at + 1, shift + 7
        if byte < 128:
            return value, at
    raise BrokenMessageError(at)


def signed(value: int) -> int:
    """An int64 whose bits are those of `value`."""
    return value - 2**64 if value >= 2**63 else value
