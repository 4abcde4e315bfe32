"""Scalars as expressions: what they are made of, and what they are once that is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hlo_count.hlo.evaluate import Function, Scalar
from hlo_count.hlo.lanes import View

if TYPE_CHECKING:
    from hlo_count.hlo.instruction import Instruction

TuplePath = tuple[int, ...]
"""Which element of a tuple, outermost index first; () is the value itself."""


@dataclass(frozen=True, slots=True, eq=False)
class TracedValue:
    """A scalar as an expression. Equal expressions of one Tracer are the same object."""

    args: tuple[TracedValue, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Constant(TracedValue):
    value: Scalar = 0


@dataclass(frozen=True, slots=True, eq=False)
class Carried(TracedValue):
    """What a loop carries from trip to trip, at `path` in its tuple, when a trip begins."""

    loop: Instruction | None = None
    path: TuplePath = ()
    view: View | None = None
    """What a lane sees of it, where it is an array."""


@dataclass(frozen=True, slots=True, eq=False)
class DeviceId(TracedValue):
    """The id of the device that runs the program, by the opcode that asks for it, or SLICE_ID."""

    opcode: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class UnknownValue(TracedValue):
    """What the program alone does not determine: `what` it is, in words."""

    what: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Data(UnknownValue):
    """What a lane computes of `args` by the rule `key`: not known, but the same wherever that is computed of them."""

    key: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class TracedOperation(TracedValue):
    """`function` of `args`; `name`: the opcode, or a compare's direction; `dtype`: of the last operand."""

    name: str = ""
    dtype: str = ""
    function: Function = bool


@dataclass(frozen=True, slots=True, eq=False)
class AnyLane(TracedOperation):
    """Whether its argument, an expression of a lane, holds in any lane; `what` it is, in words.

    Where the argument is made of constants and of what starts as one, all lanes are alike.
    """

    what: str = ""


def parts(values: Iterable[TracedValue]) -> list[TracedValue]:
    """The expressions and all that they are made of, each once, after what it is made of."""
    done: dict[TracedValue, None] = {}
    stack = [(value, False) for value in values]
    while stack:
        value, ready = stack.pop()
        if value in done:
            continue
        if ready or not value.args:
            done[value] = None
        else:
            stack.append((value, True))
            stack.extend((arg, False) for arg in reversed(value.args))
    return list(done)


def evaluated(made_of: Iterable[TracedValue], ids: Mapping[str, Scalar]) -> Scalar | None:
    """What the last of `parts` is on a device with these ids (see DeviceId); None where they do not tell."""
    known: dict[TracedValue, Scalar | None] = {}
    found: Scalar | None = None
    for part in made_of:
        args = [known[arg] for arg in part.args]
        found = None
        if isinstance(part, Constant):
            found = part.value
        elif isinstance(part, DeviceId):
            found = ids[part.opcode]
        elif isinstance(part, AnyLane):
            found = args[0]
        elif isinstance(part, TracedOperation):
            chosen = _chosen(part.name, args)
            if chosen is not None:
                found = args[chosen]
            elif None not in args:
                found = part.function(*args)
        known[part] = found
    return found


def _chosen(name: str, args: Sequence[Scalar | None]) -> int | None:
    """Which of its arguments an operation gives, whatever the others are."""
    first = args[0]
    if name == "select" and first is not None:
        return 1 if first else 2
    if name == "choice" and first is not None:
        return 1 + int(first) if 0 <= int(first) < len(args) - 1 else len(args) - 1
    if name in ("and", "or"):
        return next((at for at, arg in enumerate(args) if arg is (name == "or")), None)
    return None


def short_circuited(name: str, args: tuple[TracedValue, ...]) -> TracedValue | None:
    """What settles an operation whatever its other arguments are, unknown ones included."""
    first = args[0]
    if name == "not" and isinstance(first, TracedOperation) and first.name == "not":
        return first.args[0]
    chosen = _chosen(name, [arg.value if isinstance(arg, Constant) else None for arg in args])
    return None if chosen is None else args[chosen]


def branch_taken(index: Scalar, *branches: Scalar) -> Scalar:
    """A conditional's branch; an index outside of them takes the last one."""
    return branches[int(index)] if 0 <= index < len(branches) else branches[-1]
