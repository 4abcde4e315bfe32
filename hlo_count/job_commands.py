"""The commands that read many modules at once: options in, an Outcome out."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

import hlo_count
from hlo_count import commands
from hlo_count.commands import DONE, FAILED, Outcome
from hlo_count.compare.comparison import check_limits
from hlo_count.console import is_terminal
from hlo_count.errors import HloCountError
from hlo_count.fleet.time_limit import SECONDS
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
    job.add_argument("--save", metavar="FILE.html", help="write a page, too")
    job.add_argument("--force", action="store_true", help="replace a file that is there")
    job.add_argument("--rows", type=int, default=12, help="rows of each table (12)")
    job.add_argument("--json", action="store_true", help="one JSON document on standard output")
    job.set_defaults(run=read_job)

    scan = found.add_parser("scan", help="a row a module of files without number, into a database")
    scan.add_argument("paths", nargs="+", metavar="PATH", help="files, folders, patterns such as '**/*.txt.gz', URLs")
    scan.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="counts.sqlite, or .csv, .jsonl, .parquet; a scan goes on"
    )
    scan.add_argument("--workers", type=int, metavar="N", help="processes that count; as many as there are cores")
    scan.add_argument(
        "--seconds", type=float, default=SECONDS, metavar="S", help=f"what one file may take ({SECONDS:g})"
    )
    scan.set_defaults(run=run_scan)

    query = found.add_parser("query", help="ask a database of a scan")
    query.add_argument("database", help="what hlo-count scan wrote: counts.sqlite, or counts.csv.scan")
    query.add_argument("question", nargs="?", help="its name, or SQL; without one they are listed")
    query.add_argument("--save", metavar="FILE.html", help="write a page with the answers to all ready questions")
    query.add_argument("--force", action="store_true", help="replace a file that is there")
    query.add_argument("--rows", type=int, default=20, help="rows (20)")
    query.add_argument("--json", action="store_true", help="one JSON document on standard output")
    query.set_defaults(run=query_scan)


def read_job(options: argparse.Namespace) -> Outcome:
    job = hlo_count.read_job(
        Path(options.folder), name=options.name, since=options.since, progress=is_terminal(sys.stderr)
    )
    text = json_text(job.to_dict()) if options.json else job.table(options.by, rows=options.rows)
    said = (f"wrote {job.save(options.save, force=options.force)}",) if options.save else ()
    return Outcome(text, said=said)


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


def run_scan(options: argparse.Namespace) -> Outcome:
    """Exit code 0 whatever the files hold: those that cannot be counted are rows, and their number is said."""
    found = hlo_count.scan(
        options.paths,
        Path(options.output),
        workers=options.workers,
        seconds=options.seconds,
        progress=is_terminal(sys.stderr),
    )
    database = shlex.quote(str(found.database))
    said = (f"hlo-count: {found.failed:,} failed: hlo-count query {database} errors",) if found.failed else ()
    return Outcome(str(found), said=said)


def query_scan(options: argparse.Namespace) -> Outcome:
    from hlo_count.fleet.fleet_page import save_fleet
    from hlo_count.fleet.questions import ask, questions_table

    if options.save:
        path = save_fleet(Path(options.database), options.save, force=options.force)
        if options.question is None:
            return Outcome(said=(f"wrote {path}",))
    if options.question is None:
        return Outcome(questions_table(Path(options.database)))
    answer = ask(Path(options.database), options.question, options.rows)
    return Outcome(json_text(answer.to_dict()) if options.json else str(answer))
