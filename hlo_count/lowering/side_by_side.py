"""One function compiled for several targets at once, each in a process of its own: tracing holds Python, and a compiler
that ends its process should not end the user's."""

from __future__ import annotations

import functools
import os
import pickle
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from multiprocessing import active_children
from typing import Any

from hlo_count.errors import TargetError
from hlo_count.harmless import harmless
from hlo_count.lowering.compiled_texts import CompiledTexts
from hlo_count.lowering.lower import lower
from hlo_count.lowering.program import Program
from hlo_count.lowering.quiet import settle_default_backend
from hlo_count.lowering.sharding import ambient_mesh, as_struct, is_array

_WATCHED_EVERY = 1.0
"""Seconds between looks at whether the process that started one is still there."""
_PLAIN = (bool, int, float, str, type(None))
_ENVIRONMENT = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
"""Of the processes that compile: on a machine with a GPU its memory is the user's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiling:
    """What is compiled, and how: as `lower` takes it. `meshes` holds the mesh of each target, None for no mesh."""

    fn: Any
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    meshes: Mapping[str, Any] = field(default_factory=dict)
    in_specs: Any = None
    compiler_options: Mapping[str, Any] | None = None
    keep: CompiledTexts | None = None

    def compiled_for(self, target: str) -> Program:
        """The program for one target, compiled in this process."""
        mesh = self.meshes.get(target)
        return lower(
            self.fn,
            self.args,
            self.kwargs,
            target=target,
            mesh=mesh,
            in_specs=self.in_specs if mesh else None,
            compiler_options=self.compiler_options,
            keep=self.keep,
        )


def compile_for_each(
    call: Compiling,
    targets: Sequence[str],
    *,
    workers: int | None = None,
    on_done: Callable[[str], None] = lambda target: None,
) -> dict[str, Program | TargetError]:
    """The program for each target, or why there is none, in the order of `targets`.

    At most `workers` processes at once, as many as there are processors unless given. One after another in this process
    where there is one target or worker, where loky (the extra `size`) is not installed, and where the function cannot
    leave this process: it cannot be pickled, or holds this process's devices. `on_done` is called with each target
    that is done. Raises what `lower` raises for another reason than the target.
    """
    workers = min(len(targets), workers or os.cpu_count() or 1)
    parcel = _parcel(call) if workers > 1 else None
    found: dict[str, Program | TargetError] = {}
    if parcel is None:
        for target in targets:
            found[target] = _here(call, target)
            on_done(target)
        return found
    for target, answer in _in_processes(parcel, targets, workers, on_done).items():
        for message in answer.warnings:
            warnings.warn(harmless(message), stacklevel=3)
        # An error that is not the target's is the user's own: raised here, it is the error itself.
        found[target] = _here(call, target) if answer.result is None else answer.result
    return {target: found[target] for target in targets}


def _here(call: Compiling, target: str) -> Program | TargetError:
    try:
        return call.compiled_for(target)
    except TargetError as problem:
        return problem


# In processes of their own


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What came of a target: None where it failed for another reason than the target."""

    result: Program | TargetError | None
    warnings: tuple[str, ...] = ()


def _in_processes(
    parcel: bytes, targets: Sequence[str], workers: int, on_done: Callable[[str], None]
) -> dict[str, _Answer]:
    import loky

    _start_tracker()
    # A process for each target: one that ends takes no other's work along.
    others = {child.pid for child in active_children()}
    options = {"max_workers": 1, "env": _ENVIRONMENT, "initializer": _end_with, "initargs": (os.getpid(),)}
    executors = {target: loky.ProcessPoolExecutor(**options) for target in targets}

    def ask(target: str) -> _Answer:
        with executors[target] as executor:
            try:
                answer: _Answer = executor.submit(_compile, parcel, target).result()
            except BrokenExecutor:
                return _Answer(result=TargetError(f"cannot be compiled for {target}: the compiler ended its process"))
            return answer

    found = {}
    with ThreadPoolExecutor(workers) as threads:
        asked = {threads.submit(ask, target): target for target in targets}
        try:
            for done in as_completed(asked):
                found[asked[done]] = done.result()
                on_done(asked[done])
        except BaseException:  # Ctrl-C: a compiler may work for minutes
            threads.shutdown(wait=False, cancel_futures=True)
            for child in active_children():
                if child.pid is not None and child.pid not in others:
                    os.kill(child.pid, getattr(signal, "SIGKILL", signal.SIGTERM))  # loky's have no kill()
            raise
    return found


def _start_tracker() -> None:
    """loky's process that clears up behind others, told to do so without a word where they were ended."""
    from loky.backend import resource_tracker

    sys.warnoptions.append("ignore:resource_tracker:UserWarning")  # which Python hands on to what it starts
    try:
        resource_tracker.ensure_running()
    finally:
        sys.warnoptions.pop()


def _end_with(parent: int) -> None:
    """In a process of its own: its end is that of the one that started it, however that comes."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCHED_EVERY)
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that started it, which ends this one
    threading.Thread(target=watch, daemon=True).start()


def _compile(parcel: bytes, target: str) -> _Answer:
    """In a process of its own: a parcel compiled for one target."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        try:
            settle_default_backend()  # what it imports are JAX's plugins, which would talk
            call, settings = pickle.loads(parcel)
            _set(settings)
            program = call.compiled_for(target)
            before = program.unoptimized
            text = None if before is None else functools.partial(str, before())
            result: Program | TargetError | None = replace(program, compiled=None, unoptimized=text)
        except TargetError as problem:
            result = problem
        except Exception:  # it is met again where the user can see it
            result = None
    return _Answer(result=result, warnings=tuple(dict.fromkeys(str(each.message) for each in said)))


def _set(settings: Mapping[str, Any]) -> None:
    import jax

    for name, value in _settings().items():
        if name in settings and settings[name] != value:
            jax.config.update(name, settings[name])


def _settings() -> dict[str, Any]:
    """JAX's settings as they are now, those of a context manager too."""
    import jax

    return {name: getattr(jax.config, name, value) for name, value in jax.config.values.items()}


# What leaves this process


def _parcel(call: Compiling) -> bytes | None:
    """A call and JAX's settings as bytes; None where they cannot leave this process."""
    try:
        import cloudpickle
        import loky  # noqa: F401
    except ImportError:
        return None
    import jax

    settings = _settings()
    if not all(isinstance(value, _PLAIN) for value in settings.values()) or ambient_mesh() is not None:
        return None
    if any(len(getattr(getattr(leaf, "sharding", None), "device_set", "1")) > 1 for leaf in _leaves(call)):
        return None
    args, kwargs = jax.tree.map(_without_data, (call.args, dict(call.kwargs)))
    try:
        packed: bytes = cloudpickle.dumps((replace(call, args=args, kwargs=kwargs), settings))
    except Exception:  # of any class that the function holds: what cannot be pickled is compiled here
        return None
    return packed


def _leaves(call: Compiling) -> list[Any]:
    import jax

    leaves: list[Any] = jax.tree.leaves((call.args, dict(call.kwargs)))
    return leaves


def _without_data(leaf: Any) -> Any:
    return as_struct(leaf, None) if is_array(leaf) else leaf
