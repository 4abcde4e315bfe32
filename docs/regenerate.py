"""Write the output that README.md and docs/size.md show and the table of docs/libraries.md for the installed versions.

`python docs/regenerate.py` (tests check that they are up to date).
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
LIBRARIES = ROOT / "docs" / "libraries.md"
TARGETS = ("cpu", "tpu:v5e", "tpu:v6e", "h100-sxm")
SIZE = ROOT / "docs" / "size.md"
SIZED = ("tpu:v5e", "tpu:v5p", "tpu:v6e", "tpu:v7", "a100", "h100-sxm", "h200", "b200")
_BLOCK = re.compile(r"(<!-- (?:demo|size) output -->\n```text\n).*?(```\n)", re.S)


def demo_output() -> str:
    """What `hlo-count demo` prints on this machine's CPU backend."""
    from hlo_count.cli import main

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["demo"]) == 0
    return out.getvalue()


def size_output() -> str:
    """How long the demo's step takes on eight targets, and its plot beside the document."""
    import hlo_count
    from hlo_count.demo import training_step

    step, arguments = training_step()
    sizes = hlo_count.size(step, *arguments, on=SIZED, cache=False)
    sizes.plot(ROOT / "docs" / "img" / "sizes.png")
    return f"{sizes}\n"


def shown_output() -> str:
    """What README.md says that it prints."""
    found = re.search(r"<!-- demo output -->\n```text\n(.*?)```\n", README.read_text(), re.S)
    assert found is not None
    return found[1]


def libraries_table() -> str:
    """How much is counted of a training step in each library, with the versions that are installed here."""
    import jax
    from libraries.steps import LIBRARIES as STEPS

    import hlo_count

    rows = []
    plain = STEPS["plain JAX"]()
    there = {t.name for t in hlo_count.targets() if t.available}
    flops = {t: hlo_count.count(plain.jitted, *plain.args, target=t).flops for t in TARGETS if t in there}
    for name, make in STEPS.items():
        step = make()

        def counted(program: Any, *args: Any, target: str = "cpu", step: Any = step) -> str:
            if target not in there:
                return "-"
            return _counted(program, args, target, flops[target] if step.plain else None)

        cells = [counted(step.jitted, *step.args, target=target) for target in TARGETS]
        if hasattr(step.jitted, "lower"):
            lowered = step.jitted.lower(*step.args)
            cells += [counted(lowered), counted(lowered.compile())]
        else:
            cells += ["none", "none"]
        bare = getattr(step.jitted, "__wrapped__", step.jitted)
        rows.append((name, _version(name), *cells, counted(bare, *step.args)))
    headers = ("step", "version", *TARGETS, "Lowered", "Compiled", "not jitted")
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (headers, *rows)]
    return "\n".join([f"jax {jax.__version__}", "", *lines, ""])


def _counted(program: Any, args: tuple[Any, ...], target: str, flops: int | None) -> str:
    """`flops`: all that plain JAX does, where the step does nothing beside it."""
    from libraries.steps import MATMUL

    import hlo_count

    try:
        report = hlo_count.count(program, *args, target=target)
    except hlo_count.HloCountError:
        return "refused"
    matmul = report.by("class")["matmul"].flops
    is_whole = (matmul, report.flops, report.status) == (MATMUL, flops or report.flops, "exact")
    return "whole" if is_whole else f"{matmul:,} of {MATMUL:,}"


def _version(step: str) -> str:
    packages = {"plain JAX": "jax", "Equinox": "equinox", "Haiku": "dm-haiku"}
    package = step.partition(",")[0]
    return version(packages.get(package, package.partition(".")[0].lower()))


def shown_tables() -> dict[str, str]:
    """For each version of JAX the table that docs/libraries.md shows."""
    return {found[1]: found[0] for found in _TABLE.finditer(LIBRARIES.read_text())}


_TABLE = re.compile(r"(?<=```text\n)jax (\S+)\n\nstep .*?(?=```\n)", re.S)


def main() -> None:
    import jax

    if jax.__version__ == "0.10.2":
        README.write_text(_BLOCK.sub(lambda m: m[1] + demo_output() + m[2], README.read_text()))
        SIZE.write_text(_BLOCK.sub(lambda m: m[1] + size_output() + m[2], SIZE.read_text()))
    text = LIBRARIES.read_text()
    if (old := shown_tables().get(jax.__version__)) is not None:
        LIBRARIES.write_text(text.replace(old, libraries_table()))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tests"))
    main()
