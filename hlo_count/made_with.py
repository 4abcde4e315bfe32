"""Results that travel: they are what they were made with, and all else is worked out again when it is asked for."""

from __future__ import annotations

from functools import cached_property
from typing import Any


class MadeWith:
    """Is pickled, copied and compared as what it was made with: what it found out and kept stays behind."""

    def __getstate__(self) -> dict[str, Any]:
        classes = type(self).__mro__
        kept = {name for each in classes for name, value in vars(each).items() if isinstance(value, cached_property)}
        return {name: value for name, value in vars(self).items() if name not in kept}

    def __eq__(self, other: object) -> bool:
        """Whether both are of one kind, and made with the same."""
        return self.__getstate__() == other.__getstate__() if type(other) is type(self) else NotImplemented

    __hash__ = object.__hash__
