"""Lower and compile a function as JAX would, and keep the text."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.lowering.program import Program

_HEADER = re.compile(r"HloModule\s+([^\s,]+)(.*)")
_PARTITIONS = re.compile(r"\b(?:num_partitions|replica_count)=(\d+)")


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
    """Compile `fn(*args, **kwargs)` without running it."""
    lowered, compiled = _stages(fn, tuple(args), dict(kwargs or {}), optimized, compiler_options)
    return _program(lowered, compiled, None)


def _stages(
    fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any], optimized: bool, options: Mapping[str, Any] | None
) -> tuple[Any, Any]:
    import jax

    staged = (jax.stages.Traced, jax.stages.Lowered, jax.stages.Compiled)
    if isinstance(fn, staged) and (args or kwargs):
        raise HloCountError(
            f"a jax.stages.{type(fn).__name__} already holds its arguments: pass it alone, or pass the function"
        )
    if isinstance(fn, jax.stages.Compiled):
        return None, fn
    lowered = (
        fn
        if isinstance(fn, jax.stages.Lowered)
        else fn.lower()
        if isinstance(fn, jax.stages.Traced)
        else jitted(fn).lower(*args, **kwargs)
    )
    return lowered, lowered.compile(compiler_options=options) if optimized else None


def jitted(fn: Any) -> Any:
    """`fn` if it can be lowered as it is, else under a `jax.jit` whose trace no earlier call has cached."""
    import jax

    if hasattr(fn, "lower"):
        return fn
    if not callable(fn):
        raise HloCountError(f"expected a function, a jitted function or a jax.stages object, got {type(fn).__name__}")
    return jax.jit(_fresh(fn))


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


def _unoptimized_text(lowered: Any) -> str:
    try:
        return str(lowered.as_text("hlo", debug_info=True))
    except TypeError:  # before jax 0.4.36: no debug_info, but the module itself prints its metadata
        return str(lowered.compiler_ir("hlo").as_hlo_module().to_string())


def _program(lowered: Any, compiled: Any, target: str | None) -> Program:
    import jax

    text = _unoptimized_text(lowered) if compiled is None else compiled.as_text()
    match = _HEADER.search(text)
    assert match is not None
    num_devices = 1
    for number in _PARTITIONS.findall(match[2]):
        num_devices *= int(number)
    device = jax.devices()[0]
    return Program(
        text=text,
        backend=device.platform,
        target=target,
        num_devices=num_devices,
        jax_version=jax.__version__,
        optimized=compiled is not None,
        device_kind=device.device_kind,
        compiled=compiled,
        mesh=(),
        name=match[1],
    )
