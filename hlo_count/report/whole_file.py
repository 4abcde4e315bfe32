"""A file that is written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


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
