"""Custom calls as HLO text, for the tests of formulas."""

from __future__ import annotations

import json
import re
from typing import Any

from hlo_count.hlo import Instruction
from hlo_count.hlo.parser import parse
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.unknowns import Unknown
from hlo_count.visitors.walk import Walk


def call_text(
    target: str, operands: list[str], result: str, config: Any = None, attributes: str = "", extra: str = ""
) -> str:
    """A module whose entry is one custom call on parameters of the shapes `operands`.

    A dict is written as a JSON backend config, a string as it is; an operand such as `s32[] 3` is a constant.
    """
    lines: list[str] = []
    parameters = 0
    for n, shape in enumerate(operands):
        constant = re.fullmatch(r"(\w+\[\]) (\d+)", shape)
        lines.append(
            f"  %p{n} = {constant[1]} constant({constant[2]})"
            if constant
            else f"  %p{n} = {shape} parameter({parameters})"
        )
        parameters += not constant
    written = json.dumps(config) if isinstance(config, dict) else config
    parts = [f'custom_call_target="{target}"', attributes, f"backend_config={written}" if written else ""]
    names = ", ".join(f"%p{n}" for n in range(len(operands)))
    lines.append(f"  ROOT %call = {result} custom-call({names}), {', '.join(part for part in parts if part)}")
    return f"HloModule m\n{extra}\nENTRY %main () -> {result} {{\n" + "\n".join(lines) + "\n}\n"


def call(target: str, operands: list[str], result: str, config: Any = None, attributes: str = "") -> Instruction:
    return parse(call_text(target, operands, result, config, attributes)).entry.root


def counted(*args: Any, backend: str = "gpu", **options: Any) -> tuple[Cost, list[Unknown]]:
    """What a walk of the module with the call counts, and what it does not know."""
    walk = Walk(parse(call_text(*args, **options)), backend)
    return walk.total, walk.unknowns


def cost(*args: Any, **options: Any) -> Cost:
    """The cost of a call that is known; an estimate names what it rests on."""
    total, unknowns = counted(*args, **options)
    assert {unknown.status for unknown in unknowns} == {total.status} - {"exact"}, unknowns
    return total


def parts(found: Cost) -> dict[str, int]:
    """Operations as "class.counter"."""
    sums: dict[str, int] = {}
    for key, amount in found.amounts.items():
        if len(key) == 4:
            name = f"{key[1]}.{key[0]}"
            sums[name] = sums.get(name, 0) + amount
    return sums
