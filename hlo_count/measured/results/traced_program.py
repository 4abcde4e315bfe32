"""One program of a trace, as it is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.harmless import harmless, json_text
from hlo_count.measured.programs.program_times import ProgramTimes
from hlo_count.measured.programs.time_parts import TimePart, time_parts
from hlo_count.text_page import TextPage


class TracedProgram(TextPage, ProgramTimes):
    """What a trace holds of one program: all that `ProgramTimes` holds, for people."""

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, for JSON."""
        from hlo_count.measured.tables.trace_export import program_dict

        return program_dict(self)

    def to_json(self, *, indent: int | None = 2) -> str:
        return json_text(self.to_dict(), indent)

    @property
    def parts(self) -> list[TimePart]:
        """The time of all runs in parts that add up to it: the bound, and what came on top (`time_parts`)."""
        return time_parts(self)

    def plot(self, path: str | Path, *, kernels: int = 6) -> Path:
        """Draw the roofline of the device with the program and its kernels where they were measured, sized by their
        time, into a file (`Roofline.plot`). Raises HloCountError where there are no bounds."""
        if isinstance(self.limits, str):
            raise HloCountError(self.limits or f"{self.name}: no bounds to draw: pass device=, --device")
        measured = {row.name: row.elapsed / self.runs for row in self.rows}
        return self.limits.plot(path, seconds=self.typical, kernels=kernels, measured=measured)

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """The page of its report (`Report.save`) with what a mean run took beside what is estimated; for other tools by
        the name's ending, as there. Raises HloCountError as there, and where the trace lacks its HLO."""
        from hlo_count.report.saving import save

        spent = {row.name: row.seconds / self.runs for row in self.rows}
        device = self.device if not isinstance(self.limits, str) else None
        return save(self._counted, path, device, force=force, measured=spent)

    def table(self, by: str = "kernel", *, rows: int = 12) -> str:
        """Where its time went, by "kernel", "scope", "source" or "class"."""
        from hlo_count.measured.tables.trace_table import program_table

        return program_table(self, by, rows)

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return harmless(f"<TracedProgram {self.name}: {self.runs} runs, {self.total_seconds:.3g} s>")
