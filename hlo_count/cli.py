"""The command line: `hlo-count count | diff | roofline | passes | devices | targets | calibrate | demo`.

Exit codes: 0 done, 1 a budget or comparison failed, 2 the command or its input was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hlo_count
from hlo_count.errors import BudgetExceeded, HloCountError, TargetError

if TYPE_CHECKING:
    from hlo_count.compare.diff import Diff
    from hlo_count.report.report import Report

DONE, FAILED, WRONG = 0, 1, 2
_PROGRAM_HELP = "package.module:function or file.py:function, a file of HLO, StableHLO or an export, or - (stdin)"
_LIMITS = ("flops", "transcendentals", "int_ops", "bytes", "network_bytes", "peak_bytes")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Whatever goes wrong is one line on standard error and an exit code, never a traceback."""
    parser = _parser()
    try:
        options = parser.parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return int(options.run(options))
    except BudgetExceeded as exceeded:
        print(exceeded, file=sys.stderr)
        return FAILED
    except HloCountError as problem:
        print(f"hlo-count: {problem}", file=sys.stderr)
        return WRONG
    except BrokenPipeError:
        # The reader of our output went away (a pager, head): nothing is left to say to it.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  it lives as long as the process
        return DONE
    except SystemExit as stop:
        print(f"hlo-count: the program calls sys.exit({stop.code!r}) while it is loaded or traced", file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        print("hlo-count: interrupted", file=sys.stderr)
        return 130
    except Exception as problem:  # the user's own function, or JAX tracing and compiling it
        print(f"hlo-count: {type(problem).__name__}: {_first_lines(str(problem))}", file=sys.stderr)
        return WRONG


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """What there is to say, without the line of code that says it."""
    print(f"hlo-count: warning: {message}", file=sys.stderr)


def _first_lines(text: str, most: int = 12) -> str:
    lines = text.strip().splitlines() or [""]
    return "\n".join(lines[:most] + (["..."] if len(lines) > most else []))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hlo-count", description="What a compiled JAX program really does: FLOP, bytes, and what limits it."
    )
    parser.add_argument("--version", action="version", version=f"hlo-count {hlo_count.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    count = commands.add_parser("count", help="count a function, a dump, or standard input")
    count.add_argument("program", help=_PROGRAM_HELP)
    _add_program_options(count)
    _add_report_options(count)
    for name in _LIMITS:
        count.add_argument(
            f"--max-{name.replace('_', '-')}", metavar="QUANTITY", help=f"fail above this, e.g. {_example(name)}"
        )
    count.set_defaults(run=_count)

    demo = commands.add_parser("demo", help="count a transformer training step that is built in")
    demo.add_argument("--target", help="what to compile for, or several with commas")
    _add_report_options(demo)
    demo.set_defaults(run=_demo)

    diff = commands.add_parser("diff", help="compare two programs, or one before and after optimization")
    diff.add_argument("program", help=_PROGRAM_HELP)
    diff.add_argument(
        "other", nargs="?", help="the program to compare with; without one, before and after optimization"
    )
    _add_program_options(diff, modules="append")
    shown = diff.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="one JSON document on standard output")
    shown.add_argument("--markdown", action="store_true", help="a table for a pull request comment")
    diff.add_argument("--by", help="rows by scope, source, opcode or class")
    diff.add_argument(
        "--fail-above",
        action="append",
        metavar="5%",
        help="exit with 1 when a counter grew by more: 5%% for any of them, or peak_bytes=5%%; can be repeated",
    )
    diff.set_defaults(run=_diff)

    roofline = commands.add_parser("roofline", help="time bounds on a device")
    roofline.add_argument("program", help=_PROGRAM_HELP)
    roofline.add_argument(
        "--device", help="a profile's name or file; that of the target without one; 'all' for every one"
    )
    roofline.add_argument("--plot", metavar="FILE", help="draw it: .png, .svg or .pdf")
    roofline.add_argument("--json", action="store_true", help="one JSON document on standard output")
    _add_program_options(roofline)
    roofline.set_defaults(run=_roofline)

    passes = commands.add_parser("passes", help="what each compiler pass did to the counts")
    passes.add_argument("program", help="package.module:function, or a directory of dumps")
    passes.add_argument("--filter", default=".*", metavar="REGEX", help="only passes that match")
    passes.add_argument("--plot", metavar="FILE", help="draw it: .png, .svg or .pdf")
    passes.add_argument("--json", action="store_true", help="one JSON document on standard output")
    _add_program_options(passes)
    passes.set_defaults(run=_passes)

    devices = commands.add_parser("devices", help="the device profiles")
    devices.add_argument("--json", action="store_true", help="one JSON document on standard output")
    devices.set_defaults(run=_devices)

    targets = commands.add_parser("targets", help="what can be compiled for here, and what to install for the rest")
    targets.set_defaults(run=_targets)

    calibrate = commands.add_parser("calibrate", help="measure this machine, and keep it as the device 'local'")
    calibrate.add_argument(
        "--output", metavar="FILE.toml", help="write the profile here instead of the user's configuration"
    )
    calibrate.set_defaults(run=_calibrate)
    return parser


