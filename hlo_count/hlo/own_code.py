"""Which files are the user's own, and which belong to installed packages or to Python."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import lru_cache

VARIABLE = "HLO_COUNT_LIBRARIES"
"""Patterns of files, separated as in PATH, that stand for libraries in place of what is installed; empty for none."""

_INSTALLED = re.compile(
    r"[\\/](?:site|dist)-packages[\\/]|[\\/]lib(?:64)?[\\/]python3(?:\.\d+)?[\\/]|\A<frozen "
    r"|[\\/](?:bin|Scripts)[\\/][^\\/.]+\Z"
)
"""Where installers put packages (PEP 370, Debian's policy for Python), and Python its own library (sysconfig); and the
programs that they write to begin with, `bin/pytest`: a command is called by one, and it is nobody's own line."""


def is_library(file: str) -> bool:
    """Whether a file is of an installed package or of Python itself, or what `HLO_COUNT_LIBRARIES` says."""
    return _judge(os.environ.get(VARIABLE))(file)


@lru_cache(maxsize=8)
def _judge(patterns: str | None) -> Callable[[str], bool]:
    if patterns is None:
        return lru_cache(maxsize=4096)(lambda file: _INSTALLED.search(file) is not None)
    each = [pattern for pattern in patterns.split(os.pathsep) if pattern]
    return lru_cache(maxsize=4096)(lambda file: any(fnmatchcase(file, pattern) for pattern in each))
