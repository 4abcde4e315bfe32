"""How far something has come, as a bar on standard error, where it is asked for and tqdm is installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

Item = TypeVar("Item")


class Progress:
    """A bar of `total` units, or without a known end; nothing where it is not wanted, or tqdm is not installed."""

    def __init__(
        self, wanted: bool, title: str, unit: str, total: int | None = None, *, in_bytes: bool = False
    ) -> None:
        self._bar: Any = None
        if wanted:
            try:
                from tqdm import tqdm
            except ImportError:
                return
            self._bar = tqdm(total=total, desc=title, unit=unit, unit_scale=in_bytes, leave=False, dynamic_ncols=True)

    def advance(self, what: str = "", by: int = 1) -> None:
        """One unit more, or so many; `what` stands behind the bar."""
        if self._bar is not None:
            self._bar.set_postfix_str(what, refresh=False)
            self._bar.update(by)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def one_by_one(items: Sequence[Item], wanted: bool, title: str, unit: str) -> Iterator[Item]:
    """The items, with a bar that advances when the next is asked for."""
    with Progress(wanted, title, unit, len(items)) as bar:
        for item in items:
            yield item
            bar.advance()
