"""How many modules our figures of the convention `xla` equal XLA's own on, bit for bit, per counter.

    python benchmarks/conformance.py       # conformance modules (where they are), fixtures, random programs
    python benchmarks/conformance.py --random 5000 --seed 7

The stored figures of the conformance modules, and bytes in general, are those of jaxlib 0.10.2. Exit code 1
when any module differs; each is named.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from tabulate import tabulate

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

import fixture_files  # noqa: E402 - the path to it is set just above
from conformance_modules import conformance_modules  # noqa: E402
from random_hlo import drawn  # noqa: E402
from xla_reference import COMPARABLE, FIGURES, reference  # noqa: E402

from hlo_count.hlo import parse  # noqa: E402
from hlo_count.visitors.xla import xla_cost  # noqa: E402

Sample = tuple[str, str, tuple[float, ...]]
"""A name, a text, and XLA's figures of it, as many as can be compared."""


def conformance() -> Iterator[Sample]:
    for module in conformance_modules():
        yield module["name"], module["hlo"], tuple(module["xla"].get(name, 0.0) for name in FIGURES)


def asked(name: str, text: str) -> Sample:
    answer = reference(text)
    if answer.refused is not None:
        raise SystemExit(f"XLA refuses {name}: {answer.refused}")
    return name, text, answer.figures[:COMPARABLE]


def fixtures() -> Iterator[Sample]:
    for backend in ("cpu", "tpu-v5e", "h100"):
        for name in fixture_files.compiled_names(backend):
            yield asked(f"{backend}/{name}", fixture_files.text(backend, name))


def random_programs(count: int, start: int) -> Iterator[Sample]:
    for number, text in enumerate(drawn(count, start)):
        yield asked(f"random program {number} of seed {start}", text)


def compare(name: str, samples: Iterator[Sample]) -> tuple[list[list[object]], int]:
    """A row per counter: modules compared, equal; and how many modules differ in any."""
    compared, equal = [0] * len(FIGURES), [0] * len(FIGURES)
    wrong = 0
    for sample, text, theirs in samples:
        cost = xla_cost(parse(text, filename=sample))
        ours = (cost.flops, cost.transcendentals, cost.bytes)
        for counter, (one, other) in enumerate(zip(ours, theirs, strict=False)):
            compared[counter] += 1
            equal[counter] += one == other
        if ours[: len(theirs)] != theirs:
            wrong += 1
            print(f"{sample}: we say {ours}, XLA says {theirs}", file=sys.stderr)
    return [[name, *row] for row in zip(FIGURES, compared, equal, strict=True)], wrong


def main() -> int:
    parser = argparse.ArgumentParser(description="Our xla figures against XLA's, module by module.")
    parser.add_argument("--random", type=int, default=2000, metavar="N", help="random programs (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, help="where they start (default: 0)")
    options = parser.parse_args()
    rows: list[list[object]] = []
    wrong = 0
    for name, samples in (
        ("conformance", conformance()),
        ("fixtures", fixtures()),
        ("random programs", random_programs(options.random, options.seed)),
    ):
        found, differing = compare(name, samples)
        rows += found
        wrong += differing
    print(tabulate(rows, headers=["modules", "counter", "compared", "equal"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
