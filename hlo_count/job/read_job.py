"""`read_job`: from a folder that XLA dumped into to a Job."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from hlo_count.errors import HloCountError
from hlo_count.hlo.garbage import no_garbage_collection
from hlo_count.job.job import Job
from hlo_count.job.job_rows import JobRow
from hlo_count.job.module_counts import ModuleInFile, counts_of, module_in, modules_in
from hlo_count.job.signature import signature_of
from hlo_count.lowering.dump_folder import Compile, read_folder
from hlo_count.lowering.files import read_file
from hlo_count.progress import one_by_one
from hlo_count.report.xla_memory import xla_peak
from hlo_count.visitors.memory_spaces import backend_of


def read_job(
    directory: str | Path,
    *,
    name: str | None = None,
    since: str | datetime | None = None,
    progress: bool = False,
) -> Job:
    """Every module of a run that was dumped with `--xla_dump_to`: counted, retraces explained, summed up.

    Text and protos (`--xla_dump_hlo_as_proto`), gzip, bzip2, xz and zstd; other files are passed over and counted in
    `passed_over`. A module that cannot be read is a row that says why. `name` is a pattern on the modules' names
    (`jit_train*`) or a part of one; `since` leaves out what was written before: a datetime, a date or time as ISO 8601
    has it, or a time ago (`30m`, `2h`, `3d`). `progress` shows a bar, where tqdm is installed.

    Raises HloCountError for what is no folder, or holds no module, and where nothing is left of `name` and `since`.
    """
    path = Path(directory)
    if path.is_file():
        raise HloCountError(f"{path}: this is a file: hlo-count count {path}, or name the folder that it is in")
    after = _timestamp(since) if since is not None else 0.0
    folder = read_folder(path)
    if not folder.compiles and not folder.others:
        raise HloCountError(f"{path}: {folder.empty()}")
    compiles = [each for each in folder.compiles if _modified(each.best) >= after and _is_called(each.name, name)]
    files = [file for file in folder.others if _modified(file) >= after]
    passed_over = folder.passed_over
    rows: list[JobRow] = []
    everything: list[Compile | Path] = [*compiles, *files]
    for each in one_by_one(everything, progress, "job", "module"):
        if isinstance(each, Compile):
            rows.append(_of_compile(each))
        else:
            found = list(_of_file(each))
            passed_over += not found
            rows += [row for row in found if _is_called(row.name, name)]
    if not rows:
        if name is None and since is None:
            raise HloCountError(f"{path}: {folder.empty()}")
        wanted = [f"called {name}" if name else "", f"written since {since}" if since else ""]
        raise HloCountError(f"{path}: holds no module {' and '.join(filter(None, wanted))}")
    return Job(path, rows, passed_over)


def _of_compile(files: Compile) -> JobRow:
    path, before = files.best, None
    try:
        with no_garbage_collection():
            first = module = module_in(path, read_file(path))
            module.backend = files.backend
            if files.start is not None and files.start != path:
                first = module_in(files.start, read_file(files.start))
                first.backend = backend_of(module)
                before = counts_of(first).total
            theirs = xla_peak(files.beside, backend_of(module))
            counts = counts_of(module, xla_peak=theirs)
    except HloCountError as problem:
        return JobRow(label=files.module, name=files.name, path=path, modified=_modified(path), problem=str(problem))
    return JobRow(
        label=files.module,
        name=module.name,
        path=path,
        modified=_modified(path),
        counts=counts,
        before=before,
        signature=signature_of(first),
        xla_peak_bytes=theirs,
    )


def _of_file(path: Path) -> Iterator[JobRow]:
    """The modules in a file that XLA did not name; none where it holds no HLO."""
    try:
        found = list(modules_in(read_file(path), str(path)))
    except HloCountError as problem:
        yield JobRow(label=path.name, name=path.name, path=path, modified=_modified(path), problem=str(problem))
        return
    for number, held in enumerate(found, start=1):
        wanted = str(number) if len(found) > 1 else None
        label = path.name if wanted is None else f"{path.name}#{number}"
        yield _of_module(held, label, path, wanted)


def _of_module(held: ModuleInFile, label: str, path: Path, wanted: str | None) -> JobRow:
    module = held.module
    try:
        if isinstance(module, HloCountError):
            raise module
        counts = counts_of(module, held.jax_version)
    except HloCountError as problem:
        return JobRow(label=label, name=label, path=path, modified=_modified(path), problem=str(problem), wanted=wanted)
    return JobRow(
        label=label,
        name=module.name,
        path=path,
        modified=_modified(path),
        counts=counts,
        signature=signature_of(module),
        wanted=wanted,
    )


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError as problem:
        raise HloCountError(f"{path}: {problem.strerror or problem}") from None


def _is_called(name: str, wanted: str | None) -> bool:
    return wanted is None or wanted in name or fnmatchcase(name, wanted)


_AGO = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _timestamp(since: str | datetime) -> float:
    """Seconds since 1970 of what `since` names; a time without a zone is the machine's own."""
    if isinstance(since, datetime):
        return since.timestamp()
    try:
        if (ago := _AGO.fullmatch(since.strip())) is not None:
            return (datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: float(ago[1])})).timestamp()
        return datetime.fromisoformat(since.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise HloCountError(
            f"since {since!r}: write a time such as 2026-07-31T09:30, or a time ago, 30m, 2h, 3d"
        ) from None
