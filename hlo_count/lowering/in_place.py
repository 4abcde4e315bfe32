"""Functions that change the objects that they are given, and what `jax.jit` does not take as an argument."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.lowering.sharding import is_array


def with_updates(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[..., Any]:
    """`fn` that also returns every array it has put into an attribute of an argument, and does not return itself.

    Under `jax.jit` such an update (flax.nnx: parameters, optimizer state, running averages) is lost, and with it all
    that computes it. Entries of dicts and lists are left alone: filling in a batch is no result.
    """
    is_shared = _has_shared_object((args, dict(kwargs)), set())

    def call(*args: Any, **kwargs: Any) -> Any:
        import jax

        before = _held(args, kwargs)
        result = fn(*args, **kwargs)
        known = {*map(id, before.values()), *map(id, jax.tree.leaves(result))}
        updates = [leaf for leaf in _held(args, kwargs).values() if id(leaf) not in known]
        if updates and is_shared:
            raise HloCountError(
                "the function changes its arguments in place, and they hold one object in several places, which "
                "jax.jit makes several objects: pass it jitted by its own library, such as nnx.jit(step)"
            )
        return (result, updates) if updates else result

    return call


def _has_shared_object(value: Any, seen: set[int]) -> bool:
    from jax.tree_util import default_registry

    inside = default_registry.flatten_one_level(value)
    if inside is None:  # a leaf
        return False
    if not isinstance(value, (dict, list, tuple)):
        if id(value) in seen:
            return True
        seen.add(id(value))
    return any(_has_shared_object(each, seen) for each in inside[0])


def refuse_opaque(error: TypeError, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Raise HloCountError where `error` is about an argument that is no array, naming it and what to pass instead."""
    if any(words in str(error) for words in ("abstract array", "not a valid JAX type")):
        for name, leaf in _others(args, kwargs):
            raise HloCountError(
                f"{name} is a {type(leaf).__name__}, which jax.jit does not take: {_REMEDY}, or pass it jitted by its "
                f"own library where that can be lowered (eqx.filter_jit(step); nnx.jit(step) from flax 0.11 on)"
            ) from error


def refuse_hidden_arrays(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Raise HloCountError for an argument that is no pytree and holds arrays: a trace would write tracers into it."""
    for name, leaf in _others(args, kwargs):
        if _holds_arrays(leaf, set()):
            raise HloCountError(
                f"{name} is a {type(leaf).__name__} that is no pytree, so that its arrays cannot be moved to a target: "
                f"{_REMEDY}, or count it without a target"
            )


_REMEDY = "have the function take arrays alone (nnx.split, eqx.partition)"


def _others(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What among the arguments is no array and no number, with its name."""
    import jax

    for path, leaf in jax.tree_util.tree_flatten_with_path((args, dict(kwargs)))[0]:
        if not (is_array(leaf) or isinstance(leaf, (bool, int, float, complex)) or hasattr(leaf, "dtype")):
            _, position, *rest = path
            where = getattr(position, "idx", getattr(position, "key", None))
            yield f"argument {where}{jax.tree_util.keystr(tuple(rest))}", leaf


def _holds_arrays(value: Any, seen: set[int]) -> bool:
    if is_array(value):
        return True
    if id(value) in seen or isinstance(value, (type, types.FunctionType, types.ModuleType)):
        return False
    seen.add(id(value))
    inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return any(_holds_arrays(each, seen) for each in (*inside, *getattr(value, "__dict__", {}).values()))


def _held(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[Any, Any]:
    """The arrays that attributes of the arguments lead to, by path."""
    import jax

    leaves = jax.tree_util.tree_flatten_with_path((args, dict(kwargs)))[0]
    of_containers = (jax.tree_util.DictKey, jax.tree_util.SequenceKey)
    return {
        path: leaf
        for path, leaf in leaves
        if is_array(leaf) and any(not isinstance(key, of_containers) for key in path)
    }
