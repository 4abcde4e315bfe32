"""A report as one HTML file that needs no network: the template, its scripts and styles, and the data, each once."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.harmless import harmless, json_text
from hlo_count.report.html import render_html
from hlo_count.report.page_data import page_data
from hlo_count.report.weights import Weights

_SCRIPTS = ("base.js", "icicle.js", "kernels.js", "roofline.js", "source.js", "memory.js")
"""In their order: the first defines what the others use, the last begins."""
_MARKUP = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}
"""How JSON spells what would end a script."""


def render_page(weights: Weights) -> str:
    """The page of a report as text. Raises HloCountError without Jinja2 (the extra `html`)."""
    return render(weights.report.name, render_html(weights.report), page_data(weights))


def render(title: str, summary: str, data: Mapping[str, Any] | None) -> str:
    """A page with its data (`page_data`), below a summary in HTML. Raises HloCountError without Jinja2."""
    template, Markup = page_template("page.html.jinja")  # noqa: N806  a class of a package that may not be there
    page: str = template.render(
        title=f"{harmless(title, 200)} · hlo_count",
        css=Markup(part("page.css")),
        summary=Markup(summary),
        data="" if data is None else Markup(json_text(data, None).translate(_MARKUP)),
        library=Markup(part("d3.v7.min.js")),
        license=part("d3.LICENSE").partition("\n")[0],
        script=Markup("\n".join(map(part, _SCRIPTS))),
    )
    return page


def page_template(name: str) -> tuple[Any, Any]:
    """A template of ours, and the class of texts that it does not escape. Raises HloCountError without Jinja2."""
    try:
        from jinja2 import Environment, StrictUndefined
        from markupsafe import Markup
    except ImportError:
        raise HloCountError("a page is made with Jinja2: pip install 'hlo-count[html]'") from None
    return Environment(autoescape=True, undefined=StrictUndefined).from_string(part(name)), Markup


def part(name: str) -> str:
    """A file of the page."""
    return files("hlo_count.report").joinpath("page", name).read_text(encoding="utf-8")
