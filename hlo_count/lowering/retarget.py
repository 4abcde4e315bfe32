"""Put a function on the devices of a target, wherever it and its arguments were written for."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.lowering.host_memory import HostMemory, asked
from hlo_count.lowering.jaxprs import moved, shardings_in
from hlo_count.lowering.move import Move, is_foreign, plan
from hlo_count.lowering.sharding import ambient_mesh, as_struct, is_abstract, is_array, mesh_context
from hlo_count.lowering.targets import Target

MESH_CLASH = "the mesh given and the function's own meshes or shardings conflict: leave one of them out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """A jitted function traced on shapes alone, with what `jax.jit` was told about it."""

    stage: Any
    """The `jax.stages.Traced`."""
    operands: tuple[Any, ...]
    """For each input of the jaxpr its argument, or the shape of it where that is a Python scalar."""
    in_shardings: tuple[Any, ...]
    """For each input the sharding that `jax.jit` was told, else None."""
    out_shardings: tuple[Any, ...]
    options: dict[str, Any]
    """Further arguments of `jax.jit`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A jitted function and the arguments to lower it with, all of it on the devices of one target."""

    jitted: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    context: Any | None
    """The mesh that bare PartitionSpecs mean, set while it is lowered."""
    devices: tuple[Any, ...]
    mesh: tuple[tuple[str, int], ...]
    host_memory: HostMemory

    def lower(self) -> Any:
        """The `jax.stages.Lowered`."""
        with mesh_context(self.context):
            return self.jitted.lower(*self.args, **self.kwargs)


def place(target: Target, jitted: Any, args: tuple[Any, ...], kwargs: dict[str, Any], mesh: Any | None) -> Placed:
    """Put `jitted(*args, **kwargs)` on the devices of `target`, wherever it was written for.

    Shardings of arguments, of `jax.jit` and inside the function move with their axes. An argument without
    one goes to the device of a program that needs one, is replicated over `mesh`, and otherwise left to JAX.
    Errors of the function while it is traced are JAX's own; TargetError when the target cannot take it.
    """
    import jax
    from jax.sharding import NamedSharding, PartitionSpec, SingleDeviceSharding

    around = ambient_mesh()
    with mesh_context(mesh):
        try:
            traced = _trace(jitted, args, kwargs)
        except ValueError as error:
            if mesh is None or "context mesh" not in str(error):
                raise
            raise HloCountError(f"{MESH_CLASH}: {error}") from error
    ambient = around if mesh is None else mesh
    inside = list(shardings_in([traced.in_shardings, traced.out_shardings, traced.stage.jaxpr]))
    outside = [each for each in map(_own, traced.operands) if each is not None]
    move = plan([*inside, *outside, *([] if ambient is None else [ambient])], target, mesh)
    over = mesh
    if over is None and not outside and not any(map(_is_concrete, inside)):
        over = next(iter(move.concrete.values()), None)  # a mesh without devices is all that asks for several of them
    told = any(each is not None for each in traced.in_shardings)
    replicated = None if over is None or told else NamedSharding(over, PartitionSpec())

    def on_target(leaf: Any, stated: Any = None) -> Any:
        own = _own(leaf)
        if stated is not None:
            return as_struct(leaf, move.sharding(stated))
        if own is not None and (hasattr(own, "mesh") or len(own.device_set) > 1):
            return as_struct(leaf, move.sharding(own))
        if len(move.order) > 1:
            return as_struct(leaf, replicated)
        return as_struct(leaf, SingleDeviceSharding(move.order[0]) if own is None else move.sharding(own))

    arrays = [leaf for leaf in jax.tree.leaves((args, kwargs)) if is_array(leaf)]
    written_elsewhere = any(is_foreign(each, move) for each in inside) or any(
        map(is_abstract, (*traced.in_shardings, *traced.out_shardings))
    )
    if arrays and not written_elsewhere:
        args, kwargs = jax.tree.map(lambda leaf: on_target(leaf) if is_array(leaf) else leaf, (args, kwargs))
    else:
        structs = [on_target(*each) for each in zip(traced.operands, traced.in_shardings, strict=True)]
        jitted, args, kwargs = _rebuilt(traced, move, structs, jitted, len(args))
    return Placed(
        jitted=jitted,
        args=args,
        kwargs=kwargs,
        context=None if ambient is None else move.mesh(ambient),
        devices=move.order,
        mesh=move.axes if len(move.order) > 1 else (),
        host_memory=asked(
            traced.stage.jaxpr,
            [stated or _own(leaf) for leaf, stated in zip(traced.operands, traced.in_shardings, strict=True)],
            traced.out_shardings,
        ),
    )


def _trace(jitted: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Traced:
    import jax

    leaves, tree = jax.tree.flatten((args, kwargs))
    arrays = [index for index, leaf in enumerate(leaves) if is_array(leaf)]
    shapes = [as_struct(leaf, _in_type(leaf)) if is_array(leaf) else leaf for leaf in leaves]

    def call(*values: Any) -> Any:
        filled = list(shapes)
        for index, value in zip(arrays, values, strict=True):
            filled[index] = value
        its_args, its_kwargs = jax.tree.unflatten(tree, filled)
        return jitted(*its_args, **its_kwargs)

    shape_args, shape_kwargs = jax.tree.unflatten(tree, shapes)
    stage = jitted.trace(*shape_args, **shape_kwargs)
    # Called inside another trace, a jitted function is one equation that tells what jit was told.
    outer = jax.make_jaxpr(call)(*(shapes[index] for index in arrays)).jaxpr
    equation = next((each for each in outer.eqns if "in_shardings" in each.params), None)
    avals = stage.jaxpr.in_avals
    if equation is None or len(equation.invars) < len(avals):
        nothing = (None,) * len(avals)
        inline = [leaves[index] for index in arrays]  # as jax.jit(inline=True) is, such as jnp.tanh
        return Traced(
            stage=stage, operands=tuple(inline if len(inline) == len(avals) else avals), in_shardings=nothing,
            out_shardings=(None,) * len(stage.jaxpr.out_avals), options={},
        )  # fmt: skip
    given = dict(zip(map(id, outer.invars), (leaves[index] for index in arrays), strict=True))
    first = len(equation.invars) - len(avals)  # constants that the function closes over come before
    told_out = dict(zip(map(id, equation.outvars), equation.params["out_shardings"], strict=True))
    options: dict[str, Any] = {"keep_unused": equation.params["keep_unused"]}
    if stated := equation.params.get("compiler_options_kvs"):
        options["compiler_options"] = dict(stated)
    return Traced(
        stage=stage,
        operands=tuple(
            given.get(id(variable), aval) for variable, aval in zip(equation.invars[first:], avals, strict=True)
        ),
        in_shardings=tuple(map(_told, equation.params["in_shardings"][first:])),
        out_shardings=tuple(_told(told_out.get(id(variable))) for variable in outer.outvars),
        options=options,
    )


def _told(sharding: Any) -> Any:
    from jax.sharding import Sharding

    return sharding if isinstance(sharding, Sharding) else None  # JAX has an object for "unspecified"


def _is_concrete(written: Any) -> bool:
    from jax.sharding import Mesh

    return isinstance(getattr(written, "mesh", written), Mesh)


def _in_type(leaf: Any) -> Any:
    """The sharding of an argument where it is part of its type (axes that are Explicit), else None."""
    from jax.sharding import NamedSharding

    own = _own(leaf)
    types = getattr(own.mesh, "axis_types", None) if isinstance(own, NamedSharding) else None
    return own if any(each.name == "Explicit" for each in types or ()) else None


def _own(leaf: Any) -> Any:
    return getattr(leaf, "sharding", None) if is_array(leaf) else None


def _rebuilt(
    traced: Traced, move: Move, structs: list[Any], jitted: Any, given: int
) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """The moved program as a jitted function: the user's would write the old devices into it once more."""
    import jax
    from jax.extend.core import jaxpr_as_fun

    stage = traced.stage
    run = jaxpr_as_fun(moved(stage.jaxpr, move))

    def call(*args: Any, **kwargs: Any) -> Any:
        return run(*jax.tree.leaves((args, kwargs)))

    positional, named = stage.args_info
    if len(positional) == given and hasattr(jitted, "__wrapped__"):  # no static argument has gone
        call = functools.wraps(jitted.__wrapped__)(call)
    call.__name__ = call.__qualname__ = stage.fun_name
    options = {
        **traced.options,
        "donate_argnums": [index for index, info in enumerate(positional) if _donated(info)],
        "donate_argnames": [name for name, info in named.items() if _donated(info)],
    }
    if any(each is not None for each in traced.out_shardings):
        options["out_shardings"] = [None if each is None else move.sharding(each) for each in traced.out_shardings]
    elif not structs:
        options["out_shardings"] = jax.sharding.SingleDeviceSharding(move.order[0])
    args, kwargs = jax.tree.unflatten(stage.in_tree, structs)
    return jax.jit(call, **options), args, kwargs


def _donated(info: Any) -> bool:
    import jax

    return any(each.donated for each in jax.tree.leaves(info))
