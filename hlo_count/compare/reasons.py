"""Why runs differ, or have no partner in the other program."""

from __future__ import annotations

from dataclasses import dataclass

_OPPOSITES = {
    "fused": "unfused",
    "recomputed": "eliminated (common)",
    "inserted (dead)": "eliminated (dead)",
    "inserted": "eliminated",
    "only after": "only before",
    "more runs": "fewer runs",
    "unfolded": "folded",
    "upcast": "downcast",
    "rolled": "unrolled",
    "copy inserted": "copy removed",
    "layout copy inserted": "layout copy removed",
    "collective inserted": "collective removed",
}
OPPOSITE = _OPPOSITES | {back: forth for forth, back in _OPPOSITES.items()}
"""What a reason is called the other way round; one that is not here is its own opposite."""

_ADDING = frozenset(
    (
        *("unfused", "recomputed", "unfolded", "inserted (dead)", "inserted", "only after", "more runs"),
        *("copy inserted", "layout copy inserted", "collective inserted"),
    )
)
"""What makes a program dearer; their opposites make it cheaper."""

UNMATCHED = frozenset(("only before", "only after", "eliminated", "inserted"))
"""Reasons that say no more than that nothing in the other program was found to be the same."""


@dataclass(frozen=True, slots=True)
class Reason:
    """`kind` is a word or two, `before` and `after` what it was and became, where that says more."""

    kind: str
    before: str = ""
    after: str = ""

    @property
    def direction(self) -> int:
        """1 for what can only add to a program, -1 for what can only take away, 0 for what can do either."""
        return direction(self.kind)

    def __neg__(self) -> Reason:
        """The reason of the comparison the other way round."""
        if self is UNCHANGED:
            return self
        return Reason(OPPOSITE.get(self.kind, self.kind), self.after, self.before)

    def __str__(self) -> str:
        if self.before and self.after:
            return f"{self.kind} ({self.before} to {self.after})"
        detail = self.before or self.after
        return f"{self.kind} ({detail})" if detail else self.kind


def direction(kind: str) -> int:
    """`Reason.direction` of the reasons of a kind."""
    return (kind in _ADDING) - (OPPOSITE.get(kind) in _ADDING)


UNCHANGED = Reason("unchanged")
