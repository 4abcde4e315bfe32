"""Text to totals and tables against XLA's C++, in one process; how that grows with the text; how long a start takes.

    python benchmarks/speed.py [--targets cpu,tpu:v5e,h100-sxm] [--layers 8] [--repeat 5] [--text FILE]
    python benchmarks/speed.py --growth [--most 1000000]
    python benchmarks/speed.py --start
    python benchmarks/speed.py --models FILE.jsonl.gz    # {"name", "hlo"} a line
    python benchmarks/speed.py --functions
    python benchmarks/speed.py --all --save    # each with --save: into benchmarks/results/speed.json and docs/speed.md

Each figure is the least CPU time of some repeats, alternating, over that of XLA's own parser and analysis on the same
text: the least, because whatever else runs on the machine only adds. Each view is that of a fresh report, without the
count before it. The program is an unrolled transformer training step (`unrolled_step.py`).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fresh_process import exponents, growth, start_up
from real_programs import functions, models
from tabulate import tabulate
from unrolled_step import unrolled_step

import hlo_count as hc

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "speed.json"
PAGE = ROOT / "docs" / "speed.md"
TARGETS = ("cpu", "tpu:v5e", "h100-sxm")
SIZES = (1_000, 10_000, 100_000, 1_000_000)

VIEWS: dict[str, Callable[[Any, Any], object]] = {
    "print": lambda report, other: str(report),
    "entries": lambda report, other: report.entries,
    "by scope": lambda report, other: report.by("scope"),
    "by source": lambda report, other: report.by("source"),
    "by instruction": lambda report, other: report.by("instruction"),
    "peak": lambda report, other: report.peak,
    "compulsory bytes": lambda report, other: report.compulsory_bytes,
    "roofline": lambda report, other: report.roofline("tpu-v5e"),
    "what_if": lambda report, other: hc.what_if(report),
    "reconcile": lambda report, other: report.reconcile(),
    "diff": lambda report, other: str(hc.diff(report, other)),
}
"""Of a report, and of one of another program, a layer shorter."""


def text_of(target: str, layers: int) -> str:
    """The training step as a target's compiler prints it; no device is needed."""
    step, arguments = unrolled_step(layers)
    return hc.count(step, *arguments, target=target).module.text


def xla(text: str) -> None:
    """XLA's own parser and cost analysis."""
    import jax
    from jaxlib import _hlo, _jax

    _jax.hlo_module_cost_analysis(jax.devices("cpu")[0].client, _hlo.hlo_module_from_text(text))


def ours(text: str) -> None:
    report = hc.count(text)
    assert report.flops and report.bytes and report.status


def seconds(run: Callable[..., object], *arguments: object) -> float:
    start = time.process_time()
    run(*arguments)
    return time.process_time() - start


def ratios(text: str, other: str, repeat: int) -> dict[str, float]:
    """How long each takes in times of XLA's parse and analysis, whose own seconds and instructions come first."""
    gc.collect()
    gc.freeze()  # what tracing and compiling left behind is no part of either side
    least: dict[str, float] = {}

    def run(name: str, function: Callable[..., object], *arguments: object) -> None:
        least[name] = min(least.get(name, float("inf")), seconds(function, *arguments))

    for _ in range(repeat):
        run("XLA", xla, text)
        run("parse", hc.parse, text)
        run("count", ours, text)
        for name, view in VIEWS.items():
            run("XLA", xla, text)
            report = hc.count(text)
            run(name, view, report, hc.count(other) if name == "diff" else None)
    unit = least.pop("XLA")
    found = {name: round(value / unit, 3) for name, value in least.items()}
    figures = {"instructions": text.count(" = "), "XLA seconds": round(unit, 4), "parse": found.pop("parse")}
    return {**figures, "count": found["count"], "count + print": round(found["count"] + found["print"], 3), **found}


def against_xla(given: argparse.Namespace) -> dict[str, dict[str, float]]:
    """`ratios` by target."""
    if given.text:
        text = Path(given.text).read_text()
        return {Path(given.text).name: ratios(text, text, given.repeat)}
    targets = given.targets.split(",")
    return {t: ratios(text_of(t, given.layers), text_of(t, given.layers - 1), given.repeat) for t in targets}


