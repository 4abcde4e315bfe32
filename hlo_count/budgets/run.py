"""The end of a test run: snapshots taken over or dropped, the report, the summary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hlo_count.budgets.hold import Record
from hlo_count.budgets.snapshot import FOLDER, file_for, load_snapshots, save_snapshots, test_file_is_gone
from hlo_count.errors import HloCountError
from hlo_count.layout import aligned, cut

RUN_FORMAT = 1
"""Version of the file that --flop-report writes."""

_NEAREST = 5


@dataclass(slots=True)
class TestRun:
    """One test: what it counted, and how it went. `complete` once it has been called to the end."""

    records: list[Record] = field(default_factory=list)
    failed: bool = False
    complete: bool = False

    __test__ = False

    @property
    def passed(self) -> bool:
        return self.complete and not self.failed


@dataclass(slots=True)
class Collected:
    """What pytest found: the ids of the tests of each file, deselected ones too, and the files it saw all of."""

    tests: dict[str, dict[str, str]] = field(default_factory=dict)
    """By file: test id, and the node id of the whole."""
    whole: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Update:
    """What became of the snapshots, and what could not be written."""

    written: int = 0
    dropped: int = 0
    unchanged: int = 0
    problems: list[str] = field(default_factory=list)


def update_snapshots(
    tests: Mapping[str, TestRun], collected: Collected, *, target: str | None, may_drop: bool
) -> Update:
    """Write what passing tests counted, and drop what no test asks for.

    A stored key goes when its test passed without asking for it; when its file was collected whole and no test has its
    id; and when its test file is gone. Skipped, failed and deselected tests keep theirs, and a run for one `target`
    those of runs for others.
    """
    update = Update()
    new: dict[Path, dict[str, Record]] = {}
    for test in tests.values():
        for record in test.records if test.passed else ():
            if "snapshot" in record:
                new.setdefault(Path(record["file"]), {})[record["key"]] = record["snapshot"]
    files = {*new}
    if may_drop:
        files |= {file_for(Path(path)) for path in collected.tests} | {file_for(Path(p)) for p in collected.whole}
        folders = {file.parent for file in files}
        files |= {f for folder in folders if folder.is_dir() for f in folder.glob("*.json") if test_file_is_gone(f)}
    by_file = {file_for(Path(path)): path for path in {*collected.tests, *collected.whole}}
    for file in sorted(files):
        try:
            _update_file(file, new.get(file, {}), by_file.get(file), tests, collected, target, may_drop, update)
        except HloCountError as problem:
            update.problems.append(str(problem))
        except OSError as problem:
            keys = ", ".join(new.get(file, {})) or "what no test asks for"
            reason = problem.strerror or problem
            update.problems.append(f"{file}: cannot be written ({reason}); not updated: {keys}")
    return update


def _update_file(
    file: Path,
    new: dict[str, Record],
    test_file: str | None,
    tests: Mapping[str, TestRun],
    collected: Collected,
    target: str | None,
    may_drop: bool,
    update: Update,
) -> None:
    stored = load_snapshots(file)
    kept = dict(stored)
    if may_drop:
        gone = test_file is None and test_file_is_gone(file)
        for key in stored.keys() - new.keys():
            if gone or (test_file is not None and _is_orphan(key, test_file, tests, collected, target)):
                del kept[key]
    dropped = len(stored) - len(kept)
    kept |= new
    if kept != stored:
        save_snapshots(file, kept)
    update.dropped += dropped
    changed = sum(stored.get(key) != entry for key, entry in new.items())
    update.written += changed
    update.unchanged += len(new) - changed


def _is_orphan(
    key: str, test_file: str, tests: Mapping[str, TestRun], collected: Collected, target: str | None
) -> bool:
    ids = collected.tests.get(test_file, {})
    found = next(((test, node) for test, node in ids.items() if owns(test, key)), None)
    if found is None:
        return test_file in collected.whole
    test, node = found
    was_for_it = owns(key_of(test, target), key) if target else not key.startswith(f"{test}{_FOR}")
    return was_for_it and node in tests and tests[node].passed


_FOR = " @ "


def key_of(test: str, target: str | None, name: str = "") -> str:
    """Where a snapshot stands: the test's id, the target that the run is for, and a name that the test gives."""
    return test + (f"{_FOR}{target}" if target else "") + (f" / {name}" if name else "")


def owns(test: str, key: str) -> bool:
    """Whether a key is of this test: its id alone, or followed by a target or a name."""
    return key == test or key.startswith((f"{test}{_FOR}", f"{test} / "))


def report_data(tests: Mapping[str, TestRun]) -> dict[str, object]:
    """All counts of a run as plain data."""
    return {
        "format": RUN_FORMAT,
        "tests": {
            node: {
                "outcome": "passed" if test.passed else "failed",
                "counts": [{k: v for k, v in r.items() if k not in ("snapshot", "file")} for r in test.records],
            }
            for node, test in tests.items()
            if test.records
        },
    }


def summary_lines(tests: Mapping[str, TestRun], update: Update | None) -> list[str]:
    """How many tests have budgets, which limits are nearest, what became of the snapshots."""
    records = [(node, record) for node, test in tests.items() for record in test.records]
    limits = [(m, node) for node, record in records for m in record["measured"]]
    counted = {kind: {node for node, r in records if r["kind"] == kind} for kind in ("budget", "snapshot")}
    exceeded = sum(record["exceeded"] for _, record in records)
    parts = [f"{len(counted['budget'])} with budgets", f"{len(counted['snapshot'])} with snapshots"]
    lines = [f"tests: {', '.join(parts)}; {exceeded or 'no'} {'count' if exceeded == 1 else 'counts'} beyond the limit"]
    near = sorted((m for m in limits if m[0]["headroom"] is not None), key=lambda m: m[0]["headroom"])[:_NEAREST]
    if near:
        rows = [("headroom", "nearest", "actual", "limit", "test")]
        rows += [
            (f"{100 * m['headroom']:.1f} %", m["name"], m["actual"], m["limit"], cut(node, 50, "start"))
            for m, node in near
        ]
        lines += [cut(line, 100) for line in aligned(rows, "><>><")]
    unsure = list(dict.fromkeys(node for node, record in records if record["status"] == "lower bound"))
    if unsure:
        named = cut(", ".join(unsure), 60)
        lines.append(f"lower bounds, whose unknown part is not held: {named}")
    if update is not None:
        became = f"{update.written} written, {update.dropped} dropped, {update.unchanged} as they were"
        lines.append(f"snapshots in {FOLDER}: {became}")
        lines += [f"ERROR {problem}" for problem in update.problems]
    return lines
