"""Whether values are used as often as XLA's verifier asks: fused ones at least once, those under way by one -done.

After xla/service/hlo_verifier.cc: CheckFusionInstruction and VerifyAsynchronousInstructionPairs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

from hlo_count.hlo.computation import Computation
from hlo_count.hlo.depth import post_order
from hlo_count.hlo.module import Module
from hlo_count.hlo.opcodes import COLLECTIVE_STARTS, LEAVES, MAY_HAVE_EFFECTS, OPCODES, halved, having

_NAME = re.compile(r"%([\w.\-]+)")
_WORD = re.compile(r"[\w.\-]+")
_STARTS = COLLECTIVE_STARTS | {"copy-start"}
_DONES = {opcode: f"{row.wraps}-start" for opcode, row in OPCODES.items() if row.half == "done" and row.wraps}

Problem = tuple[Computation, int, str]


def use_problems(module: Module) -> Iterator[Problem]:
    """Instructions, by computation and index, that are used in a way that cannot be, each with words for it."""
    fused: set[Computation] = set()
    for name, number in _fusions(module).items():
        computation = module.computations.get(name)
        if computation is None:
            continue
        if number > 1:
            yield computation, 0, f"is in {name}, which {number} fusions call: each has a computation of its own"
        if computation.twin not in fused:
            fused.add(computation.twin)
            yield from _unused(computation.twin)
    with_starts = {c for c in module.computations.values() if c.twin is c and any(map(_is_start, c.opcodes))}
    for computation in module.computations.values():
        if computation.twin in with_starts:
            yield from _abandoned(computation)


@lru_cache(maxsize=1024)
def _is_start(opcode: str) -> bool:
    return halved(opcode)[1] == "start"


def _fusions(module: Module) -> Counter[str]:
    """How many fusions call each computation, by its name."""
    calls = (call for computation in module.computations.values() for call in computation.calls)
    return Counter([call.name for call in calls if call.opcode == "fusion" and call.role == "calls"])


def _names_and_uses(computation: Computation) -> tuple[list[str], list[str], list[list[str]]]:
    """The name, the opcode and the operands of each instruction, without making instructions of printed lines."""
    if computation.is_printed and not computation.is_entry:
        kinds = computation.module.kinds
        made = [(name, kinds[kind][0], operands) for _, name, kind, operands, _ in computation.printed.lines()]
    else:
        made = [(i.name, i.opcode, i.operand_text) for i in computation.instructions]
    names, opcodes, texts = map(list, zip(*made, strict=True))
    given = ["" if opcode in LEAVES else text for opcode, text in zip(opcodes, texts, strict=True)]
    return names, opcodes, [(_NAME if "%" in text else _WORD).findall(text) for text in given]


def _unused(computation: Computation) -> Iterator[Problem]:
    if computation.is_printed and computation.printed.outline.takes_all_but_root:
        return
    names, opcodes, uses = _names_and_uses(computation)
    used = {name for operands in uses for name in operands}
    root = computation.printed.outline.root if computation.is_printed else computation.root.index
    for index, name in enumerate(names):
        if index == root:
            if name in used:
                yield computation, index, f"is what the fused computation {computation.name} gives, and is used in it"
        elif name not in used and not _has_effects(computation, index, opcodes[index]):
            yield computation, index, f"is fused and used by nothing in {computation.name}"


def _has_effects(computation: Computation, index: int, opcode: str) -> bool:
    """Whether an instruction does anything but give a value, in the computations that it runs too."""
    if opcode not in having("runs"):
        return opcode in MAY_HAVE_EFFECTS
    there = computation.module.computations

    def below(one: Computation) -> list[Computation]:
        return [there[call.name] for call in one.calls if call.name in there]

    called = [callee for _, callee in computation.instructions[index].called]
    return any(not one.opcodes.isdisjoint(MAY_HAVE_EFFECTS) for callee in called for one in post_order(callee, below))


def _abandoned(computation: Computation) -> Iterator[Problem]:
    names, opcodes, uses = _names_and_uses(computation)
    users: dict[str, list[str]] = {name: [] for name, opcode in zip(names, opcodes, strict=True) if _is_start(opcode)}
    for opcode, operands in zip(opcodes, uses, strict=True):
        for name in set(operands) & users.keys():
            users[name].append(opcode)
    for index, name in enumerate(names):
        if name not in users:
            continue
        if opcodes[index] in _STARTS:
            right = [_DONES.get(user) for user in users[name]] == [opcodes[index]]
        else:  # which may be handed on, through tuples and loops
            right = len(users[name]) == 1
        if not right:
            yield computation, index, f"is a {opcodes[index]} that {len(users[name])} instructions use: one -done does"
