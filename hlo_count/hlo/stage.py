"""The stage that a text is at: before the partitioner ran, before the compiler optimized, or as it runs."""

from __future__ import annotations

import re
from math import prod
from typing import TYPE_CHECKING, Literal

from hlo_count.hlo.attributes import int_list
from hlo_count.hlo.opcodes import halved

if TYPE_CHECKING:
    from hlo_count.hlo.module import Module

Stage = Literal["optimized", "unoptimized", "unpartitioned"]
"""What a device runs; the same before the compiler optimized; the program of all devices of a replica together."""

_TILED = re.compile(r"sharding=\{[^\n]{0,2000}?devices=\[([\d,]+)\]", re.A)
"""A sharding that gives devices different parts, with the number of parts of each dimension."""
_NAMED = re.compile(r"sharding=\{[{ ]{0,4}mesh\[([^\]\n]{0,2000})\][^\n]{0,2000}?\{'")
"""The same by the axes of a mesh, `{mesh['d'=8], [{'d'}, {}]}`, as newer XLAs print it."""
_SHARDY = re.compile(r"xla\.sdy\.sharding=\"#sdy\.sharding[^\n>]{0,2000}?\{\\\"")
"""The same as Shardy spells it, by the axes of a mesh."""
_MESH = re.compile(r"#sdy\.mesh<\[([^\]\n]{0,2000})\]")
"""A mesh of Shardy's, `["a"=4, "b"=2]`, with the size of each axis."""
_LIBRARY = re.compile(r'custom_call_target="__(cublas|onednn|cudnn\$conv)')
"""What XLA makes of dots and convolutions, and JAX does not write itself (as it does `__cudnn$fmha…`)."""
_BY_PARTITIONER = re.compile(r"_spmd(\.clone|\.\d+)*\Z", re.A)
"""What the partitioner calls the entry that it makes of another."""
SHARD_MAPS = ("SPMDFullToShardShape", "xla.sdy.GlobalToLocalShape")
"""Custom calls where a shard_map begins: up to their opposites the shapes are those of one device."""


def stage_of(module: Module) -> Stage:
    """The stage of a text, by what only a compiler writes, and by shardings that the partitioner has yet to take up.

    A schedule is the compiler's last word; fusions, asynchronous pairs, tiled layouts, bitcasts and calls of a library
    in place of dots come after the partitioner. It leaves shardings on parameters and results, but the entry that it
    makes is named `…_spmd` (XLA, spmd_partitioner.cc). A text without any mark is taken for one that is not optimized.
    """
    if module.is_scheduled:
        return "optimized"
    if sharded_for(module) > 1 and not _BY_PARTITIONER.search(module.entry.name):
        return "unpartitioned"
    opcodes = frozenset[str]().union(*(computation.opcodes for computation in module.computations.values()))
    halves = {half for _, half in map(halved, opcodes)}
    by_compiler = "start" in halves or not opcodes.isdisjoint(("fusion", "bitcast"))
    if by_compiler or ":T(" in module.text or _LIBRARY.search(module.text):
        return "optimized"
    return "unoptimized"


def sharded_for(module: Module) -> int:
    """Over how many devices the shardings of a text split its arrays; 1 where nothing is split.

    By the header; by the shardings and Shardy's meshes where that has no number, as JAX prints a `Lowered`.
    """
    text = module.text
    tiles = [prod(int_list(dims)) for dims in _TILED.findall(text)] if "sharding={" in text else []
    split = max(tiles, default=1)
    named = [prod(map(int, re.findall(r"=(\d+)", axes))) for axes in _NAMED.findall(text)] if "{mesh[" in text else []
    split = max([split, *named])
    if split > 1:
        return max(split, module.num_partitions)
    if _SHARDY.search(text) or any(f'"{target}"' in text for target in SHARD_MAPS):
        meshes = [prod(map(int, re.findall(r"=(\d+)", axes))) for axes in _MESH.findall(text)]
        return max([module.num_partitions, *meshes])
    return 1
