"""The computations that lines of HLO call, by name, as their attributes have them."""

from __future__ import annotations

import re
from typing import NamedTuple

from hlo_count.hlo.attributes import split_attributes
from hlo_count.hlo.opcodes import CALLING, CALLING_ATTRIBUTES, async_sugar

_CALLEE = re.compile(
    r", (calls|to_apply|body|condition|select|scatter|true_computation|false_computation)=%?([\w.\-]+)"
)


class Call(NamedTuple):
    """That an instruction of this opcode names a computation, in the attribute `role`."""

    opcode: str
    role: str
    name: str


def may_call(opcode: str) -> bool:
    """Whether it may name computations, be it as the start of an asynchronous pair."""
    return opcode in CALLING or (async_sugar(opcode) or ("",))[0] in CALLING


def called_names(attribute_text: str) -> list[tuple[str, str]]:
    """(attribute, name) of each computation that the attributes of an instruction name, in the order of the text.

    Raises HloCountError for an attribute that stands twice.
    """
    head, _, tail = attribute_text.partition(", metadata={")
    plain = '"' not in head and "branch_" not in head and "called_" not in head
    if plain and not ("calls=" in tail or "to_apply=" in tail or "body=" in tail or "condition=" in tail):
        return _CALLEE.findall(head)
    return [
        (name, callee.strip().lstrip("%"))
        for name, value in split_attributes(attribute_text).items()
        if name in CALLING_ATTRIBUTES
        for callee in value.strip("{}").split(",")
        if callee.strip()
    ]
