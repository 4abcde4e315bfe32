"""Functions that change the objects that they are given, and what `jax.jit` does not take as an argument."""

from __future__ import annotations

import functools
import itertools
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
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
        with _nothing_lost(fn):
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


_MOST_CONTAINERS = _MOST_ENTRIES = 10_000
"""Of what a function holds no more is looked through: a data set in memory has no end of entries."""


@contextmanager
def _nothing_lost(fn: Callable[..., Any]) -> Iterator[None]:
    """Raise HloCountError for what `fn` computes into an object that it holds, and take it out of there again.

    `jax.jit` would leave it out of the program, with all that computes it, and the object with a tracer.
    """
    import jax
    from jax.core import Tracer

    before = [(owner, held, _copy(held)) for owner, held in itertools.islice(_containers(fn), _MOST_CONTAINERS)]
    yield
    known = {id(value) for _, _, old in before for value in _values(old)}
    lost = [
        owner
        for owner, held, _ in before
        for value in _values(held)
        if id(value) not in known and any(isinstance(each, Tracer) for each in jax.tree.leaves(value))
    ]
    for _, held, old in before if lost else ():
        if isinstance(held, dict):
            dict.clear(held)  # a library's own kind of dict may keep watch on changes
            dict.update(held, old)
        else:
            list.__setitem__(held, slice(None), old)
    if lost:
        raise HloCountError(
            f"the function puts what it computes into a {lost[0]} that is none of its arguments, which jax.jit drops "
            f"with all that computes it: have it take what it changes as an argument and return the new one"
        )


def _containers(fn: Any) -> Iterator[tuple[str, Any]]:
    """The dicts (of attributes too) and lists that a function leads to, each with the name of the object's type."""
    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [("global", fn)]
    while waiting:
        owner, value = waiting.pop()
        if id(value) in seen or isinstance(value, (type, types.ModuleType, str, bytes, int, float)) or is_array(value):
            continue
        seen.add(id(value))
        inside: list[Any] = []
        if isinstance(value, types.MethodType):
            inside = [value.__self__]
        elif isinstance(value, types.FunctionType):
            inside = _closed_over(value)
        elif isinstance(value, functools.partial):
            inside = [value.func, *value.args, *value.keywords.values()]
        elif isinstance(value, (dict, list)):
            yield type(value).__name__ if owner == "global" else owner, value
            inside = _values(value) if len(value) <= _MOST_ENTRIES else []
        elif isinstance(value, tuple):
            inside = list(value[:_MOST_ENTRIES])
        elif type(held := getattr(value, "__dict__", None)) is dict:
            owner = type(value).__name__
            yield owner, held
            inside = _values(held)
        waiting += [(owner, each) for each in inside]


def _values(held: Any) -> list[Any]:
    return list(dict.values(held)) if isinstance(held, dict) else list(held)


def _copy(held: Any) -> Any:
    return dict.copy(held) if isinstance(held, dict) else list(held)


def _closed_over(fn: types.FunctionType) -> list[Any]:
    """What a function names outside of itself: its cells, and globals but for functions of other modules."""
    found = []
    for cell in fn.__closure__ or ():
        with suppress(ValueError):  # not filled yet
            found.append(cell.cell_contents)
    codes = [fn.__code__]
    for code in codes:
        codes += [each for each in code.co_consts if isinstance(each, types.CodeType)]
        named = (fn.__globals__.get(name) for name in code.co_names)
        found += [each for each in named if getattr(each, "__globals__", fn.__globals__) is fn.__globals__]
    return found


def refuse_closed_over(error: Exception) -> None:
    """Raise HloCountError where `error` is nnx's, about an object that comes from outside of the function."""
    if "different trace level" in str(error):
        said = str(error).partition("\n")[0].partition(" (http")[0].partition(", got ")[0]
        raise HloCountError(
            f"the function changes an object that it closes over ({said}): have it take that as an argument, such as "
            f"nnx.jit(lambda model, x: model(x)) with model and x"
        ) from error


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
