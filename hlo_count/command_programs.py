"""The program that a command names: a function with its arguments, or a text, and what to count it with."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hlo_count
from hlo_count.errors import HloCountError

if TYPE_CHECKING:
    from hlo_count.report.report import Report


def with_options(options: argparse.Namespace, **changes: Any) -> argparse.Namespace:
    return argparse.Namespace(**{**vars(options), **changes})


@contextmanager
def prints_aside() -> Iterator[None]:
    """What a user's module or function prints goes to standard error: standard output is for the result."""
    with redirect_stdout(sys.stderr):
        yield


@prints_aside()
def counted_program(options: argparse.Namespace, program: str, target: str | None) -> Report:
    """The report of what a command was given: a text, or a function with its arguments."""
    fn, args, kwargs, keywords = call_given(options, program, target)
    convention = getattr(options, "convention", "default")
    return hlo_count.count(fn, *args, convention=convention, strict=options.strict, kwargs=kwargs, **keywords)


@prints_aside()
def call_given(
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
    if options.costs:
        from hlo_count.report.settling import costs_of

        files = [text for text in options.costs if "=" not in text or Path(text).is_file()]
        stored = {name: cost for file in files for name, cost in costs_of(Path(file)).items()}
        keywords["costs"] = {**stored, **given.assignments([t for t in options.costs if t not in files], "--costs")}
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
    return *function_call(options, program), keywords


def function_call(options: argparse.Namespace, program: str) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """The function that a command names, its arguments and its keyword arguments."""
    from hlo_count import command_arguments as given

    fn = given.resolve(program)
    args = tuple(given.argument(text) for text in options.arg)
    if options.args_from:
        made = given.resolve(options.args_from)()
        args = (*(made if isinstance(made, tuple) else (made,)), *args)
    kwargs = {name: given.argument(text) for name, text in given.assignments(options.kwarg, "--kwarg").items()}
    return fn, args, kwargs


def _opened(program: str, module: str | None) -> Any:
    from hlo_count.report.opening import opened, opened_bytes

    if program == "-":
        return opened_bytes(_standard_input(), "<stdin>", module)
    path = Path(program)
    if not path.exists():
        raise HloCountError(f"{program}: there is no such file; a function is written package.module:function")
    if path.suffix == ".py":
        raise HloCountError(f"{program}: name the function in it, {program}:function")
    return opened(path, module)


def target_list(options: argparse.Namespace) -> list[str | None]:
    if options.target is None:
        return [None]
    return list(names_in(options.target, "--target", "target"))


def names_in(given: str, option: str, what: str) -> list[str]:
    """Names with commas between."""
    names = [name.strip() for name in given.split(",") if name.strip()]
    if not names:
        raise HloCountError(f"{option} {given!r} names no {what}; `hlo-count {what}s` lists them")
    return names


def _standard_input() -> bytes:
    from hlo_count.lowering.files import read_stream

    if sys.stdin is None or sys.stdin.closed:
        raise HloCountError("-: standard input is closed; name a file")
    try:
        return read_stream(sys.stdin.buffer, "<stdin>")
    except OSError as problem:
        raise HloCountError(f"-: standard input cannot be read ({problem.strerror or problem})") from None
