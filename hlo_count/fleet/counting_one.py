"""What a worker does with one file: read it, count every module in it, send back rows that are small."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.fleet import elsewhere
from hlo_count.fleet.sources import Source, local_fingerprint
from hlo_count.fleet.time_limit import TooLong, time_limit
from hlo_count.hlo.garbage import no_garbage_collection
from hlo_count.job.module_counts import OF_DATA, OF_PROGRAM, ModuleCounts, ModuleInFile, counts_of, modules_in
from hlo_count.lowering.dump_names import Dump, dump_of
from hlo_count.lowering.files import read_packed, unpacked
from hlo_count.report.export import EXPORTED_COUNTERS
from hlo_count.visitors.cost import Cost

Row = dict[str, Any]
"""Column: value, as they go into a table."""
MOST_OF_A_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class Counted:
    """What came of one file: its modules, each with the rows that belong to it."""

    source: Source
    sha256: str | None
    modules: tuple[tuple[Row, tuple[Row, ...], tuple[Row, ...]], ...] = ()
    """(module, contributors, unknowns)."""
    again: bool = False
    """Whether another scan should try it again: what went wrong is not in the file."""


def count_all(sources: Sequence[Source], seconds: float | None = None) -> list[Counted]:
    """What a worker is handed: several small files, or a large one; `seconds` are the most that one may take."""
    return [count_one(source, seconds) for source in sources]


def count_one(source: Source, seconds: float | None = None) -> Counted:
    """Count every module of a file. Whatever goes wrong is a row that says so."""
    try:
        with time_limit(seconds):
            return _count(source)
    except TooLong:
        return failed(source, f"{source.name}: not counted in {seconds:g} s: give it more (seconds=)", again=True)


def _count(source: Source) -> Counted:
    try:
        data = _read(source)
    except HloCountError as problem:
        return failed(source, str(problem), again=True)
    except MemoryError:
        return failed(source, _MEMORY, again=True)
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        with no_garbage_collection():
            found = list(modules_in(unpacked(data, source.name), source.name))
    except HloCountError as problem:
        return failed(source, str(problem), sha256)
    except MemoryError:
        return failed(source, _MEMORY, sha256, again=True)
    except Exception as bug:  # of ours: it must not end a scan of thousands
        return failed(source, f"{type(bug).__name__}: {bug}", sha256)
    if not found and source.named:
        return failed(source, f"{source.name}: holds no HLO", sha256)
    modules = [_module(source, sha256, at, held) for at, held in enumerate(found, start=1)]
    return Counted(source, sha256, tuple(each for each, _ in modules), any(again for _, again in modules))


_MEMORY = "out of memory: it takes more than a worker may have"


def failed(source: Source, message: str, sha256: str | None = None, *, again: bool = False) -> Counted:
    """A file that cannot be counted, as a row."""
    row = {**_about(source, sha256, 1), "error": _one_line(message)}
    return Counted(source, sha256, ((row, (), ()),), again)


def _module(
    source: Source, sha256: str, position: int, held: ModuleInFile
) -> tuple[tuple[Row, tuple[Row, ...], tuple[Row, ...]], bool]:
    """The rows of one module, and whether it should be tried again."""
    about, module = _about(source, sha256, position), held.module
    try:
        if isinstance(module, HloCountError):
            raise module
        dump = dump_of_name(source.name)
        module.backend = dump.backend if dump is not None else None
        with no_garbage_collection():
            counts = counts_of(module, held.jax_version)
    except HloCountError as problem:
        return ({**about, "error": _one_line(str(problem))}, (), ()), False
    except MemoryError:
        return ({**about, "error": _MEMORY}, (), ()), True
    except Exception as bug:  # of ours: it must not end a scan of thousands
        return ({**about, "error": _one_line(f"{type(bug).__name__}: {bug}")}, (), ()), False
    return rows_of(counts, about), False


def rows_of(counts: ModuleCounts, about: Row) -> tuple[Row, tuple[Row, ...], tuple[Row, ...]]:
    """A module, its contributors and its unknowns as rows of three tables."""
    data = {name: getattr(counts, name) for name in OF_DATA}
    module = {
        **about,
        "name": counts.name,
        "status": counts.total.status,
        **{name: getattr(counts, name) for name in OF_PROGRAM},
        **_amounts(counts.total),
        **{name: number(value) if isinstance(value, int) else value for name, value in data.items()},
        "unknowns": counts.unknown_instructions,
    }
    contributors = [
        {"key": key, "contributor": name, **_amounts(cost), "status": cost.status}
        for key, costs in counts.contributors.items()
        for name, cost in sorted(costs.items())
    ]
    unknowns = [
        {
            "what": kind.what,
            "reason": kind.reason,
            "status": kind.status,
            "source": kind.source,
            "settle": kind.settle,
            "instructions": kind.instructions,
        }
        for kind in counts.unknowns
    ]
    return module, tuple(contributors), tuple(unknowns)


def _amounts(cost: Cost) -> Row:
    return {name: number(getattr(cost, name)) for name in EXPORTED_COUNTERS}


def number(value: int) -> int | float:
    """An amount as tables hold it: whole up to 2^63, a double beyond."""
    if -(2**63) <= value < 2**63:
        return value
    try:
        return float(value)
    except OverflowError:
        return inf


_BUILD = re.compile(r"\.cl_(\d+)\.")


def _about(source: Source, sha256: str | None, position: int) -> Row:
    build = _BUILD.search(source.name)
    return {
        "file": source.name,
        "position": position,
        "sha256": sha256,
        "size": source.size,
        "modified": source.modified,
        "xla_version": f"cl/{build[1]}" if build else None,
    }


def dump_of_name(name: str) -> Dump | None:
    """What a file's name says of the module in it, where XLA gave it."""
    found = dump_of(Path(name.rpartition("/")[2]))
    return found if isinstance(found, Dump) else None


def _one_line(message: str) -> str:
    return message.strip().partition("\n")[0][:MOST_OF_A_MESSAGE]


def _read(source: Source) -> bytes:
    """The bytes of a file as they lie there. Raises HloCountError where it cannot be read, or changes meanwhile."""
    if elsewhere.is_url(source.name):
        return elsewhere.read(source.name, source.size)
    path = Path(source.name)
    data = read_packed(path)
    try:
        unchanged = local_fingerprint(path.stat()) == source.fingerprint
    except OSError:  # it is not there any more
        unchanged = False
    if not unchanged:
        raise HloCountError(f"{source.name}: it changed while it was read: scan again")
    return data
