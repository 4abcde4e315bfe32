"""The tables of a scan: their columns, and the questions that are asked of them as SQL views."""

from __future__ import annotations

from dataclasses import dataclass

from hlo_count.report.export import EXPORTED_COUNTERS
from hlo_count.visitors.cost import OP_COUNTERS

APPLICATION = 0x484C4F43
"""What SQLite keeps in the header of a file to say whose it is: "HLOC"."""
FORMAT = 2
"""Version of the tables."""

_AMOUNTS = tuple((name, "INTEGER") for name in EXPORTED_COUNTERS)

FILES = (
    ("file", "TEXT NOT NULL UNIQUE"),
    ("size", "INTEGER"),
    ("modified", "REAL"),
    ("fingerprint", "TEXT NOT NULL"),
    ("sha256", "TEXT"),
    ("modules", "INTEGER NOT NULL"),
    ("again", "INTEGER NOT NULL"),
    ("counted_by", "TEXT NOT NULL"),
)
MODULES = (
    ("file", "TEXT NOT NULL"),
    ("position", "INTEGER NOT NULL"),
    ("name", "TEXT"),
    ("error", "TEXT"),
    ("status", "TEXT"),
    ("backend", "TEXT"),
    ("num_devices", "INTEGER"),
    ("stage", "TEXT"),
    ("jax_version", "TEXT"),
    ("xla_version", "TEXT"),
    ("instructions", "INTEGER"),
    *_AMOUNTS,
    ("bytes_status", "TEXT"),
    ("parameters", "INTEGER"),
    ("argument_bytes", "INTEGER"),
    ("output_bytes", "INTEGER"),
    ("compulsory_bytes", "INTEGER"),
    ("peak_bytes", "INTEGER"),
    ("peak_status", "TEXT"),
    ("unknowns", "INTEGER"),
    ("size", "INTEGER"),
    ("modified", "REAL"),
    ("sha256", "TEXT"),
)
CONTRIBUTORS = (
    ("module_id", "INTEGER NOT NULL"),
    ("key", "TEXT NOT NULL"),
    ("contributor", "TEXT NOT NULL"),
    *_AMOUNTS,
    ("status", "TEXT NOT NULL"),
)
UNKNOWNS = (
    ("module_id", "INTEGER NOT NULL"),
    ("what", "TEXT NOT NULL"),
    ("reason", "TEXT NOT NULL"),
    ("status", "TEXT NOT NULL"),
    ("source", "TEXT NOT NULL"),
    ("settle", "TEXT NOT NULL"),
    ("instructions", "INTEGER NOT NULL"),
)
TABLES = {"files": FILES, "modules": MODULES, "contributors": CONTRIBUTORS, "unknowns": UNKNOWNS}
"""By name, each with its columns and their types; a number `id` stands before them."""
SHOWN = ("modules", "contributors", "unknowns")
"""Tables that are results; `files` is what a scan remembers."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question that many ask, and the view that answers it.

    Sums over modules are doubles, by `total`: SQLite's `sum` fails where whole numbers pass 2^63, as FLOP of ten large
    training steps do.
    """

    about: str
    sql: str


