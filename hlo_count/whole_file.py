"""A file that is written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from hlo_count.errors import HloCountError


def save_text(path: str | Path, endings: Sequence[str], render: Callable[[], str], *, force: bool = False) -> Path:
    """A result into a file whose name ends in one of `endings`; returns its path.

    What is wrong with the place is said before `render` makes the text. Raises HloCountError for another ending, for a
    file that exists where it is not to be replaced (`force`), and for a place that cannot be written.
    """
    if not isinstance(path, str | Path):
        raise HloCountError(f"save({path!r:.80}): give the path of a file, such as 'report{endings[0]}'")
    file = Path(path)
    if not file.name.lower().endswith(tuple(endings)):
        raise HloCountError(f"{file}: it is saved as {', '.join(endings)}")
    try:
        if file.is_dir():
            raise HloCountError(f"{file} is a folder; name a file in it")
        if file.exists() and not force:
            raise HloCountError(f"{file} exists: force=True, or --force, replaces it")
        if not file.parent.is_dir():
            raise HloCountError(f"{file}: there is no folder {file.parent}")
        replace_text(file, render())
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise HloCountError(f"{file}: cannot be written ({reason})") from problem
    return file


def replace_text(file: Path, text: str) -> None:
    """The text into a file beside it, then in its place: nobody ever sees half of it. Raises OSError."""
    handle, temporary = tempfile.mkstemp(prefix=f".{file.name[:100]}.", dir=file.parent)
    try:
        # Half a surrogate pair, of which UTF-8 has none, becomes the escape that JSON has for it.
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text)
        # mkstemp makes it private; this is as readable as any other file.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, file)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
