"""What a module was compiled for, and what differs in that between two compiles of one name."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from hlo_count.hlo import Module
from hlo_count.hlo.computation import bare_shape

_METADATA = re.compile(r", metadata=\{(?:[^{}\"]|\"(?:[^\"\\]|\\.)*\"|\{[^{}]*\})*\}")
_SHOWN = 3
"""Differences of a kind that are named; of the others, how many."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument: what JAX calls it, its shape without layout, its sharding as the text has it."""

    name: str
    shape: str
    sharding: str


@dataclass(frozen=True, slots=True)
class Signature:
    """What JAX traced and compiled a function for, as far as its text tells."""

    parameters: tuple[Parameter, ...]
    results: tuple[str, ...]
    partitions: int
    replicas: int
    donated: str
    constants: tuple[str, ...]
    """Shape and value of each, in the order of the text; "{...}" where XLA left a large one out."""
    opcodes: tuple[tuple[str, int], ...]
    """How many instructions there are of each opcode."""
    digest: str
    """Of the text, but for its header and the lines of source behind it."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What is different in a compile from the one before it."""

    kind: str
    """ "shapes", "arguments", "shardings", "devices", "donation", "constants", "results", "operations", "nothing"."""
    what: str


def signature_of(module: Module) -> Signature:
    """Best of a module before optimization, where arguments and constants are those of the function."""
    opcodes = Counter(i.opcode for i in module.instructions())
    body = _METADATA.sub("", module.text.partition("\n")[2].replace(module.tables_text.strip(), "", 1))
    return Signature(
        parameters=tuple(
            Parameter(p.metadata.op_name or p.name, bare_shape(p.shape), p.attribute("sharding") or "")
            for p in module.entry.parameters
        ),
        results=tuple(bare_shape(leaf) for leaf in module.entry.root.shape.leaves),
        partitions=module.num_partitions,
        replicas=module.replica_count,
        donated=module.attributes.get("input_output_alias", ""),
        constants=tuple(
            f"{bare_shape(i.shape)} {' '.join(i.operand_text.split())}"
            for i in module.instructions()
            if i.opcode == "constant"
        ),
        opcodes=tuple(sorted(opcodes.items())),
        digest=hashlib.sha256(body.encode(errors="surrogatepass")).hexdigest(),
    )


def causes_of(before: Signature, after: Signature) -> list[Changed]:
    """What differs, that which causes the rest first. One that says "nothing" where the texts do not tell."""
    found = [
        *_of_parameters(before.parameters, after.parameters),
        *_of_devices(before, after),
        *_of_constants(before.constants, after.constants),
    ]
    if before.donated != after.donated:
        found.append(Changed("donation", f"{_or_none(before.donated)} -> {_or_none(after.donated)}"))
    if before.results != after.results:
        pairs = zip_longest(before.results, after.results, fillvalue="none")
        found.append(Changed("results", _listed([f"{a} -> {b}" for a, b in pairs if a != b])))
    if before.opcodes != after.opcodes:
        found.append(Changed("operations", _listed(list(_of_opcodes(before, after)))))
    if not found:
        left_out = sum("{...}" in constant for constant in after.constants)
        unseen = f", unless one of {left_out} constants is another, which XLA left out of the text" if left_out else ""
        if before.digest == after.digest:
            found.append(Changed("nothing", f"the same program was compiled again{unseen}"))
        else:
            found.append(Changed("operations", f"as many of each, with other attributes or operands{unseen}"))
    return found


def _of_parameters(before: Sequence[Parameter], after: Sequence[Parameter]) -> Iterator[Changed]:
    if len(before) != len(after):
        names = Counter(p.name for p in before), Counter(p.name for p in after)
        gone, new = names[0] - names[1], names[1] - names[0]
        parts = [f"{word} {_listed(list(more))}" for word, more in (("without", gone), ("with", new)) if more]
        yield Changed("arguments", f"{len(before)} -> {len(after)}" + (f": {', '.join(parts)}" if parts else ""))
        return
    for kind in ("shape", "sharding"):
        differ = [
            f"{new.name} {_or_none(getattr(old, kind))} -> {_or_none(getattr(new, kind))}"
            for old, new in zip(before, after, strict=True)
            if getattr(old, kind) != getattr(new, kind)
        ]
        if differ:
            yield Changed(f"{kind}s", _listed(differ))


def _of_devices(before: Signature, after: Signature) -> Iterator[Changed]:
    if (before.partitions, before.replicas) != (after.partitions, after.replicas):
        sizes = [f"{each.partitions} partitions x {each.replicas} replicas" for each in (before, after)]
        yield Changed("devices", " -> ".join(sizes))


def _of_constants(before: Sequence[str], after: Sequence[str]) -> Iterator[Changed]:
    gone = list((Counter(before) - Counter(after)).elements())
    new = list((Counter(after) - Counter(before)).elements())
    if len(gone) == len(new) and gone:
        yield Changed("constants", _listed([f"{a} -> {b}" for a, b in zip(gone, new, strict=True)]))
    elif gone or new:
        parts = [f"{word} {_listed(values)}" for word, values in (("without", gone), ("with", new)) if values]
        yield Changed("constants", ", ".join(parts))


def _of_opcodes(before: Signature, after: Signature) -> Iterator[str]:
    one, other = dict(before.opcodes), dict(after.opcodes)
    for opcode in sorted({**one, **other}, key=lambda name: (-abs(other.get(name, 0) - one.get(name, 0)), name)):
        if (more := other.get(opcode, 0) - one.get(opcode, 0)) != 0:
            yield f"{more:+} {opcode}"


def _or_none(text: str) -> str:
    return text or "none"


def _listed(parts: list[str]) -> str:
    more = len(parts) - _SHOWN
    return ", ".join(parts[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
