"""What a scan found: how much, where it lies, and answers to questions about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hlo_count.fleet.exports import listed
from hlo_count.fleet.fleet_page import save_fleet
from hlo_count.fleet.questions import Answer, ask
from hlo_count.fleet.store import reading
from hlo_count.harmless import printable
from hlo_count.layout import joined, number_of
from hlo_count.report.units import amount
from hlo_count.text_page import TextPage


@dataclass(frozen=True, slots=True)
class Scan(TextPage):
    """A scan that is done."""

    path: Path
    """What was asked for: the database itself, or the table of modules beside which the others lie."""
    database: Path
    counted: int
    """Files that were read this time."""
    unchanged: int
    """Files that were counted before, and have not changed."""
    passed_over: int
    """Files in folders that are no HLO by their names."""
    seconds: float

    @property
    def files(self) -> list[Path]:
        """What was written."""
        return list(listed(self.path))

    @property
    def modules(self) -> int:
        """Modules that are counted, those of other scans into the same file too."""
        return int(self._one("SELECT count(*) FROM modules WHERE error IS NULL"))

    @property
    def failed(self) -> int:
        """Modules and files that cannot be counted: the view `errors` has them."""
        return int(self._one("SELECT count(*) FROM modules WHERE error IS NOT NULL"))

    def query(self, question: str, *, rows: int | None = 20) -> Answer:
        """An answer to a question by its name, such as "dearest_modules", or by SQL. See `hlo_count.fleet.tables`."""
        return ask(self.database, question, rows)

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the answers to all ready questions as one HTML file that needs no network, and return its path.

        Raises HloCountError as `Report.save` does; needs the extra `html`.
        """
        return save_fleet(self.database, path, force=force)

    def to_pandas(self, table: str = "modules") -> Any:
        """A table, or a view, as a pandas.DataFrame; needs the extra `pandas`."""
        return ask(self.database, table, None).to_pandas()

    def _one(self, sql: str) -> Any:
        with reading(self.database) as connection:
            return connection.execute(sql).fetchone()[0]

    def __str__(self) -> str:
        read = f"{number_of(self.counted, 'file')} read in {self.seconds:.1f} s"
        parts = [f"{number_of(self.modules, 'module')} in {self.path}", read]
        for number, what in ((self.unchanged, "unchanged"), (self.passed_over, "passed over"), (self.failed, "failed")):
            parts += [f"{number:,} {what}"] if number else []
        total = self._one("SELECT total(flops) FROM modules")
        return printable("\n".join(joined([*parts, f"{amount(total)} FLOP in one run of each"])))
