"""Folders for what a compiler dumps, until their readers are done, and until the process ends at the latest."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

_FOLDERS: list[Path] = []
"""All that were made: a compiler that was interrupted makes its folder again for what it dumps next."""
_TRIES = 100


def temporary_folder() -> Path:
    """A new one, for `remove_temporary_folder`."""
    folder = Path(tempfile.mkdtemp(prefix="hlo-count-"))
    _FOLDERS.append(folder)
    return folder


def remove_temporary_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def remove_temporary_folders() -> None:
    """Remove whatever is left of them, for a process that ends at once, though compilers write into them."""
    for folder in _FOLDERS:
        for _ in range(_TRIES):
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                break
