"""The commands that compile one function for several targets or sizes: options in, an Outcome out."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import hlo_count
from hlo_count.command_programs import call_given, names_in, prints_aside, with_options
from hlo_count.commands import DONE, WRONG, Outcome, with_plot
from hlo_count.console import is_terminal
from hlo_count.errors import HloCountError
from hlo_count.harmless import json_text
from hlo_count.progress import Progress


def size(options: argparse.Namespace) -> Outcome:
    from hlo_count.command_arguments import number, whole_number

    prices: Any = None
    for text in options.price_per_hour or []:
        target, _, price = text.rpartition("=")
        value = number(price, "--price-per-hour")
        prices = {**(prices or {}), target: value} if target else value
    if options.on is None:
        raise HloCountError("size compiles for targets: --on tpu:v5e,h100-sxm:8; `hlo-count targets` lists them")
    on = names_in(options.on, "--on", "target")
    sizes, at = _axes(options.sizes), _point(options.at)
    fn, args, kwargs, keywords = call_given(with_options(options, module=None), options.program, None)
    with prints_aside():
        result = hlo_count.size(
            fn,
            *args,
            on=on,
            kwargs=kwargs,
            price_per_hour=prices,
            tokens=whole_number(options.tokens, "--tokens") if options.tokens is not None else None,
            workers=whole_number(options.workers, "--workers") if options.workers is not None else None,
            cache=False if options.no_cache else options.cache or True,
            progress=is_terminal(sys.stderr),
            sizes=sizes,
            at=at,
            **keywords,
        )
    outcome = with_plot(result, options)
    failed = any(row.report is None for row in result.rows)
    return Outcome(outcome.text, WRONG if failed else DONE, outcome.said)


def growth(options: argparse.Namespace) -> Outcome:
    axes = _axes(options.sizes)
    if axes is None:
        raise HloCountError("growth compiles for several sizes: --sizes b=2,3,4 --sizes s=64,128,192,256")
    at = _point(options.at)
    make, args, kwargs, keywords = call_given(with_options(options, module=None), options.program, options.target)
    if args or kwargs:
        raise HloCountError("growth takes a function that makes the program for given sizes, and no arguments")
    with prints_aside(), Progress(is_terminal(sys.stderr), "compiling", "program") as bar:
        found = hlo_count.growth(make, axes, counter=options.counter, on_done=lambda done: bar.advance(), **keywords)
    text = str(found)
    if at is None:
        return Outcome(json_text(found.to_dict()) if options.json else text)
    try:
        value = found(**at)
    except HloCountError as problem:  # the formula, or the table of what was tried, is what there is
        return Outcome(json_text(found.to_dict()) if options.json else text, WRONG, (f"hlo-count: --at: {problem}",))
    there = ", ".join(f"{name}={n}" for name, n in at.items())
    data = {**found.to_dict(), "at": at, "value": value}
    return Outcome(json_text(data) if options.json else f"{text}\n{there}: {value:,} {found.counter}")


def _axes(given: list[str] | None) -> dict[str, list[int]] | None:
    """`L=2,3,4` as often as it was given, as the values of each size."""
    from hlo_count.command_arguments import assignments, whole_number

    if given is None:
        return None
    found = assignments(given, "--sizes").items()
    return {name: [whole_number(value, f"--sizes {name}") for value in values.split(",")] for name, values in found}


def _point(given: list[str] | None) -> dict[str, int] | None:
    """`L=96,d=12288`, or as often as it was given, as a value of each size."""
    from hlo_count.command_arguments import assignments, whole_number

    if given is None:
        return None
    found = assignments([each for text in given for each in text.split(",")], "--at").items()
    return {name: whole_number(value, f"--at {name}") for name, value in found}
