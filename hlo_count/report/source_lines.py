"""The lines of source beside numbers. A text names any file it likes: few of them are read."""

from __future__ import annotations

import linecache
import os
import stat
import sys
from functools import cached_property
from pathlib import Path

_LARGEST = 2**20
"""Bytes of a file that is read."""


class SourceLines:
    """Lines of source by `file:line`, of the files that a program may show.

    Those are files below the project's root (the nearest folder upward of the current one that holds `pyproject.toml`
    or `.git`), and of a program that was traced in this process also the files of the modules that are loaded in it.
    Below the root they are regular Python files of up to a megabyte, whose names and folders are not hidden, wherever
    symbolic links lead.
    """

    def __init__(self, *, traced_here: bool) -> None:
        self._traced_here = traced_here
        self._read: dict[str, list[str]] = {}

    def of(self, source: str) -> str:
        """The text of a line, "" where there is none to show."""
        file, _, number = source.rpartition(":")
        if not (file and number.isascii() and number.isdigit() and len(number) < 10):
            return ""
        lines = self.file(file)
        return lines[int(number) - 1].strip() if 0 < int(number) <= len(lines) else ""

    def file(self, file: str) -> list[str]:
        """All lines of a file, none where it may not be shown."""
        if file in self._loaded:
            linecache.checkcache(file)
            return linecache.getlines(file)
        if file not in self._read:
            self._read[file] = _project_file(file)
        return self._read[file]

    @cached_property
    def _loaded(self) -> frozenset[str]:
        """Files of the modules of this process, and cells of a notebook."""
        if not self._traced_here:
            return frozenset()
        files = (vars(module).get("__file__") for module in list(sys.modules.values()) if type(module) is type(sys))
        cells = (name for name, entry in linecache.cache.items() if len(entry) == 4 and entry[1] is None)
        return frozenset((*filter(None, files), *cells))


def project_root() -> Path | None:
    """The nearest folder upward of the current one with a `pyproject.toml` or `.git`; None where there is none."""
    here = Path.cwd().resolve()
    marked = (
        folder
        for folder in (here, *here.parents)
        if (folder / "pyproject.toml").is_file() or (folder / ".git").exists()
    )
    return next(marked, None)


def _project_file(file: str) -> list[str]:
    """The lines of a file of the project; none of any other."""
    try:
        root, path = project_root(), Path(file).resolve(strict=True)
        if root is None or path.suffix != ".py" or not path.is_relative_to(root):
            return []
        if any(part.startswith(".") for part in path.relative_to(root).parts):
            return []
        # Not followed and not waited for, should something else stand there by now.
        opened = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(opened, "rb") as stream:
            state = os.fstat(opened)
            if not stat.S_ISREG(state.st_mode) or state.st_size > _LARGEST:
                return []
            return stream.read(_LARGEST).decode("utf-8", "replace").splitlines()
    except (OSError, ValueError, RuntimeError):  # not there, no path at all, links that go round
        return []
