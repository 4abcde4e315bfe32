"""Integers of a program that its text leaves out: JAX prints no constant of more than ten elements.

Kernels of a TPU are told by such arrays what to do: splash attention, which blocks its mask leaves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from math import prod
from typing import Any

MOST_ELEMENTS = 2**16
"""Of an array whose elements are kept."""
_MOST_PRINTED = 2**22
"""Elements of all the constants of a program that is printed with them."""
_CONSTANT = re.compile(r"\s*(?:ROOT )?%?(\S+) = ([a-z]+)\w*\[([\d,]*)\]\S* constant\((.*?)\)(?:,|$)")
_COMMENT = re.compile(r"/\*.*?\*/")


def known_integers(compiled: Any, text: str) -> dict[str, tuple[int, ...]]:
    """The elements of small integer constants that `text` leaves out, row by row, by the instruction's name.

    Empty for a program without kernels that could ask for them.
    """
    if "tpu_custom_call" not in text:
        return {}
    left_out = {name: (kind, size) for name, kind, size, literal in _constants(text) if literal == "{...}"}
    wanted = {name for name, (kind, size) in left_out.items() if kind in ("s", "u") and size <= MOST_ELEMENTS}
    if not wanted or sum(size for _, size in left_out.values()) > _MOST_PRINTED:
        return {}
    return {
        name: tuple(map(int, re.findall(r"-?\d+", _COMMENT.sub("", literal))))
        for name, _, _, literal in _constants(_with_constants(compiled))
        if name in wanted
    }


def _constants(text: str) -> Iterator[tuple[str, str, int, str]]:
    """Name, kind of type, number of elements and literal of each."""
    at = text.find(" constant(")
    while at >= 0:
        end = text.find("\n", at)
        found = _CONSTANT.match(text[text.rfind("\n", 0, at) + 1 : end if end >= 0 else len(text)])
        if found is not None:
            name, kind, sizes, literal = found.groups()
            yield name, kind, prod(map(int, sizes.split(","))) if sizes else 1, literal
        at = text.find(" constant(", at + 1)


def _with_constants(compiled: Any) -> str:
    """The text of a program with all its constants; "" where this jaxlib does not print them."""
    texts = []
    for module in compiled.runtime_executable().hlo_modules():
        options = getattr(import_module(type(module).__module__), "HloPrintOptions", None)
        if options is None:
            return ""
        printed = options()
        printed.print_large_constants = True
        printed.print_metadata = printed.print_backend_config = False
        texts.append(module.to_string(printed))
    return "\n".join(texts)
