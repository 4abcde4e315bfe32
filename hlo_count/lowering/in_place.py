"""Functions that change the objects that they are given, and what `jax.jit` does not take as an argument."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.lowering.sharding import is_array


def with_updates(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[..., Any]:
    """`fn` that also returns every array it has put into an attribute of an argument, and does not return itself.

    Under `jax.jit` such an update (flax.nnx: parameters, optimizer state, running averages) is lost, and with it all
    that computes it. Entries of dicts and lists are left alone: filling in a batch is no result.
    """
    given = [id(leaf) for leaf in _held(args, kwargs).values()]
    is_shared = len(set(given)) < len(given)

    def call(*args: Any, **kwargs: Any) -> Any:
        import jax

        before = _held(args, kwargs)
        result = fn(*args, **kwargs)
        known = {*map(id, before.values()), *map(id, jax.tree.leaves(result))}
        updates = [leaf for leaf in _held(args, kwargs).values() if id(leaf) not in known]
        if updates and is_shared:
            raise HloCountError(
                "the function changes its arguments in place, and they hold an array more than once, which jax.jit "
                "makes several: pass it jitted by its own library, such as nnx.jit(step)"
            )
        return (result, updates) if updates else result

    return call


def refuse_opaque(error: TypeError, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Raise HloCountError where `error` is about an argument that is no array, naming it and what to pass instead."""
    import jax

    if not any(words in str(error) for words in ("abstract array", "not a valid JAX type")):
        return
    for path, leaf in jax.tree_util.tree_flatten_with_path((args, dict(kwargs)))[0]:
        if not (is_array(leaf) or isinstance(leaf, (bool, int, float, complex)) or hasattr(leaf, "dtype")):
            position, *rest = path[1:]
            key = getattr(position, "idx", getattr(position, "key", None))
            raise HloCountError(
                f"argument {key!r}{jax.tree_util.keystr(tuple(rest))} is a {type(leaf).__name__}, which jax.jit does "
                f"not take: pass the function jitted by its own library (eqx.filter_jit(step), nnx.jit(step)) or its "
                f"Lowered, or have it take arrays alone (nnx.split, functools.partial)"
            ) from error


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
