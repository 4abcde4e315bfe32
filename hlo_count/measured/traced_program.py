"""One program of a trace, as it is shown."""

from __future__ import annotations

from typing import Any

from hlo_count.harmless import harmless, json_text
from hlo_count.measured.program_times import ProgramTimes


class TracedProgram(ProgramTimes):
    """What a trace holds of one program: all that `ProgramTimes` holds, for people."""

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, for JSON."""
        from hlo_count.measured.trace_export import program_dict

        return program_dict(self)

    def to_json(self, *, indent: int | None = 2) -> str:
        return json_text(self.to_dict(), indent)

    def table(self, by: str = "kernel", *, rows: int = 12) -> str:
        """Where its time went, by "kernel", "scope", "source" or "class"."""
        from hlo_count.measured.trace_table import program_table

        return program_table(self, by, rows)

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return harmless(f"<TracedProgram {self.name}: {self.runs} runs, {self.total_seconds:.3g} s>")
