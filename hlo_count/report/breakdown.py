"""The total of a program by one property of its instructions. Every breakdown adds up to the total exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from hlo_count.errors import HloCountError
from hlo_count.hlo.attributes import unquote
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import CALLERS, COMMUNICATION, CONTROL, MOVEMENT
from hlo_count.report.collectives import collective_label
from hlo_count.report.dominant import dominant, rank
from hlo_count.report.places import Places, Scopes
from hlo_count.visitors.alike import Alike, Entry
from hlo_count.visitors.cost import HOST, MAIN, ON_CHIP, OP_COUNTERS, Cost, Key, Status, weakest

KEYS = (
    *("opcode", "class", "dtype", "unit", "scope", "source", "function", "stack", "computation", "instruction"),
    *("collective", "memory_space"),
)
NO_SCOPE, NO_SOURCE, NO_FUNCTION = "(no scope)", "(no source)", "(no function)"
_OF_PARTS = frozenset(("class", "dtype", "unit", "collective", "memory_space"))
"""Keys that may give the amounts of one instruction different names, or none."""
_CONTROL = CONTROL | CALLERS

Group = tuple[str, ...]
"""A name for each key of a breakdown."""
_NameOf = Callable[[Key], str | None]
"""Which group an amount of an instruction belongs to; None for none."""


@dataclass(frozen=True, slots=True)
class Naming:
    """What names of groups are made from, beside the instruction: its program, and how deep scopes and calls go."""

    places: Places
    scopes: Scopes
    mesh: Mapping[str, int] = field(default_factory=dict)
    backend: str = "unknown"
    depth: int = 2


def check_keys(keys: Sequence[str], depth: int = 1) -> None:
    """Raises HloCountError for a key that there is not, for one that is given twice, and for a depth of nothing."""
    for key in keys:
        if key not in KEYS:
            near = get_close_matches(str(key), KEYS, 1)
            raise HloCountError(
                f"by({key!r}): no such key{f', did you mean {near[0]!r}?' if near else ''} {', '.join(KEYS)}"
            )
    if len(set(keys)) < len(keys) or not keys:
        raise HloCountError(f"by({', '.join(map(repr, keys))}): give each key once, such as by('scope', 'class')")
    if depth < 1:
        raise HloCountError(f"depth={depth}: a scope has at least one level")


def breakdown(entries: Iterable[Entry], keys: Sequence[str], naming: Naming) -> dict[Group, Cost]:
    """Costs by the names that the keys give, largest first: by what dominates the total, collectives by bytes sent."""
    check_keys(keys, naming.depth)
    costs = _by_part(entries, keys, naming) if not _OF_PARTS.isdisjoint(keys) else _by_name(entries, keys, naming)
    by = "network_bytes" if "collective" in keys else dominant(Cost.sum(costs.values()))
    ranks = {id(cost): rank(cost, by) for cost in {id(cost): cost for cost in costs.values()}.values()}
    return dict(sorted(costs.items(), key=lambda item: ranks[id(item[1])], reverse=True))


def _by_name(entries: Iterable[Entry], keys: Sequence[str], naming: Naming) -> dict[Group, Cost]:
    """By keys that give an instruction one name: what is alike is added up at once."""
    groups: dict[Group, list[Cost]] = {}
    for instruction, _, cost in entries:
        name = tuple([_name(key, instruction, naming) for key in keys])
        if name in groups:
            groups[name].append(cost)
        else:
            groups[name] = [cost]
    return {name: costs[0] if len(costs) == 1 else Cost.sum(costs) for name, costs in groups.items()}


def _by_part(entries: Iterable[Entry], keys: Sequence[str], naming: Naming) -> dict[Group, Cost]:
    """By keys that may give each amount of an instruction another name."""
    groups: dict[Group, dict[Key, int]] = {}
    statuses: dict[Group, Status] = {}
    partial = [key for key in keys if key in ("collective", "memory_space")]
    missing: Status = "exact"  # of what has no group: a loop whose trips are not known weakens them all
    for instruction, _, cost in entries:
        group_of = _grouping([_namer(key, instruction, cost, naming) for key in keys])
        found = set()
        for amount_key, amount in cost.amounts.items():
            name = group_of(amount_key)
            if name is not None:
                found.add(name)
                group = groups.setdefault(name, {})
                amount_key = _main(amount_key) if "memory_space" in keys else amount_key
                group[amount_key] = group.get(amount_key, 0) + amount
        if cost.status == "exact":
            continue
        if not partial:
            found = {group_of(_STATUS) or (NO_SCOPE,) * len(keys)}
        elif partial == ["collective"]:
            found = {name for name in [group_of(_STATUS)] if name is not None}
        for name in found:
            groups.setdefault(name, {})
            statuses[name] = weakest(statuses.get(name, "exact"), cost.status)
        if not found:
            missing = weakest(missing, cost.status)
    return {name: Cost(amounts, weakest(statuses.get(name, "exact"), missing)) for name, amounts in groups.items()}


def _grouping(names_of: Sequence[_NameOf]) -> Callable[[Key], Group | None]:
    """The group of an amount by all keys; one that any of them leaves out has none."""
    if len(names_of) == 1:
        (name_of,) = names_of
        return lambda key: None if (name := name_of(key)) is None else (name,)

    def group(key: Key) -> Group | None:
        known = [name for name in (name_of(key) for name_of in names_of) if name is not None]
        return tuple(known) if len(known) == len(names_of) else None

    return group


_STATUS: Key = ("status",)
"""Stands for no amount, where a cost says only that something is missing."""


def _main(key: Key) -> Key:
    return (key[0], MAIN) if key[0].startswith("bytes") else key


def _always(name: str) -> Callable[[Key], str | None]:
    return lambda amount: name


def _namer(key: str, i: Instruction | Alike, cost: Cost, naming: Naming) -> _NameOf:
    """Which group each amount of an instruction belongs to."""
    if key in ("class", "dtype", "unit"):
        part = ("class", "dtype", "unit").index(key) + 1
        rest = _rest(key, i, cost)
        return lambda amount: amount[part] if amount[0] in OP_COUNTERS else rest(amount)
    if key == "memory_space":
        names = {
            MAIN: {"cpu": "DRAM", "unknown": "main memory"}.get(naming.backend, "HBM"),
            ON_CHIP: "VMEM/on-chip",
            HOST: "host",
        }
        return lambda amount: names[amount[1]] if amount[0].startswith("bytes") else None
    if key == "collective":
        label = collective_label(i, cost, naming.mesh)
        return lambda amount: label
    name = _name(key, i, naming)
    return lambda amount: name


def _name(key: str, i: Instruction | Alike, naming: Naming) -> str:
    if key == "opcode":
        return i.opcode
    if key == "instruction":
        return i.name
    if key == "computation":
        return i.computation.name
    if key == "source":
        return naming.places.of(i) or NO_SOURCE
    if key == "function":
        return naming.places.function(i) or NO_FUNCTION
    if key == "stack":
        return "/".join(naming.places.calls(i)[: naming.depth]) or NO_FUNCTION
    return "/".join(naming.scopes.of(i)[: naming.depth]) or NO_SCOPE


def _rest(key: str, i: Instruction | Alike, cost: Cost) -> Callable[[Key], str]:
    """Where the bytes of an instruction go: they have no class, dtype or unit of their own."""
    if key == "unit":
        return lambda amount: "network" if amount[0] == "network_bytes" else "memory"
    if key == "dtype":
        leaf = i.shape.first_leaf
        return lambda amount: leaf.dtype if leaf is not None else "none"
    name = op_class(i, cost)
    return lambda amount: name


def op_class(i: Instruction | Alike, cost: Cost) -> str:
    """The op class of an instruction: that of most of its operations, else what kind of movement or control it is."""
    ops = [(amount, key[1]) for key, amount in cost.amounts.items() if key[0] in OP_COUNTERS]
    if ops:
        return max(ops)[1]
    if i.opcode in MOVEMENT:
        return "movement"
    if i.opcode in COMMUNICATION:
        return "collective"
    if i.opcode in _CONTROL:
        return "control"
    if i.opcode == "custom-call":
        return f"custom-call {unquote(i.attribute('custom_call_target') or '')}".rstrip()
    return "fusion" if i.opcode == "fusion" else i.opcode
