"""Keywords of ours and of the function that is counted, which may have the same names."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from hlo_count.errors import HloCountError


def of_function(
    fn: Any, args: Sequence[Any], named: Mapping[str, Any], kwargs: Any, own: Mapping[str, Any], caller: str = "count"
) -> dict[str, Any]:
    """The keywords of `fn`: those that only it has, `named`, and those of `kwargs`, whose names may be ours.

    `own` are the values of our own keywords. Raises HloCountError where one of them was meant for the function: an
    array, or what `fn` would lack; warns where it could be either's.
    """
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise HloCountError(
            f'kwargs= holds keywords of the function by name, such as kwargs={{"target": labels}}, not {kwargs!r:.40}'
        )
    twice = sorted({*named} & {*(kwargs or ())})
    if twice:
        raise HloCountError(f"{twice[0]}= is given twice, as a keyword and in kwargs=")
    _refuse_misspelt(fn, named, own, caller)
    keywords = {**named, **(kwargs or {})}
    given = {name: value for name, value in own.items() if value is not None and value is not False}
    unbound = _unbound(fn, args, keywords)
    for name, value in given.items():
        if _holds_array(value) or unbound.get(name):
            raise HloCountError(
                f"{name}= is a keyword of {caller} itself: pass that of the function in kwargs={{{name!r}: …}}"
            )
        if name in unbound and kwargs is None:
            warnings.warn(
                f"{name}= is taken as {caller}'s own keyword; the function has one too, which keeps its default: pass "
                f"that in kwargs={{{name!r}: …}}, or kwargs={{}} where nothing is meant for it",
                stacklevel=3,
            )
    return keywords


def _refuse_misspelt(fn: Any, named: Mapping[str, Any], own: Mapping[str, Any], caller: str) -> None:
    """Where the function has no such keyword and we have one that is near, it was meant for us."""
    try:
        parameters = inspect.signature(fn).parameters.values() if callable(fn) else ()
    except (TypeError, ValueError):
        return
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    theirs = {p.name for p in parameters}
    for name in named:
        near = get_close_matches(name, own, 1, 0.75)
        if name not in theirs and near:
            raise HloCountError(f"{name}=: neither {caller} nor the function has it, did you mean {near[0]}=?")


def _unbound(fn: Any, args: Sequence[Any], keywords: Mapping[str, Any]) -> dict[str, bool]:
    """The named parameters of `fn` that it was not given, and whether it needs them."""
    if not callable(fn):
        return {}
    try:
        signature = inspect.signature(fn)
        given = signature.bind_partial(*args, **keywords).arguments
    except (TypeError, ValueError):  # no signature, or arguments that do not fit it, which JAX will say
        return {}
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    every = signature.parameters.values()
    return {p.name: p.default is p.empty for p in every if p.kind in kinds and p.name not in given}


def _holds_array(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_array, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_array, value))
    # A scalar may be a trip count; an array of objects holds devices.
    return bool(getattr(value, "shape", ())) and str(getattr(value, "dtype", "object")) != "object"