def _add_program_options(parser: argparse.ArgumentParser, modules: str = "store") -> None:
    twice = "; once for both programs, or once for each" if modules == "append" else ""
    parser.add_argument(
        "--module",
        action=modules,
        metavar="NAME",
        help=f"which module of a text, a log or a folder that has several: its name, NAME#2, or its number{twice}",
    )
    group = parser.add_argument_group("the function and how it is compiled")
    group.add_argument(
        "--arg",
        action="append",
        default=[],
        metavar="SHAPE",
        help="an argument: f32[128,784], s32, 3, [f32[2], f32[2]]",
    )
    group.add_argument("--kwarg", action="append", metavar="NAME=SHAPE", help="a keyword argument")
    group.add_argument("--args-from", metavar="pkg:fn", help="a function that gives the tuple of arguments")
    group.add_argument(
        "--target",
        help="cpu, tpu:v5e:2x4, h100-sxm:8 ... (see hlo-count targets); count takes several with commas: one that "
        "fails is a row of their table, and the exit code then 2",
    )
    group.add_argument("--mesh", metavar="data=4,model=2", help="axes of a device mesh to shard over")
    group.add_argument(
        "--spec", action="append", metavar="data,None", help="PartitionSpec of each argument, in their order"
    )
    group.add_argument(
        "--compiler-option", action="append", metavar="NAME=VALUE", help="an option of XLA's compiler; can be repeated"
    )
    group.add_argument(
        "--trip-count", action="append", metavar="LOOP=N", help="how often a loop runs, by name or op_name pattern"
    )
    group.add_argument(
        "--branch",
        action="append",
        metavar="CONDITIONAL=I",
        help="the branch a conditional takes, or the probability of each: cond.1=0.9,0.1",
    )
    group.add_argument("--strict", action="store_true", help="fail when anything is not known")


def _add_report_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--by", help="rows by opcode, class, dtype, unit, scope, source, computation, instruction, ...")
    parser.add_argument("--depth", type=int, default=3, help="levels of scopes (3)")
    parser.add_argument("--rows", type=int, default=12, help="rows of the table (12)")
    parser.add_argument("--convention", default="default", choices=("default", "xla"), help="whose rules to count by")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")


def _example(counter: str) -> str:
    return "80MB" if "bytes" in counter else "2GFLOP" if counter == "flops" else "1M"


# Commands


def _count(options: argparse.Namespace) -> int:
    limits = {name: getattr(options, f"max_{name}") for name in _LIMITS if getattr(options, f"max_{name}") is not None}
    if limits:
        from hlo_count.report.limits import limits_of

        limits_of(**limits)  # a limit that is none is told before anything is compiled
    done = _for_targets(options, lambda target: _report(options, options.program, target))
    if limits:
        for _, report in _counted(done):
            report.check(**limits)
    return WRONG if any(isinstance(each, str) for each in done.values()) else DONE


def _demo(options: argparse.Namespace) -> int:
    from hlo_count.demo import training_step

    if not options.json:
        print("Compiling one training step of a small transformer (6 layers in a scan) ...", file=sys.stderr)
    hlo_count.targets()  # lets lowering import jax, so that its plugins start quietly
    step, arguments = training_step()
    done = _for_targets(
        options, lambda target: hlo_count.count(step, *arguments, target=target, convention=options.convention)
    )
    return WRONG if any(isinstance(each, str) for each in done.values()) else DONE


def _diff(options: argparse.Namespace) -> int:
    from hlo_count.compare.comparison import check_key, check_limits
    from hlo_count.hlo.garbage import no_garbage_collection

    limits = _thresholds(options.fail_above or [])
    check_limits(limits, optimization=options.other is None)
    if options.by:
        check_key(options.by)
    with no_garbage_collection():
        result = _compared(options)
        if options.json:
            _print_json(result.to_dict())
        elif options.markdown:
            print(result.markdown())
        else:
            print(result.table(by=options.by) if options.by else result)
        failures = result.exceeds(limits)
    for failure in failures:
        print(f"hlo-count: {failure}", file=sys.stderr)
    return FAILED if failures else DONE


