"""A trace as it was read, for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hlo_count.harmless import harmless, json_text
from hlo_count.made_with import MadeWith
from hlo_count.measured.results.traced_program import TracedProgram
from hlo_count.measured.traces.host_activity import Transfers
from hlo_count.measured.traces.op_events import Unattributed
from hlo_count.roofline.device import Device
from hlo_count.text_page import TextPage


class Trace(TextPage, MadeWith):
    """What a profiler recorded. `programs` are those that ran, that with the most seconds first."""

    def __init__(
        self,
        programs: list[TracedProgram],
        *,
        path: Path,
        hosts: int,
        seconds: float,
        idle: float,
        device: Device | None,
        jax_version: str | None,
        unattributed: Mapping[str, Unattributed],
        problems: list[str],
        transfers: Mapping[str, Transfers],
        idle_causes: Mapping[str, float],
    ) -> None:
        self.programs = programs
        self.path = path
        self.hosts = hosts
        self.seconds = seconds
        """From the first kernel to the last, a mean over the hosts."""
        self.idle = idle
        """Seconds of that in which no program ran."""
        self.device = device
        self.jax_version = jax_version
        self.unattributed = dict(unattributed)
        """Kernels that tell no instruction, by name."""
        self.transfers = dict(transfers)
        """Copies between host and devices, by way, of all hosts."""
        self.idle_causes = dict(idle_causes)
        """Of the seconds in which no program ran on any device: those in which the host was seen to do something else,
        by what (a mean over the hosts). Of the rest nothing is known."""
        self.problems = problems
        """What could not be read or used, a sentence each."""

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, for JSON."""
        from hlo_count.measured.tables.trace_export import trace_dict

        return trace_dict(self)

    def to_json(self, *, indent: int | None = 2) -> str:
        return json_text(self.to_dict(), indent)

    def to_pandas(self) -> Any:
        """A pandas.DataFrame, a row a kernel of a program; needs the extra `pandas`."""
        from hlo_count.measured.tables.trace_export import trace_frame

        return trace_frame(self)

    def table(self, by: str = "kernel", *, rows: int = 12) -> str:
        """The programs, and of the largest where its time went: by "kernel", "scope", "source" or "class"."""
        from hlo_count.measured.tables.trace_table import trace_table

        return trace_table(self, by, rows)

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return harmless(f"<Trace {self.path}: {len(self.programs)} programs, {self.seconds:.3g} s>")
