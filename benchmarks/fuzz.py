"""Damaged and strange texts by the thousand, with XLA's own parser and verifier as the oracle.

    python benchmarks/fuzz.py --minutes 60                  # all kinds in turn, from a seed of its own
    python benchmarks/fuzz.py --damaged 10000 --cut 2000    # so many of a kind; --seed to see the same ones again

Each finding is printed, and kept in `--keep FOLDER`; exit code 1 when there is one. What may be said of a text, and
what was found so far: docs/robustness.md. Needs the jaxlib that XLA can be asked through (0.10 or newer).
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

from fuzz.judge import Finding, Judge  # noqa: E402 - the path to it is set just above
from fuzz.mutants import Mutator  # noqa: E402
from fuzz.pool import printed  # noqa: E402
from random_hlo import drawn  # noqa: E402
from xla_reference import VERIFIES, verified  # noqa: E402

AT_ONCE = 20
"""Random programs drawn at a time, and cases of a kind between two looks at the clock."""


@dataclass
class Kind:
    """A kind of cases: its word on the command line, what it is, and its cases, judged one after the other."""

    word: str
    what: str
    judge: Judge
    cases: Iterator[Finding | None]
    wanted: int = 0
    done: int = 0


def valid(judge: Judge, seed: int) -> Iterator[Finding | None]:
    for number in itertools.count(seed):
        yield from map(judge.judge_valid, drawn(AT_ONCE, number))


def nearly_valid(judge: Judge, seed: int) -> Iterator[Finding | None]:
    for number in itertools.count(seed):
        texts = [text for text in drawn(AT_ONCE, number) if verified(text).accepted]
        yield from map(judge.judge, itertools.islice(Mutator(texts, number).mutants(), 10 * len(texts)))


def kinds(seed: int) -> list[Kind]:
    def made(word: str, what: str, cases: Callable[[Judge], Iterator[Finding | None]]) -> Kind:
        judge = Judge()
        return Kind(word, what, judge, cases(judge))

    def mutator() -> Mutator:
        return Mutator(printed(), seed)

    return [
        made("damaged", "compiled texts, damaged", lambda judge: map(judge.judge, mutator().mutants())),
        made("cut", "compiled texts, cut off", lambda judge: map(judge.judge, mutator().truncations())),
        made("valid", "random programs", lambda judge: valid(judge, seed)),
        made("nearly-valid", "random programs, damaged", lambda judge: nearly_valid(judge, seed)),
        made("shown", "damaged texts, every output", lambda judge: map(judge.judge_outputs, mutator().mutants())),
        made("pairs", "whole and damaged, compared", lambda judge: map(judge.judge_pair, mutator().mutants())),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="Damaged and strange HLO texts, judged with XLA as the oracle.")
    parser.add_argument("--minutes", type=float, metavar="N", help="all kinds in turn for so long (default: 1)")
    parser.add_argument("--seed", type=int, help="where they start (default: the time)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where texts are kept of which something was found")
    for kind in kinds(0):
        parser.add_argument(f"--{kind.word}", type=int, default=0, metavar="N", help=f"so many {kind.what}")
    options = parser.parse_args()
    if not VERIFIES:
        parser.error("the installed jaxlib does not let us ask XLA's verifier: 0.10 and newer do")
    seed = options.seed if options.seed is not None else int(time.time())
    print(f"seed {seed}", file=sys.stderr)

    found: list[Finding] = []
    running = kinds(seed)
    for kind in running:
        kind.wanted = getattr(options, kind.word.replace("-", "_"))
    counted = any(kind.wanted for kind in running)
    end = time.monotonic() + 60 * (options.minutes if options.minutes is not None else 1.0)
    while any(kind.done < kind.wanted for kind in running) if counted else time.monotonic() < end:
        for kind in running:
            number = min(AT_ONCE, kind.wanted - kind.done) if counted else AT_ONCE
            for finding in itertools.islice(kind.cases, max(0, number)):
                kind.done += 1
                if finding is not None:
                    found.append(finding)
                    keep(finding, len(found), options.keep)
    print(table(running))
    return 1 if found else 0


def keep(finding: Finding, number: int, folder: Path | None) -> None:
    print(finding, file=sys.stderr, flush=True)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{number:04}-{finding.kind.replace(' ', '-')}"
        (folder / f"{name}.hlo").write_bytes(finding.text.encode(errors="surrogatepass"))
        (folder / f"{name}.txt").write_text(f"{finding}\n", errors="replace")


def table(running: list[Kind]) -> str:
    """A row for each kind of cases, a column for each thing that was said of them."""
    said = list(dict.fromkeys(word for kind in running for word in sorted(kind.judge.tally)))
    rows = [[kind.what, kind.done, *(kind.judge.tally[word] or "" for word in said)] for kind in running if kind.done]
    columns = [["cases", *(row[0] for row in rows)]]
    for number, word in enumerate(["number", *said], start=1):
        column = [row[number] for row in rows]
        if any(column):
            columns.append([word, *column])
    return str(tabulate(columns[1:], headers=columns[0]))


if __name__ == "__main__":
    sys.exit(main())
