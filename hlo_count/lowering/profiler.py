"""JAX's profiler, which records what runs in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.lowering.quiet import quiet


def start(folder: Path) -> None:
    """Record into a folder from now on, without the functions of Python, which take most of a trace and of its time.

    Raises HloCountError where a profiler runs already: JAX has one.
    """
    import jax

    options: dict[str, Any] = {}
    if hasattr(jax.profiler, "ProfileOptions"):
        chosen = jax.profiler.ProfileOptions()
        chosen.python_tracer_level = 0
        options["profiler_options"] = chosen
    try:
        with quiet():
            jax.profiler.start_trace(str(folder), **options)
    except RuntimeError as problem:
        if "one profile" not in str(problem):
            raise
        raise HloCountError(
            "a profiler is already running in this process, and JAX has one: end it (jax.profiler.stop_trace)"
        ) from problem


def stop(wait: bool = True) -> None:
    """Write the trace, once all arrays are there: what is under way leaves no events, and what it makes for nobody
    cannot be waited for. Without `wait` at once, from another thread than that which works with the arrays."""
    import jax

    for array in jax.live_arrays() if wait else ():
        if not array.is_deleted():
            array.block_until_ready()
    with quiet():
        jax.profiler.stop_trace()


@contextmanager
def recording(folder: Path) -> Iterator[None]:
    """Record what runs inside."""
    start(folder)
    try:
        yield
    finally:
        stop()
