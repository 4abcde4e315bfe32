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

_ASKS = frozenset(("devices", "local_devices", "default_backend", "get_default_device", "cuda_runtime_get_version"))
_TOLD = "abstract_device"
_MOST_CALLS = 3
"""Functions between the one that fails and the one that asks."""


def refuse_asking(error: Exception, target: str) -> None:
    """Raise TargetError where `error` comes from a function that asks for the kind of device.

    Mistakes in the code, which any answer would find, are the function's own.
    """
    frames = list(traceback.walk_tb(error.__traceback__))
    is_mistake = isinstance(error, TypeError | NameError | AttributeError) and not _is_of_a_device(error)
    if not frames or is_mistake:
        return
    frame, line = frames[-1]
    asked = list(_asked(frame.f_code, frame.f_globals, _MOST_CALLS))
    if not asked:
        return
    reason = str(error).strip().partition("\n")[0].rstrip(" .") or _unsaid(error)
    hint = ""
    if _TOLD not in asked:
        place = f"{frame.f_code.co_name} ({os.path.basename(frame.f_code.co_filename)}:{line})"
        hint = f"; {place} asks {asked[0]}(), which tells of this machine: pass it what it chooses by that"
    raise TargetError(f"cannot be traced for {target}: {reason}{hint}") from error


def _is_of_a_device(error: Exception) -> bool:
    """Whether a device lacks what others have, such as `core_count`, which only GPUs tell."""
    import jax

    return isinstance(error, AttributeError) and isinstance(error.obj, jax.Device)


def _unsaid(error: Exception) -> str:
    """Words for an error that has none."""
    if isinstance(error, AttributeError) and error.name:
        return f"{error.obj} has no {error.name}"
    return type(error).__name__


def _asked(code: CodeType, names: dict[str, Any], depth: int) -> Iterator[str]:
    """What a function asks, and those that it calls: _TOLD for the abstract mesh's device."""
    if _TOLD in code.co_names:
        yield _TOLD
    elif "jax" in (*code.co_names, names.get("__name__", "").partition(".")[0]):
        yield from (name for name in code.co_names if name in _ASKS)
    if depth:
        there = [names[name] for name in code.co_names if name in names]
        members = [vars(each).get(name) for each in there if inspect.ismodule(each) for name in code.co_names]
        for called in map(_unwrapped, [*there, *members]):
            if inspect.isfunction(called):
                yield from _asked(called.__code__, called.__globals__, depth - 1)


def _unwrapped(value: Any) -> Any:
    return inspect.unwrap(value) if callable(value) else value
