"""What prints as text, as a page of HTML: for notebooks, and as one file that needs no network."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hlo_count.errors import HloCountError
from hlo_count.harmless import harmless, html_text
from hlo_count.layout import USUAL, columns
from hlo_count.whole_file import save_text

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{{ title }} · hlo_count</title>
<style>
:root { color-scheme: light dark; }
body { font: 14px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 76rem; padding: 0 1rem; }
pre { font: 13px/1.4 ui-monospace, monospace; overflow-x: auto; }
figure { margin: 1rem 0; background: #fff; border-radius: 4px; }
svg { max-width: 100%; height: auto; display: block; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{% if drawing %}<figure>{{ drawing }}</figure>
{% endif %}<pre>{{ text }}</pre>
</body>
</html>
"""


class TextPage:
    """Adds `save` and a notebook's view to what has a text, and where it can be drawn a `plot(path)`."""

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Writes its text, and its drawing where there is one, into one HTML file; returns its path.

        Raises HloCountError for another suffix than .html, a file that exists (without `force`), a place that cannot be
        written, and without Jinja2 (the extra `html`).
        """
        return save_text(path, (".html", ".htm"), self._page, force=force)

    def _page(self) -> str:
        try:
            from jinja2 import Environment, StrictUndefined
            from markupsafe import Markup
        except ImportError:
            raise HloCountError("a page is made with Jinja2: pip install 'hlo-count[html]'") from None
        template = Environment(autoescape=True, undefined=StrictUndefined).from_string(_PAGE)
        with columns(USUAL):
            return template.render(title=self._title(), text=Markup(html_text(self)), drawing=Markup(self._drawing()))

    def _title(self) -> str:
        first = next((line for line in str(self).splitlines() if line.strip()), type(self).__name__)
        return harmless(first.split(" · ")[0], 200)

    def _drawing(self) -> str:
        """An SVG element; "" where there is nothing to draw, or matplotlib (the extra `plot`) is not installed."""
        plot = getattr(self, "plot", None)
        if plot is None:
            return ""
        with TemporaryDirectory() as folder:
            try:
                text = Path(plot(Path(folder) / "drawing.svg")).read_text(encoding="utf-8")
            except HloCountError:
                return ""
        return text[text.index("<svg") :]

    def _repr_html_(self) -> str:
        with columns(USUAL):
            return f'<pre class="tex2jax_ignore mathjax_ignore">{html_text(self)}</pre>'
