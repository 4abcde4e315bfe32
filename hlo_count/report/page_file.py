"""A report as one HTML file that needs no network: the template, its scripts and styles, and the data, each once."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from hlo_count.errors import DeviceError, HloCountError
from hlo_count.harmless import harmless, json_text
from hlo_count.report.counts import Counts
from hlo_count.report.html import render_html
from hlo_count.report.page_data import page_data
from hlo_count.roofline.device import Device
from hlo_count.roofline.roofline import Roofline
from hlo_count.whole_file import replace_text

_SCRIPTS = ("base.js", "icicle.js", "kernels.js", "roofline.js", "source.js", "memory.js")
"""In their order: the first defines what the others use, the last begins."""
_MARKUP = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}
"""How JSON spells what would end a script."""


def save_page(report: Counts, path: str | Path, device: str | Path | Device | None, *, force: bool) -> Path:
    """Writes the page; what is wrong with the place is said before anything is worked out."""
    if not isinstance(path, str | Path):
        raise HloCountError(f"save({path!r:.80}): give the path of a file, such as 'report.html'")
    file = Path(path)
    if file.suffix.lower() not in (".html", ".htm"):
        raise HloCountError(f"{file}: a report is saved as .html")
    try:
        if file.is_dir():
            raise HloCountError(f"{file} is a folder; name a file in it")
        if file.exists() and not force:
            raise HloCountError(f"{file} exists: force=True, or --force, replaces it")
        if not file.parent.is_dir():
            raise HloCountError(f"{file}: there is no folder {file.parent}")
        replace_text(file, render_page(report, device))
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise HloCountError(f"{file}: cannot be written ({reason})") from problem
    return file


def render_page(report: Counts, device: str | Path | Device | None = None) -> str:
    """The page as text. Times and the roofline are there with a device: the one given, else that of the target.

    Raises HloCountError without Jinja2 (the extra `html`), and in the `xla` convention, which has no breakdown.
    """
    if report.convention == "xla":
        raise HloCountError("a page shows our own count; in the 'xla' convention use reconcile()")
    try:
        from jinja2 import Environment, StrictUndefined
        from markupsafe import Markup
    except ImportError:
        raise HloCountError("a page is made with Jinja2: pip install 'hlo-count[html]'") from None
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(_part("page.html.jinja"))
    return template.render(
        title=f"{harmless(report.name, 200)} · hlo_count",
        css=Markup(_part("page.css")),
        summary=Markup(render_html(report)),
        data=Markup(json_text(page_data(report, _roofline(report, device)), None).translate(_MARKUP)),
        library=Markup(_part("d3.v7.min.js")),
        license=_part("d3.LICENSE").partition("\n")[0],
        script=Markup("\n".join(map(_part, _SCRIPTS))),
    )


def _roofline(report: Counts, device: str | Path | Device | None) -> Roofline | None:
    """That of the device; without one that of the target, None where no profile is of it, as of this machine's CPU."""
    if device is not None:
        return report.roofline(device)
    try:
        return None if report.target is None else report.roofline()
    except DeviceError:  # nobody asked for times, and the page says how to
        return None


def _part(name: str) -> str:
    return files("hlo_count.report").joinpath("page", name).read_text(encoding="utf-8")
