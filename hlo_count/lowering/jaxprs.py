"""Meshes and shardings inside a traced program: find them, and move them to other devices."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from typing import Any

from hlo_count.lowering.move import Move
from hlo_count.lowering.sharding import is_abstract


def shardings_in(value: Any) -> Iterator[Any]:
    """Every sharding and mesh in `value`, be it a jaxpr or anything an equation has as a parameter."""
    from jax.sharding import Mesh, Sharding

    if isinstance(value, (Mesh, Sharding)) or is_abstract(value):
        if not getattr(getattr(value, "mesh", value), "empty", False):
            yield value
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from shardings_in(each)
    elif isinstance(value, dict):
        yield from shardings_in(list(value.values()))
    elif hasattr(value, "eqns"):
        for equation in value.eqns:
            yield from shardings_in(equation.params)
    elif hasattr(value, "jaxpr") and hasattr(value, "consts"):
        yield from shardings_in(value.jaxpr)


def equations_in(value: Any) -> Iterator[Any]:
    """Every equation of a jaxpr and of those in it, be they under control flow or a transformation."""
    if isinstance(value, (list, tuple)):
        for each in value:
            yield from equations_in(each)
    elif hasattr(value, "eqns"):
        for equation in value.eqns:
            yield equation
            yield from equations_in(list(equation.params.values()))
    elif hasattr(value, "jaxpr") and hasattr(value, "consts"):
        yield from equations_in(value.jaxpr)


def moved(value: Any, move: Move) -> Any:
    """`value`, a jaxpr or anything an equation has as a parameter, with every mesh and sharding in it moved."""
    from jax.core import AbstractValue
    from jax.sharding import Mesh, Sharding

    go = functools.partial(moved, move=move)
    if is_abstract(value):
        return _moved_in_type(value, move)
    if isinstance(value, Sharding):
        return move.sharding(value)
    if isinstance(value, Mesh):
        return value if value.empty else move.mesh(value)
    if isinstance(value, AbstractValue):
        return _moved_type(value, move)
    if type(value) in (list, tuple):
        return type(value)(map(go, value))
    if type(value) is dict:
        return {key: go(each) for key, each in value.items()}
    if getattr(value, "jaxpr", value) is not value:  # a ClosedJaxpr; one and the same from jax 0.11 on
        return value.replace(jaxpr=go(value.jaxpr)) if hasattr(value, "consts") else value
    if hasattr(value, "eqns"):
        return _moved_jaxpr(value, move)
    return value


def _moved_jaxpr(jaxpr: Any, move: Move) -> Any:
    """`jaxpr` with what its equations are told moved, and its variables too where their types name devices."""
    variables: dict[int, Any] = {}
    contexts: dict[int, Any] = {}

    def variable(old: Any) -> Any:
        if id(old) not in variables:
            aval = _moved_type(old.aval, move)
            new = variables[id(old)] = old if aval is old.aval else copy.copy(old)
            if new is not old:
                new.aval = aval
                if hasattr(old, "val"):  # a literal
                    new.val = _moved_constant(old.val, move)
        return variables[id(old)]

    def context(old: Any) -> Any:
        if id(old) not in contexts:
            contexts[id(old)] = _moved_context(old, move)
        return contexts[id(old)]

    def effects(old: Any) -> Any:
        """Those on an input name its variable; before jax 0.10, its number."""
        named = {id(each): variable(each.input) for each in old if hasattr(getattr(each, "input", None), "aval")}
        if all(each.input is named[id(each)] for each in old if id(each) in named):
            return old
        return type(old)(each.replace(named[id(each)]) if id(each) in named else each for each in old)

    changed: dict[str, Any] = {}
    for name in ("constvars", "invars", "outvars"):
        before = list(getattr(jaxpr, name))
        after = list(map(variable, before))
        if any(new is not old for new, old in zip(after, before, strict=True)):
            changed[name] = after
    if changed:
        changed["debug_info"] = jaxpr.debug_info  # the names that JAX forgets with new variables
        if hasattr(jaxpr, "consts"):
            changed["consts"] = [_moved_constant(each, move) for each in jaxpr.consts]
    changed["eqns"] = [
        each.replace(
            invars=list(map(variable, each.invars)),
            outvars=list(map(variable, each.outvars)),
            params=moved(each.params, move),
            effects=effects(each.effects),
            ctx=context(each.ctx),
        )
        for each in jaxpr.eqns
    ]
    changed["effects"] = effects(jaxpr.effects)
    return jaxpr.replace(**changed)


def _moved_in_type(value: Any, move: Move) -> Any:
    """An AbstractMesh, or a sharding over one, for the target's kind of device where JAX has types name it."""
    from jax.sharding import NamedSharding

    mesh = getattr(value, "mesh", value)
    if mesh.empty or not hasattr(mesh, "abstract_device") or mesh.abstract_device == move.abstract_device:
        return value
    there = mesh.update(abstract_device=move.abstract_device)
    return there if mesh is value else NamedSharding(there, value.spec, memory_kind=value.memory_kind)


def _moved_type(aval: Any, move: Move) -> Any:
    if (inner := getattr(aval, "inner_aval", None)) is not None:  # a reference to memory
        there = _moved_type(inner, move)
        return aval if there is inner else aval.update(inner_aval=there)
    sharding = getattr(aval, "sharding", None)
    if sharding is None or not is_abstract(sharding):
        return aval
    there = _moved_in_type(sharding, move)
    return aval if there is sharding else aval.update(sharding=there)


def _moved_constant(value: Any, move: Move) -> Any:
    """`value`, or a copy that has forgotten the type that it was given where it was first used (jax 0.12)."""
    aval = getattr(value, "aval", None)
    return value if aval is None or _moved_type(aval, move) is aval else copy.copy(value)


def _moved_context(context: Any, move: Move) -> Any:
    """What an equation says of the settings it was traced under, with the mesh that they name moved."""
    import jax

    mesh = getattr(context, "cur_abstract_mesh", None)
    if mesh is None or (there := _moved_in_type(mesh, move)) is mesh:
        return context
    with context.manager, jax.sharding.use_abstract_mesh(there):  # JAX makes such a context itself only by tracing
        return jax.make_jaxpr(jax.lax.neg)(0.0).eqns[0].ctx
