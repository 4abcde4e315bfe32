"""The instructions of a program by what they are: an opcode, a custom call's target, a dtype."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches
from fnmatch import fnmatchcase

from hlo_count.errors import HloCountError
from hlo_count.hlo.attributes import unquote
from hlo_count.hlo.dtypes import DTYPES
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.hlo.opcodes import CALLERS, OPCODES, halved
from hlo_count.visitors.network import collective


def operation(instruction: Instruction) -> str | None:
    """Its opcode, `custom-call:TARGET`, or the kind of the collective that it begins.

    What was started asynchronously counts at its start under its plain name (`all-gather-start` is an all-gather), so
    later halves have none.
    """
    begun = collective(instruction)
    if begun is not None:
        return begun.kind
    opcode = instruction.opcode
    if opcode == "custom-call":
        return f"custom-call:{unquote(instruction.attribute('custom_call_target') or '')}"
    wrapped, half = halved(opcode)
    return None if half in ("update", "done") else wrapped or opcode


_PASSING_ON = CALLERS | {"tuple", "get-tuple-element"}


def op_counts(module: Module) -> dict[str, int]:
    """How many instructions of each operation the program has, each once however often it runs, fused ones too."""
    found = Counter(name for i in module.instructions() if (name := operation(i)) is not None)
    return dict(sorted(found.items()))


def matching(module: Module, pattern: str) -> Iterator[Instruction]:
    """The instructions whose operation, or for a dtype whose output, is `pattern` (`*` and `?` match anything)."""
    for instruction in module.instructions():
        name = operation(instruction)
        if (name is not None and (fnmatchcase(name, pattern) or fnmatchcase(name.partition(":")[0], pattern))) or (
            _computes(instruction) and any(fnmatchcase(leaf.dtype, pattern) for leaf in instruction.shape.leaves)
        ):
            yield instruction


def _computes(instruction: Instruction) -> bool:
    """Whether its output is its own, not a value that another instruction made; an argument of the program is."""
    if instruction.opcode == "parameter":
        return instruction.computation.is_entry
    return instruction.opcode not in _PASSING_ON


def check_pattern(pattern: object, keyword: str, *, dtypes: bool) -> str:
    """The pattern, if anything could ever match it. Raises HloCountError that names a near one."""
    known = [*sorted(OPCODES), *(sorted(DTYPES) if dtypes else ())]
    if not isinstance(pattern, str):
        raise HloCountError(f"{keyword}: {pattern!r} is no name of an operation; give a str such as 'all-gather'")
    head = pattern.partition(":")[0]
    if any(fnmatchcase(name, head) for name in known) and (":" not in pattern or fnmatchcase("custom-call", head)):
        return pattern
    near = get_close_matches({"float64": "f64", "float32": "f32"}.get(head, head).replace("_", "-"), known, 1)
    raise HloCountError(
        f"{keyword}: no operation{' or dtype' if dtypes else ''} is called {pattern!r}"
        + (f", did you mean {near[0]!r}?" if near else "; give an opcode, or custom-call:TARGET")
    )
