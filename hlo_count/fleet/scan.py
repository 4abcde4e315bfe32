"""`scan`: from files without number to a database of their counts."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from pathlib import Path

from hlo_count.errors import HloCountError
from hlo_count.fleet.counting_one import Counted
from hlo_count.fleet.exports import export, is_database
from hlo_count.fleet.scanned import Scan
from hlo_count.fleet.sources import Source, find
from hlo_count.fleet.store import Store
from hlo_count.fleet.time_limit import SECONDS
from hlo_count.fleet.workers import counted_by_processes, counted_elsewhere
from hlo_count.layout import number_of
from hlo_count.progress import Progress

_COMMIT = 1.0
"""Seconds of work that an end without warning may cost."""


def scan(
    paths: str | Path | Iterable[str | Path],
    out: str | Path,
    executor: Executor | None = None,
    *,
    workers: int | None = None,
    seconds: float | None = SECONDS,
    progress: bool = False,
) -> Scan:
    """Count every module that `paths` lead to, and write a row for each, with its contributors and unknowns.

    `paths`: files, folders with all below them, patterns (`dumps/**/*.txt.gz`), URLs of fsspec (`gs://bucket/dumps`).
    `out`: SQLite (`.sqlite`), or `.csv`, `.jsonl`, `.parquet`. `executor`: any `concurrent.futures.Executor`, such as
    dask.distributed's `client.get_executor()`; processes of its own without one, `workers` of them, else as many as
    there are cores. `seconds`: what one file may take, None without end; one that takes longer is a row that says so,
    and is tried again by the next scan. `progress` shows a bar with rate and time left, where tqdm is installed.

    A file that cannot be counted is a row with its error. What was interrupted goes on when it is started again with
    the same `out`: files that have not changed since are not read. The bytes of `out` do not depend on the number of
    workers or on who was done first.

    Raises HloCountError for paths that lead nowhere, an `out` that cannot be written or is something else, and an
    executor that takes no work; what was counted before is kept.
    """
    target = Path(out)
    database = target if is_database(target) else target.with_name(f"{target.name}.scan")
    if workers is not None and workers < 1:
        raise HloCountError(f"workers={workers}: at least one counts")
    if seconds is not None and not 0 < seconds < threading.TIMEOUT_MAX:
        raise HloCountError(f"seconds={seconds}: more than 0, or None for no limit")
    found = find(paths)
    began = time.monotonic()
    store = Store(database, _version())
    try:
        todo = [source for source in found.sources if not store.unchanged(source)]
        if executor is not None:
            results = counted_elsewhere(executor, todo, seconds)
        else:
            results = counted_by_processes(todo, workers, seconds)
        _keep(store, _shown(results, todo, progress))
        store.finish()
    finally:
        store.close()
    if database != target:
        export(database, target)
    return Scan(
        target,
        database,
        counted=len(todo),
        unchanged=len(found.sources) - len(todo),
        passed_over=found.passed_over,
        seconds=time.monotonic() - began,
    )


def _version() -> str:
    from hlo_count import __version__

    return f"hlo_count {__version__}"


def _keep(store: Store, results: Iterable[list[Counted]]) -> None:
    """Write what comes, some of it at a time; what has come is written when there is an end before the end."""
    come: list[Counted] = []
    since = time.monotonic()
    try:
        for some in results:
            come += some
            if time.monotonic() - since > _COMMIT:
                store.add(come)
                come, since = [], time.monotonic()
    finally:
        store.add(come)


def _shown(results: Iterable[list[Counted]], todo: list[Source], progress: bool) -> Iterator[list[Counted]]:
    """The results, with a bar that says how much is read, how fast, how long it will take, and what came of it."""
    modules = failures = 0
    with Progress(progress, "scan", "B", sum(s.size for s in todo), in_bytes=True) as bar:
        for some in results:
            for counted in some:
                modules += len(counted.modules)
                failures += any("error" in module for module, _, _ in counted.modules)
                told = number_of(modules, "module") + (f", {failures:,} failed" if failures else "")
                bar.advance(told, counted.source.size)
            yield some
