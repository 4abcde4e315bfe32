"""Kernels of a GPU in Mosaic: every lane of every block of threads runs the code, and few of them start the copies.

A function sets up descriptors of what the tensor memory accelerator (TMA) copies, and launches a region over blocks and
threads. Matrix products and special functions stand there as PTX (`ptx_cost.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

from hlo_count.hlo.shapes import Shape
from hlo_count.lowering.mlir import string_bytes
from hlo_count.visitors.kernels.deciding_values import deciding_values
from hlo_count.visitors.kernels.gpu_pointers import ELSEWHERE, POINTERS, made_of, strides_of
from hlo_count.visitors.kernels.gpu_threads import PLACES, Threads, axes_of
from hlo_count.visitors.kernels.intervals import Interval, anything, constant_of, known, plus, product
from hlo_count.visitors.kernels.kernel_code import Block, Function, KernelCode, Operation, whole_operations
from hlo_count.visitors.kernels.kernel_count import KernelCount, Traffic
from hlo_count.visitors.kernels.kernel_memory import Memory, Scratch, Value
from hlo_count.visitors.kernels.kernel_run import Control, KernelRun, Often
from hlo_count.visitors.kernels.kernel_tally import READ, WRITTEN, Moved, Tally, operations_of
from hlo_count.visitors.kernels.ptx_cost import Statement, statement_cost, statements

_FLOATS = re.compile(r"(?:b?f16|f32|f64|f8E\w+)$")
_ARGUMENT = "mosaic_gpu.from_kernel_arg_idx"
_SET_UP = "mosaic_gpu_init_tma_desc"
_DYNAMIC = -(2**63)
"""What stands among static offsets for one that is an operand."""
_SIZES = {"i8": 1, "i64": 8, "!llvm.ptr": 8}


def mosaic_gpu_count(code: KernelCode, operands: Sequence[Shape], results: Sequence[Shape]) -> KernelCount:
    """Count a call with such operands and results (arrays, a tuple's one by one). Raises ValueError for code that
    cannot be followed."""
    with whole_operations():
        return _counted(code, operands, results)


def _counted(code: KernelCode, operands: Sequence[Shape], results: Sequence[Shape]) -> KernelCount:
    types = tuple(f"vector<1x{text}>" if _FLOATS.match(text) else text for text in code.types)
    run = _LaneRun(replace(code, types=types), [*operands, *results])
    tally, _ = run.call(run.main, [None] * len(run.main.body.arguments))
    read, written = ([run.traffic(way, n, tally) for n in range(len(run.arrays))] for way in (READ, WRITTEN))
    given = len(operands)
    return KernelCount(
        operations_of(tally.least),
        operations_of(tally.counted),
        tuple(read[:given]),
        tuple(written[given:]),
        tuple(written[:given]),
        tuple(read[given:]),
        run.open,
    )


@dataclass(frozen=True, slots=True)
class _Box:
    """What one copy by a descriptor moves: a part of an argument of the kernel."""

    argument: int
    elements: int


class _LaneRun(KernelRun):
    """A kernel's code at every lane: a grid of blocks, warps of a block, lanes of a warp."""

    def __init__(self, code: KernelCode, arrays: Sequence[Shape]) -> None:
        self.main, launch = _launched(code)
        self.arrays = arrays
        sizes = _sizes(self.main, launch)
        self._kinds = code.types
        followed = deciding_values(code, self._asked, lambda each: made_of(code, each))
        self._used = frozenset(_operands(self.main.body))
        super().__init__(code, axes_of(sizes), followed=followed)
        self._threads = Threads(self.steps, sizes)
        self._boxes: dict[Scratch, _Box] = {}
        self._stored: dict[Scratch, Interval] = {}
        self._reached: set[Moved] = set()
        self._no_more_work: dict[int, int] = {}
        """By the result of a text in PTX, which part of it says whether there is another block to take over."""
        self._is_launched = False

    def traffic(self, way: str, n: int, tally: Tally) -> Traffic:
        """What copies move of an array; one that lanes reach by themselves counts once, and none of it is certain."""
        size = self.arrays[n].bytes
        least, moved = (amounts.get((way, n), 0) for amounts in (tally.least, tally.counted))
        counted = moved + (size if (way, n) in self._reached else 0)
        return Traffic(min(least, size), counted, min(counted, size), least != moved)

    # Values

    def _asked(self, operation: Operation) -> Iterable[int]:
        """What is asked of an operation besides what it makes."""
        name = operation.name
        if name in _COPIES:
            segments = operation.integers("operandSegmentSizes")
            predicate = operation.operands[-1:] if segments[-1:] == (1,) else ()
            return (*operation.operands[:2], *predicate)
        if name == "llvm.inline_asm":
            text = operation.attributes.get("asm_string", "")
            return operation.operands if "cp." in text or "red." in text or "tcgen05.mma" in text else ()
        if name in _LOADS:
            return operation.operands[:1]
        if name in _STORES:  # what is stored matters where the caller sets something up
            return operation.operands if self._kinds[operation.operands[0]] == "i64" else operation.operands[1:2]
        return operation.operands if name == "func.call" else ()

    def _result(self, operation: Operation, number: int) -> Value:
        name = operation.name
        if name in PLACES:
            return self._threads.place(operation)
        if _ARGUMENT in operation.attribute_text:
            return Memory(operation.integer(_ARGUMENT), offset=known(0))
        if name == "llvm.alloca" or (name == "memref.alloca" and not self._is_launched):
            return Scratch(number, 0)
        if name == "nvvm.elect.sync":
            return self._threads.elected()
        if name == "nvvm.shfl.sync" and "idx" in operation.attributes.get("kind", ""):
            return self._threads.of_one_lane(*map(self.integer, operation.operands[1:3]))
        if name == "llvm.extractvalue" and operation.operands[0] in self._no_more_work:
            which = operation.integers("position")
            return known(0) if which == (self._no_more_work[operation.operands[0]],) else anything()
        first = self.value(operation.operands[0]) if operation.operands else None
        if isinstance(first, Scratch):
            return self._within(operation, number, first)
        if isinstance(first, Memory):
            if name == "memref.extract_strided_metadata" and number == operation.results[1]:
                return first.offset or anything()
            if self.type_of(number).kind == "memory":
                return Memory(first.argument, offset=self._offset(operation, number, first))
            if name in POINTERS:
                return first if name != "llvm.load" else None
        return super()._result(operation, number)

    def _offset(self, operation: Operation, number: int, source: Memory) -> Interval | None:
        """How many elements lie before a part of `source`; None where that is not followed."""
        name = operation.name
        if ~number not in (self._followed or ()) or name not in ("memref.subview", "memref.reinterpret_cast"):
            return source.offset
        dynamic = list(operation.operands[1:])
        offsets = [
            self.integer(dynamic.pop(0)) if each == _DYNAMIC else known(each)
            for each in operation.integers("static_offsets")
        ]
        if name == "memref.reinterpret_cast":
            return offsets[0]
        strides = strides_of(self._kinds[operation.operands[0]])
        if source.offset is None or strides is None or len(strides) != len(offsets):
            return None
        found = self.steps.lifted(source.offset)
        for each, stride in zip(offsets, strides, strict=True):
            found = plus(found, product(each, known(stride)))
        return found

    def _within(self, operation: Operation, number: int, place: Scratch) -> Value:
        """What is made of a pointer to scratch: another one, or what was stored there."""
        indices = operation.integers("rawConstantIndices")
        if operation.name == "llvm.getelementptr":
            size = _SIZES.get(operation.attributes.get("elem_type", ""))
            is_told = size is not None and len(operation.operands) == 1 and len(indices) == 1
            return Scratch(place.number, place.offset + size * indices[0]) if is_told and size is not None else None
        if operation.name == "llvm.load" and not self._kinds[number].startswith("!llvm.array"):
            return self._stored.get(place)
        return place

    # What moves

    def _copy(self, operation: Operation, often: Often, tally: Tally) -> list[Value]:
        """A copy by a descriptor, of those lanes whose predicate is set."""
        is_load = operation.name == _COPIES[0]
        segments = operation.integers("operandSegmentSizes")
        predicate = self.integer(operation.operands[-1]) if segments[-1:] == (1,) else known(1)
        self._copy_box(operation.operands[1 if is_load else 0], READ if is_load else WRITTEN, predicate, often, tally)
        return []

    def _copy_box(
        self, descriptor: int, way: str, predicate: Interval, often: Often, tally: Tally, rows: int = 1
    ) -> None:
        place = self.value(descriptor)
        box = self._boxes.get(place) if isinstance(place, Scratch) else None
        if box is None:
            self._untold()
        else:
            shape = self.arrays[box.argument]
            size = -(-box.elements * rows * shape.bytes // shape.size) if shape.size else 0
            self._move((way, box.argument), known(size), predicate, often, tally)

    def _move(self, key: Moved, size: Interval, predicate: Interval, often: Often, tally: Tally) -> None:
        runs = often.where(predicate.low, predicate.high)
        tally.add({key: 1}, self.steps.number(runs.least, size.low), self.steps.number(runs.counted, size.high))
        if not (predicate.is_known and size.is_known):
            self.open.choices.setdefault("copies parts as data say, counted as the most")

    def _untold(self) -> None:
        self.open.unknown.setdefault("reaches memory by a pointer whose array its code does not tell")
        self.open.moves = True

    def _load(self, operation: Operation, often: Often, tally: Tally) -> list[Value]:
        """A load whose result nothing uses, as a swap's may be, is left out by every compiler."""
        if any(each in self._used for each in operation.results):
            self._reach(READ, operation.operands[0], often)
        return [self._result(operation, each) if each in (self._followed or ()) else None for each in operation.results]

    def _store(self, operation: Operation, often: Often, tally: Tally) -> list[Value]:
        value, to, *indices = operation.operands
        place = self.value(to)
        if isinstance(place, Scratch):
            at = sum(constant_of(self.integer(each)) or 0 for each in indices)
            self._stored[Scratch(place.number, place.offset + _SIZES["i64"] * at)] = self.integer(value)
        else:
            self._reach(WRITTEN, to, often)
        return []

    def _copy_by_lanes(self, operation: Operation, often: Often, tally: Tally) -> list[Value]:
        """`cp.async` of a few bytes a lane."""
        self._reach(READ, operation.operands[1], often)
        return []

    def _reach(self, way: str, pointer: int, often: Often) -> None:
        """A lane reads or writes memory by itself."""
        place = self.value(pointer)
        if isinstance(place, Memory):
            if place.argument is not None and self.steps.number(often.counted):
                self._reached.add((way, place.argument))
        elif self._is_launched and not isinstance(place, Scratch) and not ELSEWHERE.search(self._kinds[pointer]):
            self._untold()

    # What is more than an operation on values

    def _launch(self, operation: Operation, often: Often, tally: Tally) -> list[Value]:
        self._is_launched = True
        self.block(operation.regions[0], self._threads.arguments(), often, tally)
        self._is_launched = False
        return [None] * len(operation.results)

    def _set_up(self, operation: Operation, often: Often, tally: Tally) -> list[Value]:
        """A call: of the function that sets up a descriptor what it describes, else what it runs."""
        if _SET_UP not in operation.attributes.get("callee", ""):
            return self._call(operation, often, tally)
        place, array, *_, box = (self.value(each) for each in operation.operands)
        rank = constant_of(self.integer(operation.operands[3])) or 0
        if not (isinstance(place, Scratch) and isinstance(array, Memory) and isinstance(box, Scratch)):
            return []
        stored = [self._stored.get(Scratch(box.number, box.offset + 8 * n), anything()) for n in range(rank)]
        sizes = [constant_of(each) for each in stored]
        if array.argument is not None and None not in sizes:
            self._boxes[place] = _Box(array.argument, prod(size for size in sizes if size is not None))
        return []

    def _asm(self, operation: Operation, often: Often, tally: Tally) -> list[Value]:
        """Each instruction of a text in PTX."""
        text = string_bytes(operation.attributes.get("asm_string", "").strip('"')).decode(errors="replace")
        for statement in statements(text):
            if re.match(r"cp\.(reduce\.)?async\.bulk\.(?:tensor|shared|global)", statement.name):
                self._copy_in_ptx(statement, operation, often, tally)
                continue
            if statement.name.startswith("multimem"):
                self.open.unknown.setdefault(
                    "reaches other devices by multimem, whose bytes on the network no rule knows"
                )
                self.open.moves = True
                continue
            if statement.name.startswith("clusterlaunchcontrol.query_cancel.is_canceled"):
                # A block that runs takes over one that has not begun, until none is left: in all each runs once.
                self._no_more_work[operation.results[0]] = int(statement.rest.partition(",")[0].strip("$"))
            described = None
            if statement.name.startswith("tcgen05.mma"):
                described = constant_of(self.integer(_operand(operation, statement.rest, r"(?<!\[)\$(\d+)")))
            cost = statement_cost(statement, described)
            if cost is None:
                self.open.unknown.setdefault(f"has an instruction {statement.name} of PTX, which no rule knows")
            else:
                predicate = self._predicate(statement, operation)
                runs = often.where(predicate.low, predicate.high)
                tally.add(cost.amounts, self.steps.number(runs.least), self.steps.number(runs.counted))
        return [None] * len(operation.results)

    def _predicate(self, statement: Statement, operation: Operation) -> Interval:
        """Whether an instruction runs; not known where the text in PTX works it out itself."""
        found = re.fullmatch(r"\$(\d+)", statement.predicate)
        if not statement.predicate:
            return known(1)
        is_given = found is not None and int(found[1]) >= _outputs(operation)
        return self.integer(_nth(operation, int(found[1]))) if found is not None and is_given else anything(True)

    def _copy_in_ptx(self, statement: Statement, operation: Operation, often: Often, tally: Tally) -> None:
        """A copy that has a predicate: of the box of a descriptor, or of so many bytes at a pointer."""
        name = statement.name
        predicate = self._predicate(statement, operation)
        way = WRITTEN if ".global.shared" in name else READ
        if ".tensor" in name:
            descriptor = _operand(operation, statement.rest, r"\[\$(\d+),\s*\{")
            ways = (READ, WRITTEN) if name.startswith("cp.reduce") else (way,)
            for each in ways:
                self._copy_box(descriptor, each, predicate, often, tally, rows=4 if "4" in statement.parts[-1] else 1)
            return
        target, source, size = map(int, re.findall(r"\$(\d+)", statement.rest)[:3])
        place = self.value(_nth(operation, source if way == READ else target))
        if not isinstance(place, Memory) or place.argument is None:
            self._untold()
        else:
            self._move((way, place.argument), self.integer(_nth(operation, size)), predicate, often, tally)

    controls: ClassVar[dict[str, Control]] = {}


_COPIES = ("nvvm.cp.async.bulk.tensor.shared.cluster.global", "nvvm.cp.async.bulk.tensor.global.shared.cta")
_LOADS = ("llvm.load", "memref.load", "vector.load")
_STORES = ("llvm.store", "memref.store", "vector.store")
_LaneRun.controls = {
    **KernelRun.controls,
    "gpu.launch": _LaneRun._launch,
    "func.call": _LaneRun._set_up,
    "llvm.inline_asm": _LaneRun._asm,
    "nvvm.cp.async.shared.global": _LaneRun._copy_by_lanes,
    **dict.fromkeys(_COPIES, _LaneRun._copy),
    **dict.fromkeys(_LOADS, _LaneRun._load),
    **dict.fromkeys(_STORES, _LaneRun._store),
}


def _launched(code: KernelCode) -> tuple[Function, Operation]:
    """The function that launches the kernel, and where it does."""
    for function in code.functions.values():
        for operation in function.body.operations:
            if operation.name == "gpu.launch":
                return function, operation
    raise ValueError("launches nothing")


def _sizes(main: Function, launch: Operation) -> list[int]:
    """Blocks of the grid, threads of a block and blocks of a cluster, along each dimension."""
    told = {each.results[0]: each.integer("value") for each in main.body.operations if each.name == "arith.constant"}
    segments = launch.integers("operandSegmentSizes")
    if len(segments) < 10:
        raise ValueError("launches in a way that is not known")
    operands = list(launch.operands[segments[0] :])
    found = [told.get(operands.pop(0)) if present else 1 for present in segments[1:10]]
    sizes = [size for size in found if size is not None and size >= 0]
    if len(sizes) < len(found) or not all(sizes[6:]):
        raise ValueError("has a grid whose size its code does not tell")
    return sizes


def _operands(block: Block) -> Iterator[int]:
    """Every value that something in a block uses."""
    for operation in block.operations:
        yield from operation.operands
        for region in operation.regions:
            yield from _operands(region)


def _outputs(operation: Operation) -> int:
    """How many operands of a text in PTX are what it gives; they come first."""
    return sum(each.startswith("=") for each in operation.attributes.get("constraints", "").strip('"').split(","))


def _nth(operation: Operation, number: int) -> int:
    """The operand that `$number` stands for in the text of PTX: results are counted first."""
    at = number - _outputs(operation)
    if not 0 <= at < len(operation.operands):
        raise ValueError(f"has a text in PTX that names operand {number}, which is not there")
    return operation.operands[at]


def _operand(operation: Operation, text: str, pattern: str) -> int:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"has an instruction that is not understood: {text[:60]!r}")
    return _nth(operation, int(found[1]))
