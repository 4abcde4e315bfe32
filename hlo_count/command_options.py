"""The options of the command line."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

import hlo_count
from hlo_count import commands, job_commands, measured_commands, sizing_commands
from hlo_count.command_help import actions_of, hint, with_examples
from hlo_count.commands import LIMITS
from hlo_count.console import say

_PROGRAM_HELP = "package.module:function or file.py:function, a file of HLO, StableHLO or an export, or - (stdin)"
_EXIT_CODES = """exit codes:
  0    done
  1    a budget (--max-...) or a comparison (--fail-above) failed, whatever became of the output
  2    the command or its input was wrong, or the result could not be written
  3    --strict, and something is not known
  130, 143  ended by a signal: Ctrl-C, SIGTERM"""


class Asked(Exception):  # noqa: N818  nothing is wrong
    """What the options ask for is a text: help, or the version."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong on standard error, and raises what was asked for."""

    def __init__(self, **options: Any) -> None:
        plain = argparse.RawDescriptionHelpFormatter
        command = str(options.get("prog", "")).rpartition(" ")[2]
        super().__init__(epilog=with_examples(command, _EXIT_CODES), formatter_class=plain, **options)

    def error(self, message: str) -> NoReturn:
        say(f"{self.format_usage()}{self.prog}: error: {message}{hint(message, self)}")
        raise SystemExit(2)

    def _print_message(self, message: str, file: Any = None) -> None:
        raise Asked(message.rstrip("\n"))


_FILES = ("program", "other", "path", "paths", "database", "script", "trace", "args_from")
_FOLDERS = ("folder", "cache")
"""What a shell completes with names of files, beside all that is called FILE."""


