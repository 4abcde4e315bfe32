"""What may be said of a damaged text: the contract of docs/counting.md on what a text must be to be counted.

XLA's own parser and verifier are the oracle. They are asked only where it matters what they say, as they take longer
than we do.
"""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from xla_reference import COMPARABLE, Reference, verified

import hlo_count as hc
from fuzz.memory import peak_above
from fuzz.mutants import Mutant
from fuzz.outputs import outputs_of
from fuzz.pool import printed
from hlo_count.hlo.excerpts import excerpt
from hlo_count.hlo.lines import with_newlines
from hlo_count.visitors.xla import xla_cost

BUG = "or hlo_count has a bug"
AMOUNTS = ("flops", "transcendentals", "int_ops", "other_ops", "bytes_read", "bytes_written", "network_bytes")
SLOWEST = 5.0
"""Seconds of the processor that one text may take, all outputs together."""


def most_memory(text: str) -> int:
    """Bytes that reading and showing a text may take: twenty times the text, and 64 MB."""
    return 20 * len(text.encode(errors="replace")) + 64 * 10**6


@dataclass(frozen=True)
class Said:
    """What hlo_count says of a text."""

    amounts: tuple[int, ...] = ()
    status: str = ""
    refused: str = ""
    escaped: str = ""
    """The traceback of what is no HloCountError."""
    report: hc.Report | None = None


def say(text: str) -> Said:
    try:
        report = hc.count(text)
        return Said(tuple(getattr(report, name) for name in AMOUNTS), report.status, report=report)
    except hc.HloCountError as problem:
        return Said(refused=str(problem))
    except Exception:
        return Said(escaped=traceback.format_exc())


@cache
def amounts_of_whole(text: str) -> tuple[int, ...]:
    """Of each text that others were made of, once."""
    return say(text).amounts


@cache
def report_of_whole(text: str) -> hc.Report:
    """The same, with all that is worked out of it once."""
    return hc.count(text)


@cache
def import_all() -> None:
    """What is imported when it is first needed is of no text: for a kernel of a TPU, and by each output."""
    report = hc.count(next(text for text in printed() if "tpu_custom_call" in text))
    for output in outputs_of(report, report).values():
        output()


@dataclass(frozen=True)
class Finding:
    """A text of which something was said that may not be said."""

    kind: str
    text: str
    what: str
    done: str = ""

    def __str__(self) -> str:
        return f"{self.kind}{f' ({self.done})' if self.done else ''}: {self.what}"


@dataclass
class Judge:
    """Judges one text after the other, and keeps the tally: of what was said, and of what was wrong with it."""

    tally: Counter[str] = field(default_factory=Counter)

    def judge(self, mutant: Mutant) -> Finding | None:
        """What is wrong with what is said of a damaged text; None where nothing is."""
        said = say(mutant.text)
        self.tally[said.status or ("refused" if said.refused else "escape")] += 1
        if said.status == "exact" and said.amounts != amounts_of_whole(mutant.whole):
            return self._other_figures(mutant, said)
        return self._words(mutant, said.escaped, said.refused)

    def judge_valid(self, text: str) -> Finding | None:
        """What is wrong with what is said of a text that XLA's parser takes: where its verifier does, we do."""
        mutant, said = Mutant(text, (text,), ""), say(text)
        self.tally[said.status or ("refused" if said.refused else "escape")] += 1
        if said.refused and (xla := self._xla(text)).accepted:
            return self._found(mutant, "refused alone", said.refused)
        if said.refused or said.escaped:
            return self._words(mutant, said.escaped, said.refused)
        xla = self._xla(text)
        return self._misread(mutant, xla) if xla.accepted else None

    def judge_outputs(self, mutant: Mutant) -> Finding | None:
        """What is wrong with all that is shown of a damaged text, and of it beside the whole one, and with the time
        and the memory that it takes."""
        import_all()
        whole = report_of_whole(mutant.whole)
        start = time.process_time()
        finding: list[Finding | None] = []

        def show() -> None:
            said = say(mutant.text)
            self.tally["shown" if said.report is not None else "refused"] += 1
            finding.append(self._words(mutant, said.escaped, said.refused))
            if said.report is not None:
                for name, output in outputs_of(said.report, whole).items():
                    finding.append(self._try(mutant, name, output))

        memory = peak_above(show)
        seconds = time.process_time() - start
        if memory > most_memory(mutant.text):
            finding.append(self._found(mutant, "large", f"{memory / 1e6:.0f} MB for {len(mutant.text)} characters"))
        if seconds > SLOWEST:
            finding.append(self._found(mutant, "slow", f"{seconds:.1f} s for {len(mutant.text)} characters"))
        return next((each for each in finding if each is not None), None)

    def _other_figures(self, mutant: Mutant, said: Said) -> Finding | None:
        """An exact count that is not that of the whole text: XLA must take the text, and count the same."""
        self.tally["exact and other figures"] += 1
        xla = self._xla(mutant.text)
        if xla.accepted:
            self.tally["exact and other figures, XLA takes it"] += 1
            return self._misread(mutant, xla)
        if any(say(text).amounts == said.amounts and self._xla(text).accepted for text in mutant.before[1:]):
            return None  # what was done first made a whole text of other figures, what was done then changed none
        whole = amounts_of_whole(mutant.whole)
        pairs = zip(AMOUNTS, said.amounts, whole, strict=True)
        other = ", ".join(f"{name} {ours}, of the whole {theirs}" for name, ours, theirs in pairs if ours != theirs)
        return self._found(mutant, "exact but refused by XLA", f"{other}\n{xla.refused or xla.unverified}")

    def _misread(self, mutant: Mutant, xla: Reference) -> Finding | None:
        """A text that XLA takes is the program that XLA reads: its figures are ours of the convention `xla`."""
        cost = xla_cost(hc.parse(mutant.text))
        ours, theirs = (cost.flops, cost.transcendentals, cost.bytes)[:COMPARABLE], xla.figures[:COMPARABLE]
        return self._found(mutant, "misread", f"we say {ours}, XLA {theirs}") if ours != theirs else None

    def _try(self, mutant: Mutant, name: str, output: Callable[[], object]) -> Finding | None:
        try:
            output()
        except hc.HloCountError as problem:
            return self._words(mutant, "", str(problem))
        except Exception:
            return self._found(mutant, "escape", f"{name}: {traceback.format_exc()}")
        return None

    def _words(self, mutant: Mutant, escaped: str, refused: str) -> Finding | None:
        """Any other exception than ours, or our own bugs laid at a text that XLA takes."""
        if escaped:
            return self._found(mutant, "escape", escaped)
        if BUG in refused and self._xla(mutant.text).accepted:
            return self._found(mutant, "bug message", refused)
        return None

    def _found(self, mutant: Mutant, kind: str, what: str) -> Finding:
        self.tally[kind] += 1
        return Finding(kind, mutant.text, what, mutant.done)

    def _xla(self, text: str) -> Reference:
        """Of the module that we read in a text: XLA's parser knows no logs."""
        self.tally["asked of XLA"] += 1
        try:
            own = excerpt(with_newlines(text), None).text
        except hc.HloCountError:
            own = text
        return verified(own)
