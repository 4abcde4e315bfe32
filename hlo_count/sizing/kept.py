"""Where compiled programs are kept between one size and the next."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hlo_count.lowering.compiled_texts import CompiledTexts

VARIABLE = "HLO_COUNT_CACHE"
"""Names a folder in place of the user's cache folder."""


def kept_in(cache: bool | str | Path) -> CompiledTexts | None:
    """The programs kept in a folder; True is that of HLO_COUNT_CACHE, else of the user. None where none are kept: for
    False, and where the place is not known without platformdirs."""
    from hlo_count.lowering.compiled_texts import CompiledTexts

    if cache is False:
        return None
    folder = _users() if cache is True else Path(cache)
    return None if folder is None else CompiledTexts(folder.expanduser())


def _users() -> Path | None:
    if named := os.environ.get(VARIABLE):
        return Path(named)
    try:
        from platformdirs import user_cache_path
    except ImportError:
        return None
    return user_cache_path("hlo-count", appauthor=False) / "compiled"
