"""Load compilers and plugins without touching the screen, the environment or JAX's configuration."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hlo_count.harmless import printable

# The file descriptor, the environment and JAX's configuration belong to the whole process: one at a time.
_PROCESS = threading.RLock()

_NOISE = re.compile(
    r"WARNING: (All log messages before absl::InitializeLog|Logging before InitGoogle)"
    r"|[IWE]\d{4} \d\d:\d\d:"  # absl log lines; F, which announces an abort, is never noise
    r"|\[libprotobuf ERROR"  # of older ones
    r"|Failed to find host bounds for accelerator type"
    r"|To avoid this, compile with a GPU present"  # the second line of one of them
    r"|=== Source Location Trace"
    r"|loc\(.*\): (warning|remark|note): "  # MLIR, of kernels
    r"|\S+\.(cc|h):\d+\s*$"
)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what plugins log while they load or compile off the screen; whatever is no log line still gets there.

    C++ writes to file descriptor 2 whatever `sys.stderr` is, so the descriptor itself is held back. When the
    block raises, nothing gets to the screen: the held lines travel with the exception as a note.
    """
    with _PROCESS, _silent_logger("jax._src.xla_bridge"):
        try:
            screen = os.dup(2)
        except OSError:  # no standard error at all: nothing to keep quiet
            yield
            return
        with tempfile.TemporaryFile() as held:
            _flush()
            os.dup2(held.fileno(), 2)
            failed = False
            try:
                yield
            except Exception as error:
                failed = True
                if log := _text(held):
                    error.add_note(f"{_LOG}{log}")
                raise
            finally:
                _flush()
                os.dup2(screen, 2)
                os.close(screen)
                wanted = "".join(line for line in _text(held).splitlines(True) if not _NOISE.match(line))
                if wanted.strip() and not failed:
                    os.write(2, f"{printable(wanted.rstrip())}\n".encode())


_LOG = "the compiler's log:\n"
_DIAGNOSTIC = re.compile(r"^\S.*?: error: (.*)", re.MULTILINE)


def diagnostic(error: Exception) -> str:
    """What the compiler's log says is the error, where `quiet` held back a line that does; else ""."""
    logs = [note for note in getattr(error, "__notes__", ()) if note.startswith(_LOG)]
    found = _DIAGNOSTIC.search("\n".join(logs))
    return found[1].strip() if found is not None else ""


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables that are not set yet, and leave `os.environ` as it was."""
    with _PROCESS:
        added = [name for name in variables if name not in os.environ]
        os.environ.update({name: variables[name] for name in added})
        try:
            yield
        finally:
            for name in added:
                os.environ.pop(name, None)


@contextmanager
def without_persistent_cache() -> Iterator[None]:
    """Compile for real: a cached executable may carry another caller's source lines, and runs no passes."""
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    if not (jax.config.values["jax_compilation_cache_dir"] and jax.config.values["jax_enable_compilation_cache"]):
        yield
        return
    with _PROCESS:
        try:
            with jax_setting("jax_enable_compilation_cache", False):
                compilation_cache.reset_cache()  # JAX decides only once whether it has a cache
                yield
        finally:
            compilation_cache.reset_cache()


@contextmanager
def jax_setting(name: str, value: Any) -> Iterator[None]:
    """One setting of `jax.config`, for the while."""
    import jax

    with _PROCESS:
        before = getattr(jax.config, name)
        jax.config.update(name, value)
        try:
            yield
        finally:
            jax.config.update(name, before)


def default_devices(platform: str | None = None) -> list[Any]:
    """JAX's devices, initialized under the user's own environment, without the noise of the plugins."""
    with quiet():
        import jax

        return list(jax.devices(platform))


def settle_default_backend() -> Any | None:
    """JAX's default device; None where JAX has none, which does not matter to a target of another kind.

    A plugin must first start the user's way: what it reads from the environment, it reads once.
    """
    try:
        return default_devices()[0]
    except RuntimeError:
        return None


@contextmanager
def _silent_logger(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _flush() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()


def _text(held: Any) -> str:
    held.seek(0)
    return str(held.read().decode(errors="replace"))
