"""Lower and compile a function as JAX would, here or for a target, and keep the text."""

from __future__ import annotations

import functools
import os
import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

from hlo_count.errors import HloCountError, TargetError
from hlo_count.lowering import gpu, tpu
from hlo_count.lowering.compiled_texts import CompiledTexts
from hlo_count.lowering.exported import export_of
from hlo_count.lowering.fallbacks import compile_with_fallbacks
from hlo_count.lowering.in_place import refuse_closed_over, refuse_opaque, with_updates
from hlo_count.lowering.program import Program, describe, devices_of, unoptimized_text
from hlo_count.lowering.quiet import (
    default_devices,
    diagnostic,
    jax_setting,
    quiet,
    settle_default_backend,
    without_persistent_cache,
)
from hlo_count.lowering.retarget import MESH_CLASH, place_on
from hlo_count.lowering.sharding import make_mesh, spread
from hlo_count.lowering.stages import called, can_lower, is_jax_jit, is_pmap, stage_in
from hlo_count.lowering.stored import function_of, is_jaxpr, is_stored
from hlo_count.lowering.targets import Target, resolve
from hlo_count.under_way import under_way


def lower(
    fn: Any,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    target: Any = None,
    mesh: Any = None,
    in_specs: Any = None,
    compiler_options: Mapping[str, Any] | None = None,
    optimized: bool = True,
    keep: CompiledTexts | None = None,
) -> Program:
    """Compile `fn(*args, **kwargs)` without running it, and give its HLO text.

    `fn` is a function, a jitted function (its static and donated arguments are respected), also of another library
    (`nnx.jit`, `eqx.filter_jit`); or, without arguments, a `jax.stages.Traced`, `Lowered` or `Compiled`, a library's
    own that holds one, or a stored program (see `stored.py`). Arguments are arrays, scalars,
    `jax.ShapeDtypeStruct`s and pytrees of them; arrays are never read, nor is a donated one consumed.

    `target` is a name (see `targets()`), a jax Mesh or jax devices; None is JAX's default device. A target of
    many devices gives one of them unless the program asks for more: by `mesh`, axis names and sizes or an
    AbstractMesh, with `in_specs`, a pytree prefix of `args` with a PartitionSpec (None: replicated) for each; or
    by shardings that it, its arguments or `jax.jit` already hold, over whatever devices, which are moved to the
    target's.

    `optimized=False` gives the program before XLA's passes. A program that `keep` holds is not compiled again,
    and has no `jax.stages.Compiled`. Errors in tracing `fn` are JAX's own, and so are
    all others without a target. Raises TargetError for what a target cannot do, HloCountError for arguments that
    do not fit.
    """
    settle_default_backend()  # before the import of jax, which has its plugins talk
    _hide_own_frames()
    import jax

    given, named = tuple(args), dict(kwargs or {})
    if compiler_options is not None and not isinstance(compiler_options, Mapping):
        raise HloCountError(
            f'compiler_options: names and values, such as {{"xla_dump_to": "dumps"}}, not {compiler_options!r}'
        )
    found = _find(target, mesh)
    if in_specs is not None and not mesh and (found is None or found.mesh is None):
        raise HloCountError('in_specs names mesh axes: pass the mesh too, such as mesh={"data": 8}')
    name = target if target is None or isinstance(target, str) else resolve(target).name
    if (stage := stage_in(fn)) is not None:
        fn = stage
        _refuse_more(fn, bool(given or named), found is not None)
        if isinstance(fn, jax.stages.Compiled):
            if not optimized:
                raise HloCountError("a jax.stages.Compiled has lost its unoptimized program: pass the function")
            return describe(None, fn, target=None)
        lowered = fn.lower() if isinstance(fn, jax.stages.Traced) else fn
        return _described(lowered, compiler_options, optimized, keep, target=None)
    over = None
    if found is not None:
        over = make_mesh(mesh, found.devices, found.name) if mesh else found.mesh
        if in_specs is not None:
            given = spread(given, in_specs, over)
    if is_jaxpr(fn):
        fn, given = function_of(fn, bool(given or named))
    elif is_stored(fn):
        where = found or Target(name="this machine", devices=tuple(default_devices()))
        lowered = _lower_for(where.name, export_of(fn, given, named, where, mesh).lower)
        return _described(lowered, compiler_options, optimized, keep, target=name, place=where.name)
    under_way("tracing")
    fn, given, named = called(fn, given, named)
    jitted = _jitted(fn, given, named)
    if found is None and _needs_arrays(jitted, given, named):
        found = Target(name="this machine", devices=tuple(default_devices()))
    if found is None:
        with _opaque_refused(given, named):
            lowered = _lower_here(jitted, given, named, name)
        return _described(lowered, compiler_options, optimized, keep, target=name)
    if is_pmap(jitted):
        raise TargetError(
            f"jax.pmap maps over this machine's own devices, not those of {found.name}: use jax.jit with mesh= and "
            f"in_specs=, or jax.shard_map"
        )
    with jax.core.eval_context():  # the caller may itself be traced
        with _opaque_refused(given, named):
            placed = place_on(found, jitted, given, named, over)
        tpu.check_slices(placed.devices, found.devices, found.name)
        lowered = _lower_for(found.name, placed.lower, has_mesh=over is not None)
    program = _described(lowered, compiler_options, optimized, keep, target=name, place=found.name, mesh=placed.mesh)
    if optimized:
        dropped = placed.host_memory.dropped(program.text, program.backend)
        program = replace(program, notes=(*program.notes, *dropped), moves_more=bool(dropped))
    if not set(devices_of(lowered)) <= set(placed.devices) or program.num_devices != len(placed.devices):
        raise TargetError(f"JAX did not move this program to {found.name}: use jax.jit with NamedShardings")
    return program


