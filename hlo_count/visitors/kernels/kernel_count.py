"""What one call of a kernel comes to, and how much of that is certain."""

from __future__ import annotations

from dataclasses import dataclass, field

from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.shapes import Shape
from hlo_count.visitors.cost import MAIN, Cost
from hlo_count.visitors.memory_spaces import space_name


@dataclass(slots=True)
class Open:
    """What a kernel's code leaves open, in words that go on from its name."""

    choices: dict[str, None] = field(default_factory=dict)
    """What is counted as the larger."""
    unknown: dict[str, None] = field(default_factory=dict)
    """What is not counted, or as once."""
    loops: bool = False
    """Whether a loop has trips that only the run knows, and that the caller of `KernelRun` can say."""
    dynamic: int = 0
    """Dimensions of the grid whose size only the run knows, where no loop is of that kind."""
    moves: bool = False
    """Whether it moves parts of which no size is known, not even the most."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes of one array, one way: certain whatever the data are, each byte once; as counted; of these each once."""

    certain: int = 0
    counted: int = 0
    touched: int = 0
    by_data: bool = False
    """Whether data say how much of what is counted moves."""


@dataclass(frozen=True, slots=True)
class KernelCount:
    """What one call of a kernel comes to: operations and bytes sent, traffic of its operands and of its results."""

    least: Cost
    counted: Cost
    read: tuple[Traffic, ...]
    """Of each operand of the call."""
    written: tuple[Traffic, ...]
    """Of each array among its results."""
    written_operands: tuple[Traffic, ...]
    read_results: tuple[Traffic, ...]
    """What DMAs do the other way round: an operand that is also a result."""
    open: Open = field(default_factory=Open)

    def traffic(self, call: Instruction, backend: str) -> Cost:
        """What is counted to move, each array's in the memory where it lies."""
        operands, results = arrays_of(call)
        cost = Cost()
        for shapes, read, written in (
            (operands, self.read, self.written_operands),
            (results, self.read_results, self.written),
        ):
            for shape, into, out in zip(shapes, read, written, strict=True):
                space = space_name(backend, shape.memory_space) or MAIN
                cost += Cost.traffic(read=into.counted, written=out.counted, space=space)
        return cost

    @property
    def tells_traffic(self) -> bool:
        """Whether what moves is certain."""
        arrays = (*self.read, *self.written, *self.written_operands, *self.read_results)
        return not self.open.moves and not self.open.loops and all(not each.by_data for each in arrays)


def moved_once(call: Instruction, least: Cost, counted: Cost, left_open: Open) -> KernelCount:
    """Operations of a call that reaches its arrays by ways that nothing tells: each operand counts as read and each
    result as written once, and no read is certain."""
    shapes, results = arrays_of(call)
    first = [call.operands.index(operand) == n for n, operand in enumerate(call.operands)]
    read = tuple(Traffic(0, once * s.bytes, once * s.bytes) for once, s in zip(first, shapes, strict=True))
    written = tuple(Traffic(each.bytes, each.bytes, each.bytes) for each in results)
    none = Traffic()
    return KernelCount(least, counted, read, written, (none,) * len(read), (none,) * len(written), left_open)


def arrays_of(call: Instruction) -> tuple[tuple[Shape, ...], tuple[Shape, ...]]:
    """What is given to a call and what it gives, each array by itself."""
    results = tuple(leaf for leaf in call.shape.leaves if leaf.is_array)
    return tuple(operand.shape for operand in call.operands), results
