"""Put a function on the devices of a target, wherever it and its arguments were written for."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.lowering.asking import refuse_asking
from hlo_count.lowering.host_memory import HostMemory, asked
from hlo_count.lowering.in_place import refuse_hidden_arrays
from hlo_count.lowering.jaxprs import moved, shardings_in
from hlo_count.lowering.move import Move, is_foreign, plan
from hlo_count.lowering.sharding import ambient_mesh, as_struct, is_abstract, is_array, target_context
from hlo_count.lowering.stages import is_jax_jit, stage_in
from hlo_count.lowering.targets import Target

MESH_CLASH = "the mesh given and the function's own meshes or shardings conflict: leave one of them out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """A jitted function traced on shapes alone, with what `jax.jit` was told about it."""

    jaxpr: Any
    """The whole program, every result of it among the outputs."""
    name: str
    in_tree: Any
    """The structure of its inputs, (args, kwargs)."""
    donated: tuple[tuple[bool, ...], dict[str, bool]]
    """Of each positional and each named input, whether its buffers are the program's to reuse."""
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
        with target_context(self.context, self.devices[0]):
            return self.jitted.lower(*self.args, **self.kwargs)


def place_on(target: Target, jitted: Any, args: tuple[Any, ...], kwargs: dict[str, Any], mesh: Any | None) -> Placed:
    """Put `jitted(*args, **kwargs)` on the devices of `target`, wherever it was written for.

    Shardings of arguments, of `jax.jit` and inside the function move with their axes. An argument without
    one goes to the device of a program that needs one, is replicated over `mesh`, and otherwise left to JAX.
    Errors of the function while it is traced are JAX's own; TargetError when the target cannot take it.
    """
    import jax
    from jax.sharding import NamedSharding, PartitionSpec, SingleDeviceSharding

    around = ambient_mesh()
    with target_context(mesh, target.devices[0]):
        try:
            traced = _trace(jitted, args, kwargs)
        except HloCountError:
            raise
        except Exception as error:
            if mesh is not None and isinstance(error, ValueError) and "context mesh" in str(error):
                raise HloCountError(f"{MESH_CLASH}: {error}") from error
            refuse_asking(error, target.name)
            raise
    ambient = around if mesh is None else mesh
    inside = list(shardings_in([traced.in_shardings, traced.out_shardings, traced.jaxpr]))
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
    anchor = None
    if not (traced.options.get("keep_unused") or _uses_inputs(traced.jaxpr)):  # JAX looks at nothing that it drops
        within = [*shardings_in([traced.out_shardings, traced.jaxpr])]
        anchor = None if within else SingleDeviceSharding(move.order[0]) if len(move.order) == 1 else replicated
    if arrays and anchor is None and not written_elsewhere and is_jax_jit(jitted):
        args, kwargs = jax.tree.map(lambda leaf: on_target(leaf) if is_array(leaf) else leaf, (args, kwargs))
    else:
        structs = [on_target(*each) for each in zip(traced.operands, traced.in_shardings, strict=True)]
        jitted, args, kwargs = _rebuilt(traced, move, structs, jitted, len(args), anchor)
    return Placed(
        jitted=jitted,
        args=args,
        kwargs=kwargs,
        context=None if ambient is None else move.mesh(ambient),
        devices=move.order,
        mesh=move.axes if len(move.order) > 1 else (),
        host_memory=asked(
            traced.jaxpr,
            [stated or _own(leaf) for leaf, stated in zip(traced.operands, traced.in_shardings, strict=True)],
            traced.out_shardings,
        ),
    )


