"""The commands that read many modules at once: options in, an Outcome out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import hlo_count
from hlo_count import commands
from hlo_count.commands import DONE, FAILED, Outcome
from hlo_count.compare.comparison import check_limits
from hlo_count.console import is_terminal
from hlo_count.errors import HloCountError
from hlo_count.harmless import json_text


def add_commands(found: argparse._SubParsersAction[Any]) -> None:
    """Their options."""
    job = found.add_parser("job", help="every module of a run: a folder of --xla_dump_to, retraces explained")
    job.add_argument("folder", help="a folder that XLA dumped into")
    job.add_argument("--name", metavar="PATTERN", help="only modules that are called so: jit_train*, or a part of it")
    job.add_argument(
        "--since", metavar="TIME", help="only what was written since: 2026-07-31T09:30, or a time ago, 30m, 2h, 3d"
    )
    job.add_argument("--by", help="contributors by source, scope or class")
    job.add_argument("--rows", type=int, default=12, help="rows of each table (12)")
    job.add_argument("--json", action="store_true", help="one JSON document on standard output")
    job.set_defaults(run=read_job)


def read_job(options: argparse.Namespace) -> Outcome:
    job = hlo_count.read_job(
        Path(options.folder), name=options.name, since=options.since, progress=is_terminal(sys.stderr)
    )
    return Outcome(json_text(job.to_dict()) if options.json else job.table(options.by, rows=options.rows))


def diff(options: argparse.Namespace) -> Outcome:
    """Two folders module by module; of anything else, and of one module of each, the two programs."""
    folders = [Path(name) for name in (options.program, options.other) if name is not None and Path(name).is_dir()]
    if len(folders) < 2 or options.module:
        return commands.diff(options)
    if options.by:
        raise HloCountError("--by compares two programs: name one module of the folders by --module")
    limits = commands.thresholds(options.fail_above or [])
    check_limits(limits, optimization=False)
    before, after = (hlo_count.read_job(folder, progress=is_terminal(sys.stderr)) for folder in folders)
    found = before.diff(after)
    failures = found.exceeds(limits)
    if options.json:
        text = json_text(found.to_dict())
    else:
        text = found.markdown() if options.markdown else found.table()
    return Outcome(text, FAILED if failures else DONE, tuple(f"hlo-count: {failure}" for failure in failures))
