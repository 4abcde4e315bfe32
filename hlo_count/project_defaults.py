"""`[tool.hlo_count]` of a project's pyproject.toml: what commands use where no flag says otherwise.

[tool.hlo_count]
targets = ["tpu:v5e", "h100-sxm"]       # what functions are compiled for
device = "h100-sxm"                     # whose bounds, of what is compiled for no target
width = 120                             # columns of tables

[tool.hlo_count.budgets."train.py:step"]    # a program as it is named to `count`, or a pattern
flops = "2.1 GFLOP"
max_ops = { all-gather = 0 }
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from hlo_count.command_arguments import looks_like_function
from hlo_count.errors import HloCountError
from hlo_count.layout import NARROWEST, WIDEST

_KEYS = ("targets", "device", "width", "budgets")
_OF_SEVERAL = ("count", "demo", "roofline", "size")
"""Commands that take targets; others the first."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a project says, as it says it; empty where it says nothing."""

    targets: tuple[str, ...] = ()
    device: str | None = None
    width: int | None = None
    budgets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def budgets_of(self, program: str) -> dict[str, Any]:
        """The limits on a program, those of the last pattern that matches first."""
        found: dict[str, Any] = {}
        for pattern, limits in self.budgets.items():
            if program == pattern or fnmatchcase(program, pattern):
                found.update(limits)
        return found

    def fill_in(self, options: argparse.Namespace) -> None:
        """Sets what no flag has set. Targets are for what is compiled, the device for what names no target."""
        if self.targets and hasattr(options, "on") and options.on is None:
            options.on = ",".join(self.targets)
        is_compiled = looks_like_function(getattr(options, "program", ":"))
        if self.targets and is_compiled and getattr(options, "target", "") is None:
            options.target = ",".join(self.targets) if options.command in _OF_SEVERAL else self.targets[0]
        if self.device and getattr(options, "device", "") is None and getattr(options, "target", "") is None:
            options.device = self.device
        options.budgets = self.budgets_of(getattr(options, "program", "")) if options.command == "count" else {}


def project_defaults(folder: Path) -> Defaults:
    """Those of the nearest pyproject.toml with a `[tool.hlo_count]`, in a folder or above it. Raises HloCountError that
    names the file and what is wrong in it."""
    for place in (folder, *folder.parents):
        file = place / "pyproject.toml"
        if (table := _table(file)) is not None:
            return _checked(table, file)
    return Defaults()


def _table(file: Path) -> Any:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError):  # none, or none that is ours to read
        return None
    if "hlo_count" not in text:
        return None
    try:
        tool = tomllib.loads(text).get("tool")
    except (ValueError, RecursionError) as problem:  # too long a number is no TOMLDecodeError
        raise HloCountError(f"{file}: {problem}") from None
    return tool.get("hlo_count") if isinstance(tool, dict) else None


def _checked(table: Any, file: Path) -> Defaults:
    def wrong(key: str, expected: str) -> HloCountError:
        return HloCountError(f"{file}: [tool.hlo_count] {key}: {expected}")

    if not isinstance(table, dict):
        raise HloCountError(f"{file}: tool.hlo_count is a table: [tool.hlo_count]")
    for key in table:
        if key not in _KEYS:
            near = get_close_matches(key, _KEYS, 1)
            raise wrong(key, f"no such key{f', did you mean {near[0]!r}?' if near else ':'} {', '.join(_KEYS)}")
    targets = table.get("targets", [])
    if not isinstance(targets, list) or not all(isinstance(each, str) and each.strip() for each in targets):
        raise wrong("targets", 'a list of names, such as ["tpu:v5e", "h100-sxm"]')
    device = table.get("device")
    if device is not None and not (isinstance(device, str) and device.strip()):
        raise wrong("device", 'the name or file of one profile, such as "h100-sxm"')
    width = table.get("width")
    if width is not None and not (type(width) is int and NARROWEST <= width <= WIDEST):
        raise wrong("width", f"a number of columns, {NARROWEST} to {WIDEST}")
    return Defaults(tuple(targets), device, width, _budgets(table.get("budgets", {}), file))


def _budgets(table: Any, file: Path) -> dict[str, Mapping[str, Any]]:
    from hlo_count.report.limits import limits_of

    expected = f'{file}: [tool.hlo_count.budgets] holds a table a program: "train.py:step" = {{ flops = "2 GFLOP" }}'
    if not isinstance(table, dict):
        raise HloCountError(expected)
    for program, limits in table.items():
        if not isinstance(limits, dict):
            raise HloCountError(expected)
        try:
            limits_of(**limits)
        except HloCountError as problem:
            raise HloCountError(f"{file}: [tool.hlo_count.budgets] {program}: {problem}") from None
    return table
