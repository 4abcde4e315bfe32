"""Snapshots: the counts of a program as plain data, and the files that keep them beside the tests."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hlo_count.errors import HloCountError
from hlo_count.report.contributors import parts_of, scope_of, where
from hlo_count.report.operations import op_counts
from hlo_count.visitors.cost import OP_COUNTERS, STATUSES
from hlo_count.whole_file import replace_text

if TYPE_CHECKING:
    from hlo_count.report.report import Report

SNAPSHOT_FORMAT = 1
"""Version of a snapshot file."""

FOLDER = "__flops__"
KEPT_COUNTERS = (*OP_COUNTERS, "bytes", "bytes_read", "bytes_written", "network_bytes", "peak_bytes")
"""What a snapshot keeps and compares."""

EXPLAINED = (*OP_COUNTERS, "bytes", "network_bytes", "peak_bytes")
"""What it keeps for each line of source and each scope."""

Snapshot = dict[str, Any]
_PARTS: tuple[tuple[str, type], ...] = (
    *(("counters", dict), ("ops", dict), ("collectives", dict)),
    *(("operations", dict), ("sources", dict), ("scopes", dict)),
)


def snapshot(report: Report, root: Path) -> Snapshot:
    """The counts of a report as plain data; paths of sources below `root` are relative to it.

    Raises HloCountError in the `xla` convention, which has no breakdown.
    """
    if report.convention != "default":
        raise HloCountError("a snapshot keeps our own count; drop convention='xla'")
    amounts = ((key, amount) for key, amount in report.total.amounts.items() if key[0] in OP_COUNTERS)
    operations: Counter[str] = Counter()
    for (counter, op_class, dtype, *_), amount in amounts:
        operations[f"{counter} {op_class} {dtype}"] += amount
    return {
        "program": report.name,
        "jax": report.jax_version,
        "backend": report.backend,
        "target": None if report.target is None else str(report.target),
        "devices": report.num_devices,
        "status": report.status,
        "counters": {name: getattr(report, name) for name in KEPT_COUNTERS},
        "ops": op_counts(report.module),
        "collectives": _collectives(report),
        "operations": dict(sorted(operations.items())),
        **_explanations(report, root),
    }


def _collectives(report: Report) -> dict[str, dict[str, int]]:
    """`all-gather bf16 over 8 (data)`: how many instructions, and the bytes that all their runs send."""
    found = {
        row.label: {"ops": row.instructions, "network_bytes": row.cost.network_bytes} for row in report.collectives
    }
    return dict(sorted(found.items()))


def _explanations(report: Report, root: Path) -> dict[str, dict[str, dict[str, Any]]]:
    sources: dict[str, dict[str, Any]] = {}
    scopes: dict[str, dict[str, Any]] = {}
    for counter in EXPLAINED:
        for instruction, amount, _ in parts_of(report, counter):
            place = where(instruction, report.places)
            row = sources.get(place)
            if row is None:
                row = sources[place] = {"code": code} if (code := report.source_lines.of(place)) else {}
            row[counter] = row.get(counter, 0) + amount
            row = scopes.setdefault(scope_of(instruction) or "(no scope)", {})
            row[counter] = row.get(counter, 0) + amount
    portable = {portable_source(place, root): row for place, row in sources.items()}
    return {"sources": dict(sorted(portable.items())), "scopes": dict(sorted(scopes.items()))}


def portable_source(source: str, root: Path) -> str:
    """A `file:line` that is the same on another machine: below `root`, or by its last two parts."""
    file, colon, line = source.rpartition(":")
    if not colon or not os.path.isabs(file):
        return source
    path = Path(file)
    shown = path.relative_to(root) if path.is_relative_to(root) else Path(*path.parts[-2:])
    return f"{shown.as_posix()}:{line}"


# Files


def file_for(test_file: Path) -> Path:
    """Where the snapshots of a test file lie: `__flops__/test_model.json` beside `test_model.py`."""
    name = test_file.stem if test_file.suffix == ".py" else test_file.name
    return test_file.parent / FOLDER / f"{name}.json"


def test_file_is_gone(file: Path) -> bool:
    """Whether a snapshot file has outlived its test file."""
    beside = file.parent.parent
    return not (beside / f"{file.stem}.py").exists() and not (beside / file.stem).exists()


def load_snapshots(file: Path) -> dict[str, Snapshot]:
    """The snapshots of a file by their keys, none where there is no file.

    Raises HloCountError that names the file, and the key where one is wrong, for what is no snapshot.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as problem:
        raise HloCountError(f"{file}: cannot be read ({problem})") from None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise HloCountError(
            f"{file}: this is no JSON ({problem}); mend it, or delete it and run pytest --flop-update"
        ) from None
    if not isinstance(data, dict) or not isinstance(data.get("snapshots"), dict):
        raise HloCountError(f"{file}: this is no snapshot file; delete it and run pytest --flop-update")
    version = data.get("format")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise HloCountError(
            f"{file}: format is {version!r}, not the number of a format ({SNAPSHOT_FORMAT}); delete it and run "
            "pytest --flop-update"
        )
    if version > SNAPSHOT_FORMAT:
        raise HloCountError(
            f"{file}: format {version} was written by a newer hlo-count (this one reads {SNAPSHOT_FORMAT}); "
            f"upgrade hlo-count"
        )
    for key, entry in data["snapshots"].items():
        _validate(entry, key, file)
    return dict(data["snapshots"])


def _validate(entry: object, key: str, file: Path) -> None:
    again = "delete the entry and run pytest --flop-update"
    if not isinstance(entry, dict):
        raise HloCountError(f"{file}: key {key!r} is no snapshot; {again}")
    for name, kind in _PARTS:
        if not isinstance(entry.get(name), kind):
            raise HloCountError(f"{file}: key {key!r} has no {name!r}; {again}")
    numbers: list[tuple[str, object]] = [
        *((f"counters.{name}", entry["counters"].get(name)) for name in KEPT_COUNTERS),
        *((f"ops.{name}", number) for name, number in entry["ops"].items()),
        *((f"operations.{name}", number) for name, number in entry["operations"].items()),
    ]
    for part in ("collectives", "sources", "scopes"):
        for name, row in entry[part].items():
            if not isinstance(row, dict):
                raise HloCountError(f"{file}: key {key!r}: {part}.{name} is no row of numbers; {again}")
            numbers += [(f"{part}.{name}.{column}", n) for column, n in row.items() if column != "code"]
    for name, number in numbers:
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise HloCountError(f"{file}: key {key!r}: {name} is {number!r}, not an integer of 0 or more; {again}")
    if entry.get("status") not in STATUSES:
        known = ", ".join(STATUSES)
        raise HloCountError(f"{file}: key {key!r}: status is {entry.get('status')!r}, not one of {known}; {again}")


def save_snapshots(file: Path, snapshots: Mapping[str, Snapshot]) -> None:
    """Write a file whole or not at all; without snapshots, remove it. Raises OSError."""
    if not snapshots:
        file.unlink(missing_ok=True)
        if file.parent.is_dir() and not any(file.parent.iterdir()):
            file.parent.rmdir()
        return
    write_whole(file, {"format": SNAPSHOT_FORMAT, "snapshots": dict(sorted(snapshots.items()))})


def write_whole(file: Path, data: object) -> None:
    """JSON into a file, whole or not at all. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_text(file, json.dumps(data, indent=1, ensure_ascii=False) + "\n")
