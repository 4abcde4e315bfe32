"""How long the loops of a program are stepped through, one and all together."""

from __future__ import annotations

MAX_OPERATIONS = 1_000_000
"""Scalar operations that stepping through one loop may take: about half a second."""
_MOST_OPERATIONS = 4_000_000
"""The same of all loops of a program together."""


class Budget:
    """The scalar operations that stepping through the loops of a program may still take."""

    def __init__(self) -> None:
        self._left = _MOST_OPERATIONS

    @property
    def is_short(self) -> bool:
        """Whether other loops took so much that one may be left unfinished for it."""
        return self._left < MAX_OPERATIONS

    def trips(self, operations: int) -> int:
        """How many trips of so many operations the next loop may take."""
        return min(MAX_OPERATIONS, self._left) // max(1, operations)

    def spend(self, operations: int) -> None:
        self._left -= operations
