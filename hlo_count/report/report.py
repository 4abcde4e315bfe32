"""The Report: the numbers of one program, and how they are shown, exported, checked and explained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hlo_count.harmless import harmless, json_text
from hlo_count.hlo.garbage import no_garbage_collection
from hlo_count.report.counts import Counts
from hlo_count.report.reconcile import Reconciliation

if TYPE_CHECKING:
    from hlo_count.report.explanation import Explanation
    from hlo_count.roofline.device import Device


class Report(Counts):
    """What one execution of a program costs on one device: all that `Counts` holds, for people.

    Amounts are integers: FLOP (1 FMA = 2), evaluations, operations, bytes.
    """

    def reconcile(self) -> Reconciliation:
        """Our figures against XLA's own cost analysis: a row for each cause, which add up to the difference."""
        from hlo_count.report.reconcile import reconcile

        return reconcile(self)

    def explain(self, name: str, device: str | Path | Device | None = None) -> Explanation:
        """What one instruction is, does and costs, and why: `print(report.explain("fusion.3"))`.

        `name` is that of the text, `body/fusion.3` where it stands in several computations; with a `device`, its place
        in the roofline there. Raises HloCountError, with the names that are near, where there is none.
        """
        from hlo_count.report.explaining import explain_instruction

        return explain_instruction(self, name, device)

    def dot(self, name: str, hops: int = 2) -> str:
        """What stands around an instruction, at most `hops` operands or users away, or all of a computation, as a graph
        for Graphviz."""
        from hlo_count.report.neighbourhood import dot

        return dot(self, name, hops)

    def svg(self, name: str, hops: int = 2) -> str:
        """The same drawn, as SVG. Raises HloCountError where Graphviz's `dot` is not installed."""
        from hlo_count.report.neighbourhood import svg

        return svg(self, name, hops)

    def save(self, path: str | Path, *, device: str | Path | Device | None = None, force: bool = False) -> Path:
        """Write the report as one HTML file that needs no network, and return its path: `report.save("x.html")`; for
        other tools as `x.speedscope.json`, as the collapsed stacks of flame graphs, `x.folded`, or as the estimated
        schedule for Perfetto, `x.trace.json`; as `x.hlo.txt` the compiled program, which `count` and `diff` read again.

        An icicle by scope, calls and source lines, the kernels with their code, source with what each line costs,
        memory over the schedule, and with a device (the one given, else that of the target) the roofline and times.
        Raises HloCountError where a file is there and not `force`, where the place cannot be written, for another
        ending, and without Jinja2 (the extra `html`).
        """
        from hlo_count.report.saving import save

        return save(self, path, device, force=force)

    def check(self, **limits: Any) -> None:
        """Raise BudgetExceeded over a limit: `check(flops="2 GFLOP", min_intensity=10, max_ops={"fusion": 40})`.

        The keywords are those of `hlo_count.report.limits.limits_of`, which raises HloCountError for a misspelt one.
        """
        from hlo_count.report.exceeded import check

        check(self, **limits)

    def to_dict(self, *, by: str | Sequence[str] | None = None, depth: int = 2) -> dict[str, Any]:
        """All of it as plain data, for JSON, as docs/report.schema.json has it; with `by`, the breakdown by one key of
        `Report.by` or several as `rows`."""
        from hlo_count.report.export import to_dict

        return to_dict(self, by, depth)

    def to_json(self, *, by: str | Sequence[str] | None = None, depth: int = 2, indent: int | None = 2) -> str:
        return json_text(self.to_dict(by=by, depth=depth), indent)

    def to_pandas(self, key: str = "instruction", *, depth: int = 2) -> Any:
        """A breakdown as a pandas.DataFrame, a row a group; needs the extra `pandas`."""
        from hlo_count.report.export import to_pandas

        return to_pandas(self, key, depth)

    def table(self, by: str | Sequence[str] | None = None, *, depth: int = 3, rows: int = 12) -> str:
        """The report as text, as wide as the terminal or $COLUMNS says, else 100: its contributors by `by`, one key of
        `Report.by` or several (else what tells most), scopes and stacks as a tree, in which what is alike is one row,
        `Block_* ×12`."""
        from hlo_count.report.table import render

        with no_garbage_collection():
            return render(self, by, depth, rows)

    def arguments_table(self, depth: int = 4) -> str:
        """The arguments by their paths in the pytrees, as a tree of `depth` levels: parameters and shapes by module."""
        from hlo_count.report.arguments import arguments_table

        return arguments_table(self.module, depth)

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return harmless(f"<Report {self.name}: {self.flops:,} FLOP, {self.bytes:,} bytes, {self.status}>")

    def _repr_html_(self) -> str:
        from hlo_count.report.html import render_html

        return render_html(self)
