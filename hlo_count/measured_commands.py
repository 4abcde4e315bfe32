"""The commands about measured times: options in, an Outcome out."""

from __future__ import annotations

import argparse
from typing import Any

import hlo_count
from hlo_count.commands import Outcome
from hlo_count.hlo.garbage import no_garbage_collection


def add_commands(found: argparse._SubParsersAction[Any]) -> None:
    """Their options."""
    trace = found.add_parser("trace", help="where the time of a recorded profile went")
    trace.add_argument("path", help="what jax.profiler wrote: an .xplane.pb file or a folder of profiles")
    _add_shown(trace)
    trace.set_defaults(run=read_trace)


def _add_shown(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", help="whose bounds: a profile's name or file; that of the trace without one")
    parser.add_argument("--by", default="kernel", help="rows by kernel, scope, source or class")
    parser.add_argument("--rows", type=int, default=12, help="rows of the table (12)")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")


def read_trace(options: argparse.Namespace) -> Outcome:
    with no_garbage_collection():
        found = hlo_count.read_trace(options.path, device=options.device)
        return Outcome(found.to_json() if options.json else found.table(options.by, rows=options.rows))