def _trace(jitted: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Traced:
    """Trace what `jax.jit` made, or what another library's jit made around one program of `jax.jit`."""
    import jax

    if not is_jax_jit(jitted):
        refuse_hidden_arrays(args, kwargs)
    leaves, tree = jax.tree.flatten((args, kwargs))
    arrays = {index: leaf for index, leaf in enumerate(leaves) if is_array(leaf)}
    shapes = [as_struct(leaf, _in_type(leaf)) if is_array(leaf) else leaf for leaf in leaves]

    def call(*values: Any) -> Any:
        filled = list(shapes)
        for index, value in zip(arrays, values, strict=True):
            filled[index] = value
        its_args, its_kwargs = jax.tree.unflatten(tree, filled)
        result = jitted(*its_args, **its_kwargs)
        return result if is_jax_jit(jitted) else None  # another library's may be no array; its equation has them all

    # Called inside another trace, a jitted function is one equation that tells what jit was told.
    outer = jax.make_jaxpr(call)(*(shapes[index] for index in arrays))
    given = dict(zip(map(id, outer.jaxpr.invars), arrays.values(), strict=True))
    equation = _only_program(outer.jaxpr)
    if not is_jax_jit(jitted):
        traced = _of_equation(equation, outer, given, jitted)
        itself = stage_in(jitted.trace(*args, **kwargs)) if hasattr(jitted, "trace") else None
        if itself is not None and len(itself.jaxpr.in_avals) != len(traced.operands):
            raise HloCountError(
                f"the arguments hold one object in several places, which {type(jitted).__name__} takes for one, and a "
                f"move to another target for several: pass each once, or count without a target"
            )
        return traced
    shape_args, shape_kwargs = jax.tree.unflatten(tree, shapes)
    stage = jitted.trace(*shape_args, **shape_kwargs)
    positional, named = stage.args_info
    avals = stage.jaxpr.in_avals
    whole = functools.partial(
        Traced, jaxpr=stage.jaxpr, name=stage.fun_name, in_tree=stage.in_tree,
        donated=(tuple(map(_donated, positional)), {name: _donated(info) for name, info in named.items()}),
    )  # fmt: skip
    first = 0 if equation is None else len(equation.invars) - len(avals)  # constants that it closes over come before
    if equation is None or equation.params["name"] != stage.fun_name or first < 0:
        in_order = list(arrays.values())  # as jax.jit(inline=True) is, such as jnp.tanh
        return whole(
            operands=tuple(in_order if len(in_order) == len(avals) else avals),
            in_shardings=(None,) * len(avals), out_shardings=(None,) * len(stage.jaxpr.out_avals), options={},
        )  # fmt: skip
    told_out = dict(zip(map(id, equation.outvars), equation.params["out_shardings"], strict=True))
    return whole(
        operands=tuple(
            given.get(id(variable), aval) for variable, aval in zip(equation.invars[first:], avals, strict=True)
        ),
        in_shardings=tuple(map(_told, equation.params["in_shardings"][first:])),
        out_shardings=tuple(_told(told_out.get(id(variable))) for variable in outer.jaxpr.outvars),
        options=_options(equation),
    )


def _of_equation(equation: Any | None, outer: Any, given: dict[int, Any], jitted: Any) -> Traced:
    """What a library's jit calls: the equation has every input and result, whatever becomes of them outside of it.

    Raises HloCountError where the library runs more than that one program, which is then not the whole.
    """
    import jax

    if equation is None:
        programs = sum(map(_is_program, outer.jaxpr.eqns))
        raise HloCountError(
            f"a {type(jitted).__module__}.{type(jitted).__name__} that runs {_number(programs, 'jitted program')} and "
            f"{_number(len(outer.jaxpr.eqns) - programs, 'operation')} beside cannot be counted as one program: pass "
            f"the function that it was made of, or what its own lower(...) gives"
        )
    constants = dict(zip(map(id, outer.jaxpr.constvars), outer.consts, strict=True))
    # A Python scalar is a literal there, whose value is no array in every version: its shape does.
    operands = tuple(given.get(id(each), constants.get(id(each), each.aval)) for each in equation.invars)
    return Traced(
        jaxpr=equation.params["jaxpr"],
        name=equation.params["name"],
        in_tree=jax.tree.structure(((0,) * len(operands), {})),
        donated=(tuple(equation.params["donated_invars"]), {}),
        operands=operands,
        in_shardings=tuple(map(_told, equation.params["in_shardings"])),
        out_shardings=tuple(map(_told, equation.params["out_shardings"])),
        options=_options(equation),
    )


def _only_program(jaxpr: Any) -> Any | None:
    """The equation of a jitted function that is all that `jaxpr` does with its arguments, else None."""
    touched = set(map(id, jaxpr.invars))
    found = []
    for equation in jaxpr.eqns:
        if _is_program(equation) or any(id(each) in touched for each in equation.invars):
            found.append(equation)
            touched.update(map(id, equation.outvars))
    return found[0] if len(found) == 1 and _is_program(found[0]) else None


def _is_program(equation: Any) -> bool:
    return "in_shardings" in equation.params and "jaxpr" in equation.params


def _options(equation: Any) -> dict[str, Any]:
    options = {"keep_unused": equation.params["keep_unused"]}
    if stated := equation.params.get("compiler_options_kvs"):
        options["compiler_options"] = dict(stated)
    return options


def _number(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


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
    traced: Traced, move: Move, structs: list[Any], jitted: Any, given: int, anchor: Any | None
) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """The moved program as a jitted function: the user's would write the old devices into it once more.

    `anchor` is the sharding of its results where nothing else tells JAX the devices.
    """
    import jax
    from jax.extend.core import jaxpr_as_fun

    run = jaxpr_as_fun(moved(traced.jaxpr, move))

    def call(*args: Any, **kwargs: Any) -> Any:
        return run(*jax.tree.leaves((args, kwargs)))

    positional, named = traced.donated
    if (
        len(positional) == given and is_jax_jit(jitted) and hasattr(jitted, "__wrapped__")
    ):  # no static argument has gone
        call = functools.wraps(jitted.__wrapped__)(call)
    call.__name__ = call.__qualname__ = traced.name
    options = {
        **traced.options,
        "donate_argnums": [index for index, donated in enumerate(positional) if donated],
        "donate_argnames": [name for name, donated in named.items() if donated],
    }
    if any(each is not None for each in traced.out_shardings):
        options["out_shardings"] = [None if each is None else move.sharding(each) for each in traced.out_shardings]
    elif anchor is not None:
        options["out_shardings"] = anchor
    args, kwargs = jax.tree.unflatten(traced.in_tree, structs)
    return jax.jit(call, **options), args, kwargs


def _uses_inputs(jaxpr: Any) -> bool:
    """Whether any input reaches a result or an effect."""
    from jax.interpreters.partial_eval import dce_jaxpr

    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    return any(dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))[1])


def _donated(info: Any) -> bool:
    import jax

    return any(each.donated for each in jax.tree.leaves(info))
