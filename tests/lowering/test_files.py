"""Bytes of files: compressed or not, in any encoding, up to a limit; what cannot be read is said in one line."""

from __future__ import annotations

import bz2
import gzip
import importlib.util
import lzma
import struct
import tracemalloc
import zlib
from io import BytesIO
from pathlib import Path

import pytest

from hlo_count.errors import HloCountError
from hlo_count.lowering.files import DEFAULT_LIMIT, LIMIT, decoded, read_file, read_stream, unpacked

TEXT = 'HloModule m\n\nENTRY e {\n  ROOT a = f32[8] parameter(0), metadata={op_name="é"}\n}\n'.encode()
SHARED = b" " * 2**20
PACKERS = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}


def zstd(data: bytes) -> bytes:
    """A frame of zstd (RFC 8878) of one block that is not compressed, of 256 to 65,791 bytes."""
    header = b"\x28\xb5\x2f\xfd\x60" + struct.pack("<H", len(data) - 256)
    return header + (1 | len(data) << 3).to_bytes(3, "little") + data


@pytest.mark.parametrize("kind", PACKERS)
def test_compressed_files_of_any_number_of_members(kind: str, tmp_path: Path) -> None:
    pack = PACKERS[kind]
    path = tmp_path / "module.txt.packed"
    for data in (pack(TEXT), pack(TEXT[:20]) + pack(b"") + pack(TEXT[20:])):
        path.write_bytes(data)
        assert read_file(path) == unpacked(data, "x") == read_stream(BytesIO(data), "x") == TEXT


@pytest.mark.parametrize("kind", PACKERS)
def test_damaged_files_are_said_to_be(kind: str) -> None:
    data = PACKERS[kind](TEXT * 50)
    flipped = data[:30] + bytes([data[30] ^ 255]) + data[31:]
    for damaged in (data[:-9], data[:12], flipped):
        with pytest.raises(HloCountError, match=rf"dump: this {kind} file is damaged \(") as raised:
            unpacked(damaged, "dump")
        assert "\n" not in str(raised.value)


def test_zstd_where_something_reads_it() -> None:
    data = zstd(TEXT * 4)
    at_hand = any(map(importlib.util.find_spec, ("compression", "backports", "zstandard")))
    if at_hand:
        assert unpacked(data + data, "dump") == TEXT * 8
        with pytest.raises(HloCountError, match="this zstd file is damaged"):
            unpacked(data[:-9], "dump")
    else:
        with pytest.raises(HloCountError, match="dump: this is zstd: unpack it .* or pip install zstandard"):
            unpacked(data, "dump")


def bomb(size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(b" " * 2**20) for _ in range(size // 2**20)), packer.flush()])


def test_what_is_read_has_a_limit_that_can_be_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bomb(64 * 2**20)
    assert len(data) < 70_000
    every = [data, gzip.compress(b"") * 3 + data, bz2.compress(b" " * 2**23), lzma.compress(b" " * 2**23)]
    monkeypatch.setenv(LIMIT, "2MiB")
    tracemalloc.start()
    for packed in every:
        with pytest.raises(HloCountError, match="b: holds more than 2,097,152 bytes once it is unpacked.*=4194304"):
            unpacked(packed, "b")
    with pytest.raises(HloCountError, match="<stdin>: holds more than 2,097,152 bytes, the most that is read"):
        read_stream(BytesIO(b" " * 2**22), "<stdin>")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 * 2**20  # the limit twice, the 4 MiB of the stream, and 9 MB of xz's own window at that preset
    monkeypatch.setenv(LIMIT, "64MiB")
    assert len(unpacked(data, "b")) == 64 * 2**20


@pytest.mark.parametrize(("given", "limit"), [("1000", 1000), ("4kB", 4000), ("4KiB", None), ("2 M", 2_000_000)])
def test_how_the_limit_is_written(given: str, limit: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT, given)
    if limit is None:
        with pytest.raises(HloCountError, match="HLO_COUNT_MAX_READ='4KiB' is no size: write bytes"):
            read_stream(BytesIO(b""), "x")
        return
    assert len(read_stream(BytesIO(b" " * limit), "x")) == limit
    with pytest.raises(HloCountError, match=f"more than {limit:,} bytes"):
        read_stream(BytesIO(b" " * (limit + 1)), "x")


def test_the_limit_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LIMIT, raising=False)
    asked = 0

    class Endless:
        def read(self, size: int) -> bytes:
            nonlocal asked
            asked += size
            return SHARED[:size]  # one piece as often as it is asked for: the test takes no gigabyte

    with pytest.raises(HloCountError, match="x: holds more than 1,073,741,824 bytes"):
        read_stream(Endless(), "x")  # type: ignore[arg-type]
    assert asked == DEFAULT_LIMIT + 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_with_a_mark(encoding: str) -> None:
    text = TEXT.decode()
    for data in (text.encode(encoding), gzip.compress(text.encode(encoding))):
        assert decoded(unpacked(data, "x"), "x") == text
    for mark, order in (("\ufeff", "utf-16-be"), ("\ufeff", "utf-16-le"), ("\ufeff", "utf-32-be")):
        assert decoded(unpacked((mark + text).encode(order), "x"), "x") == text


def test_a_text_with_bytes_that_are_no_letters_is_a_text() -> None:
    """Paths in Latin-1, and letters that a log breaks, are shown as escapes; without a module it is binary data."""
    path = b'HloModule m, frontend_attributes={by="Andr\xe9"}\n'
    assert decoded(path, "x") == 'HloModule m, frontend_attributes={by="Andr\udce9"}\n'
    for other in (b"\xff\xd8 HloModule \0", path.replace(b"HloModule", b"Hlo")):
        with pytest.raises(HloCountError, match="this is binary data"):
            decoded(other, "x")


OTHERS = {
    "a zip archive: unpack it": b"PK\x03\x04\xff\xfe",
    "gzip inside gzip": gzip.compress(gzip.compress(TEXT)),
    "a picture": b"\x89PNG\r\n\x1a\n",
    "binary data": b"\xff\xd8\xff\xe0",
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_files_are_named(kind: str) -> None:
    with pytest.raises(HloCountError, match=f"x: this is {kind}.*, not HLO text; dump with"):
        decoded(unpacked(OTHERS[kind], "x"), "x")


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    for path, message in ((tmp_path / "none", "No such file or directory"), (tmp_path, "s a directory")):
        with pytest.raises(HloCountError, match=f"{path}: .*{message}; pass the path of an HLO text"):
            read_file(path)
