"""Which files a scan reads: files, folders in folders and patterns, here or where fsspec leads."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.lowering.dump_folder import sorted_out

_PATTERN = frozenset("*?[")
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")
_STATES = ("ETag", "etag", "md5Hash", "generation", "crc32c", *_TIMES)
"""What file systems of fsspec call that which changes with the file."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file that may hold modules."""

    name: str
    """Its absolute path, or its URL: what the tables call it."""
    size: int
    modified: float | None
    """Seconds since 1970; None where the file system does not tell."""
    fingerprint: str
    """Another one when the file has changed."""
    named: bool
    """Whether it was named, or matched by a pattern, rather than found in a folder: then it is wrong to hold no HLO."""


@dataclass(frozen=True, slots=True)
class Found:
    """The sources of a scan, by name; and how many files of folders are no HLO by their names."""

    sources: tuple[Source, ...]
    passed_over: int


def find(paths: str | Path | Iterable[str | Path]) -> Found:
    """The files that paths name, each once, also where a link leads to it as well.

    A folder stands for what is in it and below: of a module that XLA dumped the last state, of other files those that
    may hold HLO. What is named, or matches a pattern, is read whatever it is called.

    Raises HloCountError for a path that leads nowhere, and where there is no file at all.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    sources: dict[str, Source] = {}
    passed_over = 0
    for path in map(str, given):
        found = _remote(path) if is_remote(path) else _local(path)
        passed_over += found.passed_over
        for source in found.sources:
            sources.setdefault(source.name, source)
    if not sources:
        named = ", ".join(map(str, given[:3])) or "nothing"
        instead = f", but {passed_over:,} files that are no HLO" if passed_over else ""
        raise HloCountError(f"{named}: no file that may hold HLO{instead}: name files, folders or patterns, **/*.txt")
    by_place: dict[str, Source] = {}
    for name in sorted(sources):
        by_place.setdefault(name if is_remote(name) else os.path.realpath(name), sources[name])
    return Found(tuple(by_place.values()), passed_over)


def is_remote(path: str) -> bool:
    """Whether fsspec has to be asked: `gs://bucket/dumps`."""
    return "://" in path


def _local(path: str) -> Found:
    if os.path.isdir(path):
        return _found(_walk(path), lambda name: _stat(name, named=False))
    if os.path.isfile(path):
        return Found((_stat(path, named=True),), 0)
    if not _PATTERN & {*path}:
        raise HloCountError(f"{path}: there is no such file or folder")
    # Sorted, as a file of two matching names would else be one or the other by chance.
    names = sorted(name for name in glob.iglob(path, recursive=True, include_hidden=True) if os.path.isfile(name))
    if not names:
        raise HloCountError(f"{path}: no file matches")
    return Found(tuple(_stat(name, named=True) for name in names), 0)


def _stat(name: str, *, named: bool) -> Source:
    state = os.stat(name)
    return Source(os.path.abspath(name), state.st_size, state.st_mtime, local_fingerprint(state), named)


def local_fingerprint(state: os.stat_result) -> str:
    """Size and time of the last change, to the nanosecond."""
    return f"{state.st_size}-{state.st_mtime_ns}"


def _walk(top: str) -> Iterator[tuple[str, list[str]]]:
    """Folders with the names of their files. A link to a folder is followed, and no folder is entered twice."""
    seen = set()
    for folder, below, files in os.walk(top, followlinks=True):
        here = os.stat(folder)
        if (here.st_dev, here.st_ino) in seen:
            below.clear()
            continue
        seen.add((here.st_dev, here.st_ino))
        below.sort()
        yield folder, [name for name in files if os.path.isfile(os.path.join(folder, name))]


def _found(folders: Iterable[tuple[str, list[str]]], source: Any) -> Found:
    sources: list[Source] = []
    passed_over = 0
    for folder, names in folders:
        here = sorted_out(Path(folder), map(Path, names))
        passed_over += here.passed_over
        for file in (*(each.best for each in here.compiles), *here.others):
            try:
                sources.append(source(os.path.join(folder, file.name)))
            except OSError:  # it was there when its folder was listed
                passed_over += 1
    return Found(tuple(sources), passed_over)


# Elsewhere


def _remote(path: str) -> Found:
    fs, inside = file_system(path)
    protocol = path.partition("://")[0]
    try:
        if _PATTERN & {*inside}:
            there = fs.glob(inside, detail=True)
            found = {name: info for name, info in there.items() if info["type"] == "file"}
            return Found(tuple(_described(protocol, name, info, named=True) for name, info in found.items()), 0)
        if fs.isfile(inside):
            return Found((_described(protocol, inside, fs.info(inside), named=True),), 0)
        there = fs.find(inside, detail=True)
    except Exception as problem:  # every file system of fsspec has errors of its own
        raise HloCountError(f"{path}: {type(problem).__name__}: {problem}") from None
    folders: dict[str, list[str]] = {}
    for name in sorted(there):
        folder, _, file = name.rpartition("/")
        folders.setdefault(folder, []).append(file)
    return _found(folders.items(), lambda name: _described(protocol, name, there[name], named=False))


def file_system(path: str) -> tuple[Any, str]:
    """The file system of fsspec that a URL names, and the path in it. Raises HloCountError with the remedy."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise HloCountError(f'{path}: reading this needs fsspec: pip install "hlo-count[fleet]"') from None
    try:
        fs, inside = url_to_fs(path)
    except (ImportError, ValueError) as problem:  # the protocol has a package of its own, or is none
        raise HloCountError(f"{path}: {problem}") from None
    return fs, inside


def _described(protocol: str, name: str, info: Mapping[str, Any], *, named: bool) -> Source:
    states = [f"{key}={info[key]}" for key in _STATES if info.get(key) is not None]
    size = int(info.get("size") or 0)
    return Source(f"{protocol}://{name.lstrip('/')}", size, _time(info), "-".join([str(size), *states]), named)


def _time(info: Mapping[str, Any]) -> float | None:
    for key in _TIMES:
        value = info.get(key)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return None