_WITHOUT_OPERATIONS = " AND ".join(f"c.{name} = 0" for name in OP_COUNTERS)
_NAMED = "m.name, m.file, m.position"
QUESTIONS = {
    "dearest_modules": Question(
        "the modules with the most FLOP, then bytes",
        f"SELECT {_NAMED}, m.flops, m.bytes, m.peak_bytes, m.status FROM modules m WHERE m.error IS NULL "
        "ORDER BY m.flops DESC, m.bytes DESC, m.file, m.position",
    ),
    "growth": Question(
        "what a name cost first and what it costs last, by the time of its files: where it grew most",
        "WITH ordered AS (SELECT name, flops, bytes, modified, "
        "row_number() OVER (PARTITION BY name ORDER BY modified, file, position) AS n, "
        "count(*) OVER (PARTITION BY name) AS modules FROM modules WHERE error IS NULL), "
        "grown AS (SELECT a.name, a.modules, date(a.modified, 'unixepoch') AS since, "
        "b.flops, b.flops / nullif(CAST(a.flops AS REAL), 0) AS times_flops, "
        "b.bytes, b.bytes / nullif(CAST(a.bytes AS REAL), 0) AS times_bytes "
        "FROM ordered a JOIN ordered b ON a.name = b.name AND a.n = 1 AND b.n = b.modules WHERE a.modules > 1) "
        "SELECT * FROM grown ORDER BY max(coalesce(times_flops, 0), coalesce(times_bytes, 0)) DESC, name",
    ),
    "waste": Question(
        "bytes that classes without an operation move, copies above all, over all modules; a fusion's are its work's",
        "SELECT c.contributor AS class, total(c.bytes) AS bytes, count(DISTINCT c.module_id) AS modules "
        f"FROM contributors c WHERE c.key = 'class' AND c.contributor <> 'fusion' AND {_WITHOUT_OPERATIONS} "
        "GROUP BY c.contributor HAVING total(c.bytes) > 0 ORDER BY bytes DESC, class",
    ),
    "beyond_compulsory": Question(
        "the modules that move most beyond what any program must: their arguments in, their results out",
        f"SELECT {_NAMED}, m.bytes - m.compulsory_bytes AS beyond, m.bytes, m.compulsory_bytes FROM modules m "
        "WHERE m.error IS NULL AND m.stage = 'optimized' ORDER BY beyond DESC, m.file, m.position",
    ),
    "most_unknowns": Question(
        "what is not known, of most instructions first",
        "SELECT u.what, u.reason, sum(u.instructions) AS instructions, count(DISTINCT u.module_id) AS modules "
        "FROM unknowns u GROUP BY u.what, u.reason "
        "ORDER BY instructions DESC, u.what, u.reason",
    ),
    "no_formula": Question(
        "custom calls whose cost is not known",
        "SELECT u.what, sum(u.instructions) AS instructions, count(DISTINCT u.module_id) AS modules, "
        "min(m.file) AS for_example FROM unknowns u JOIN modules m ON m.id = u.module_id "
        "WHERE u.what LIKE 'custom-call%' AND u.status = 'lower bound' GROUP BY u.what "
        "ORDER BY instructions DESC, u.what",
    ),
    "dearest_sources": Question(
        "lines of source with the most FLOP over all modules",
        "SELECT c.contributor AS source, total(c.flops) AS flops, total(c.bytes) AS bytes, "
        "count(DISTINCT c.module_id) AS modules FROM contributors c WHERE c.key = 'source' GROUP BY c.contributor "
        "ORDER BY flops DESC, bytes DESC, source",
    ),
    "errors": Question(
        "files that cannot be counted",
        "SELECT m.file, m.position, m.error FROM modules m WHERE m.error IS NOT NULL ORDER BY m.file, m.position",
    ),
}
"""By the name of the view."""
COLUMN_ID = "id"


def schema(database: str = "main") -> list[str]:
    """The statements that make the tables and views."""
    made = []
    for table, columns in TABLES.items():
        listed = ", ".join(f'"{name}" {kind}' for name, kind in columns)
        made.append(f'CREATE TABLE {database}."{table}" ({COLUMN_ID} INTEGER PRIMARY KEY, {listed})')
    made += [f'CREATE VIEW {database}."{name}" AS {question.sql}' for name, question in QUESTIONS.items()]
    made += [
        f"CREATE INDEX {database}.modules_by_file ON modules (file)",
        f"CREATE INDEX {database}.contributors_by_module ON contributors (module_id)",
        f"CREATE INDEX {database}.unknowns_by_module ON unknowns (module_id)",
        f"PRAGMA {database}.application_id = {APPLICATION}",
        f"PRAGMA {database}.user_version = {FORMAT}",
    ]
    return made
