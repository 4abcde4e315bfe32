"""The total of a program by one property of its instructions. Every breakdown adds up to the total exactly."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache

from hlo_count.errors import HloCountError
from hlo_count.hlo.attributes import unquote
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import having
from hlo_count.report.collectives import collective_label
from hlo_count.report.places import Places
from hlo_count.visitors.alike import Alike, Entry
from hlo_count.visitors.cost import HOST, MAIN, ON_CHIP, OP_COUNTERS, Cost, Key, Status, weakest

KEYS = (
    *("opcode", "class", "dtype", "unit", "scope", "source", "computation", "instruction"),
    *("collective", "memory_space"),
)
NO_SCOPE, NO_SOURCE = "(no scope)", "(no source)"
_MOVEMENT, _COMMUNICATION = having("movement"), having("communication")
_CONTROL = having("control") | {"while", "conditional", "call"}
_PLUMBING = frozenset(
    (
        "while body cond closed_call core_call custom_jvp_call custom_vjp_call checkpoint remat remat2 "
        "rematted_computation body_pred cond_pred shmap_body shard_map pjit jit(main)"
    ).split()
)
"""Components of an op_name that JAX's control flow adds: they name no scope of the user's."""


def breakdown(
    entries: Iterable[Entry],
    key: str,
    *,
    depth: int = 2,
    backend: str = "unknown",
    mesh: Mapping[str, int] | None = None,
    places: Places | None = None,
) -> dict[str, Cost]:
    """Costs by `key`, largest first (by flops, then bytes, then the other counters; collectives by bytes sent)."""
    if key not in KEYS:
        near = get_close_matches(key, KEYS, 1)
        raise HloCountError(
            f"by({key!r}): no such key{f', did you mean {near[0]!r}?' if near else ''} {', '.join(KEYS)}"
        )
    if depth < 1:
        raise HloCountError(f"depth={depth}: a scope has at least one level")
    groups: dict[str, dict[Key, int]] = {}
    statuses: dict[str, Status] = {}
    partial = key in ("collective", "memory_space")
    missing: Status = "exact"  # of what has no group: a loop whose trips are not known weakens them all
    for instruction, _, cost in entries:
        if key == "source":
            place = (places.of(instruction) if places is not None else instruction.metadata.source) or NO_SOURCE
            name_of = _always(place)
        else:
            name_of = _namer(key, instruction, cost, depth, backend, mesh or {})
        names = set()
        for amount_key, amount in cost.amounts.items():
            name = name_of(amount_key)
            if name is not None:
                names.add(name)
                group = groups.setdefault(name, {})
                amount_key = _main(amount_key) if key == "memory_space" else amount_key
                group[amount_key] = group.get(amount_key, 0) + amount
        if cost.status == "exact":
            continue
        if not partial:
            names = {name_of(_STATUS) or NO_SCOPE}
        elif key == "collective":
            names = {name for name in [name_of(_STATUS)] if name is not None}
        for name in names:
            groups.setdefault(name, {})
            statuses[name] = weakest(statuses.get(name, "exact"), cost.status)
        if not names:
            missing = weakest(missing, cost.status)
    costs = {name: Cost(amounts, weakest(statuses.get(name, "exact"), missing)) for name, amounts in groups.items()}
    rank = _sent if key == "collective" else _rank
    return dict(sorted(costs.items(), key=lambda item: rank(item[1]), reverse=True))


_STATUS: Key = ("status",)
"""Stands for no amount, where a cost says only that something is missing."""


def _sent(cost: Cost) -> tuple[int, ...]:
    return (cost.network_bytes, *_rank(cost))


def _rank(cost: Cost) -> tuple[int, ...]:
    return (cost.flops, cost.bytes, cost.transcendentals, cost.int_ops, cost.other_ops, cost.network_bytes)


def _main(key: Key) -> Key:
    return (key[0], MAIN) if key[0].startswith("bytes") else key


def _always(name: str) -> Callable[[Key], str | None]:
    return lambda amount: name


def _namer(
    key: str, i: Instruction | Alike, cost: Cost, depth: int, backend: str, mesh: Mapping[str, int]
) -> Callable[[Key], str | None]:
    """Which group each amount of an instruction belongs to."""
    if key in ("class", "dtype", "unit"):
        part = ("class", "dtype", "unit").index(key) + 1
        rest = _rest(key, i, cost)
        return lambda amount: amount[part] if amount[0] in OP_COUNTERS else rest(amount)
    if key == "memory_space":
        names = {
            MAIN: {"cpu": "DRAM", "unknown": "main memory"}.get(backend, "HBM"),
            ON_CHIP: "VMEM/on-chip",
            HOST: "host",
        }
        return lambda amount: names[amount[1]] if amount[0].startswith("bytes") else None
    if key == "collective":
        label = collective_label(i, cost, mesh)
        return lambda amount: label
    name = _name(key, i, depth)
    return lambda amount: name


def _name(key: str, i: Instruction | Alike, depth: int) -> str:
    if key == "opcode":
        return i.opcode
    if key == "instruction":
        return i.name
    if key == "computation":
        return i.computation.name
    return "/".join(scope(i.metadata.op_name)[:depth]) or NO_SCOPE


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
    if i.opcode in _MOVEMENT:
        return "movement"
    if i.opcode in _COMMUNICATION:
        return "collective"
    if i.opcode in _CONTROL:
        return "control"
    if i.opcode == "custom-call":
        return f"custom-call {unquote(i.attribute('custom_call_target') or '')}".rstrip()
    return "fusion" if i.opcode == "fusion" else i.opcode


_COMPONENT = re.compile(r"(?:[^/()\[\]]+|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)|\[[^\]]*\])+")
_EMPTY_TRANSFORM = re.compile(r"(?:\w+\()+\)+$")


@lru_cache(maxsize=4096)
def scope(op_name: str) -> tuple[str, ...]:
    """The components of an op_name that are scopes: without the primitive at its end and control flow's plumbing."""
    parts = _COMPONENT.findall(op_name)[:-1]
    return tuple(
        [p for p in parts if p not in _PLUMBING and not p.startswith("branch_") and not _EMPTY_TRANSFORM.match(p)]
    )
