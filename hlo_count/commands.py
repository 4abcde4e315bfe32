"""What each command of the command line does: options in, an Outcome out. Nothing is printed here but progress."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hlo_count
from hlo_count.command_programs import call_given, counted_program, names_in, prints_aside, target_list, with_options
from hlo_count.console import is_terminal, say
from hlo_count.errors import BudgetExceeded, HloCountError, TargetError
from hlo_count.harmless import json_text
from hlo_count.layout import tabular, wrapped

if TYPE_CHECKING:
    from hlo_count.compare.diff import Diff
    from hlo_count.report.report import Report
    from hlo_count.roofline.roofline import Roofline
    from hlo_count.roofline.what_if import WhatIf

DONE, FAILED, WRONG, UNKNOWN = 0, 1, 2, 3
"""Exit codes, as `hlo-count --help` explains them."""
LIMITS = ("flops", "transcendentals", "int_ops", "bytes", "network_bytes", "peak_bytes")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a command: a text for standard output, what to say beside it, and the exit code."""

    text: str = ""
    code: int = DONE
    said: tuple[str, ...] = ()


def count(options: argparse.Namespace) -> Outcome:
    if options.more:
        raise HloCountError(
            f"count takes one program, and {1 + len(options.more)} are named: hlo-count job FOLDER counts all modules "
            f"that are in one"
        )
    flags = {name: getattr(options, f"max_{name}") for name in LIMITS if getattr(options, f"max_{name}") is not None}
    limits = {**options.budgets, **flags}
    if limits:
        from hlo_count.report.limits import limits_of

        limits_of(**limits)  # a limit that is none is told before anything is compiled
    return _for_targets(options, lambda target: counted_program(options, options.program, target), limits)


def demo(options: argparse.Namespace) -> Outcome:
    from hlo_count.demo import training_step

    if not options.json:
        say("Compiling one training step of a small transformer (6 layers in a scan) ...")
    hlo_count.targets()  # lets lowering import jax, so that its plugins start quietly
    step, arguments = training_step()
    return _for_targets(
        options, lambda target: hlo_count.count(step, *arguments, target=target, convention=options.convention)
    )


def diff(options: argparse.Namespace) -> Outcome:
    from hlo_count.compare.comparison import check_key, check_limits
    from hlo_count.hlo.garbage import no_garbage_collection

    limits = thresholds(options.fail_above or [])
    check_limits(limits, optimization=options.other is None)
    if options.by:
        check_key(options.by)
    with no_garbage_collection():
        result = _compared(options)
        failures = result.exceeds(limits)
        if options.json:
            text = json_text(result.to_dict())
        else:
            text = result.markdown() if options.markdown else result.table(by=options.by)
        saved = (
            [f"wrote {result.save(options.save, device=options.device, force=options.force)}"] if options.save else []
        )
    said = (*(f"hlo-count: {failure}" for failure in failures), *saved)
    return Outcome(text, FAILED if failures else DONE, said)


def _compared(options: argparse.Namespace) -> Diff:
    from hlo_count.command_arguments import looks_like_function

    programs = [program for program in (options.program, options.other) if program is not None]
    modules = options.module or []
    if len(modules) > len(programs):
        raise HloCountError("--module: name one for both programs, or one for each")
    modules = (modules or [None]) * (1 if len(modules) == len(programs) else len(programs))
    if options.other is None:
        fn, args, kwargs, keywords = call_given(
            with_options(options, module=modules[0]), options.program, options.target
        )
        with prints_aside():
            return hlo_count.diff(fn, *args, kwargs=kwargs, **keywords)
    functions = [looks_like_function(program) for program in programs]
    # Arguments and target are those of a function; where neither is one, a text says that it takes none.
    bare: dict[str, Any] = dict.fromkeys(("kwarg", "args_from", "mesh", "compiler_option", "target"))
    reports = []
    for program, module, is_function in zip(programs, modules, functions, strict=True):
        changes = (
            {"module": None} if is_function else {"module": module, **({**bare, "arg": []} if any(functions) else {})}
        )
        own = with_options(options, **changes)
        reports.append(counted_program(own, program, own.target))
    return hlo_count.diff(*reports)


def thresholds(given: list[str]) -> dict[str, float]:
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


def roofline(options: argparse.Namespace) -> Outcome:
    devices = names_in(options.device, "--device", "device") if options.device else []
    targets = target_list(options)
    if options.plot and (len(devices) > 1 or len(targets) > 1 or devices == ["all"]):
        raise HloCountError("--plot draws one device: name one with --device, not all or several")
    results: list[Roofline | WhatIf] = []
    for target in targets:
        report = counted_program(options, options.program, target)
        if devices == ["all"] or len(devices) > 1:
            results.append(hlo_count.what_if(report, None if devices == ["all"] else devices))
        else:
            results.append(report.roofline(devices[0] if devices else None))
    if len(results) == 1:
        return with_plot(results[0], options)
    if options.json:
        every = zip(targets, results, strict=True)
        return Outcome(json_text({str(target): result.to_dict() for target, result in every}))
    return Outcome("\n\n".join(f"{target}\n{result}" for target, result in zip(targets, results, strict=True)))


