"""What there is to know of one instruction, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hlo_count.hlo.metadata import Frame
from hlo_count.report.export import cost_dict
from hlo_count.visitors.cost import Cost, Times
from hlo_count.visitors.unknowns import Unknown

if TYPE_CHECKING:
    from hlo_count.roofline.time_rows import KernelRow


@dataclass(frozen=True, slots=True)
class Applied:
    """Instructions of one opcode (or custom call) inside the explained one, counted by one rule; FLOP and so on of one
    run of all of them. `formula` is the rule's docstring, `rule` where it stands."""

    opcode: str
    number: int
    cost: Cost
    formula: str
    rule: str


@dataclass(frozen=True, slots=True)
class Moved:
    """Bytes of one run: `how` is "read", "written" or "not read", `whole` the size of all of the value."""

    how: str
    value: str
    shape: str
    bytes: int
    whole: int
    space: str
    why: str


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A maker of an operand, or a user."""

    name: str
    opcode: str
    shape: str
    source: str


@dataclass(frozen=True, slots=True)
class PlaceInRoofline:
    """Where a kernel stands in the roofline of a device: its row, its rank by estimate from 1, and its share of all."""

    device: str
    kernel: KernelRow
    rank: int
    kernels: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What there is to know of one instruction. Amounts of `cost` are those of one run, of `total` all `runs`."""

    name: str
    program: str
    backend: str
    shape: str
    what: tuple[str, ...]
    code: tuple[str, ...]
    """The instruction, then the bodies that it fuses, as HLO."""
    place: str
    """Where it stands in the text: `file:line`."""
    op_name: str
    source: str
    """`file:line`, inferred where the compiler gave it none."""
    stack: tuple[Frame, ...]
    lines: tuple[str, ...]
    """The text of each frame's line, "" where it may not be read."""
    runs: Times
    cost: Cost
    total: Cost
    applied: tuple[Applied, ...]
    moves: tuple[Moved, ...]
    bytes_by: str
    """Why the bytes are what `moves` does not tell."""
    operands: tuple[Neighbour, ...]
    users: tuple[Neighbour, ...]
    unknowns: tuple[Unknown, ...]
    roofline: PlaceInRoofline | None

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, for JSON."""
        data = {name: getattr(self, name) for name in ("name", "program", "backend", "shape", "place", "op_name")}
        roofline = self.roofline and {**asdict(self.roofline), "kernel": asdict(self.roofline.kernel)}
        return {
            **data,
            "what": list(self.what),
            "code": list(self.code),
            "source": self.source,
            "stack": [asdict(frame) for frame in self.stack],
            "runs": float(self.runs) if float(self.runs) % 1 else int(self.runs),
            "cost": cost_dict(self.cost),
            "total": cost_dict(self.total),
            "applied": [
                {"opcode": a.opcode, "number": a.number, **cost_dict(a.cost), "formula": a.formula, "rule": a.rule}
                for a in self.applied
            ],
            "moves": [asdict(moved) for moved in self.moves],
            "bytes_by": self.bytes_by,
            "operands": [asdict(each) for each in self.operands],
            "users": [asdict(each) for each in self.users],
            "unknowns": [asdict(each) for each in self.unknowns],
            "roofline": roofline,
        }

    def __str__(self) -> str:
        from hlo_count.report.explanation_text import render_explanation

        return render_explanation(self)
