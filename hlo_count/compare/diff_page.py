"""A comparison as a page: what differs as text, then both programs in one icicle."""

from __future__ import annotations

from pathlib import Path

from hlo_count.compare.comparison import Comparison
from hlo_count.harmless import html_text
from hlo_count.layout import USUAL, columns
from hlo_count.report.page_data import page_data
from hlo_count.report.page_file import render
from hlo_count.report.saving import roofline_for
from hlo_count.report.weights import Weights
from hlo_count.roofline.device import Device

_BELOW = "Below, the icicle is of both: blue is less than before, red is more. All else is of the second program."


def render_diff_page(diff: Comparison, device: str | Path | Device | None) -> str:
    """The page as text. Raises HloCountError without Jinja2 (the extra `html`), DeviceError for an unknown device."""
    rooflines = [roofline_for(report, device) for report in (diff.before, diff.after)]
    timed = None not in rooflines  # an estimate of one alone compares with nothing
    before, after = (
        Weights(report, roofline if timed else None, beside=other)
        for report, roofline, other in zip((diff.before, diff.after), rooflines, (diff.after, diff.before), strict=True)
    )
    names = dict.fromkeys((diff.before.name, diff.after.name))
    with columns(USUAL):
        summary = f"<pre>{html_text(diff)}</pre>\n<p>{_BELOW}</p>"
    return render(" → ".join(names), summary, page_data(after, before))
