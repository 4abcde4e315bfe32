"""What a user says of a program to settle what is not known in it, checked: trip counts, branches, costs."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any

from hlo_count.errors import HloCountError
from hlo_count.report.quantities import parse_quantity
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.given_costs import GIVEN_COUNTERS, Given
from hlo_count.visitors.settings import Branch, Settings

Amount = float | str
Costs = Mapping[str, Amount | Mapping[str, Amount] | Cost] | Path
"""FLOP as a number or a text ("34.4 GFLOP"), amounts by counter, or a Cost; or a TOML or JSON file of the first two."""
SETTLING = ("trip_counts", "branches", "costs")
"""Keywords of `count`, in the order that `settings_of` takes them."""


def settings_of(
    trip_counts: Mapping[str, int] | None, branches: Mapping[str, Branch] | None, costs: Costs | None
) -> Settings:
    """What was passed to `count`. Raises HloCountError for costs that are none, and a file that cannot be read."""
    return Settings(dict(trip_counts or {}), dict(branches or {}), costs_of(costs))


def costs_of(costs: Costs | None) -> dict[str, Given]:
    """Each entry as a Cost or whole amounts by counter; raises HloCountError as `settings_of`."""
    where = str(costs) if isinstance(costs, Path) else "costs"
    given = _read(costs) if isinstance(costs, Path) else {} if costs is None else costs
    if not isinstance(given, Mapping):
        raise HloCountError(f'{where}: give FLOP by kernel, {{"splash_mha*": 34.4e9}}, or a pathlib.Path')
    return {name: _given(value, f"{where}: {name!r}") for name, value in given.items()}


def _given(value: Any, place: str) -> Given:
    if isinstance(value, Cost):
        return value
    amounts = value if isinstance(value, Mapping) else {"flops": value}
    if not amounts:
        raise HloCountError(f"{place} holds nothing: give FLOP, 0 for a kernel that has none")
    unknown = next((name for name in amounts if name not in GIVEN_COUNTERS), None)
    if unknown is not None:
        raise HloCountError(
            f"{place}: {unknown!r} is no counter: use {', '.join(GIVEN_COUNTERS)}; a name with dots stands in quotes"
        )
    try:
        return {name: ceil(parse_quantity(amount, name)) for name, amount in amounts.items()}
    except HloCountError as problem:
        raise HloCountError(f"{place}: {problem}") from None


def _read(path: Path) -> Any:
    """The document in a JSON file (.json), or a TOML file."""
    kind, load = ("JSON", _json) if path.suffix == ".json" else ("TOML", tomllib.loads)
    try:
        return load(path.read_text(encoding="utf-8-sig"))
    except OSError as problem:
        raise HloCountError(f"{path}: cannot be read: {problem.strerror or problem}") from None
    except (ValueError, RecursionError) as problem:  # so are the errors of both libraries
        said = str(problem) or type(problem).__name__
        example = '{"splash_mha*": 34.4e9}' if kind == "JSON" else '"splash_mha*" = 34.4e9'
        raise HloCountError(f"{path}: is no {kind} ({said}): write a line such as {example}") from None


def _json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_without_repetition)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """As TOML has it: a name stands once."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands twice")
    return found
