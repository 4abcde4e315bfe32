"""What a library made of a function: the `jax.stages` object inside its own stage, the jitted one inside a call."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Iterator
from typing import Any

from hlo_count.errors import HloCountError

_NAMES = ("Traced", "Lowered", "Compiled")


def stage_in(value: Any) -> Any | None:
    """The `jax.stages.Traced`, `Lowered` or `Compiled` that `value` is, or holds as a library's own does; else None.

    Raises HloCountError for what is named as one of these and holds none.
    """
    jax = sys.modules.get("jax")
    if jax is None or isinstance(value, type):
        return None
    kinds = tuple(getattr(jax.stages, name) for name in _NAMES)
    if isinstance(value, kinds):
        return value
    if type(value).__name__ not in _NAMES:  # anything else that holds one is an object with a cache of its own
        return None
    held = [each for each in _attributes(value) if isinstance(each, kinds)]
    if len(held) != 1:
        raise HloCountError(
            f"a {type(value).__module__}.{type(value).__name__} that holds {'several' if held else 'no'} jax.stages "
            f"{'objects' if held else 'object'} cannot be read: pass the function, or the HLO text of one program"
        )
    return held[0]


def is_jax_jit(fn: Any) -> bool:
    """Whether `fn` is what `jax.jit` gives."""
    import jax

    return isinstance(fn, type(jax.jit(is_jax_jit)))


def can_lower(fn: Any) -> bool:
    """Whether `fn` has a `lower` of its own: not one that functools.wraps copied from the function that it calls."""
    own = getattr(fn, "lower", None)
    return callable(own) and getattr(getattr(fn, "__wrapped__", None), "lower", None) is not own


def is_pmap(fn: Any) -> bool:
    """Whether `fn` is what `jax.pmap` gives: JAX's own, that can be lowered, and not by `jax.jit`."""
    if is_jax_jit(fn) or not can_lower(fn):
        return False
    return any(str(getattr(each, "__module__", "")).startswith("jax.") for each in (type(fn), fn.lower)) or (
        type(fn).__name__ == "PmapFunction"
    )


def called(fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """A call of a partial, or of a bound method, of something that can be lowered, as the call of that."""
    while True:
        bound = _bound(fn)
        if bound is None:
            return fn, args, kwargs
        fn, before, named = bound
        args, kwargs = (*before, *args), {**named, **kwargs}


def _bound(fn: Any) -> tuple[Any, tuple[Any, ...], dict[str, Any]] | None:
    if isinstance(fn, types.MethodType):
        inner, args, kwargs = fn.__func__, (fn.__self__,), {}
    elif isinstance(fn, functools.partial) or all(hasattr(fn, name) for name in ("func", "args", "keywords")):
        inner, args, kwargs = fn.func, tuple(fn.args), dict(fn.keywords)
    else:
        return None
    return (inner, args, kwargs) if can_lower(inner) or _bound(inner) else None


def _attributes(value: Any) -> Iterator[Any]:
    names = {*getattr(value, "__dict__", ()), *(n for t in type(value).__mro__ for n in _slots(t))}
    return (getattr(value, name, None) for name in sorted(names))


def _slots(kind: type) -> tuple[str, ...]:
    slots = kind.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)