def machine() -> dict[str, str]:
    """What the figures are of."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        name = next(
            (x.partition(": ")[2] for x in cpuinfo.read_text().splitlines() if x.startswith("model name")), name
        )
    return {
        "processor": name,
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "jaxlib": version("jaxlib"),
    }


def ratio_table(figures: dict[str, dict[str, float]]) -> str:
    names = list(next(iter(figures.values())))
    rows = [[name, *(_shown(name, of[name]) for of in figures.values())] for name in names]
    return tabulate(rows, ["× XLA's time", *figures], tablefmt="github", disable_numparse=True)


def _shown(name: str, value: float) -> str:
    return f"{value:,.0f}" if name == "instructions" else f"{value:.3f} s" if name == "XLA seconds" else f"{value:.2f}"


def growth_table(figures: dict[str, dict[str, float]]) -> str:
    rows = [
        [f"{int(size):,}", f"{run['count']:.3f} s", f"{run['print']:.3f} s", f"{run['memory']:.1f}"]
        for size, run in figures.items()
    ]
    return tabulate(rows, ["instructions", "count", "print", "peak memory / text"], tablefmt="github")


def start_table(figures: dict[str, float]) -> str:
    return tabulate([[name, f"{value:.2f} s"] for name, value in figures.items()], ["", "CPU time"], tablefmt="github")


def models_table(figures: dict[str, Any]) -> str:
    """The ratios, below a line that says of what."""
    fewest, most = figures["instructions"]
    left_out = f"; {figures['refused']} more are refused by XLA's parser" if figures["refused"] else ""
    rows = [[name, *(f"{figures[name][each]:.2f}" for each in ("median", "worst"))] for name in _OF_MODELS]
    table = tabulate(rows, ["× XLA's time", "median", "worst"], tablefmt="github", disable_numparse=True)
    return f"{figures['programs']} programs of {fewest:,} to {most:,} instructions{left_out}.\n\n{table}"


_OF_MODELS = ("count", "count + print")


def functions_table(figures: dict[str, dict[str, float]]) -> str:
    rows = [
        [name, f"{of['instructions']:,}", f"{of['compiling']:.2f} s", f"{of['counting']:.3f} s", _share(of)]
        for name, of in figures.items()
    ]
    headers = ["program", "instructions", "lower and compile", "count + print", "share"]
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)


def _share(of: dict[str, float]) -> str:
    return f"{100 * of['counting'] / of['compiling']:.1f} %"


def filled_page(results: dict[str, Any], page: str) -> str:
    """docs/speed.md with the tables of these results between its marks."""
    told = results["machine"]
    parts = {
        "machine": f"{told['processor']}, {told['cores']} cores; Python {told['python']}, jaxlib {told['jaxlib']}."
    }
    if "ratios" in results:
        parts["ratios"] = ratio_table(results["ratios"])
    if "growth" in results:
        largest = ", ".join(f"{value:.2f} for {name}" for name, value in exponents(results["growth"]).items())
        parts["growth"] = (
            f"{growth_table(results['growth'])}\n\nThe largest exponent from one size to the next: {largest}."
        )
    if "start" in results:
        parts["start"] = start_table(results["start"])
    if "models" in results:
        parts["models"] = models_table(results["models"])
    if "functions" in results:
        parts["functions"] = functions_table(results["functions"])
    for name, text in parts.items():
        before, _, rest = page.partition(f"<!-- {name} -->\n")
        page = f"{before}<!-- {name} -->\n{text}\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
    return page


def main(argv: Sequence[str] | None = None) -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--targets", default=",".join(TARGETS))
    options.add_argument("--layers", type=int, default=8)
    options.add_argument("--repeat", type=int, default=5)
    options.add_argument("--most", type=int, default=SIZES[-1], help="instructions of the largest text of --growth")
    options.add_argument("--text", help="an HLO text file instead of the training step")
    options.add_argument("--growth", action="store_true")
    options.add_argument("--start", action="store_true")
    options.add_argument("--models", type=Path, metavar="FILE.jsonl.gz", help="texts of real models")
    options.add_argument("--functions", action="store_true", help="counting beside lowering and compiling")
    options.add_argument("--all", action="store_true", help="all of them, --models where its file is given")
    options.add_argument("--save", action="store_true")
    given = options.parse_args(argv)
    results: dict[str, Any] = {}
    if given.all or not (given.growth or given.start or given.models or given.functions):
        results["ratios"] = against_xla(given)
        print(ratio_table(results["ratios"]), "\n")
    if given.growth or given.all:
        results["growth"] = growth([size for size in SIZES if size <= given.most], given.repeat)
        print(growth_table(results["growth"]))
        print(*(f"{name}: n^{value:.2f}" for name, value in exponents(results["growth"]).items()), "\n", sep="\n")
    if given.start or given.all:
        results["start"] = start_up(given.repeat)
        print(start_table(results["start"]))
    if given.models:
        results["models"] = models(given.models, given.repeat, seconds, xla)
        print(models_table(results["models"]), f"\nworst: {results['models']['worst']}\n")
    if given.functions or given.all:
        results["functions"] = functions(given.repeat, seconds)
        print(functions_table(results["functions"]), "\n")
    if given.save:
        save(results)


def save(results: dict[str, Any]) -> None:
    """Keep what was measured; what was not stays as it was, where it is of the same machine and versions."""
    told = machine()
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    kept = before if before.get("machine") == told else {}
    if "ratios" in results:
        results["ratios"] = dict(sorted({**kept.get("ratios", {}), **results["ratios"]}.items()))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({**kept, "machine": told, **results}, indent=2) + "\n")
    PAGE.write_text(filled_page(json.loads(RESULTS.read_text()), PAGE.read_text()))


if __name__ == "__main__":
    main()
