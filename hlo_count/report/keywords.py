"""Keywords of ours and of the function that is counted, which may have the same names."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from hlo_count.errors import HloCountError


def of_function(
    fn: Any, args: Sequence[Any], named: Mapping[str, Any], kwargs: Any, own: Mapping[str, Any], caller: str = "count"
) -> dict[str, Any]:
    """The keywords of `fn`: those that only it has, `named`, and those of `kwargs`, whose names may be ours.

    `own` are the values of our own keywords. Raises HloCountError where one of them was meant for the function: an
    array, or what `fn` would lack.
    """
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise HloCountError(
            f'kwargs= holds keywords of the function by name, such as kwargs={{"target": labels}}, not {kwargs!r:.40}'
        )
    twice = sorted({*named} & {*(kwargs or ())})
    if twice:
        raise HloCountError(f"{twice[0]}= is given twice, as a keyword and in kwargs=")
    keywords = {**named, **(kwargs or {})}
    given = {name: value for name, value in own.items() if value is not None and value is not False}
    lacking = _lacking(fn, args, keywords)
    for name, value in given.items():
        if _holds_array(value) or name in lacking:
            raise HloCountError(
                f"{name}= is a keyword of {caller} itself: pass that of the function in kwargs={{{name!r}: …}}"
            )
    return keywords


def _lacking(fn: Any, args: Sequence[Any], keywords: Mapping[str, Any]) -> set[str]:
    """The parameters that `fn` needs and was not given."""
    if not callable(fn):
        return set()
    try:
        signature = inspect.signature(fn)
        given = signature.bind_partial(*args, **keywords).arguments
    except (TypeError, ValueError):  # no signature, or arguments that do not fit it, which JAX will say
        return set()
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    every = signature.parameters.values()
    return {p.name for p in every if p.kind in kinds and p.default is p.empty and p.name not in given}


def _holds_array(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_array, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_array, value))
    # A scalar may be a trip count; an array of objects holds devices.
    return bool(getattr(value, "shape", ())) and str(getattr(value, "dtype", "object")) != "object"