def _described(
    lowered: Any,
    options: Mapping[str, Any] | None,
    optimized: bool,
    keep: CompiledTexts | None,
    *,
    target: str | None,
    place: str | None = None,
    mesh: tuple[tuple[str, int], ...] = (),
) -> Program:
    """The Program of `lowered`, compiled if `optimized`; `place` names a target that has no name."""
    if not optimized:
        return describe(lowered, None, target=target, mesh=mesh)
    key = keep.key(lowered, options) if keep else ""
    if keep and (kept := keep.get(key)):
        before = functools.partial(unoptimized_text, lowered)
        return replace(kept, target=target, mesh=mesh or kept.mesh, unoptimized=before)
    under_way(f"compiling for {place or target or 'the default backend'}")
    compiled, notes = _compile(lowered, options, place or target)
    program = replace(describe(lowered, compiled, target=target, mesh=mesh), notes=notes)
    if keep:
        keep.keep(key, program)
    return program


def _compile(lowered: Any, options: Mapping[str, Any] | None, target: str | None = None) -> tuple[Any, tuple[str, ...]]:
    """The `jax.stages.Compiled`, and what there is to say about how it came to be."""
    for_gpu = bool(target) and devices_of(lowered)[0].platform == "gpu"

    def compile(options: Mapping[str, Any]) -> Any:
        # Of libtpu nothing is held back: it may end the process, and what it logs is why.
        with without_persistent_cache(), quiet() if for_gpu else nullcontext():
            return lowered.compile(compiler_options=dict(options) if options else None)

    try:
        return compile_with_fallbacks(compile, options or {}) if for_gpu else (compile(options or {}), ())
    except (RuntimeError, TypeError, ValueError) as error:
        if target is None:
            raise
        said = f": {cause}" if (cause := diagnostic(error)) else ""
        reason = f"{_first_line(error)}{said}{gpu.remedy(str(error))}"
        raise TargetError(f"cannot be compiled for {target}: {reason}") from error


