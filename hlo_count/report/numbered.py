"""Siblings whose names differ in a number, `block_0` to `block_11`, as one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

_FEWEST_ALIKE = 3
_NUMBER = re.compile(r"\d+")
T = TypeVar("T")


def numbered_as_one(groups: Mapping[str, T]) -> list[tuple[str, int, list[T]]]:
    """Names that differ in one number as one, `block_*`, with how many they are and what each stands for; others as
    they are. A name with several numbers goes with the most that it is like."""
    stems: dict[tuple[str, str], list[str]] = {}
    for name in groups:
        for found in _NUMBER.finditer(name):
            stems.setdefault((name[: found.start()], name[found.end() :]), []).append(name)
    result = []
    done: set[str] = set()
    for (head, tail), alike in sorted(stems.items(), key=lambda stem: -len(stem[1])):
        names = [name for name in alike if name not in done]
        if len(names) >= _FEWEST_ALIKE:
            done.update(names)
            result.append((f"{head}*{tail}", len(names), [groups[name] for name in names]))
    return [*result, *((name, 1, [group]) for name, group in groups.items() if name not in done)]
