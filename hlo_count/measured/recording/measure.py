"""Run a function under the profiler, and give what it took beside what it had to do."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hlo_count.errors import HloCountError, TargetError
from hlo_count.measured.results.recorded_trace import Trace
from hlo_count.measured.results.trace_reading import read_trace
from hlo_count.measured.results.traced_program import TracedProgram
from hlo_count.roofline.device import Device

_APART = {"xla_disable_hlo_passes": "small-while-loop-hoisting"}
"""Has a CPU keep the kernels of small loops apart, which it runs as one function otherwise."""


def measure(
    fn: Any,
    /,
    *args: Any,
    runs: int = 10,
    device: str | Path | Device | None = None,
    kwargs: Mapping[str, Any] | None = None,
    **named: Any,
) -> TracedProgram:
    """Compile `fn(*args)`, warm it up, and run it `runs` times under the profiler: a program of a trace, `report` and
    all, with the trip counts and branches that were taken.

    `fn` is a function, a jitted one, or a `jax.stages.Compiled`. Arguments may be `jax.ShapeDtypeStruct`s, for which
    arrays are made; `notes` say of what. Arguments that a run consumes (donated ones) are made anew for each. `device`:
    whose profile bounds are of, by default the one at hand. Keywords that are none of these go to the function.

    Where a CPU made one function of a loop, so that its trips cannot be seen, `fn` is compiled and run once more with
    its kernels apart, only to count them. Raises HloCountError where a profiler runs already or nothing was recorded;
    what `fn` raises is its own.
    """
    from hlo_count.lowering.runs import Runs
    from hlo_count.report.keywords import of_function

    if isinstance(runs, bool) or not isinstance(runs, int) or runs < 1:
        raise HloCountError(f"runs={runs!r}: a whole number, 1 or more")
    keywords = of_function(fn, args, named, kwargs, {"device": device}, caller="measure")
    ready = Runs(fn, args, keywords)
    ready.warm_up()
    program = _of(_recorded(ready, runs, device), runs)
    if ready.made:
        program.notes.append(ready.made)
    if program.report is not None and program.backend == "cpu" and program.report.unknowns:
        apart = _with_loops_apart(fn, args, keywords, ready)
        if apart is not None:
            program = program.settled_by(apart)
    return program


def _recorded(ready: Any, runs: int, device: str | Path | Device | None) -> Trace:
    from hlo_count.lowering import profiler

    with tempfile.TemporaryDirectory(prefix="hlo-count-") as folder:
        with profiler.recording(Path(folder)):
            for _ in range(runs):
                ready.once()
                ready.renew()
        return read_trace(folder, device=device)


def _of(trace: Trace, runs: int) -> TracedProgram:
    """The program with the most seconds of those that ran each time."""
    for program in trace.programs:
        if program.runs and program.runs % runs == 0:
            program.notes += trace.problems
            return program
    reason = "; ".join(trace.problems) or "no program ran as often as the function was called"
    raise HloCountError(f"nothing was measured: {reason}")


def _with_loops_apart(fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any], ready: Any) -> TracedProgram | None:
    """One run with the kernels of small loops apart; None where the function cannot be compiled and run so."""
    from hlo_count.lowering import lower

    try:
        compiled = lower(fn, args, kwargs, compiler_options=_APART).compiled
    except (HloCountError, TargetError, RuntimeError):  # a library's function, an option that this jaxlib lacks
        return None
    other = ready.instead(compiled)
    return None if other is None else _of(_recorded(other, 1, None), 1)
