"""Files where fsspec leads: buckets, web servers, archives. What is there, and how each is called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from hlo_count.errors import HloCountError

_TIMES = ("mtime", "LastModified", "Last-Modified", "last_modified", "updated", "created", "date_time")
_STATES = ("ETag", "etag", "md5Hash", "Content-MD5", "generation", "crc32c", "CRC", "sha", *_TIMES)
"""What file systems of fsspec call that which changes with the file."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The files that a URL leads to."""

    files: Mapping[str, Mapping[str, Any]]
    """What the file system says of each, by the name that it has there."""
    named: bool
    """Whether the URL names them, or is a pattern that they match, rather than a folder."""
    before: str
    after: str

    def url_of(self, name: str) -> str:
        """The URL of a file: what comes before its name in that which was given, and after it (`zip://name::s3://…`)."""
        return f"{self.before}{name}{self.after}"


def is_url(path: str) -> bool:
    """Whether fsspec has to be asked: `gs://bucket/dumps`."""
    return "://" in path


def listed(url: str) -> Listed:
    """The files that a URL, a folder's URL or a pattern lead to, as they are now. Raises HloCountError in one line."""
    fs, inside = _file_system(url)
    before, after = _around(url, inside)
    # "?" begins the query of a web address, as signed ones have it.
    is_pattern = bool({*"*["} & {*inside}) or ("?" in inside and "://" not in inside)
    try:
        fs.invalidate_cache()
        if is_pattern:
            found = {name: info for name, info in fs.glob(inside, detail=True).items() if info["type"] == "file"}
        elif url.endswith("/") or not fs.isfile(inside):
            found = fs.find(inside, detail=True)
            if not found:
                fs.info(inside)  # a server that does not answer, or a name that is not there, says so here
        else:
            found = {inside: fs.info(inside)}
            return Listed(found, True, before, after)
        # What lists web pages knows no sizes.
        found = {name: info if info.get("size") is not None else fs.info(name) for name, info in found.items()}
    except Exception as problem:  # every file system of fsspec has errors of its own
        raise _said(url, problem) from None
    return Listed(found, is_pattern, before, after)


def state_of(info: Mapping[str, Any]) -> tuple[int, float | None, str]:
    """(Size in bytes, 0 where a server does not tell; time of the last change; what changes with the file)."""
    size = int(info.get("size") or 0)
    states = [f"{key}={info[key]}" for key in _STATES if info.get(key) is not None]
    return size, _time(info), "-".join([str(size), *states]) if states else ""


def read(url: str, size: int) -> bytes:
    """The bytes of a file. Raises HloCountError where it cannot be read, or is of another size than it was."""
    fs, inside = _file_system(url)
    try:
        data: bytes = fs.cat_file(inside)
    except Exception as problem:  # every file system of fsspec has errors of its own
        raise _said(url, problem) from None
    if size and len(data) != size:
        raise HloCountError(f"{url}: it changed while it was read: scan again")
    return data


def _file_system(url: str) -> tuple[Any, str]:
    """The file system of fsspec that a URL names, and the path in it. Raises HloCountError with the remedy."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise HloCountError(f'{url}: reading this needs fsspec: pip install "hlo-count[fleet]"') from None
    try:
        fs, inside = url_to_fs(url)
    except Exception as problem:  # the protocol is none, or has a package of its own; an archive cannot be opened
        raise _said(url, problem) from None
    return fs, inside


def _around(url: str, inside: str) -> tuple[str, str]:
    """What stands before and after a file's name in its URL."""
    whole = url.rstrip("/")
    if inside and whole.endswith(inside.rstrip("/")):
        return whole.removesuffix(inside.rstrip("/")), ""
    first, chain, rest = url.partition("::")
    return first.rstrip("/").removesuffix(inside) if inside else first, chain + rest


def _said(url: str, problem: Exception) -> HloCountError:
    """What a file system says in words of its own, which may be the name alone: then what was behind it tells more."""
    reason = problem.__cause__ or problem
    message = str(reason).partition("\n")[0]
    if isinstance(reason, FileNotFoundError) and message in url:
        message = "there is no such file or folder"
    elif not isinstance(reason, OSError | ImportError | ValueError) or not message:
        message = f"{type(reason).__name__}: {message}"
    return HloCountError(f"{url}: {message}")


def _time(info: Mapping[str, Any]) -> float | None:
    for key in _TIMES:
        value = info.get(key)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
        try:
            if isinstance(value, str):
                return parsedate_to_datetime(value).timestamp()
            if isinstance(value, tuple):  # of a zip archive, which knows no zones
                return datetime(*value[:6]).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    return None