def _compared(options: argparse.Namespace) -> Diff:
    from hlo_count.command_arguments import looks_like_function

    programs = [program for program in (options.program, options.other) if program is not None]
    modules = options.module or []
    if len(modules) > len(programs):
        raise HloCountError("--module: name one for both programs, or one for each")
    modules = (modules or [None]) * (1 if len(modules) == len(programs) else len(programs))
    if options.other is None:
        fn, args, kwargs, keywords = _call(_with(options, module=modules[0]), options.program, options.target)
        with _prints_aside():
            return hlo_count.diff(fn, *args, kwargs=kwargs, **keywords)
    functions = [looks_like_function(program) for program in programs]
    # Arguments and target are those of a function; where neither is one, a text says that it takes none.
    bare: dict[str, Any] = {
        "arg": [],
        "kwarg": None,
        "args_from": None,
        "mesh": None,
        "compiler_option": None,
        "target": None,
    }
    reports = []
    for program, module, is_function in zip(programs, modules, functions, strict=True):
        changes = (
            {"module": None} if is_function else {"module": module, **({**bare, "arg": []} if any(functions) else {})}
        )
        own = _with(options, **changes)
        reports.append(_report(own, program, own.target))
    return hlo_count.diff(*reports)


def _with(options: argparse.Namespace, **changes: Any) -> argparse.Namespace:
    return argparse.Namespace(**{**vars(options), **changes})


def _thresholds(given: list[str]) -> dict[str, float]:
    """`5%` for every counter as {"*": 0.05}, `bytes=5%` for one."""
    found = {}
    for text in given:
        name, _, value = text.rpartition("=")
        number, percent, rest = value.strip().partition("%")
        try:
            found[name or "*"] = float(number) / 100
        except ValueError:
            percent = ""
        if not percent or rest:
            raise HloCountError(f"--fail-above {text!r}: write a percentage, 5% or bytes=5%") from None
    return found


def _roofline(options: argparse.Namespace) -> int:
    every = options.device == "all"
    if every and options.plot:
        raise HloCountError("--plot draws one device: name it with --device, not all")
    report = _report(options, options.program, options.target)
    return _show_with_plot(hlo_count.what_if(report) if every else report.roofline(options.device), options)


def _passes(options: argparse.Namespace) -> int:
    if Path(options.program).is_dir():
        result = hlo_count.read_dumps(
            Path(options.program), module=options.module, pattern=options.filter, progress=sys.stderr.isatty()
        )
    else:
        fn, args, kwargs, keywords = _call(options, options.program, options.target)
        with _prints_aside():
            result = hlo_count.passes(
                fn, *args, pass_filter=options.filter, progress=sys.stderr.isatty(), kwargs=kwargs, **keywords
            )
    return _show_with_plot(result, options)


def _devices(options: argparse.Namespace) -> int:
    found = hlo_count.devices()
    if options.json:
        _print_json([device.to_row() for device in found])
    else:
        print(found)
    return DONE


def _targets(options: argparse.Namespace) -> int:
    from tabulate import tabulate

    rows = [(t.name, t.backend, "yes" if t.available else "no", t.note) for t in hlo_count.targets()]
    print(
        tabulate(
            rows, headers=("target", "backend", "here", "note"), tablefmt="plain", maxcolwidths=[None, None, None, 60]
        )
    )
    return DONE


def _calibrate(options: argparse.Namespace) -> int:
    from hlo_count.roofline.device_table import device_table

    device = hlo_count.calibrate(path=Path(options.output) if options.output else None)
    print(device_table([device.to_row()]))
    name = "local" if options.output is None else str(device.path)
    print(f"\nwrote {device.path}: use it as --device {name}, or hc.device({name!r})", file=sys.stderr)
    return DONE


# Programs


@contextmanager
def _prints_aside() -> Iterator[None]:
    """What a user's module or function prints goes to standard error: standard output is for the result."""
    with redirect_stdout(sys.stderr):
        yield


@_prints_aside()
def _report(options: argparse.Namespace, program: str, target: str | None) -> Report:
    """The report of what a command was given: a text, or a function with its arguments."""
    fn, args, kwargs, keywords = _call(options, program, target)
    convention = getattr(options, "convention", "default")
    return hlo_count.count(fn, *args, convention=convention, strict=options.strict, kwargs=kwargs, **keywords)


