"""Integers of a program that its text leaves out: JAX prints no constant of more than ten elements.

Kernels of a TPU are told by such arrays what to do: splash attention, which blocks its mask leaves.
"""

from __future__ import annotations

import re
from importlib import import_module
from math import prod
from typing import Any

MOST_ELEMENTS = 2**16
"""Of an array whose elements are kept."""
_MOST_PRINTED = 2**22
"""Elements of all the constants of a program that is printed with them."""
_LEFT_OUT = re.compile(r"^\s*(?:ROOT )?%?(\S+) = ([a-z]+)\w*\[([\d,]+)\]\S* constant\(\{\.\.\.\}\)", re.M)
_COMMENT = re.compile(r"/\*.*?\*/")


def known_integers(compiled: Any, text: str) -> dict[str, tuple[int, ...]]:
    """The elements of small integer constants that `text` leaves out, row by row, by the instruction's name.

    Empty for a program without kernels that could ask for them.
    """
    if "tpu_custom_call" not in text:
        return {}
    sizes = {name: (kind, prod(map(int, sizes.split(",")))) for name, kind, sizes in _LEFT_OUT.findall(text)}
    wanted = [name for name, (kind, size) in sizes.items() if kind in ("s", "u") and size <= MOST_ELEMENTS]
    if not wanted or sum(size for _, size in sizes.values()) > _MOST_PRINTED:
        return {}
    whole = _with_constants(compiled)
    found = {}
    for name in wanted:
        literal = re.search(rf"^\s*(?:ROOT )?%?{re.escape(name)} = \S+ constant\((.*?)\)(?:,|$)", whole, re.M)
        if literal is not None:
            found[name] = tuple(map(int, re.findall(r"-?\d+", _COMMENT.sub("", literal[1]))))
    return found


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