class _Completion(argparse.Action):
    """Asks for a shell's completion of all commands and flags; needs shtab (the extra `terminal`)."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: object, values: Any, option: Any = None) -> NoReturn:
        try:
            import shtab
        except ImportError:
            say("hlo-count: completion is made with shtab: pip install 'hlo-count[terminal]'")
            raise SystemExit(2) from None
        if values not in shtab.SUPPORTED_SHELLS:
            known = ", ".join(shtab.SUPPORTED_SHELLS)
            parser.error(f"argument {option}: invalid choice: {values!r} (choose from {known})")
        for action in actions_of(parser):
            if action.dest == "device":
                action.choices = [device.name for device in hlo_count.devices()]
            elif action.dest in _FOLDERS:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
            elif action.dest in _FILES or "FILE" in str(action.metavar):
                action.complete = shtab.FILE  # type: ignore[attr-defined]
        raise Asked(shtab.complete(parser, values))


def command_parser() -> argparse.ArgumentParser:
    """All commands with their options; each sets `run`, a function of the options that gives an Outcome."""
    parser = _Parser(
        prog="hlo-count", description="What a compiled JAX program really does: FLOP, bytes, and what limits it."
    )
    parser.add_argument("--version", action="version", version=f"hlo-count {hlo_count.__version__}")
    parser.add_argument("--width", type=int, metavar="N", help="columns of tables; as the terminal has without")
    parser.add_argument(
        "--print-completion", action=_Completion, metavar="SHELL", help="completion for bash, zsh or tcsh"
    )
    parser.set_defaults(tells=False)
    found = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", dest="command")

    count = found.add_parser("count", help="count a function, a dump, or standard input")
    count.add_argument("program", help=_PROGRAM_HELP)
    count.add_argument("more", nargs="*", help=argparse.SUPPRESS)  # what a shell makes of FOLDER/*
    _add_program_options(count)
    _add_report_options(count)
    count.add_argument("--arguments", action="store_true", help="the arguments by module, with shapes and sizes")
    for name in LIMITS:
        count.add_argument(
            f"--max-{name.replace('_', '-')}", metavar="QUANTITY", help=f"fail above this, e.g. {_example(name)}"
        )
    count.set_defaults(run=commands.count, tells=True)

    demo = found.add_parser("demo", help="count a transformer training step that is built in")
    demo.add_argument("--target", help="what to compile for, or several with commas")
    _add_report_options(demo)
    demo.set_defaults(run=commands.demo, tells=True)

    diff = found.add_parser("diff", help="compare two programs, one before and after optimization, or two folders")
    diff.add_argument("program", help=_PROGRAM_HELP)
    diff.add_argument(
        "other", nargs="?", help="the program to compare with; without one, before and after optimization"
    )
    _add_program_options(diff, modules="append")
    shown = diff.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="one JSON document on standard output")
    shown.add_argument("--markdown", action="store_true", help="a table for a pull request comment")
    diff.add_argument("--by", help="rows by scope, source, opcode or class")
    diff.add_argument("--save", metavar="FILE.html", help="write a page with both programs, too")
    diff.add_argument("--device", help="with --save: show estimated times on a device, by name or profile file")
    diff.add_argument("--force", action="store_true", help="replace a file that is there")
    diff.add_argument(
        "--fail-above",
        action="append",
        metavar="5%",
        help="exit with 1 when a counter grew by more: 5%% for any of them, or peak_bytes=5%%; can be repeated",
    )
    diff.set_defaults(run=job_commands.diff, tells=True)

    roofline = found.add_parser("roofline", help="time bounds on a device")
    roofline.add_argument("program", help=_PROGRAM_HELP)
    roofline.add_argument(
        "--device", help="a profile's name or file, several with commas, 'all' for every one; the target's without"
    )
    roofline.add_argument("--plot", metavar="FILE", help="draw it: .png, .svg or .pdf")
    roofline.add_argument("--json", action="store_true", help="one JSON document on standard output")
    _add_program_options(roofline)
    roofline.set_defaults(run=commands.roofline, tells=True)

    report = found.add_parser("report", help="the report as an HTML file, or for flame graphs")
    report.add_argument("program", help=_PROGRAM_HELP)
    report.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        required=True,
        help=".html, .speedscope.json, .trace.json (Perfetto), .folded or .hlo.txt",
    )
    report.add_argument("--device", help="show times and the roofline of a device, by name or profile file")
    report.add_argument("--force", action="store_true", help="replace a file that is there")
    _add_program_options(report)
    report.set_defaults(run=commands.report, tells=True)

    explain = found.add_parser("explain", help="what one instruction is, does and costs, and why")
    explain.add_argument("program", help=_PROGRAM_HELP)
    explain.add_argument("name", help="the instruction: fusion.3, or body.1/fusion.3 where a name stands twice")
    explain.add_argument("--device", help="show its place in the roofline of a device, by name or profile file")
    shown = explain.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="one JSON document on standard output")
    shown.add_argument("--dot", action="store_true", help="what stands around it, as a graph for Graphviz's dot")
    shown.add_argument("--svg", action="store_true", help="the same drawn, by Graphviz; of a computation, too")
    explain.add_argument("--hops", type=int, default=2, help="how many operands or users away --dot and --svg go (2)")
    _add_program_options(explain)
    explain.set_defaults(run=commands.explain, tells=True)

    size = found.add_parser("size", help="compile for several targets: how long on each, does it fit, at what cost")
    size.add_argument("program", help="package.module:function or file.py:function, or a stored StableHLO or export")
    size.add_argument("--on", metavar="TARGETS", help="tpu:v5e,h100-sxm:8 ...: targets with commas")
    size.add_argument("--plot", metavar="FILE", help="draw it: .png, .svg or .pdf")
    size.add_argument("--json", action="store_true", help="one JSON document on standard output")
    size.add_argument(
        "--price-per-hour", action="append", metavar="[TARGET=]PRICE", help="what a device costs; can be repeated"
    )
    size.add_argument("--tokens", metavar="N", help="tokens that one execution works on, for the cost of a million")
    size.add_argument("--workers", metavar="N", help="processes that compile at once (as many as processors)")
    size.add_argument("--cache", metavar="FOLDER", help="where compiled programs are kept (the user's cache folder)")
    size.add_argument("--no-cache", action="store_true", help="compile all anew, and keep nothing")
    _add_sizes(size, "with --at: values that may be compiled; can be repeated. The program is then make(NAME=N, …)")
    _add_function_options(size)
    size.set_defaults(run=sizing_commands.size)

    growth = found.add_parser("growth", help="how counts grow with sizes, as polynomials over compiled programs")
    growth.add_argument("program", help="package.module:make or file.py:make, which gives a program for sizes")
    _add_sizes(growth, "values that may be compiled, two more than the degree; can be repeated")
    growth.add_argument("--counter", default="flops", help="flops, bytes, peak_bytes, network_bytes ... (flops)")
    growth.add_argument("--target", help="cpu, tpu:v5e:2x4, h100-sxm:8 ... (see hlo-count targets)")
    growth.add_argument("--json", action="store_true", help="one JSON document on standard output")
    _add_function_options(growth)
    growth.set_defaults(run=sizing_commands.growth)

    passes = found.add_parser("passes", help="what each compiler pass did to the counts")
    passes.add_argument("program", help="package.module:function, or a directory or a log of dumps")
    passes.add_argument(
        "--pass-filter", "--filter", dest="filter", default=".*", metavar="REGEX", help="only passes that match"
    )
    passes.add_argument("--plot", metavar="FILE", help="draw it: .png, .svg or .pdf")
    passes.add_argument("--json", action="store_true", help="one JSON document on standard output")
    _add_program_options(passes)
    passes.set_defaults(run=commands.passes)

    job_commands.add_commands(found)
    measured_commands.add_commands(found)

    devices = found.add_parser("devices", help="the device profiles")
    devices.add_argument("--json", action="store_true", help="one JSON document on standard output")
    devices.set_defaults(run=commands.devices)

    targets = found.add_parser("targets", help="what can be compiled for here, and what to install for the rest")
    targets.set_defaults(run=commands.targets)

    calibrate = found.add_parser("calibrate", help="measure this machine, and keep it as the device 'local'")
    calibrate.add_argument(
        "--output", metavar="FILE.toml", help="write the profile here instead of the user's configuration"
    )
    calibrate.add_argument("--from", dest="trace", metavar="TRACE", help="fit what is typical to a recorded profile")
    calibrate.add_argument("--device", help="with --from: the profile to fit, by name or file; that of the trace")
    calibrate.set_defaults(run=measured_commands.calibrate)
    return parser


def _add_sizes(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--sizes", action="append", metavar="NAME=N,N,N", help=what)
    parser.add_argument("--at", action="append", metavar="NAME=N", help="sizes that nobody compiles, one of each name")


def _add_program_options(parser: argparse.ArgumentParser, modules: str = "store") -> None:
    twice = "; once for both programs, or once for each" if modules == "append" else ""
    parser.add_argument(
        "--module",
        action=modules,
        metavar="NAME",
        help=f"which module of a text, a log or a folder that has several: its name, NAME#2, or its number{twice}",
    )
    group = _add_function_options(parser)
    group.add_argument(
        "--target",
        help="cpu, tpu:v5e:2x4, h100-sxm:8 ... (see hlo-count targets); count and roofline take several with commas; "
        "in count's table one that fails is a row below the others, and the exit code then 2",
    )
    group.add_argument("--strict", action="store_true", help="fail with 3 when anything is not known")


def _add_function_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("the function and how it is compiled")
    group.add_argument(
        "--arg",
        action="append",
        default=[],
        metavar="SHAPE",
        help="an argument: f32[128,784], s32, 3, [f32[2], f32[2]]",
    )
    group.add_argument(
        "--kwargs", "--kwarg", dest="kwarg", action="append", metavar="NAME=SHAPE", help="a keyword argument"
    )
    group.add_argument("--args-from", metavar="pkg:fn", help="a function that gives the tuple of arguments")
    group.add_argument("--mesh", metavar="data=4,model=2", help="axes of a device mesh to shard over")
    group.add_argument(
        *("--in-specs", "--spec"),
        dest="spec",
        action="append",
        metavar="data,None",
        help="PartitionSpec of each argument, in their order",
    )
    group.add_argument(
        *("--compiler-options", "--compiler-option"),
        dest="compiler_option",
        action="append",
        metavar="NAME=VALUE",
        help="an option of XLA's compiler; can be repeated",
    )
    group.add_argument(
        *("--trip-counts", "--trip-count"),
        dest="trip_count",
        action="append",
        metavar="LOOP=N",
        help="how often a loop runs, by name or op_name pattern",
    )
    group.add_argument(
        *("--branches", "--branch"),
        dest="branch",
        action="append",
        metavar="CONDITIONAL=I",
        help="the branch a conditional takes, or the probability of each: cond.1=0.9,0.1",
    )
    group.add_argument(
        *("--costs", "--cost"),
        dest="costs",
        action="append",
        metavar="KERNEL=FLOP|FILE",
        help="what one run of a custom call costs, by name or op_name pattern: 'splash_mha*=34.4 GFLOP'; or a TOML or "
        "JSON file of such, of FLOP or of a table of counters",
    )
    return group


def _add_report_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--by", help="rows by opcode, class, dtype, scope, source, function, stack, ..., or by two keys: scope,class"
    )
    parser.add_argument("--depth", type=int, default=3, help="levels of scopes and stacks (3)")
    parser.add_argument("--rows", type=int, default=12, help="rows of the table (12)")
    parser.add_argument("--convention", default="default", choices=("default", "xla"), help="whose rules to count by")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")


def _example(counter: str) -> str:
    return "80MB" if "bytes" in counter else "2GFLOP" if counter == "flops" else "1M"
