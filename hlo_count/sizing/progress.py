"""How far a size has come, on standard error."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self


class Progress:
    """A bar that advances with each target; nothing where it is not asked for, or tqdm is not installed."""

    def __init__(self, targets: int, wanted: bool) -> None:
        self._bar: Any = None
        if wanted:
            try:
                from tqdm import tqdm
            except ImportError:
                return
            self._bar = tqdm(total=targets, desc="compiling", unit="target", leave=False, dynamic_ncols=True)

    def advance(self, target: str) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(target, refresh=False)
            self._bar.update()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
