"""What a terminal gets beyond the text: colours that say something, and a line while something takes long.

Colours come from rich, the line from tqdm; without them, in a pipe and in a file there is neither, and the text is the
same.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TextIO

from hlo_count.harmless import harmless
from hlo_count.under_way import listening

_STYLES = {
    "title": "bold",
    "head": "bold",
    "exact": "green",
    "estimate": "yellow",
    "lower": "bold red",
    "unknown": "bold red",
    "estimated": "bold yellow",
    "settled": "cyan",
    "note": "cyan",
    "rest": "dim",
    "more": "red",
    "less": "green",
    "limit": "bold magenta",
    "over": "bold red",
    "wrong": "bold red",
    "meant": "bold cyan",
}
"""What is certain is green and what is not red; what a change adds is red; yellow is a choice."""
_STATUS = r"(?:(?P<exact>exact)|(?P<estimate>estimate)|(?P<lower>lower bound))(?=  |$)"
_RULES = (
    r"\A(?P<title>[^·\n]+)(?= ·)",
    r"(?m)^ *[A-Za-z ]+  [\d.,]+(?: ?[A-Za-z/]+)?  " + _STATUS,
    r"(?m)  " + _STATUS.replace("(?=  |$)", "$"),
    r"(?m)^[\d,]+ (?:(?P<unknown>unknown(?: or estimated)?)|(?P<estimated>estimated)|(?P<settled>settled)):",
    r"(?m)^(?P<note>note:|- )",
    r"(?m)(?<=\n\n)(?P<head>(?=.*  (?:FLOP|bytes|bound|before|seconds|estimate)\b)[^\d\n]*)$",
    r"(?m)^ *(?P<rest>everything else.*)$",
    r"(?<=\s)(?P<more>\+\d[\d.,]*)(?=\s|$)|(?<=\s)(?P<less>-\d[\d.,]*)(?=\s|$)",
    r"(?m)limited by (?P<limit>[^\n,]+)",
    r"(?P<over>does not fit|(?<=GB) !)",
    r"(?m)^(?P<wrong>hlo-count:|\S+: error:)|did you mean (?P<meant>[^?\n]+)\?",
)
_DOCUMENTS = ("{", "[", "digraph ", "<")
"""How what a program reads begins: it is shown as it is."""


def painted(text: str, stream: TextIO) -> str:
    """The text in colours where the terminal shows some; as it is without rich, and where NO_COLOR is set."""
    if text.startswith(_DOCUMENTS):
        return text
    try:
        from rich.console import Console
    except ImportError:
        return text
    console = Console(file=stream, theme=_theme(), highlight=False, soft_wrap=True)
    if console.no_color or console.color_system is None:
        return text
    with console.capture() as shown:
        console.print(_highlighter()(text), end="")
    return shown.get()


@lru_cache(maxsize=1)
def _theme() -> Any:
    from rich.theme import Theme

    return Theme({f"hlo_count.{name}": style for name, style in _STYLES.items()})


@lru_cache(maxsize=1)
def _highlighter() -> Any:
    from rich.highlighter import RegexHighlighter

    class Meaning(RegexHighlighter):
        base_style = "hlo_count."
        highlights = list(_RULES)  # noqa: RUF012  as rich has it

    return Meaning()


# While something takes long

_AFTER = 1.0
"""Seconds that nobody needs to be told of."""
_AGAIN = 0.5
_lines: list[Any] = []


@contextmanager
def told_while_it_lasts() -> Iterator[None]:
    """A line on standard error that says what is under way and since when, from the second second on; it goes away."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield
        return
    over = threading.Event()
    line = tqdm(bar_format="{desc} · {elapsed}", desc="starting", leave=False, delay=_AFTER, file=sys.stderr)

    def tell(what: str) -> None:
        line.set_description_str(harmless(what, 60), refresh=False)

    def show() -> None:
        seconds = _AFTER
        while not over.wait(seconds):
            line.refresh()
            seconds = _AGAIN

    teller = threading.Thread(target=show, daemon=True)
    _lines.append(line)
    teller.start()
    try:
        with listening(tell):
            yield
    finally:
        over.set()
        teller.join()
        _lines.remove(line)
        line.clear()  # which `close` leaves to what has advanced
        line.close()


def make_room() -> None:
    """Takes the line away for what is written now; it comes again."""
    for line in _lines:
        line.clear()
