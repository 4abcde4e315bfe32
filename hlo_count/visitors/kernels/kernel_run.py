"""A kernel's code, run for every step of its grid at once: how often each operation runs, and what that comes to.

Integers are followed as intervals over the steps (`intervals.py`). An `if` on the grid's indices is settled step by
step, a loop by its trips. What depends on data is counted as the larger, and only the smaller is certain.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from hlo_count.visitors.cost import ZERO, Cost
from hlo_count.visitors.kernels.grid_steps import GridSteps
from hlo_count.visitors.kernels.intervals import (
    Bound,
    Interval,
    anything,
    chosen,
    evaluate,
    hull,
    is_bounded,
    known,
    minimum,
    opposite,
    product,
    times,
)
from hlo_count.visitors.kernels.kernel_code import Block, Function, KernelCode, Operation
from hlo_count.visitors.kernels.kernel_count import Open
from hlo_count.visitors.kernels.kernel_loops import run_for, run_while
from hlo_count.visitors.kernels.kernel_memory import Memory, Value, element, part_of, sides, sizes_of
from hlo_count.visitors.kernels.kernel_operations import operation_cost
from hlo_count.visitors.kernels.kernel_tally import Tally, either
from hlo_count.visitors.kernels.value_types import ValueType, value_type

Control = Callable[[Any, Operation, "Often", Tally], list[Value]]
"""Runs an operation, adds to the tally, and gives its results."""
MOST_NESTED = 50
"""Regions and calls inside each other that are followed."""


@dataclass(frozen=True, slots=True)
class Often:
    """How often something runs at each step: for certain, and as it is counted."""

    least: Bound = 1
    counted: Bound = 1

    def where(self, least: Bound, counted: Bound) -> Often:
        return Often(times(self.least, least), times(self.counted, counted))

    def over(self, steps: GridSteps) -> Often:
        """The same with all axes that there are now."""
        return Often(steps.with_all_axes(self.least), steps.with_all_axes(self.counted))


class KernelRun:
    """One call of a kernel over a grid of `sizes`; `trips` is how often those loops run whose code does not tell it.

    The dimensions `dynamic` of the grid have a size that only the run knows, whatever stands in `sizes`. Of the values
    those that are `followed` are known, all where nothing is said.
    """

    def __init__(
        self,
        code: KernelCode,
        sizes: Sequence[int],
        trips: int | None = None,
        dynamic: Container[int] = (),
        followed: Container[int] | None = None,
    ) -> None:
        self.code = code
        self.steps = GridSteps(sizes)
        self.trips = trips
        self.open = Open()
        self.simulated = 0
        """Operations that ran trip by trip so far."""
        self._types = [value_type(text) for text in code.types]
        self._dynamic = dynamic
        self._followed = followed
        self._values: dict[int, Value] = {}
        self._costs: dict[Operation, Cost] = {}
        self._evaluations: dict[tuple[object, ...], tuple[Sequence[Interval], Interval]] = {}
        self._nested = 0

    def call(
        self, function: Function, arguments: Sequence[Value], *, certain: bool = True
    ) -> tuple[Tally, list[Value]]:
        """What a function comes to at every step of the grid, and what it gives. `certain`: whether there is a step."""
        tally = Tally()
        return tally, self.block(function.body, arguments, Often(int(certain), 1), tally)

    def type_of(self, value: int) -> ValueType:
        return self._types[value]

    # Blocks

    def block(self, block: Block, arguments: Sequence[Value], often: Often, tally: Tally) -> list[Value]:
        """Run a block, add to the tally, and give what its last operation gives."""
        self._nested += 1
        if self._nested > MOST_NESTED:
            raise ValueError(f"nests operations more than {MOST_NESTED} deep")
        self._values.update(zip(block.arguments, arguments, strict=False))
        runs = self.steps.number(often.least), self.steps.number(often.counted)
        given: list[Value] = []
        for operation in block.operations:
            name = operation.name
            if name in _ENDS:
                given = [self.value(each) for each in operation.operands]
            elif (control := self.controls.get(name)) is not None:
                values = control(self, operation, often, tally)
                self._values.update(zip(operation.results, values, strict=False))
            else:
                cost = self._cost(operation)
                if cost.amounts:
                    tally.add(cost.amounts, *runs)
                for number in operation.results:
                    if self._followed is None or number in self._followed:
                        self._values[number] = self._result(operation, number)
        self._nested -= 1
        return given

    def _cost(self, operation: Operation) -> Cost:
        cost = self._costs.get(operation)
        if cost is None:
            operands = [self._types[each] for each in operation.operands]
            told = operation_cost(operation, operands, [self._types[each] for each in operation.results])
            if told is None:
                odd = sorted({each.dtype for each in operands if each.is_vector and not each.is_counted})
                of = f" of {odd[0]}" if odd else ""
                self.open.unknown.setdefault(f"has a {operation.name}{of}, which no rule knows")
            cost = self._costs[operation] = ZERO if told is None else told
        return cost

    # Values

    def value(self, number: int) -> Value:
        value = self._values.get(number)
        return self.steps.lifted(value) if isinstance(value, Interval) else value

    def integer(self, number: int) -> Interval:
        value = self.value(number)
        return value if isinstance(value, Interval) else anything(self._types[number].dtype == "pred")

    def _result(self, operation: Operation, number: int) -> Value:
        """What an operation makes of what is known of its operands."""
        kind = self._types[number]
        if kind.kind == "memory":
            whole = self._types[operation.operands[0]] if operation.operands else kind
            source = self.value(operation.operands[0]) if operation.operands else None
            return part_of(operation, kind, source, whole, [self.integer(each) for each in operation.operands[1:]])
        if kind.is_vector:
            return None
        is_bit = kind.dtype == "pred"
        if operation.name in ("arith.constant", "llvm.mlir.constant"):
            value = operation.integer("value")
            return anything(is_bit) if value is None else known(value)
        if operation.name in _GRID:
            return self._of_grid(operation)
        if operation.name == "memref.load":
            memory = self.value(operation.operands[0])
            if isinstance(memory, Memory) and memory.integers is not None:
                indices = [self.integer(each) for each in operation.operands[1:]]
                return element(memory, self._types[operation.operands[0]], indices)
        scalars = [self.integer(each) for each in operation.operands if self._types[each].kind == "scalar"]
        if not scalars or len(scalars) < len(operation.operands):
            return anything(is_bit, scalars)
        return self._evaluated(operation.name, scalars, operation.integer("predicate") or 0, is_bit)

    def _evaluated(self, name: str, scalars: Sequence[Interval], predicate: int, is_bit: bool) -> Interval:
        """The same operation on the same values is the same value, known or not: what differs by nothing is alike."""
        key = (name, predicate, *map(id, scalars))
        if key not in self._evaluations:
            found = evaluate(name, list(scalars), predicate)
            self._evaluations[key] = scalars, anything(is_bit, scalars) if found is None else found
        return self._evaluations[key][1]

    def _of_grid(self, operation: Operation) -> Interval:
        """The index of a step along a dimension of the grid, or the size of that."""
        is_index = operation.name == "tt.get_program_id"
        dimension = operation.integer("axis", operation.integer("dim", 0)) or 0
        if dimension >= self.steps.grid_rank:
            return known(0 if is_index else 1)
        if is_index:
            return self.steps.lifted(self.steps.index(dimension))
        return anything() if dimension in self._dynamic else known(self.steps.sizes[dimension])

    # DMAs

    def _transfer(self, operation: Operation, often: Often, tally: Tally) -> list[Value]:
        """Bytes of a DMA: read where it comes from, written where it goes, and sent where that is another device.

        What other devices write here is as much, since all run the same. An indirect one copies as much as its smaller
        side.
        """
        segments = operation.integers("operandSegmentSizes")
        is_indirect = operation.name == "tpu.enqueue_indirect_dma"
        source = operation.operands[0]
        target = operation.operands[1 if is_indirect else 1 + (segments[1] if len(segments) > 1 else 0)]
        size = self._bytes(source)
        if is_indirect:
            other = self._bytes(target)
            size = Interval(minimum(size.low, other.low), minimum(size.high, other.high))
        elif not is_bounded(size):
            self.open.unknown.setdefault("copies parts of a size that data say")
            self.open.moves = True
            size = Interval(size.low, size.low)
        elif not size.is_known:
            self.open.choices.setdefault("copies parts of a size that data say, counted as the largest")
        runs = self.steps.number(often.least, size.low), self.steps.number(often.counted, size.high)
        for key in sides(*((self.value(each), self._types[each]) for each in (source, target))):
            tally.add({key: 1}, *runs)
        if len(segments) > 4 and segments[4]:  # it names a device
            tally.add({("network_bytes",): 1}, *runs)
        return []

    def _bytes(self, number: int) -> Interval:
        kind = self._types[number]
        elements = known(1)
        for size in sizes_of(self.value(number), kind):
            elements = product(elements, self.steps.lifted(size))
        bits = kind.element_bits
        if bits % 8 == 0:
            return product(elements, known(bits // 8))
        return evaluate("arith.ceildivsi", [product(elements, known(bits)), known(8)]) or anything()

    # What holds blocks

    def _if(self, operation: Operation, often: Often, tally: Tally) -> list[Value]:
        condition = self.integer(operation.operands[0])
        then, otherwise = [*operation.regions, Block(())][:2]
        given = self._branches([(then, condition), (otherwise, opposite(condition))], often, tally)
        if given[0] is None or given[1] is None:
            return given[0] or given[1] or []
        return [_chosen(condition, *both) for both in zip(given[0], given[1], strict=False)]

    def _switch(self, operation: Operation, often: Often, tally: Tally) -> list[Value]:
        """`scf.index_switch`: the default first, then a region for each case."""
        index, otherwise = self.integer(operation.operands[0]), known(1)
        ways: list[tuple[Block, Interval]] = []
        for case, region in zip(operation.integers("cases"), operation.regions[1:], strict=False):
            is_case = evaluate("arith.cmpi", [index, known(case)]) or anything(True)
            ways.append((region, is_case))
            otherwise = evaluate("arith.andi", [otherwise, opposite(is_case)]) or anything(True)
        given = self._branches([*ways, (operation.regions[0], otherwise)], often, tally)
        there = [values for values in given if values is not None]
        return [_joined(values) for values in zip(*there, strict=False)]

    def _branches(self, ways: Sequence[tuple[Block, Interval]], often: Often, tally: Tally) -> list[list[Value] | None]:
        """Blocks of which one runs at each step, with the bit that says whether it is this one; what each gives.

        Where the bits are not known, the larger counts, and what all would do is certain.
        """
        given: list[list[Value] | None] = [None] * len(ways)
        undecided: list[Tally] = []
        for n, (block, bit) in enumerate(ways):
            decided = often.where(bit.low, bit.low)
            if self.steps.number(decided.counted):
                given[n] = self.block(block, (), decided, tally)
            if bit.is_known:
                continue
            open_ = often.where(bit.high - bit.low, bit.high - bit.low)
            if self.steps.number(open_.counted):
                undecided.append(Tally())
                given[n] = self.block(block, (), open_, undecided[-1])
        if undecided:
            joined = undecided[0]
            for other in undecided[1:]:
                joined = either(joined, other)
            if any(other.counted != joined.counted for other in undecided):
                self.open.choices.setdefault("branches by data, counted as the larger branch")
            tally.join(joined)
        return given

    def _once(self, operation: Operation, often: Often, tally: Tally) -> list[Value]:
        return self.block(operation.regions[0], (), often, tally) if operation.regions else []

    def _call(self, operation: Operation, often: Often, tally: Tally) -> list[Value]:
        name = operation.attributes.get("callee", "").strip('@"')
        function = self.code.functions.get(name)
        if function is None:
            self.open.unknown.setdefault(f"calls {name or 'a function'}, which is not there")
            return []
        return self.block(function.body, [self.value(each) for each in operation.operands], often, tally)

    controls: ClassVar[dict[str, Control]] = {
        "scf.if": _if,
        "scf.index_switch": _switch,
        "scf.for": run_for,
        "scf.while": run_while,
        **dict.fromkeys(("scf.execute_region", "tpu.region", "tpu.trace", "memref.alloca_scope"), _once),
        **dict.fromkeys(("func.call", "tt.call"), _call),
        **dict.fromkeys(("tpu.enqueue_dma", "tpu.enqueue_indirect_dma"), _transfer),
    }
    """What is more than an operation on values: it has regions, calls a function or copies memory."""


def _chosen(condition: Interval, one: Value, other: Value) -> Value:
    if isinstance(one, Interval) and isinstance(other, Interval):
        return chosen(condition, one, other)
    return one if one is not None else other


def _joined(values: Sequence[Value]) -> Value:
    found = values[0]
    for value in values[1:]:
        if isinstance(found, Interval) and isinstance(value, Interval):
            found = hull(found, value)
    return found


_ENDS = frozenset("func.return return scf.yield tpu.yield scf.condition tt.return memref.alloca_scope.return".split())
_GRID = frozenset(("tt.get_program_id", "tt.get_num_programs", "tpu.iteration_bound"))
