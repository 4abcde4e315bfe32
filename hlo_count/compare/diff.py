"""`diff`: two programs, or one before and after optimization, and what became of every operation and byte."""

from __future__ import annotations

import functools
import types
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

from hlo_count.compare.explain import Share, explain
from hlo_count.compare.items import Program
from hlo_count.compare.reasons import UNMATCHED
from hlo_count.compare.rows import KEYS, Change, Row, changes, grouped
from hlo_count.errors import HloCountError
from hlo_count.hlo import Module
from hlo_count.hlo.garbage import no_garbage_collection
from hlo_count.lowering.stored import is_stored
from hlo_count.report.breakdown import KEYS as BREAKDOWNS
from hlo_count.report.counting import count, opened
from hlo_count.report.export import COUNTERS, cost_dict
from hlo_count.report.keywords import of_function
from hlo_count.report.report import Report
from hlo_count.visitors.cost import Cost

_COUNT_KEYWORDS = ("target", "trip_counts", "branches", "compiler_options", "strict", "mesh", "in_specs")
PEAK = "peak_bytes"


class Diff:
    """What it takes to get from the counts of `before` to those of `after`.

    True when anything differs; `-diff` is the comparison the other way round. The counts themselves are those of the
    two Reports: where one is a lower bound, so is the difference.
    """

    def __init__(self, before: Report, after: Report, *, optimization: bool = False) -> None:
        for report in (before, after):
            if report.convention != "default":
                raise HloCountError("a diff breaks down our own count: give it reports of the default convention")
        self.before = before
        self.after = after
        self.optimization = optimization
        """Whether one of them is what the compiler made of the other."""
        self._turned: Diff | None = None
        """The comparison that this is the other way round, where it was made from one."""

    @cached_property
    def _shares(self) -> tuple[list[Share], list[Share]]:
        if self._turned is not None:
            before, after = self._turned._shares
            return [_against(share) for share in after], [_against(share) for share in before]
        labels: dict[Any, int] = {}
        with no_garbage_collection():
            one, other = Program(self.before, labels), Program(self.after, labels)
            return explain(one, other, optimization=self.optimization)

    @cached_property
    def rows(self) -> list[Change]:
        """What changed, by scope, source line, opcode and reason, largest change first; adds up to `change` exactly.

        The amounts do. A status stays with the instructions that it is about: one that did not change has no row.
        """
        with no_garbage_collection():
            return changes(*self._shares)

    @property
    def change(self) -> Cost:
        """The difference of the totals, after - before."""
        return self.after.total - self.before.total

    def by(self, key: str, *, depth: int = 2) -> list[Row]:
        """Rows by "reason", "scope" (`depth` levels), "source", "opcode", "class" or another key of `Report.by`.

        Their `before` and `after` are those of the two reports' own breakdowns, so that each adds up to its total, all
        but "memory_space": its rows hold no operations, and as `bytes` the traffic of their own memory, which the
        totals count only of main memory. Largest change first. Raises HloCountError for another key.
        """
        check_key(key)
        with no_garbage_collection():
            return grouped(*self._shares, key, depth, (self.before.backend, self.after.backend))

    @cached_property
    def matched(self) -> tuple[float, float]:
        """The part of what runs, before and after, that has a partner in the other program; 1 of nothing."""
        return tuple(_part(shares) for shares in self._shares)  # type: ignore[return-value]

    @property
    def unmatched(self) -> tuple[Cost, Cost]:
        """What the instructions cost that have no partner and no other reason, before and after."""
        one, other = (Cost.sum(s.cost for s in side if s.reason.kind in UNMATCHED) for side in self._shares)
        return one, other

    @property
    def notes(self) -> list[str]:
        """What has to be known to read the figures."""
        return list(_notes(self))

    def exceeds(self, limits: Mapping[str, float]) -> list[str]:
        """A line for each counter that grew by more than its limit: {"bytes": 0.05} is 5 %, "*" any counter.

        A counter that was 0 exceeds any limit. Raises HloCountError as `check_limits` does.
        """
        check_limits(limits, optimization=self.optimization)
        found: list[str] = []
        for name in self.counters:
            limit = limits.get(name, limits.get("*"))
            if limit is None:
                continue
            one, other = getattr(self.before, name), getattr(self.after, name)
            if other > one * (1 + limit):
                grew = f"{100 * (other / one - 1):+.2f} %" if one else "from 0"
                found.append(f"{name}: {one:,} -> {other:,} ({grew}), more than {100 * limit:g} %")
        return found

    @property
    def counters(self) -> tuple[str, ...]:
        """What of both reports can be compared: peak memory only where both programs are compiled."""
        return COUNTERS if self.optimization else (*COUNTERS, PEAK)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, for JSON; amounts that change are after - before."""
        return {
            "format": 1,
            "before": self._totals(self.before),
            "after": self._totals(self.after),
            "optimization": self.optimization,
            "differs": bool(self),
            "matched": {"before": self.matched[0], "after": self.matched[1]},
            "notes": self.notes,
            "change": _counters(self.change),
            "rows": [
                {
                    "scope": row.scope,
                    "source": row.source,
                    "opcode": row.opcode,
                    "class": row.op_class,
                    "reason": row.reason,
                    "before": _counters(row.before),
                    "after": _counters(row.after),
                    "instructions": list(row.instructions),
                }
                for row in self.rows
            ],
            "by": {
                key: [
                    {
                        "name": row.name,
                        "reason": row.reason,
                        "before": _counters(row.before),
                        "after": _counters(row.after),
                    }
                    for row in self.by(key)
                    if row.reason
                ]
                for key in KEYS
            },
        }

    def _totals(self, report: Report) -> dict[str, Any]:
        peak = {} if self.optimization else {PEAK: report.peak_bytes}
        return {"name": report.name, "stage": report.stage, **cost_dict(report.total), **peak}

    def table(self, by: str | None = None, *, depth: int = 2, rows: int = 8) -> str:
        """Text of at most 100 columns: the totals, then at most `rows` rows by `by`; by reason, scope, source, opcode
        and class without it."""
        from hlo_count.compare.diff_table import render

        if by:
            check_key(by)
        with no_garbage_collection():
            return render(self, (by,) if by else KEYS, depth, rows)

    def markdown(self, *, rows: int = 8) -> str:
        """The totals and what changed by reason and scope, as tables for a pull request comment."""
        from hlo_count.compare.diff_table import render_markdown

        return render_markdown(self, rows)

    def __neg__(self) -> Diff:
        turned = Diff(self.after, self.before, optimization=self.optimization)
        turned._turned = self
        return turned

    def __getstate__(self) -> dict[str, Any]:
        """The two reports: what became of what is worked out again when it is asked for."""
        return {"before": self.before, "after": self.after, "optimization": self.optimization, "_turned": self._turned}

    def __eq__(self, other: object) -> bool:
        """Whether it compares the same two programs, in the same direction."""
        return isinstance(other, Diff) and self.__getstate__() == other.__getstate__()

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        return bool(self.rows)

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        change = self.change
        return f"<Diff {self.before.name} -> {self.after.name}: {change.flops:+,} FLOP, {change.bytes:+,} bytes>"


def diff(first: Any, /, *rest: Any, **keywords: Any) -> Diff:
    """Compare two programs, or one before and after optimization.

    `diff(a, b)`: reports, modules, HLO texts (a str), files (a pathlib.Path), `jax.stages` objects or functions, in any
    combination; functions among them are called as `diff(a, b, *args, **kwargs)`, both with the same arguments.
    `diff(fn, *args, **kwargs)`: the program as JAX emits it, where each operation is a kernel that reads its operands
    from memory and writes its result, against what the compiler makes of it. The keywords of `count` are understood.

    A second positional argument is taken for a program when it is one of the above, a str only if it holds HLO; other
    callables (a model that is a pytree) are arguments. To compare with such a callable, count it first.

    Raises HloCountError as `count` does, and for reports of the `xla` convention.
    """
    if isinstance(first, str) and not _is_program(first):
        raise HloCountError(f"diff: {first!r} is no HLO text; pass a file as pathlib.Path({first!r})")
    if rest and _is_program(rest[0]):
        second, *args = rest
        return Diff(_report(first, args, keywords), _report(second, args, keywords))
    first = _opened(first)
    if isinstance(first, Report | Module | str):
        if rest and isinstance(rest[0], str):
            raise HloCountError(f"diff: {rest[0]!r} is no HLO text; pass a file as pathlib.Path({rest[0]!r})")
        raise HloCountError(f"diff compares a {type(first).__name__} with another program: pass two")
    return _optimization(first, rest, keywords)


def check_limits(limits: Mapping[str, float], *, optimization: bool) -> None:
    """Raise HloCountError for limits that `Diff.exceeds` does not take: {counter: part of what it was}.

    Counters are those of a Cost and "peak_bytes", which is not known of a program before `optimization`.
    """
    for name, limit in limits.items():
        if name not in ("*", *COUNTERS, PEAK):
            raise HloCountError(f"no counter is called {name!r}: use {', '.join((*COUNTERS, PEAK))}, or * for all")
        if name == PEAK and optimization:
            raise HloCountError("peak_bytes is not known before optimization: compare two programs")
        if not (isfinite(limit) and limit >= 0):
            raise HloCountError(f"{name}={limit:g}: a limit is a part of what it was, 0.05 for 5 %")


def check_key(key: str) -> None:
    keys = dict.fromkeys((*KEYS, *BREAKDOWNS))
    if key not in keys:
        near = get_close_matches(key, keys, 1)
        hint = f", did you mean {near[0]!r}?" if near else ":"
        raise HloCountError(f"by({key!r}): no such key{hint} {', '.join(keys)}")


def _optimization(fn: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> Diff:
    from hlo_count.hlo import parse
    from hlo_count.lowering import lower
    from hlo_count.visitors.settings import Settings

    own = {name: value for name, value in keywords.items() if name in _COUNT_KEYWORDS}
    others = {name: value for name, value in keywords.items() if name not in (*_COUNT_KEYWORDS, "kwargs")}
    named = of_function(fn, args, others, keywords.get("kwargs"), own, "diff")
    options = {name: keywords[name] for name in ("target", "mesh", "in_specs") if name in keywords}
    program = lower(fn, args, named, optimized=False, **options)
    after = count(fn, *args, **keywords)
    settings = Settings(dict(keywords.get("trip_counts") or {}), dict(keywords.get("branches") or {}))
    before = Report(
        parse(program.text),
        backend=program.backend,
        num_devices=program.num_devices,
        jax_version=program.jax_version,
        target=program.target,
        settings=settings,
        strict=bool(keywords.get("strict")),
    )
    return Diff(before, after, optimization=True)


def _is_program(value: Any) -> bool:
    if isinstance(value, str):
        return "ENTRY" in value or "HloModule" in value or "stablehlo." in value
    if isinstance(value, Report | Module | Path | bytes) or is_stored(value):
        return True
    if isinstance(value, types.FunctionType | types.MethodType | types.BuiltinFunctionType):
        return True
    if type(value) is functools.partial:
        return True
    return _is_stage(value) or (hasattr(value, "lower") and hasattr(value, "__wrapped__"))


def _is_stage(value: Any) -> bool:
    from hlo_count.lowering import stage_in

    return hasattr(value, "as_text") or stage_in(value) is not None


def _report(program: Any, args: list[Any], keywords: dict[str, Any]) -> Report:
    if isinstance(program, Report):
        return program
    program = _opened(program)
    if is_stored(program):
        return count(program, **{n: v for n, v in keywords.items() if n in _COUNT_KEYWORDS})
    if isinstance(program, Module | str) or _is_stage(program):
        return count(program, **{n: v for n, v in keywords.items() if n in ("trip_counts", "branches", "strict")})
    return count(program, *args, **keywords)


def _opened(program: Any) -> Any:
    """What a file or bytes hold; a str is left for `count`, unless it is a program to compile."""
    if isinstance(program, str | Path | bytes | bytearray):
        return opened(program) if not isinstance(program, str) or "stablehlo." in program else program
    return program


def _against(share: Share) -> Share:
    return Share(share.item, share.cost, -share.reason, share.stands)


def _part(shares: list[Share]) -> float:
    items = {share.item for share in shares if share.item.cost and share.item.opcode != "fusion"}
    total = sum(item.times for item in items)
    return float(1 - sum(item.left for item in items) / total) if total else 1.0


def _counters(cost: Cost) -> dict[str, int]:
    return {name: getattr(cost, name) for name in COUNTERS}


def _notes(diff: Diff) -> list[str]:
    notes: list[str] = []
    reports = (diff.before, diff.after)
    if diff.optimization:
        notes.append(
            "before optimization every operation is a kernel: it reads its operands from memory and writes its result"
        )
    whole = [word for word, r in zip(("before", "after"), reports, strict=True) if r.stage == "unpartitioned"]
    if len(whole) == 1:
        devices = max(report.num_devices for report in reports)
        notes.append(
            f"{whole[0]} is not partitioned: its counts are those of all {devices} devices together, "
            "those of the other are of one"
        )
    elif reports[0].num_devices != reports[1].num_devices:
        counts = " and ".join(str(report.num_devices) for report in reports)
        notes.append(
            f"the programs run on {counts} devices, and the counts are those of {'all together' if whole else 'one'}"
        )
    if reports[0].backend != reports[1].backend:
        notes.append(f"compiled for {reports[0].backend} and {reports[1].backend}")
    if max(diff.matched) == 0:
        notes.append("the programs have nothing in common: no instruction of one was found in the other")
    elif min(diff.matched) < 1 and not diff.optimization:
        one, other = (f"{100 * part:.1f} %" for part in diff.matched)
        notes.append(f"{one} of what runs before and {other} of what runs after was found in the other program")
    for word, report in zip(("before", "after"), reports, strict=True):
        if report.status != "exact":
            notes.append(f"{word} is {'an' if report.status == 'estimate' else 'a'} {report.status}: see its unknowns")
    said = {
        note: [word for word, r in zip(("before", "after"), reports, strict=True) if note in r.notes]
        for report in reports
        for note in report.notes
    }
    notes += [f"{' and '.join(words)}: {note}" for note, words in said.items()]
    return notes
