"""The commands about measured times: options in, an Outcome out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hlo_count
from hlo_count import commands
from hlo_count.command_programs import function_call, prints_aside
from hlo_count.commands import Outcome
from hlo_count.errors import HloCountError
from hlo_count.hlo.garbage import no_garbage_collection

if TYPE_CHECKING:
    from hlo_count.measured.results.recorded_trace import Trace
    from hlo_count.measured.results.traced_program import TracedProgram


def add_commands(found: argparse._SubParsersAction[Any]) -> None:
    """Their options."""
    trace = found.add_parser("trace", help="where the time of a recorded profile went")
    trace.add_argument("path", help="what jax.profiler wrote: an .xplane.pb file or a folder of profiles")
    _add_shown(trace)
    trace.set_defaults(run=read_trace, tells=True)

    measure = found.add_parser("measure", help="run a function, and show where its time went")
    measure.add_argument("program", help="package.module:function or file.py:function")
    measure.add_argument("--runs", type=int, default=10, help="how often it runs, after once to warm up (10)")
    measure.add_argument(
        "--arg", action="append", default=[], metavar="SHAPE", help="an argument: f32[128,784], s32, 3"
    )
    measure.add_argument(
        "--kwargs", "--kwarg", dest="kwarg", action="append", metavar="NAME=SHAPE", help="a keyword argument"
    )
    measure.add_argument("--args-from", metavar="pkg:fn", help="a function that gives the tuple of arguments")
    _add_shown(measure)
    measure.set_defaults(run=run_and_measure, tells=True)

    run = found.add_parser("run", help="run a Python script, and show what JAX did in it, as perf stat does")
    run.add_argument("--skip", type=float, default=0.0, metavar="SECONDS", help="record from then on")
    run.add_argument("--seconds", type=float, default=0.0, metavar="SECONDS", help="record so long, in one piece")
    run.add_argument("--whole", action="store_true", help="record to the end, whatever it costs")
    run.add_argument("-o", "--folder", "--output", dest="output", metavar="FOLDER", help="keep the trace here")
    _add_shown(run)
    run.add_argument("script", help="a Python file")
    run.add_argument("arguments", nargs=argparse.REMAINDER, help="its own arguments")
    run.set_defaults(run=run_script)


def _add_shown(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", help="whose bounds: a profile's name or file; that of the trace without one")
    parser.add_argument("--by", default="kernel", help="rows by kernel, scope, source or class")
    parser.add_argument("--rows", type=int, default=12, help="rows of the table (12)")
    parser.add_argument("--plot", metavar="FILE", help="draw the largest program's roofline: .png, .svg or .pdf")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")


def run_and_measure(options: argparse.Namespace) -> Outcome:
    with prints_aside():
        hlo_count.targets()  # lets lowering import jax, so that its plugins start quietly
        fn, args, kwargs = function_call(options, options.program)
        program = hlo_count.measure(fn, *args, runs=options.runs, device=options.device, kwargs=kwargs)
    return _shown(program, [program], options)


def run_script(options: argparse.Namespace) -> Outcome:
    """The table follows on standard error, the JSON on the last line of standard output: the rest is the script's."""
    from hlo_count.measured.recording import script

    for name in ("skip", "seconds"):
        if not 0 <= getattr(options, name) < float("inf"):
            raise HloCountError(f"--{name}: a number of seconds, 0 or more")
    found, code = script.run_script(
        options.script, options.arguments, folder=options.output, skip=options.skip, seconds=options.seconds,
        whole=options.whole, device=options.device,
    )  # fmt: skip
    wrote = _plotted(found.programs, options) if found.result is not None else ()
    if options.json:
        return Outcome(found.to_json(indent=None), code, wrote)
    return Outcome(code=code, said=(found.table(options.by, rows=options.rows), *wrote))


def read_trace(options: argparse.Namespace) -> Outcome:
    with no_garbage_collection():
        found = hlo_count.read_trace(options.path, device=options.device)
        return _shown(found, found.programs, options)


def calibrate(options: argparse.Namespace) -> Outcome:
    """Measures this machine, or with `--from` fits a profile to what was measured before."""
    if options.trace is None:
        if options.device is not None:
            raise HloCountError("--device names the profile that --from TRACE fits; else this machine is measured")
        return commands.calibrate(options)
    from hlo_count.measured.results.fitting import fit
    from hlo_count.roofline.catalog import user_directory

    found = hlo_count.read_trace(options.trace, device=options.device)
    if found.device is None:
        raise HloCountError("; ".join(found.problems))
    fitted = fit(found.programs, found.device)
    own = user_directory()
    if options.output:
        path = Path(options.output)
    elif own is not None:
        path = own / f"{found.device.name}.toml"
    else:
        raise HloCountError("where the user's profiles lie is not known without platformdirs: say where: --output")
    if path.suffix != ".toml":
        raise HloCountError(f"{path}: a profile is a TOML file and known by its suffix: give it .toml")
    fitted.write(path)
    return Outcome(str(fitted), said=(f"\nwrote {path}",))


def _shown(found: Trace | TracedProgram, programs: Sequence[TracedProgram], options: argparse.Namespace) -> Outcome:
    """A result as text or JSON, and where a plot was asked for, as a file."""
    text = found.to_json() if options.json else found.table(options.by, rows=options.rows)
    return Outcome(text, said=_plotted(programs, options))


def _plotted(programs: Sequence[TracedProgram], options: argparse.Namespace) -> tuple[str, ...]:
    if not options.plot:
        return ()
    if not programs:
        raise HloCountError("--plot: no program ran")
    programs[0].plot(options.plot)
    return (f"wrote {options.plot}",)
