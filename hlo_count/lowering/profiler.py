"""JAX's profiler, which records what runs in this process."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.lowering.quiet import quiet

_STARTING: ContextVar[bool] = ContextVar("_STARTING", default=False)
"""Whether it is us who start the profiler."""


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
    ours = _STARTING.set(True)
    try:
        with quiet():
            jax.profiler.start_trace(str(folder), **options)
    except RuntimeError as problem:
        if "one profile" not in str(problem):
            raise
        raise HloCountError(
            "a profiler is already running in this process, and JAX has one: end it (jax.profiler.stop_trace)"
        ) from problem
    finally:
        _STARTING.reset(ours)


def wait_for_arrays() -> None:
    """Until all are there: what is under way leaves no events. What it makes for nobody cannot be waited for."""
    import jax

    for array in jax.live_arrays():
        if not array.is_deleted():
            array.block_until_ready()


def stop() -> Path | None:
    """Write the trace.

    Gives the file, where it is written here: JAX's own `stop_trace` also makes what a browser shows, which takes longer
    than all else (of each kernel of a CPU 16 µs with it, 7 without), and asks nobody.
    """
    import jax

    with quiet():
        session = _taken_session()
        if session is None:
            jax.profiler.stop_trace()
            return None
        folder, recorded = session
        at = time.time()
        run = time.strftime("%Y_%m_%d_%H_%M_%S", time.localtime(at)) + f"_{int(at % 1 * 1e6):06}"
        path = folder / "plugins" / "profile" / run / f"{socket.gethostname()}.xplane.pb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(recorded)
        return path


def _taken_session() -> tuple[Path, bytes] | None:
    """Where the running session is to be written, and what it recorded, after which it is over; None where this JAX
    does not hand it out."""
    from jax._src import profiler

    state: Any = getattr(profiler, "_profile_state", None)
    if not hasattr(getattr(state, "profile_session", None), "stop") or not hasattr(state, "log_dir"):
        return None
    with state.lock:
        recorded, folder = state.profile_session.stop(), state.log_dir
        state.reset()
        getattr(profiler, "clear_metadata", lambda: None)()
    return Path(folder), recorded


def give_way(end: Callable[[], None]) -> None:
    """Call `end` before somebody else in this process starts JAX's profiler, of which there is one."""
    import jax
    from jax._src import profiler

    def giving_way(own: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(own)
        def start(*args: Any, **kwargs: Any) -> Any:
            if not _STARTING.get():
                end()
            return own(*args, **kwargs)

        return start

    session = getattr(profiler, "ProfileSession", None)
    if session is not None:  # through which every way of starting leads, from JAX 0.12 on
        session.start = giving_way(session.start)
    else:
        jax.profiler.start_trace = profiler.start_trace = giving_way(profiler.start_trace)


@contextmanager
def recording(folder: Path) -> Iterator[None]:
    """Record what runs inside."""
    start(folder)
    try:
        yield
    finally:
        wait_for_arrays()
        stop()
