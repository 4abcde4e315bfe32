"""Which of a device's links a collective keeps busy at once, and how much of it leaves the domain that they join."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice

from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import PAIRED
from hlo_count.hlo.replica_groups import source_target_pairs
from hlo_count.visitors.network import Collective, collective

_EXCHANGES = ("all-to-all", "ragged-all-to-all")
_STRATEGY = re.compile(r'"strategy":"(\w+)".*?\bcolors:(\d+)', re.DOTALL)
_ALL_LINKS = "NetRouter"
_LOOKED_AT = 64
_MOST_IN_A_GROUP = 2**16
"""Groups, and devices of one, that are looked at; of a larger one the first devices stand for all."""


def collective_of(kernel: Instruction) -> Collective | None:
    """The collective that a kernel begins, by itself or in the computation that it calls."""
    body = kernel.callee("calls")
    for instruction in (kernel, *(() if body is None else body.instructions)):
        found = collective(instruction)
        if found is not None and found.bytes_sent:
            return found
    return None


def links_at_once(found: Collective, links: int) -> int:
    """How many of the `links` of a chip in a torus work at once, by the algorithm that the compiler names.

    libtpu's strategies have so many colors, rings that run side by side: those of UniDirection… use a link each, others
    one in both directions; emitters with a router in their name use all links. What names none goes round one ring in
    both directions, and a permutation sends over one link.
    """
    if found.kind in PAIRED:
        return 1
    if found.kind in _EXCHANGES or _ALL_LINKS in found.instruction.attribute_text:
        return links
    named = _STRATEGY.search(found.instruction.attribute_text)
    if named is None:
        return min(links, 2)
    return min(links, int(named[2]) * (1 if named[1].startswith("UniDirection") else 2))


def links_between(found: Collective, links: int) -> int:
    """How many of the `links` of a device work at once where each goes to one other device: to those of its group.

    XLA's table of collectives has MI350 send 426, 175 and 62 GB/s in groups of 8, 4 and 2: over 7, 3 and 1 of them.
    """
    size = 2 if found.kind in PAIRED else found.group_size or links + 1
    return max(1, min(links, size - 1))


def bytes_beyond(found: Collective, domain: int) -> int:
    """What a device sends out of its domain of so many devices: those of ids next to each other, the GPUs of a node.

    With m devices of a group of g in a domain, n = g / m domains, N the whole operand, and rings between the domains
    that share what goes over: all-gather and reduce-scatter N·(n−1)/(n·m), all-reduce twice that; of an exchange the
    part for the g − m others; all that a device sends to one elsewhere.
    """
    if not found.bytes_sent:
        return 0
    if found.kind in PAIRED:
        pairs = source_target_pairs(found.instruction)
        crosses = pairs is not None and any(a // domain != b // domain for a, b in pairs.listed)
        return found.bytes_sent if crosses else 0
    size = found.group_size or 1
    inside = _fewest_inside(found, size, domain)
    if size <= inside:
        return 0
    if found.kind in _EXCHANGES:
        return -(-found.bytes_sent * (size - inside) // (size - 1))
    domains = -(-size // inside)
    return -(-found.bytes_sent * size * (domains - 1) // ((size - 1) * domains * inside))


def _fewest_inside(found: Collective, size: int, domain: int) -> int:
    """The fewest devices of a group that share a domain."""
    groups = found.groups
    if groups is None or groups.largest > _MOST_IN_A_GROUP:
        return min(size, domain)
    looked_at = (group for group in islice(groups, _LOOKED_AT) if group)
    return min((min(Counter(device // domain for device in group).values()) for group in looked_at), default=1)
