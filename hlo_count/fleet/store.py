"""The database of a scan: what was counted, in transactions, and in the end in an order that is always the same."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.fleet.counting_one import Counted, Row
from hlo_count.fleet.sources import Source
from hlo_count.fleet.tables import APPLICATION, FORMAT, SHOWN, TABLES, schema


class Store:
    """A database that one scan writes to. Nothing is in it twice, and of no file a part.

    A file and all its rows come in one transaction, in place of those that were there. `finish` writes it anew with the
    rows in the order of their files, so that its bytes do not depend on who counted what when.
    """

    def __init__(self, path: Path, counted_by: str) -> None:
        self.path = path
        self._counted_by = counted_by
        with _said(path):
            self._connection = _opened(path)

    def unchanged(self, source: Source) -> bool:
        """Whether it was counted as it is, by the same version."""
        asked = "SELECT fingerprint, counted_by, again FROM files WHERE file = ?"
        known = self._connection.execute(asked, (text(source.name),)).fetchone()
        return bool(source.fingerprint) and bool(known == (source.fingerprint, self._counted_by, 0))

    def add(self, results: Iterable[Counted]) -> None:
        """Everything of these files, or where that fails nothing."""
        with _said(self.path), self._connection:
            for counted in results:
                self._put(counted)

    def _put(self, counted: Counted) -> None:
        execute, source = self._connection.execute, counted.source
        name = text(source.name)
        of_file = "SELECT id FROM modules WHERE file = ?"
        for table in ("contributors", "unknowns"):
            execute(f"DELETE FROM {table} WHERE module_id IN ({of_file})", (name,))
        execute("DELETE FROM modules WHERE file = ?", (name,))
        execute("DELETE FROM files WHERE file = ?", (name,))
        self._insert(
            "files",
            {
                "file": source.name,
                "size": source.size,
                "modified": source.modified,
                "fingerprint": source.fingerprint,
                "sha256": counted.sha256,
                "modules": len(counted.modules),
                "again": int(counted.again),
                "counted_by": self._counted_by,
            },
        )
        for module, contributors, unknowns in counted.modules:
            number = self._insert("modules", module)
            for table, rows in (("contributors", contributors), ("unknowns", unknowns)):
                for row in rows:
                    self._insert(table, {"module_id": number, **row})

    def _insert(self, table: str, row: Row) -> int | None:
        names = ", ".join(f'"{name}"' for name in row)
        values = [text(value) if isinstance(value, str) else value for value in row.values()]
        marks = ", ".join("?" * len(values))
        return self._connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", values).lastrowid

    def finish(self) -> None:
        """Write all of it anew, in the order of the files."""
        whole = self.path.with_name(f"{self.path.name}.whole")
        with _said(self.path):
            for left_over in (whole, whole.with_name(f"{whole.name}-journal")):
                left_over.unlink(missing_ok=True)
            self._connection.execute("ATTACH ? AS whole", (str(whole),))
            with self._connection:
                self._connection.execute("BEGIN")
                for statement in schema("whole"):
                    self._connection.execute(statement)
                places = "SELECT id, row_number() OVER (ORDER BY file, position) AS number FROM modules"
                self._connection.execute(f"CREATE TEMP TABLE place AS {places}")
                self._connection.execute("CREATE UNIQUE INDEX temp.of_place ON place (id)")
                for table in TABLES:
                    self._connection.execute(_in_order(table))
                self._connection.execute("DROP TABLE temp.place")
            self._connection.execute("DETACH whole")
            os.replace(whole, self.path)
            self.close()

    def close(self) -> None:
        self._connection.close()


def _in_order(table: str) -> str:
    names = [f'"{name}"' for name, _ in TABLES[table]]
    columns = ", ".join(names)
    if table == "files":
        return f"INSERT INTO whole.files ({columns}) SELECT {columns} FROM main.files ORDER BY file"
    if table == "modules":
        of_table = ", ".join(f"t.{name}" for name in names)
        return (
            f"INSERT INTO whole.modules (id, {columns}) SELECT p.number, {of_table} FROM main.modules t "
            f"JOIN temp.place p ON p.id = t.id ORDER BY p.number"
        )
    of_table = ", ".join("p.number" if name == '"module_id"' else f"t.{name}" for name in names)
    return (
        f"INSERT INTO whole.{table} ({columns}) SELECT {of_table} FROM main.{table} t "
        f"JOIN temp.place p ON p.id = t.module_id ORDER BY p.number, t.id"
    )


def text(value: str) -> str:
    """As a database can hold it: half of a surrogate pair, which a name of a file may have, as an escape."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=0)
    try:
        is_new = _is_empty(connection, path)
        if not is_new:
            check(connection, path)
        before = path.stat()
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # until it is closed, or this process ends
        with connection:
            connection.execute("BEGIN EXCLUSIVE")
            if not path.exists() or path.stat().st_ino != before.st_ino:
                raise sqlite3.OperationalError("locked: another scan has just written it anew")
            if is_new:
                for statement in schema():
                    connection.execute(statement)
    except BaseException:
        connection.close()
        raise
    return connection


def _is_empty(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether nothing is in it yet: it is new, or whoever made it was ended before the first transaction."""
    try:
        return not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    except sqlite3.DatabaseError as problem:
        raise _no_database(path, problem) from None


def _no_database(path: Path, problem: sqlite3.DatabaseError) -> Exception:
    if isinstance(problem, sqlite3.OperationalError):
        return problem
    return HloCountError(f"{path}: this is no SQLite database: name another file")


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Raise HloCountError for a database of another kind or of a newer version."""
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError as problem:
        raise _no_database(path, problem) from None
    if application != APPLICATION:
        raise HloCountError(f"{path}: this is a database of something else: name another file")
    if version != FORMAT:
        raise HloCountError(
            f"{path}: its tables are of version {version}, those of this hlo_count of {FORMAT}: update it, or name "
            f"another file"
        )


@contextmanager
def _said(path: Path) -> Iterator[None]:
    """What SQLite or the system says, as one line with the remedy."""
    try:
        yield
    except sqlite3.OperationalError as problem:
        if "locked" in str(problem):
            raise HloCountError(f"{path}: another scan writes to it: wait for it, or name another file") from None
        if "unable to open" in str(problem):  # nothing was written
            raise HloCountError(f"{path}: {problem}: name a file in a folder that can be written to") from None
        raise HloCountError(f"{path}: {problem}; what was written before is whole: make room, and scan again") from None
    except sqlite3.DatabaseError as problem:
        raise HloCountError(f"{path}: {problem}: remove it, and scan again") from None
    except OSError as problem:
        raise HloCountError(f"{path}: {problem.strerror or problem}") from None


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """The database of a scan, which nothing changes. Raises HloCountError for what is none."""
    if not path.is_file():
        raise HloCountError(f"{path}: there is no such file: hlo-count scan FOLDER -o {path} makes it")
    with _said(path):
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=0)
    try:
        with _said(path):
            check(connection, path)
            yield connection
    finally:
        connection.close()


def columns_of(table: str) -> list[str]:
    """The columns of a table as they are shown: with the number of a module, which contributors and unknowns name."""
    assert table in SHOWN
    return ["id", *(name for name, _ in TABLES[table])] if table == "modules" else [name for name, _ in TABLES[table]]


def rows(connection: sqlite3.Connection, table: str) -> Iterator[Sequence[Any]]:
    """The rows of a table, as `columns_of` has them, in its order."""
    names = ", ".join(f'"{name}"' for name in columns_of(table))
    yield from connection.execute(f"SELECT {names} FROM {table} ORDER BY id")
