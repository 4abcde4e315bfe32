"""Damaged and strange texts by the thousand, with XLA's own parser and verifier as the oracle.

    python benchmarks/fuzz.py --minutes 60                  # all kinds in turn, from a seed of its own
    python benchmarks/fuzz.py --damaged 10000 --cut 2000    # so many of a kind; --seed to see the same ones again
    python benchmarks/fuzz.py --shown 100000 --minutes 90   # or as many as there is time for

A process for each core works, unless --jobs says otherwise. Each finding is printed, and kept in `--keep FOLDER`; exit
code 1 when there is one. What may be said of a text, and what was found so far: docs/robustness.md. Needs the jaxlib
that XLA can be asked through (0.10 or newer).
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from tabulate import tabulate

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

from fuzz.judge import Finding, Judge  # noqa: E402 - the path to it is set just above
from fuzz.mutants import Mutator  # noqa: E402
from fuzz.pool import printed  # noqa: E402
from random_hlo import drawn  # noqa: E402
from xla_reference import VERIFIES, verified  # noqa: E402

AT_ONCE = 100
"""Cases that a process judges before it says what it found: they have a seed of their own."""
DRAWN = 20
"""Random programs drawn at a time."""


def damaged(judge: Judge, seed: int) -> Iterator[Finding | None]:
    return map(judge.judge, Mutator(printed(), seed).mutants())


def cut(judge: Judge, seed: int) -> Iterator[Finding | None]:
    return map(judge.judge, Mutator(printed(), seed).truncations())


def valid(judge: Judge, seed: int) -> Iterator[Finding | None]:
    for number in itertools.count(seed * AT_ONCE):
        yield from map(judge.judge_valid, drawn(DRAWN, number))


def nearly_valid(judge: Judge, seed: int) -> Iterator[Finding | None]:
    for number in itertools.count(seed * AT_ONCE):
        texts = [text for text in drawn(DRAWN, number) if verified(text).accepted]
        yield from map(judge.judge, itertools.islice(Mutator(texts, number).mutants(), 10 * len(texts)))


def shown(judge: Judge, seed: int) -> Iterator[Finding | None]:
    return map(judge.judge_outputs, Mutator(printed(), seed).mutants())


KINDS: dict[str, tuple[str, Callable[[Judge, int], Iterator[Finding | None]]]] = {
    "damaged": ("compiled texts, damaged", damaged),
    "cut": ("compiled texts, cut off", cut),
    "valid": ("random programs", valid),
    "nearly-valid": ("random programs, damaged", nearly_valid),
    "shown": ("damaged texts, every output", shown),
}
"""By its word on the command line: what a kind of cases is, and how they are judged one after the other from a seed."""


@dataclass
class Progress:
    """How far a kind of cases has got, and what was said of them."""

    wanted: int | None
    """None: as many as there is time for."""
    given: int = 0
    """To processes, which may still be at it."""
    done: int = 0
    tally: Counter[str] = field(default_factory=Counter)

    @property
    def left(self) -> int:
        return AT_ONCE if self.wanted is None else min(AT_ONCE, self.wanted - self.given)


def judged(kind: str, seed: int, number: int) -> tuple[str, int, Counter[str], list[Finding]]:
    """What is said of so many cases of a kind, in a process of its own."""
    judge = Judge()
    findings = itertools.islice(KINDS[kind][1](judge, seed), number)
    return kind, number, judge.tally, [finding for finding in findings if finding is not None]


def results(
    kinds: dict[str, Progress], seed: int, end: float, jobs: int
) -> Iterator[tuple[str, int, Counter[str], list[Finding]]]:
    """What the processes say, as it comes. Their seeds do not depend on how many processes there are."""
    seeds = itertools.count(seed * 1_000_000)
    turns = itertools.cycle(kinds)
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        running: set[Future[tuple[str, int, Counter[str], list[Finding]]]] = set()
        while True:
            while len(running) < 2 * jobs and time.monotonic() < end and any(each.left for each in kinds.values()):
                kind = next(turn for turn in turns if kinds[turn].left)
                number = kinds[kind].left
                kinds[kind].given += number
                running.add(pool.submit(judged, kind, next(seeds), number))
            if not running:
                return
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()


def main() -> int:
    parser = argparse.ArgumentParser(description="Damaged and strange HLO texts, judged with XLA as the oracle.")
    parser.add_argument(
        "--minutes", type=float, metavar="N", help="so long at most; without numbers of cases all kinds in turn, for 1"
    )
    parser.add_argument("--seed", type=int, help="where they start (default: the time)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where texts are kept of which something was found")
    for word, (what, _) in KINDS.items():
        parser.add_argument(f"--{word}", type=int, default=0, metavar="N", help=f"so many {what}")
    options = parser.parse_args()
    if not VERIFIES:
        parser.error("the installed jaxlib does not let us ask XLA's verifier: 0.10 and newer do")
    seed = options.seed if options.seed is not None else int(time.time())
    print(f"seed {seed}", file=sys.stderr)

    wanted = {word: getattr(options, word.replace("-", "_")) for word in KINDS}
    counted = any(wanted.values())
    kinds = {word: Progress(number if counted else None) for word, number in wanted.items() if number or not counted}
    minutes = options.minutes if options.minutes is not None else float("inf") if counted else 1.0
    found = 0
    for kind, number, tally, findings in results(kinds, seed, time.monotonic() + 60 * minutes, options.jobs):
        kinds[kind].done += number
        kinds[kind].tally += tally
        for finding in findings:
            found += 1
            keep(finding, found, options.keep)
        if kinds[kind].done % 1000 < number:
            print(f"{kinds[kind].done:,} {KINDS[kind][0]}: {found} findings", file=sys.stderr, flush=True)
    print(table(kinds))
    return 1 if found else 0


def keep(finding: Finding, number: int, folder: Path | None) -> None:
    print(finding, file=sys.stderr, flush=True)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{number:04}-{finding.kind.replace(' ', '-')}"
        (folder / f"{name}.hlo").write_bytes(finding.text.encode(errors="surrogatepass"))
        (folder / f"{name}.txt").write_text(f"{finding}\n", errors="replace")


def table(kinds: dict[str, Progress]) -> str:
    """A row for each kind of cases, a column for each thing that was said of them."""
    said = list(dict.fromkeys(word for kind in kinds.values() for word in sorted(kind.tally)))
    rows = [
        [KINDS[word][0], kind.done, *(kind.tally[word] or "" for word in said)]
        for word, kind in kinds.items()
        if kind.done
    ]
    columns = [["cases", *(row[0] for row in rows)]]
    for number, word in enumerate(["number", *said], start=1):
        column = [row[number] for row in rows]
        if any(column):
            columns.append([word, *column])
    return str(tabulate(columns[1:], headers=columns[0]))


if __name__ == "__main__":
    sys.exit(main())
