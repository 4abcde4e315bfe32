"""Which files a scan reads: files, folders in folders and patterns, here or where fsspec leads."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hlo_count.errors import HloCountError
from hlo_count.fleet import elsewhere
from hlo_count.layout import number_of
from hlo_count.lowering.dump_folder import sorted_out

_PATTERN = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Source:
    """A file that may hold modules."""

    name: str
    """Its absolute path, or its URL: what the tables call it."""
    size: int
    modified: float | None
    """Seconds since 1970; None where the file system does not tell."""
    fingerprint: str
    """Another one when the file has changed; empty where that cannot be told."""
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
        found = _remote(path) if elsewhere.is_url(path) else _local(path)
        passed_over += found.passed_over
        for source in found.sources:
            sources.setdefault(source.name, source)
    if not sources:
        named = ", ".join(map(str, given[:3])) or "nothing"
        instead = f", but {number_of(passed_over, 'file')} of other kinds" if passed_over else ""
        raise HloCountError(f"{named}: no file that may hold HLO{instead}: name files, folders or patterns, **/*.txt")
    by_place: dict[str, Source] = {}
    for name in sorted(sources):
        by_place.setdefault(name if elsewhere.is_url(name) else os.path.realpath(name), sources[name])
    return Found(tuple(by_place.values()), passed_over)


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


def _found(folders: Iterable[tuple[str, list[str]]], source: Callable[[str], Source]) -> Found:
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


def _remote(url: str) -> Found:
    there = elsewhere.listed(url)

    def described(name: str) -> Source:
        size, modified, state = elsewhere.state_of(there.files[name])
        return Source(there.url_of(name), size, modified, state, there.named)

    if there.named:
        return Found(tuple(described(name) for name in there.files), 0)
    folders: dict[str, list[str]] = {}
    for name in sorted(there.files):
        folder, _, file = name.rpartition("/")
        folders.setdefault(folder, []).append(file)
    return _found(folders.items(), described)