def report(options: argparse.Namespace) -> Outcome:
    found = counted_program(options, options.program, options.target)
    path = found.save(options.output, device=options.device, force=options.force)
    return Outcome(said=(f"wrote {path}",))


def explain(options: argparse.Namespace) -> Outcome:
    report = counted_program(options, options.program, options.target)
    if options.dot:
        return Outcome(report.dot(options.name, options.hops).rstrip("\n"))
    if options.svg:
        return Outcome(report.svg(options.name, options.hops).rstrip("\n"))
    found = report.explain(options.name, options.device)
    return Outcome(json_text(found.to_dict()) if options.json else str(found))


def passes(options: argparse.Namespace) -> Outcome:
    progress = is_terminal(sys.stderr)
    from hlo_count.compare.logged_dumps import holds_dumps

    program = Path(options.program)
    if program.is_dir() or holds_dumps(program):
        result = hlo_count.read_dumps(
            Path(options.program), module=options.module, pattern=options.filter, progress=progress
        )
    else:
        fn, args, kwargs, keywords = call_given(options, options.program, options.target)
        with prints_aside():
            result = hlo_count.passes(
                fn, *args, pass_filter=options.filter, progress=progress, kwargs=kwargs, **keywords
            )
    return with_plot(result, options)


def devices(options: argparse.Namespace) -> Outcome:
    found = hlo_count.devices()
    return Outcome(json_text([device.to_row() for device in found]) if options.json else str(found))


def targets(options: argparse.Namespace) -> Outcome:
    rows = []
    for each in hlo_count.targets():
        first, *others = wrapped(each.note, 60, others="") or [""]
        rows.append((each.name, each.backend, "yes" if each.available else "no", first))
        rows += [("", "", "", line) for line in others]
    return Outcome(tabular(rows, ("target", "backend", "here", "note")))


def calibrate(options: argparse.Namespace) -> Outcome:
    from hlo_count.roofline.device_table import device_table

    device = hlo_count.calibrate(path=Path(options.output) if options.output else None)
    name = "local" if options.output is None else str(device.path)
    said = f"\nwrote {device.path}: use it as --device {name}, or hc.device({name!r})"
    return Outcome(device_table([device.to_row()]), said=(said,))


# Outcomes


def _for_targets(
    options: argparse.Namespace, count: Callable[[str | None], Report], limits: Mapping[str, Any] | None = None
) -> Outcome:
    """The report for each target: of one alone in full, else as a table, where one that fails is a row.

    What fails is said in one line in place of its report. The first that is over a limit is said as well. Raises
    TargetError when no target can be counted for.
    """
    from hlo_count.report.across_targets import targets_dict, targets_table

    targets = target_list(options)
    done: dict[str | None, Report | str] = {}
    for target in targets:
        try:
            done[target] = count(target)
        except TargetError as problem:
            if len(targets) == 1:
                raise
            done[target] = str(problem)
    reports = [each for each in done.values() if not isinstance(each, str)]
    if not reports:
        raise TargetError("; ".join(dict.fromkeys(str(problem) for problem in done.values())))
    code, said = _held(reports, limits) if limits else (DONE, ())
    keys = tuple(key.strip() for key in options.by.split(",")) if options.by else None
    if len(targets) > 1:
        text = json_text(targets_dict(done)) if options.json else targets_table(done)
    elif getattr(options, "arguments", False):
        text = reports[0].arguments_table(options.depth)
    elif options.json:
        text = reports[0].to_json(by=keys, depth=options.depth)
    else:
        text = reports[0].table(by=keys, depth=options.depth, rows=options.rows)
    return Outcome(text, code or (WRONG if len(reports) < len(done) else DONE), said)


def _held(reports: Sequence[Report], limits: Mapping[str, Any]) -> tuple[int, tuple[str, ...]]:
    """The exit code of reports that are held to limits, and what the first says that is over one."""
    for report in reports:
        try:
            report.check(**limits)
        except BudgetExceeded as exceeded:
            return FAILED, (str(exceeded),)
    return DONE, ()


def with_plot(result: Any, options: argparse.Namespace) -> Outcome:
    """A result as text or JSON, and where a plot was asked for, as a file."""
    text = json_text(result.to_dict()) if options.json else str(result)
    if not options.plot:
        return Outcome(text)
    result.plot(options.plot)
    return Outcome(text, said=(f"wrote {options.plot}",))
