"""Folders for what a compiler dumps, until their readers are done, and until the process ends at the latest."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

_FOLDERS: set[Path] = set()


def temporary_folder() -> Path:
    """A new one, for `remove_temporary_folder`."""
    folder = Path(tempfile.mkdtemp(prefix="hlo-count-"))
    _FOLDERS.add(folder)
    return folder


def remove_temporary_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _FOLDERS.discard(folder)


def remove_temporary_folders() -> None:
    """Remove all that are left, for a process that ends at once: compilers may still be writing into them."""
    for folder in list(_FOLDERS):
        for _ in range(_TRIES):
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                break


_TRIES = 100