@_prints_aside()
def _call(
    options: argparse.Namespace, program: str, target: str | None
) -> tuple[Any, tuple[Any, ...], dict[str, Any], dict[str, Any]]:
    """What to pass to `count`: the program, its arguments, its keyword arguments, and count's own keywords."""
    from hlo_count import command_arguments as given

    keywords: dict[str, Any] = {}
    if options.trip_count:
        pairs = given.assignments(options.trip_count, "--trip-count")
        keywords["trip_counts"] = {name: given.whole_number(n, "--trip-count") for name, n in pairs.items()}
    if options.branch:
        pairs = given.assignments(options.branch, "--branch")
        keywords["branches"] = {name: given.branch(text) for name, text in pairs.items()}
    if program == "-" or not given.looks_like_function(program):
        found = _opened(program, options.module)
        is_hlo = isinstance(found, hlo_count.Module)
        given_more = options.arg or options.kwarg or options.args_from or options.mesh
        if given_more or (is_hlo and (target or options.compiler_option)):
            what = (
                "an HLO text takes no arguments and no target or options"
                if is_hlo
                else "a stored program takes no arguments"
            )
            raise HloCountError(f"{program}: {what}; name a function to compile one")
        if options.compiler_option:
            keywords["compiler_options"] = given.compiler_options(options.compiler_option)
        return found, (), {}, keywords if target is None else {**keywords, "target": target}
    if options.module:
        raise HloCountError(f"--module names one of the modules in a text or a folder, and {program} is a function")
    if target is not None:
        keywords["target"] = target
    if options.compiler_option:
        keywords["compiler_options"] = given.compiler_options(options.compiler_option)
    hlo_count.targets()  # lets lowering import jax, so that its plugins start quietly
    if options.mesh:
        keywords["mesh"] = given.mesh(options.mesh)
    if options.spec:
        keywords["in_specs"] = tuple(given.partition_spec(text) for text in options.spec)
    fn = given.resolve(program)
    args = tuple(given.argument(text) for text in options.arg)
    if options.args_from:
        made = given.resolve(options.args_from)()
        args = (*(made if isinstance(made, tuple) else (made,)), *args)
    kwargs = {name: given.argument(text) for name, text in given.assignments(options.kwarg, "--kwarg").items()}
    return fn, args, kwargs, keywords


def _opened(program: str, module: str | None) -> Any:
    from hlo_count.lowering.files import read_stream
    from hlo_count.report.opening import opened, opened_bytes

    if program == "-":
        return opened_bytes(read_stream(sys.stdin.buffer, "<stdin>"), "<stdin>", module)
    path = Path(program)
    if not path.exists():
        raise HloCountError(f"{program}: there is no such file; a function is written package.module:function")
    if path.suffix == ".py":
        raise HloCountError(f"{program}: name the function in it, {program}:function")
    return opened(path, module)


def _target_list(options: argparse.Namespace) -> list[str | None]:
    if options.target is None:
        return [None]
    names = [name.strip() for name in options.target.split(",") if name.strip()]
    if not names:
        raise HloCountError(f"--target {options.target!r} names no target; `hlo-count targets` lists them")
    return list(names)


# Output


def _show(report: Report, options: argparse.Namespace) -> None:
    if options.json:
        print(report.to_json())
    else:
        print(report.table(by=options.by, depth=options.depth, rows=options.rows))


def _for_targets(options: argparse.Namespace, count: Callable[[str | None], Report]) -> dict[str | None, Report | str]:
    """The report for each target, shown: of one alone in full, else as a table, where one that fails is a row.

    What fails is said in one line in place of its report. Raises TargetError when no target can be counted for.
    """
    from hlo_count.report.across_targets import targets_dict, targets_table

    targets = _target_list(options)
    if len(targets) == 1:
        report = count(targets[0])
        _show(report, options)
        return {targets[0]: report}
    done: dict[str | None, Report | str] = {}
    for target in targets:
        try:
            done[target] = count(target)
        except TargetError as problem:
            done[target] = str(problem)
    if not _counted(done):
        raise TargetError("; ".join(dict.fromkeys(str(problem) for problem in done.values())))
    if options.json:
        _print_json(targets_dict(done))
    else:
        print(targets_table(done))
    return done


def _counted(done: Mapping[Any, Report | str]) -> list[tuple[Any, Report]]:
    return [(target, each) for target, each in done.items() if not isinstance(each, str)]


def _show_with_plot(result: Any, options: argparse.Namespace) -> int:
    """A result as text or JSON, and where a plot was asked for, as a file."""
    if options.json:
        _print_json(result.to_dict())
    else:
        print(result)
    if options.plot:
        result.plot(options.plot)
        print(f"wrote {options.plot}", file=sys.stderr)
    return DONE


def _print_json(data: Any) -> None:
    print(json.dumps(data, indent=2))
