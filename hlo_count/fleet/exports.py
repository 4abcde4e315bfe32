"""The tables of a scan as files of other formats: CSV, JSON lines, Parquet."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.fleet.store import columns_of, reading, rows
from hlo_count.fleet.tables import SHOWN, TABLES
from hlo_count.harmless import json_text, spreadsheet_cell
from hlo_count.whole_file import replacing

DATABASES = (".sqlite", ".sqlite3", ".db")
_BATCH = 20_000


def is_database(out: Path) -> bool:
    """Whether a file is to be SQLite itself. Raises HloCountError for a suffix that stands for nothing."""
    if out.suffix.lower() in DATABASES:
        return True
    if out.suffix.lower() not in _WRITERS:
        kinds = ", ".join((DATABASES[0], *_WRITERS))
        raise HloCountError(f"{out}: the suffix says what is written: {kinds}")
    return False


def files_of(out: Path) -> dict[str, Path]:
    """What each table is written to: `counts.csv`, `counts.contributors.csv`, `counts.unknowns.csv`."""
    return {name: out if name == SHOWN[0] else out.with_name(f"{out.stem}.{name}{out.suffix}") for name in SHOWN}


def export(database: Path, out: Path) -> None:
    """Write the tables of a database beside each other, each whole or not at all. Raises HloCountError."""
    write = _WRITERS[out.suffix.lower()]
    with reading(database) as connection:
        for table, path in files_of(out).items():
            try:
                with replacing(path) as whole:
                    write(connection, table, whole)
            except OSError as problem:
                raise HloCountError(f"{path}: {problem.strerror or problem}") from None


def _csv(connection: sqlite3.Connection, table: str, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns_of(table))
        for row in rows(connection, table):
            writer.writerow([spreadsheet_cell(value) if isinstance(value, str) else value for value in row])


def _json_lines(connection: sqlite3.Connection, table: str, path: Path) -> None:
    names = columns_of(table)
    with path.open("w", encoding="utf-8", newline="") as stream:
        for row in rows(connection, table):
            stream.write(json_text(dict(zip(names, row, strict=True)), None) + "\n")


def _parquet(connection: sqlite3.Connection, table: str, path: Path) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise HloCountError(f'{path.with_suffix("")}: Parquet needs pyarrow: pip install "hlo-count[fleet]"') from None
    # An amount beyond 2^63 is a double, and a column has one type.
    kinds = {"TEXT": pa.string(), "INTEGER": pa.int64(), "REAL": pa.float64()}
    named = {"id": "INTEGER", **dict(TABLES[table])}
    columns = columns_of(table)
    schema = pa.schema([(name, kinds[_type(connection, table, name, named[name])]) for name in columns])
    found = rows(connection, table)
    with parquet.ParquetWriter(path, schema) as writer:
        while batch := list(islice(found, _BATCH)):
            arrays = [
                pa.array(_cells(column, field.type == pa.float64()), field.type)
                for column, field in zip(zip(*batch, strict=True), schema, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _type(connection: sqlite3.Connection, table: str, name: str, declared: str) -> str:
    kind = declared.partition(" ")[0]
    if kind == "INTEGER":
        beyond = connection.execute(f"SELECT 1 FROM {table} WHERE typeof(\"{name}\") = 'real' LIMIT 1").fetchone()
        return "REAL" if beyond else kind
    return kind


def _cells(values: Sequence[Any], doubles: bool) -> list[Any]:
    return [float(value) if doubles and value is not None else value for value in values]


_WRITERS: dict[str, Callable[[sqlite3.Connection, str, Path], None]] = {
    ".csv": _csv,
    ".jsonl": _json_lines,
    ".parquet": _parquet,
}


def listed(out: Path) -> Iterator[Path]:
    """The files that a scan writes."""
    yield from [out] if is_database(out) else files_of(out).values()
