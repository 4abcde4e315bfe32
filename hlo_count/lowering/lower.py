"""Lower and compile a function as JAX would, here or for a target, and keep the text."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hlo_count.errors import HloCountError, TargetError
from hlo_count.lowering.program import Program, describe
from hlo_count.lowering.quiet import default_devices, without_persistent_cache
from hlo_count.lowering.retarget import lower_for
from hlo_count.lowering.sharding import make_mesh, spread
from hlo_count.lowering.targets import Target, resolve


def lower(
    fn: Any,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    target: Any = None,
    mesh: Mapping[str, int] | None = None,
    in_specs: Any = None,
    compiler_options: Mapping[str, Any] | None = None,
    optimized: bool = True,
) -> Program:
    """Compile `fn(*args, **kwargs)` without running it, and give its HLO text.

    `fn` is a function, a jitted function (its static and donated arguments are respected), or a
    `jax.stages.Traced`, `Lowered` or `Compiled`, which take no arguments. Arguments are arrays, scalars,
    `jax.ShapeDtypeStruct`s and pytrees of them; arrays are never read, nor is a donated one consumed.

    `target` is a name (see `targets()`), a jax Mesh or jax devices; None is JAX's default device. A target of
    many devices gives one of them unless the program asks for more: by `mesh`, axis names and sizes, with
    `in_specs`, a pytree prefix of `args` with a PartitionSpec (None: replicated) for each; or by shardings
    that it, its arguments or `jax.jit` already hold, over whatever devices, which are moved to the target's.

    `optimized=False` gives the program before XLA's passes. Errors in tracing `fn` are JAX's own. Raises
    TargetError for what the target cannot do, HloCountError for arguments that do not fit.
    """
    import jax

    default_devices()
    given, named = tuple(args), dict(kwargs or {})
    found = _find(target, mesh)
    if isinstance(fn, (jax.stages.Traced, jax.stages.Lowered, jax.stages.Compiled)):
        _refuse_more(fn, bool(given or named), found is not None or in_specs is not None)
        if isinstance(fn, jax.stages.Compiled):
            if not optimized:
                raise HloCountError(
                    "a jax.stages.Compiled no longer has its unoptimized program: pass the function"
                )
            return describe(None, fn, None)
        lowered = fn.lower() if isinstance(fn, jax.stages.Traced) else fn
    elif found is None:
        if in_specs is not None:
            raise HloCountError('in_specs names mesh axes: pass the mesh too, such as mesh={"data": 8}')
        lowered = jitted(fn).lower(*given, **named)
    else:
        spread_over = make_mesh(mesh, found.devices, found.name) if mesh else found.mesh
        if in_specs is not None:
            if spread_over is None:
                raise HloCountError('in_specs names mesh axes: pass the mesh too, such as mesh={"data": 8}')
            given = spread(given, in_specs, spread_over)
        lowered = lower_for(found, jitted(fn), given, named, spread_over)
    name = None if target is None else target if isinstance(target, str) else resolve(target).name
    if not optimized:
        return describe(lowered, None, name)
    try:
        with without_persistent_cache():
            compiled = lowered.compile(compiler_options=dict(compiler_options) if compiler_options else None)
    except RuntimeError as error:
        if found is None:
            raise
        raise TargetError(f"cannot be compiled for {name or 'these devices'}: {error}") from error
    return describe(lowered, compiled, name)


def jitted(fn: Any) -> Any:
    """`fn` if it can be lowered as it is, else under a `jax.jit` whose trace no earlier call has cached."""
    import jax

    if hasattr(fn, "lower"):
        return fn
    if not callable(fn):
        raise HloCountError(
            f"expected a function, a jitted one or a jax.stages object, got {type(fn).__name__}"
        )
    return jax.jit(_fresh(fn))


def _find(target: Any, mesh: Mapping[str, int] | None) -> Target | None:
    """The target that the program must be moved to, None when JAX compiles for it anyway."""
    if target is None:
        return Target(name="this machine", devices=tuple(default_devices())) if mesh else None
    found = resolve(target)
    return None if found.is_default and not mesh else found


def _refuse_more(stage: Any, has_arguments: bool, has_target: bool) -> None:
    kind = f"jax.stages.{type(stage).__name__}"
    if has_arguments:
        raise HloCountError(f"a {kind} already holds its arguments: pass it alone, or pass the function")
    if has_target:
        raise HloCountError(f"a {kind} is already bound to its devices: pass the function to choose a target")


def _fresh(fn: Callable[..., Any]) -> Callable[..., Any]:
    # jax.jit caches traces by function object: a changed global would otherwise go unseen.
    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    call.__name__ = call.__qualname__ = _name(fn)
    return call


def _name(fn: Any) -> str:
    while isinstance(fn, functools.partial):
        fn = fn.func
    return str(getattr(fn, "__name__", type(fn).__name__))
