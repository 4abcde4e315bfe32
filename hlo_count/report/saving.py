"""A report as a file, in the format that the file's name ends with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from hlo_count.errors import DeviceError, HloCountError
from hlo_count.report.counts import Counts
from hlo_count.report.flame_formats import folded, speedscope
from hlo_count.report.page_file import render_page
from hlo_count.report.schedule_events import trace_events
from hlo_count.report.tables_as_text import comma_separated, markdown
from hlo_count.report.weights import Weights
from hlo_count.roofline.device import Device
from hlo_count.roofline.roofline import Roofline
from hlo_count.whole_file import save_text

FORMATS: dict[str, Callable[[Weights], str]] = {
    ".html": render_page,
    ".speedscope.json": speedscope,
    ".trace.json": lambda weights: trace_events(weights.report, weights.roofline, weights.measured),
    ".folded": folded,
    ".md": markdown,
    ".csv": comma_separated,
    ".hlo.txt": lambda weights: weights.report.module.text,
}
"""What a file's name may end with."""


def save(
    report: Counts,
    path: str | Path,
    device: str | Path | Device | None,
    *,
    force: bool,
    measured: Mapping[str, float] | None = None,
) -> Path:
    """Writes the file; what is wrong with the place is said before anything is worked out. `measured` are seconds in a
    run of the program by the name of the instruction."""
    if report.convention == "xla":
        raise HloCountError("save() writes our own count; in the 'xla' convention use reconcile()")

    def text() -> str:
        render = next(made for ending, made in FORMATS.items() if str(path).lower().endswith(ending))
        return render(Weights(report, roofline_for(report, device), measured))

    return save_text(path, tuple(FORMATS), text, force=force)


def roofline_for(report: Counts, device: str | Path | Device | None) -> Roofline | None:
    """That of the device; without one that of the target, None where no profile is of it, as of this machine's CPU.

    None for counts beyond any time, too.
    """
    if report.walk.is_beyond_drawing:
        return None  # which the page says
    if device is not None:
        return report.roofline(device)
    try:
        return None if report.target is None else report.roofline()
    except DeviceError:  # nobody asked for times, and the page says how to
        return None
