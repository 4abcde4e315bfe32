"""Instructions by the names that people type: `fusion.3`, `%fusion.3`, `body.1/fusion.3` where a name stands twice."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from hlo_count.errors import HloCountError
from hlo_count.harmless import harmless
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module

_MOST = 5
_NUMBER = re.compile(r"\d+")


def named(module: Module, name: str) -> Instruction:
    """The instruction of that name. Raises HloCountError, one line with the names that are near, where there is none
    or more than one."""
    if not isinstance(name, str):
        raise HloCountError(f"{name!r:.80} is no name of an instruction: give a str such as 'fusion.3'")
    wanted = name.strip().lstrip("%")
    where, _, inner = wanted.rpartition("/")
    found = [
        c.by_name[inner]
        for c in module.computations.values()
        if inner in c.by_name and (not where or c.name == where.lstrip("%"))
    ]
    if len(found) == 1:
        return found[0]
    if found:
        full = [f"{i.computation.name}/{i.name}" for i in found]
        raise HloCountError(
            f"{module.name}: {len(found)} instructions are called {_short(inner)}; say which: {_listed(full)}"
        )
    near = _near(inner, (i.name for i in module.instructions()))
    raise HloCountError(
        f"{module.name} has no instruction {_short(wanted)}"
        + (f"; near it: {_listed(near)}" if near else '; by("instruction") lists them')
    )


def _near(wanted: str, names: Iterable[str]) -> list[str]:
    """Names like it, those with the number that was asked for first: numbers aside a program has a few hundred."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(_stem(name), []).append(name)
    near = get_close_matches(_stem(wanted[:200]), alike, _MOST, 0.6)
    number = _numbers(wanted[:200])
    ranked = [sorted(alike[stem], key=lambda name: _apart(_numbers(name), number)) for stem in near]
    return [name for names in ranked for name in names[: _MOST if len(near) == 1 else 2]][:_MOST]


def _stem(name: str) -> str:
    return _NUMBER.sub("", name).rstrip(".")


def _numbers(name: str) -> list[int]:
    return [int(number) for number in _NUMBER.findall(name[-40:]) if len(number) < 10]


def _apart(one: list[int], other: list[int]) -> int:
    return abs((one or [0])[-1] - (other or [0])[-1])


def _short(name: str) -> str:
    return repr(harmless(name, 80) if len(name) > 80 else name)


def _listed(names: list[str]) -> str:
    more = f", … {len(names) - _MOST} more" if len(names) > _MOST else ""
    return ", ".join(harmless(name, 80) for name in names[:_MOST]) + more
