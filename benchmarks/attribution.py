"""Sixteen real programs, counted: `python benchmarks/attribution.py [NAME...] [--write]`.

Of each its total, beside a published or closed one where there is one, the part of its work that lies on its own lines
and not on a library's, and its largest rows by line and by module. Needs the extra `libraries`, and jraph, pgx,
numpyro, blackjax and diffrax. `--write` puts the table and the rows into docs/real-programs.md.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "real-programs.md"
_WRITTEN = re.compile(r"(<!-- programs -->\n).*?(<!-- end -->)", re.S)


@dataclass(frozen=True)
class Program:
    """A function of benchmarks/real/, and what is known of it."""

    title: str
    module: str
    name: str
    known: Callable[[Any], float] | None = None
    """The FLOP of its products and convolutions (their int_ops, where it has none) by a formula or a publication."""
    source: str = ""
    within: float = 0.0
    """By how much the count may differ, as a share, and why stands in `source`."""


def _gpt(module: Any) -> float:
    return 3 * module.FORWARD


PROGRAMS = (
    Program("GPT, training, flax.linen", "language", "flax_gpt", _gpt, "closed form, three products a weight"),
    Program("MLP mixer, training, flax.nnx", "language", "nnx_mixer"),
    Program("LSTM, gradient, Haiku", "language", "haiku_lstm"),
    Program("decode loop, 64 tokens", "language", "decode_loop"),
    Program("mixture of experts", "language", "mixture_of_experts"),
    Program("ResNet-50, Haiku", "vision", "haiku_resnet50", lambda _: 2 * 4.089e9, "torchvision, 4.09 G MAC", 0.04),
    Program(
        "EfficientNet-B0, Keras", "vision", "keras_efficientnet", lambda _: 2 * 0.386e9, "torchvision, 0.39 G MAC", 0.06
    ),
    Program("convolutions, training, flax.nnx", "vision", "nnx_convolutional"),
    Program(
        *("int8 classifier", "vision", "int8_classifier"),
        lambda m: 2 * 64 * sum(a * b for a, b in zip(m.INT8, m.INT8[1:], strict=False)),
        "2·m·n·k of integers",
    ),
    Program("neural ODE, training, diffrax", "science", "neural_ode"),
    Program("graph network, jraph", "science", "graph_network"),
    Program("chess, pgx", "science", "chess"),
    Program("NUTS, NumPyro", "science", "numpyro_nuts"),
    Program("HMC, BlackJAX", "science", "blackjax_hmc"),
    Program("turbulence, FFT", "science", "turbulence"),
    Program("Gaussian process", "science", "gaussian_process"),
)


@dataclass(frozen=True)
class Shown:
    """What the page says of a program."""

    row: tuple[str, ...]
    text: str


def shown(program: Program) -> Shown:
    import hlo_count
    from hlo_count.report.dominant import dominant

    module = importlib.import_module(f"real.{program.module}")
    fn, args = getattr(module, program.name)()
    report = hlo_count.count(fn, *args)
    counter = dominant(report.total)
    total = sum(getattr(cost, counter) for cost in report.by("source").values()) or 1
    own = [cost for place, cost in report.by("source").items() if f"real/{program.module}.py:" in place]
    known = ""
    if program.known is not None:
        matrix = report.by("unit")["matrix"]
        ratio = (matrix.flops + matrix.int_ops) / program.known(module)
        assert abs(ratio - 1) <= program.within, f"{program.title}: {ratio} of {program.source}"
        known = f"{ratio:.3f} of {program.source}"
    row = (
        *(program.title, f"{report.flops / 1e6:,.1f} M", f"{report.bytes / 1e6:,.1f} MB", report.status),
        *(f"{sum(getattr(cost, counter) for cost in own) / total:.1%}", known),
    )
    tables = dict.fromkeys(_rows(report.table(by=by, depth=9, rows=6)) for by in (None, "source"))
    return Shown(row, "\n\n".join(tables))


def _rows(table: str) -> str:
    """The breakdown alone, with the names of files from this folder or from the environment on, where they stood."""
    parts = table.split("\n\n")
    (rows,) = (part for part in parts if part.startswith(("source ", "scope ")))
    for folder in (f"{HERE}/", f"{sys.prefix}/"):
        padding = " " * len(folder)
        rows = re.sub(rf"^{re.escape(folder)}(\S+)", rf"\g<1>{padding}", rows, flags=re.M).replace(folder, "")
    return rows


def written(found: list[Shown]) -> str:
    """The page's block."""
    headers = ("program", "FLOP", "bytes", "status", "on its own lines", "known")
    rows = [headers, ("---",) * len(headers), *(each.row for each in found)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return "\n\n".join([table, *(f"## {each.row[0]}\n\n```text\n{each.text}\n```" for each in found)])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="flax_gpt, chess ...; all of them unless given")
    parser.add_argument("--write", action="store_true", help="put it into docs/real-programs.md")
    options = parser.parse_args()
    sys.path.insert(0, str(HERE))
    found = []
    for program in PROGRAMS:
        if not options.names or program.name in options.names:
            found.append(shown(program))
            print(" | ".join(found[-1].row), found[-1].text, "", sep="\n", flush=True)
    if options.write:
        page = PAGE.read_text()
        PAGE.write_text(_WRITTEN.sub(lambda block: f"{block[1]}{written(found)}\n{block[2]}", page))
    return 0


if __name__ == "__main__":
    sys.exit(main())
