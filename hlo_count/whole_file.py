"""A file that is written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
    """The text in the place of a file. Raises OSError."""
    with replacing(file) as whole:
        # Half a surrogate pair, of which UTF-8 has none, becomes the escape that JSON has for it.
        whole.write_text(text, encoding="utf-8", errors="backslashreplace")


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A file beside it, to be written inside, that takes its place at the end: nobody ever sees half of it. Nothing is
    left where that fails. Raises OSError."""
    handle, name = tempfile.mkstemp(prefix=f".{file.name[:100]}.", dir=file.parent)
    os.close(handle)
    whole = Path(name)
    try:
        yield whole
        # mkstemp makes it private; this is as readable as any other file.
        os.chmod(whole, 0o666 & ~_umask())
        os.replace(whole, file)
    except BaseException:
        whole.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
