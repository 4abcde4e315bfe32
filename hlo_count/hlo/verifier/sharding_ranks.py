"""Whether a sharding divides as many dimensions as an array has (xla/hlo/ir/hlo_sharding.cc)."""

from __future__ import annotations

import re
from math import prod

from hlo_count.hlo.attributes import int_list
from hlo_count.hlo.instruction import Instruction

_IS_TUPLE = re.compile(r"\{\s*[{}]").match
_ONE = re.compile(r"\{[^{}]*+(?:\{[^{}]*+\}[^{}]*+)*+\}")
_TILES = re.compile(r"devices=\s*\[([^\]]*)\]")
_SUBGROUPS = re.compile(r"last_tile_dims=\s*\{([^}]*)\}")


def sharding_problem(i: Instruction) -> str:
    """What is wrong with the sharding of an array, in words that follow its name; "" where nothing is."""
    text = i.attribute("sharding")
    if text is None:
        return ""
    if i.shape.is_tuple and _IS_TUPLE(text):
        number = len(_ONE.findall(text, 1))
        if number != max(1, i.shape.num_leaves):
            return f"is {i.shape}, with the sharding {text} of {number} arrays"
        return ""
    if not i.shape.is_array:
        return ""
    if _IS_TUPLE(text):
        return f"is {i.shape}, with the sharding {text} of a tuple"
    tiles = _TILES.search(text)
    if tiles is None or prod(int_list(tiles[1])) == 1:  # which is one device, whatever it is divided by
        return ""
    subgroups = _SUBGROUPS.search(text)
    more = len(subgroups[1].split(",")) if subgroups is not None else "last_tile_dim_replicate" in text
    if len(int_list(tiles[1])) - more != i.shape.rank:
        return f"is {i.shape}, with the sharding {text} of another rank"
    return ""
