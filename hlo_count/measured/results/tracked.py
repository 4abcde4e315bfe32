"""What a part of a program did, as `perf stat` tells of a process: how long it compiled, ran, did something else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.harmless import harmless, json_text, printable
from hlo_count.layout import aligned, number_of, wrapped
from hlo_count.measured.results.recorded_trace import Trace
from hlo_count.measured.results.traced_program import TracedProgram
from hlo_count.report.units import amount
from hlo_count.roofline.roofline_table import seconds as in_words
from hlo_count.text_page import TextPage


@dataclass(slots=True, repr=False)
class Tracked(TextPage):
    """What JAX compiled and ran inside. Of a `with hc.track() as t:` there is a result when it is over."""

    name: str = ""
    wall_seconds: float = 0.0
    compile_seconds: float = 0.0
    compiles: int = 0
    recorded_seconds: float = 0.0
    """How long the profiler ran: all of it, or a window, or many."""
    windows: int = 0
    """Of a sample: in how many windows that was; 0 where it was one piece."""
    result: Trace | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def trace(self) -> Trace:
        """The trace that was recorded. Raises HloCountError where there is none (yet)."""
        if self.result is None:
            raise HloCountError("; ".join(self.problems) or "nothing is known of what is tracked before it is over")
        return self.result

    @property
    def programs(self) -> list[TracedProgram]:
        """Those that ran, that with the most seconds first."""
        return self.trace.programs

    @property
    def seconds(self) -> float:
        """In which a program ran, a mean over the devices."""
        return max(0.0, self.trace.seconds - self.trace.idle)

    @property
    def flops(self) -> int:
        """FLOP of all runs on one device, of the programs whose HLO the trace holds."""
        return sum(program.flops or 0 for program in self.programs)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, for JSON."""
        ran = self.result is not None
        return {
            "name": self.name,
            "wall_s": self.wall_seconds,
            "compile_s": self.compile_seconds,
            "compiles": self.compiles,
            "recorded_s": self.recorded_seconds,
            "windows": self.windows,
            "running_s": self.seconds if ran else None,
            "flops": self.flops if ran else None,
            "problems": self.problems,
            "trace": self.trace.to_dict() if ran else None,
        }

    def to_json(self, *, indent: int | None = 2) -> str:
        return json_text(self.to_dict(), indent)

    def table(self, by: str = "kernel", *, rows: int = 12) -> str:
        """Where the wall time went, then the programs, and of the largest its kernels."""
        if not self.wall_seconds:
            return printable(
                "\n".join(line for problem in self.problems for line in wrapped(f"{self.name}: {problem}"))
            )
        lines = [harmless(f"{self.name}: {in_words(self.wall_seconds)}"), *self._summary()]
        for problem in self.problems:
            lines += wrapped(problem, first="- ")
        if self.result is not None:
            lines += ["", self.result.table(by, rows=rows)]
        return printable("\n".join(lines))

    def _summary(self) -> list[str]:
        compiling = self.compile_seconds
        rows = [("compiling", in_words(compiling), self._share(compiling), number_of(self.compiles, "compile"))]
        if self.result is not None:
            runs = sum(program.runs for program in self.programs)
            what = f"{number_of(len(self.programs), 'program')}, {number_of(runs, 'run')}"
            if self.flops:
                what += f", {amount(self.flops, 'FLOP')}, {amount(self.flops / self.seconds, 'FLOP/s')}"
            if self.is_part:
                rows.append(self._recorded())
                share = f"{100 * self.seconds / self.recorded_seconds:.1f} %"
                rows.append(("running", in_words(self.seconds), share, f"of what was recorded: {what}"))
            else:
                rows.append(("running", in_words(self.seconds), self._share(self.seconds), what))
                left = max(0.0, self.wall_seconds - compiling - self.seconds)
                rows.append(("elsewhere", in_words(left), self._share(left), "Python, dispatch, transfers, starting"))
        return aligned(rows, "<>><")

    @property
    def is_part(self) -> bool:
        """Whether only a part was recorded."""
        return bool(self.windows) or self.recorded_seconds < 0.99 * (self.wall_seconds - self.compile_seconds)

    def _recorded(self) -> tuple[str, str, str, str]:
        sample = f"in {number_of(self.windows, 'window')}, so that it costs little"
        windows = sample if self.windows else "in one window"
        return "recorded", in_words(self.recorded_seconds), self._share(self.recorded_seconds), windows

    def _share(self, seconds: float) -> str:
        return f"{100 * seconds / self.wall_seconds:.1f} %" if self.wall_seconds else ""

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return harmless(f"<Tracked {self.name}: {self.wall_seconds:.3g} s>")
