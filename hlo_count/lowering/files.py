"""The bytes of a file or a stream: read up to a limit, unpacked, and where they are text, decoded."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Callable
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from hlo_count.errors import HloCountError

LIMIT = "HLO_COUNT_MAX_READ"
"""The environment variable that raises the limit."""
DEFAULT_LIMIT = 2**30
"""Bytes that are read of one file or stream, and that it may hold once it is unpacked."""
_PIECE = 2**20
_SIZE = re.compile(r"(\d{1,18})(?:\s*([kMGT])(i?)B?)?")
_POWERS = {"k": 1, "M": 2, "G": 3, "T": 4}


def read_file(path: Path) -> bytes:
    """What a file holds, unpacked. Raises HloCountError naming it where it cannot be read, or holds too much."""
    return unpacked(read_packed(path), str(path))


def read_packed(path: Path) -> bytes:
    """What a file holds, as it lies there. Raises HloCountError as `read_file` does."""
    try:
        with path.open("rb") as stream:
            return _up_to_limit(stream.read, str(path), "")
    except OSError as problem:
        raise HloCountError(f"{path}: {problem.strerror or problem}; pass the path of an HLO text") from None


def read_stream(stream: BinaryIO, name: str) -> bytes:
    """What a stream gives, unpacked. Raises HloCountError where it is damaged or gives too much."""
    return unpacked(_up_to_limit(stream.read, name, ""), name)


def unpacked(data: bytes, name: str) -> bytes:
    """What a gzip, bzip2, xz or zstd file of any number of members holds, in UTF-8 where it is UTF-16 or UTF-32.

    Other data as it is. Raises HloCountError for what is damaged, and for what holds more than the limit.
    """
    for magic, (kind, opened) in _PACKED.items():
        if data.startswith(magic):
            try:
                data = _up_to_limit(opened(BytesIO(data), name).read, name, " once it is unpacked")
            except HloCountError:
                raise
            except Exception as problem:  # each library raises errors of its own for damage
                raise HloCountError(f"{name}: this {kind} file is damaged ({problem})") from None
            break
    encoding = next((encoding for mark, encoding in _MARKS.items() if data.startswith(mark)), None)
    return data if encoding is None else decoded(data, name, encoding).encode(errors="surrogatepass")


def decoded(data: bytes, name: str, encoding: str = "utf-8-sig") -> str:
    """The text in bytes. Raises HloCountError that says what other bytes are, as far as they tell.

    In a text that holds a module single bytes may be wrong, of a path in Latin-1 or a letter that a log broke: each
    becomes half of a surrogate pair, which stands as an escape in whatever is shown.
    """
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        if encoding == "utf-8-sig" and b"HloModule" in data and b"\0" not in data:
            return data.decode(encoding, errors="surrogateescape")
        kind = next((kind for magic, kind in _OTHERS.items() if data.startswith(magic)), "binary data")
        raise HloCountError(
            f"{name}: this is {kind}, not HLO text; dump with --xla_dump_hlo_as_text or compiled.as_text()"
        ) from None


def _up_to_limit(read: Callable[[int], bytes], name: str, when: str) -> bytes:
    limit = _limit()
    pieces: list[bytes] = []
    size = 0
    while size <= limit and (piece := read(min(_PIECE, limit + 1 - size))):
        pieces.append(piece)
        size += len(piece)
    if size > limit:
        raise HloCountError(
            f"{name}: holds more than {limit:,} bytes{when}, the most that is read; where you trust it, raise that: "
            f"{LIMIT}={2 * limit}"
        )
    return b"".join(pieces)


def _limit() -> int:
    given = os.environ.get(LIMIT)
    if not given:
        return DEFAULT_LIMIT
    found = _SIZE.fullmatch(given.strip())
    if found is None:
        raise HloCountError(f"{LIMIT}={given!r:.80} is no size: write bytes, 4000000000, or 4GB, 4GiB")
    base = 1024 if found[3] else 1000
    return int(found[1]) * int(base ** _POWERS.get(found[2], 0))


def _from_stdlib(module: str, opener: str) -> Callable[[BinaryIO, str], Any]:
    return lambda data, name: getattr(import_module(module), opener)(data)


def _zstd(data: BinaryIO, name: str) -> Any:
    for module in ("compression.zstd", "backports.zstd"):  # of Python 3.14, and for those before
        try:
            return import_module(module).ZstdFile(data)
        except ImportError:
            pass
    try:
        return _ZstdFrames(data, import_module("zstandard").ZstdDecompressor())
    except ImportError:
        raise HloCountError(f"{name}: this is zstd: unpack it (zstd -d), or pip install zstandard") from None


class _ZstdFrames:
    """Frames of zstd, one after another, as a stream: zstandard's own ends without a word where a frame breaks off."""

    _PIECE = 2**12
    """Bytes that are unpacked at a time, which may be 128 KiB for each four of them."""

    def __init__(self, data: BinaryIO, unpacker: Any) -> None:
        self._data = data
        self._unpacker = unpacker
        self._frame: Any = None

    def read(self, _: int) -> bytes:
        """What comes next, however much it is; nothing at the end. Raises EOFError in the middle of a frame."""
        while True:
            is_new = self._frame is None or self._frame.eof
            piece = (self._frame.unused_data if self._frame and is_new else b"") or self._data.read(self._PIECE)
            if not piece:
                if is_new:
                    return b""
                raise EOFError("it breaks off")
            if is_new:
                self._frame = self._unpacker.decompressobj()
            if found := self._frame.decompress(piece):
                return bytes(found)


_PACKED: dict[bytes, tuple[str, Callable[[BinaryIO, str], Any]]] = {
    b"\x1f\x8b": ("gzip", lambda data, name: import_module("gzip").GzipFile(fileobj=data)),
    b"BZh": ("bzip2", _from_stdlib("bz2", "BZ2File")),
    b"\xfd7zXZ\0": ("xz", _from_stdlib("lzma", "LZMAFile")),
    b"\x28\xb5\x2f\xfd": ("zstd", _zstd),
}
"""How a compressed file begins, what it is called, and what reads it in pieces, member after member."""
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_OTHERS = {
    b"PK\x03\x04": "a zip archive: unpack it",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"\x1f\x8b": "gzip inside gzip: unpack it once",
    b"\x89PNG": "a picture",
    b"%PDF": "a PDF",
    b"\x7fELF": "an executable",
    b"SQLite format": "a database",
    b"\x80\x04\x95": "a pickle",
    b"\x93NUMPY": "an array of NumPy's",
}
