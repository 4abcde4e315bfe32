"""Write the output that README.md shows: `python docs/regenerate.py` (a test checks that it is up to date)."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
_BLOCK = re.compile(r"(<!-- demo output -->\n```text\n).*?(```\n)", re.S)


def demo_output() -> str:
    """What `hlo-count demo` prints on this machine's CPU backend."""
    from hlo_count.cli import main

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["demo"]) == 0
    return out.getvalue()


def shown_output() -> str:
    """What README.md says that it prints."""
    found = re.search(r"<!-- demo output -->\n```text\n(.*?)```\n", README.read_text(), re.S)
    assert found is not None
    return found[1]


if __name__ == "__main__":
    README.write_text(_BLOCK.sub(lambda m: m[1] + demo_output() + m[2], README.read_text()))
