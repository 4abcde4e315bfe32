"""Functions that ask which device is here while they are traced, and fail for what they are told.

What a target does not change is `jax.devices()`; what it does is the abstract mesh (`sharding.target_context`).
"""

from __future__ import annotations

import inspect
import os
import traceback
from collections.abc import Iterator
from types import CodeType
from typing import Any

from hlo_count.errors import TargetError

_ASKS = frozenset(("devices", "local_devices", "default_backend", "get_default_device"))
_MOST_CALLS = 3
"""Functions between the one that fails and the one that asks."""


def refuse_asking(error: Exception, target: str) -> None:
    """Raise TargetError where `error` comes from a function of a kernel that asks for the kind of device."""
    frames = list(traceback.walk_tb(error.__traceback__))
    if not frames:
        return
    frame, line = frames[-1]
    told = list(_asking(frame.f_code, frame.f_globals, _MOST_CALLS))
    if not told:
        return
    reason = str(error).strip().partition("\n")[0].rstrip(" .") or type(error).__name__
    hint = ""
    if not any(told):
        place = f"{frame.f_code.co_name} ({os.path.basename(frame.f_code.co_filename)}:{line})"
        hint = f"; {place} asks jax.devices(), which are those here: pass it what it chooses by them"
    raise TargetError(f"cannot be traced for {target}: {reason}{hint}") from error


def _asking(code: CodeType, names: dict[str, Any], depth: int) -> Iterator[bool]:
    """For each question of a function and of those that it calls, whether it is about the abstract mesh's device."""
    if "abstract_device" in code.co_names:
        yield True
    elif not _ASKS.isdisjoint(code.co_names) and "jax" in (*code.co_names, names.get("__name__", "").partition(".")[0]):
        yield False
    if depth:
        there = [names[name] for name in code.co_names if name in names]
        members = [vars(each).get(name) for each in there if inspect.ismodule(each) for name in code.co_names]
        for called in map(_unwrapped, [*there, *members]):
            if inspect.isfunction(called):
                yield from _asking(called.__code__, called.__globals__, depth - 1)


def _unwrapped(value: Any) -> Any:
    return inspect.unwrap(value) if callable(value) else value