def _lower_here(jitted: Any, args: tuple[Any, ...], kwargs: dict[str, Any], target: str | None) -> Any:
    """Lower where JAX would; JAX's errors are its own unless they are about a target that was named."""
    if target is None or not is_jax_jit(jitted):
        lowered = jitted.lower(*args, **kwargs)
        if (stage := stage_in(lowered)) is None:
            raise HloCountError(
                f"{type(jitted).__name__}.lower gives a {type(lowered).__name__}, which holds no jax.stages object: "
                f"pass the function that it was made of"
            )
        return stage
    return _lower_for(target, jitted.trace(*args, **kwargs).lower)


def _lower_for(target: str, lower: Callable[[], Any], has_mesh: bool = False) -> Any:
    try:
        return lower()
    except HloCountError:
        raise
    except Exception as error:  # whatever it is: the same function has just been traced without one
        operation = _failing_operation(lower)
        culprit = f"{operation} " if operation and operation not in str(error) else ""
        clash = has_mesh and re.search(r"incompatible devices|context mesh|does not match the sharding", str(error))
        hint = f"; {MESH_CLASH}" if clash else ""
        if "callback" in str(operation) or "debug_print" in str(operation):
            hint = "; JAX writes calls to Python only for a device that is here: leave them out of what is counted"
        raise TargetError(f"{culprit}cannot be lowered for {target}: {_first_line(error)}{hint}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(" ,:") or type(error).__name__


def _failing_operation(lower: Callable[[], Any]) -> str | None:
    """The name of the primitive that cannot be lowered, from the frames that JAX hides otherwise."""
    with jax_setting("jax_traceback_filtering", "off"):
        try:
            lower()
        except Exception as error:
            frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
            equations = [frame.f_locals["eqn"] for frame in frames if "eqn" in frame.f_locals]
            return str(equations[-1].primitive) if equations else None
    return None


def runnable(fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What runs `fn` as one program: `fn` if it compiles itself, else under a `jax.jit` of its own."""
    settle_default_backend()
    _hide_own_frames()
    return fn if can_lower(called(fn, args, kwargs)[0]) else _jitted(fn, args, kwargs)


def _jitted(fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`fn` if it can be lowered as it is, else under a `jax.jit` whose trace no earlier call has cached."""
    import jax

    if can_lower(fn):
        return fn
    if not callable(fn):
        raise HloCountError(f"expected a function or a jax.stages object, got {type(fn).__name__}")
    return jax.jit(_fresh(fn, args, kwargs))


def _needs_arrays(jitted: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether shapes are given to a library's jit that takes all but arrays for static: one without JAX's `trace`."""
    import jax

    if hasattr(jitted, "trace") or is_pmap(jitted):
        return False
    return any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves((args, kwargs)))


@contextmanager
def _opaque_refused(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[None]:
    try:
        yield
    except TypeError as error:
        refuse_opaque(error, args, kwargs)
        raise
    except Exception as error:  # of a library's own class
        refuse_closed_over(error)
        raise


@functools.cache
def _hide_own_frames() -> None:
    """Have JAX name the user's source lines, never those of what stands between the user and this folder."""
    from jax.extend import source_info_util

    package = os.path.dirname(os.path.dirname(__file__))
    for part in os.listdir(package):
        if part != "demo.py":  # which is as a user's
            source_info_util.register_exclusion(os.path.join(package, part))


def _find(target: Any, mesh: Any) -> Target | None:
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


def _fresh(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[..., Any]:
    # jax.jit caches traces by function object: a changed global would otherwise go unseen.
    call = functools.wraps(fn)(with_updates(fn, args, kwargs))
    call.__name__ = call.__qualname__ = _name(fn)
    return call


def _name(fn: Any) -> str:
    while isinstance(fn, functools.partial):
        fn = fn.func
    return str(getattr(fn, "__name__", type(fn).__name__))
