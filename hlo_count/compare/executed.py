"""The instructions of a program that run, with what matching needs to know of each."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from functools import cached_property, lru_cache

from hlo_count.compare.constants import Constants
from hlo_count.compare.values import Values
from hlo_count.hlo.attributes import split_attributes
from hlo_count.hlo.computation import Computation
from hlo_count.hlo.depth import post_order
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.metadata import Metadata
from hlo_count.hlo.opcodes import LEAVES
from hlo_count.hlo.shapes import Shape
from hlo_count.report.breakdown import NO_SCOPE
from hlo_count.report.report import Report
from hlo_count.report.scopes import readable, scope
from hlo_count.visitors.cost import ZERO, Cost, Times
from hlo_count.visitors.walk import Walk

SILENT = LEAVES | frozenset("tuple get-tuple-element while call conditional after-all".split())
"""Opcodes that cost nothing of their own and say little: they are not matched."""
_NAMING = frozenset(
    "calls to_apply condition body select scatter true_computation false_computation branch_computations "
    "called_computations control-predecessors metadata backend_config frontend_attributes channel_id".split()
)
"""Attributes that name other parts of the text, or say how and not what."""
REMATERIALIZED = "rematted_computation"
"""The component that `jax.checkpoint` puts into the op_name of what it computes again."""


Origin = tuple[str, str, tuple[bool, str, str]]
"""An op_name within its calls, the line of source, and the `place` of the op_name."""


_Line = tuple[tuple[str, Shape], int, Metadata]
"""What a line says: opcode and shape, the number of what it does, and where it comes from."""
_Said = tuple[tuple[str, Shape], int, Metadata, Cost]
"""The same with what one run costs."""
_SILENCE = ()


class Executed:
    """An instruction where it runs: as a kernel or inside one, and how often. `left` runs have no partner yet."""

    __slots__ = (
        "computation",
        "cost",
        "home",
        "index",
        "kernel",
        "label",
        "left",
        "op_name",
        "opcode",
        "order",
        "shape",
        "source",
        "times",
        "where",
    )

    home: Executed
    """The kernel that it runs in: itself, or the outermost fusion around it."""
    where: tuple[bool, str, str]
    """`place` of its op_name."""

    def __init__(
        self,
        computation: Computation,
        index: int,
        kind: tuple[str, Shape],
        *,
        order: int,
        times: Times,
        kernel: bool,
        cost: Cost,
        label: int,
        origin: Origin,
    ) -> None:
        self.computation = computation
        self.index = index
        self.opcode, self.shape = kind
        self.order = order
        self.times = self.left = times
        self.kernel = kernel
        self.cost = cost
        self.label = label
        self.op_name, self.source, self.where = origin
        self.home = self

    @property
    def instruction(self) -> Instruction:
        """Made when it is asked for: most of what runs in both programs is told by its line."""
        return self.computation.instructions[self.index]

    @property
    def dims(self) -> tuple[Hashable, ...]:
        return tuple(leaf.dimensions for leaf in self.shape.leaves)

    @property
    def family(self) -> Hashable:
        """What it computes and where: another of the same family computes the same once more."""
        return (
            self.where,
            self.opcode,
            self.dims,
            self.instruction.attribute("dim_labels"),
            _contraction(self.instruction),
        )


class Labels(dict[Hashable, int]):
    """Numbers for what instructions do, the same ones for both programs."""

    def __init__(self) -> None:
        super().__init__()
        self.contents: dict[Hashable, list[int]] = {}
        self.neighbourhoods: dict[Hashable, list[int]] = {}
        """Those of the instructions of a computation, by its text, where it has one: it may stand in both."""

    def of(self, key: Hashable) -> int:
        return self.setdefault(key, len(self))


class ExecutedProgram:
    """The items of a report, and the labels that say what each does."""

    def __init__(self, report: Report, labels: Labels) -> None:
        self.report = report
        self.constants = Constants(report.module)
        self.items: list[Executed] = []
        self.fusions: list[Executed] = []
        self._labels = labels
        self._contents: dict[Computation, list[int]] = {}
        self._neighbourhoods: dict[Computation, list[int]] = {}
        self._shapes: dict[int, int] = {}
        self._whats: dict[tuple[str, str, str], int] = {}
        self._origins: dict[tuple[Metadata, str], Origin] = {}
        self._operations: dict[int, int] = {}
        self._alive: dict[Computation, set[Instruction]] = {}
        self._lines: dict[int, _Line | tuple[()]] = {}
        walk = report.walk
        homes: dict[tuple[Computation, str], Executed] = {}
        for (computation, kernel, caller), times in _contexts(walk).items():
            if not times:
                continue
            home = None if kernel else homes.get((computation, caller))
            for index, (kind, label, metadata, cost) in self._saying(computation, kernel):
                item = Executed(
                    computation,
                    index,
                    kind,
                    order=len(self.items),
                    times=times,
                    kernel=kernel,
                    cost=cost,
                    label=label,
                    origin=self._origin(metadata, caller),
                )
                item.home = home or item
                self.items.append(item)
                if item.opcode == "fusion":
                    self.fusions.append(item)
                    for _, callee in item.instruction.called:
                        homes.setdefault((callee, caller), item.home)

    def _saying(self, computation: Computation, kernel: bool) -> Iterator[tuple[int, _Said]]:
        """The instructions that say something, by position: from the lines of a fused body, else each of its own."""
        costs = None if kernel else self.report.walk.costs_by_position(computation)
        if costs is not None:
            for index, (line, cost) in enumerate(zip(computation.printed.numbers, costs, strict=True)):
                said = self._lines.get(line)
                if said is None:
                    said = self._lines[line] = self._line(line)
                if said is not _SILENCE:
                    yield index, (*said, cost)
            return
        asked = dict(self.report.walk.costs_of(computation, kernel))
        for i, label in zip(computation.instructions, self._contents_of(computation), strict=True):
            if i.opcode not in SILENT:
                yield i.index, ((i.opcode, i.shape), label, i.metadata, asked.get(i, ZERO))

    def _line(self, line: int) -> _Line | tuple[()]:
        """What a distinct line of the text says, all but what it costs."""
        module = self.report.module
        kind, attributes = module.distinct_lines.kinds[line], module.distinct_lines.attributes[line]
        if kind[0] in SILENT:
            return _SILENCE
        label = self._intern((self._what(kind[0], "", attributes), self._shape(kind[1])))
        return kind, label, module.metadata.of(attributes)

    @cached_property
    def named(self) -> bool:
        """Whether most of it says where it comes from."""
        return 2 * sum(bool(item.op_name) for item in self.items) >= len(self.items)

    @cached_property
    def loops(self) -> dict[Computation, Instruction]:
        """Bodies and conditions: the loop that runs them."""
        found: dict[Computation, Instruction] = {}
        for computation, _ in self.report.walk.runs:
            for instruction in computation.instructions:
                if instruction.opcode == "while":
                    found.update((callee, instruction) for _, callee in instruction.called)
        return found

    @cached_property
    def looped(self) -> set[Computation]:
        """The computations that a loop runs, be it through calls."""
        found = set(self.loops)
        for computation, _ in self.report.walk.runs:
            if computation in found:
                found.update(edge.callee for _, edges in self.report.walk.edges(computation) for edge in edges)
        return found

    def _origin(self, metadata: Metadata, caller: str) -> Origin:
        found = self._origins.get((metadata, caller))
        if found is None:
            op_name = _nested(caller, metadata.op_name)
            found = self._origins[metadata, caller] = op_name, metadata.source, place_of(op_name)
        return found

    def content(self, instruction: Instruction) -> int:
        """A number for what it does, whatever it is named: opcode, shape, literal, attributes."""
        return self._contents_of(instruction.computation)[instruction.index]

    def _contents_of(self, computation: Computation) -> list[int]:
        """The same of all instructions of a computation: those of the first that says so."""
        found = self._contents.get(computation.twin)
        if found is None:
            computation, text = computation.twin, _text_of(computation.twin)
            found = self._labels.contents.get(text) or [
                self._intern((self._what_of(i), self._shape(i.shape))) for i in computation.instructions
            ]
            self._contents[computation] = self._labels.contents[text] = found
        return found

    def _what_of(self, instruction: Instruction) -> int:
        """The same without its shape."""
        literal = instruction.operand_text if instruction.opcode == "constant" else ""
        return self._what(instruction.opcode, literal, instruction.attribute_text)

    def _what(self, opcode: str, literal: str, attribute_text: str) -> int:
        head, _, rest = attribute_text.partition(", metadata={")
        key = (opcode, literal, head if "}, " not in rest else attribute_text)
        found = self._whats.get(key)
        if found is None:
            named = split_attributes(attribute_text).items()
            attributes = tuple([(name, value) for name, value in named if name not in _NAMING])
            found = self._whats[key] = self._intern((opcode, literal, attributes))
        return found

    def _shape(self, shape: Shape) -> int:
        """A number for a shape; the parser makes one object of those that read the same."""
        found = self._shapes.get(id(shape))
        if found is None:
            found = self._shapes[id(shape)] = self._intern(str(shape))
        return found

    def _operation(self, instruction: Instruction) -> int:
        """`content` without the layout of its shape."""
        content = self.content(instruction)
        found = self._operations.get(content)
        if found is None:
            leaves = tuple([(leaf.dtype, leaf.dimensions) for leaf in instruction.shape.leaves])
            found = self._operations[content] = self._intern((self._what_of(instruction), leaves))
        return found

    def neighbourhood(self, item: Executed) -> int:
        """A number for what it does, and what its operands and users do."""
        return self._neighbourhoods_of(item.computation)[item.index]

    def _neighbourhoods_of(self, computation: Computation) -> list[int]:
        found = self._neighbourhoods.get(computation.twin)
        if found is None:
            computation, text = computation.twin, _text_of(computation.twin)
            found = self._labels.neighbourhoods.get(text) or self._neighbours(computation)
            self._neighbourhoods[computation] = self._labels.neighbourhoods[text] = found
        return found

    def _neighbours(self, computation: Computation) -> list[int]:
        contents, users = self._contents_of(computation), computation.users
        return [
            self._intern(
                (
                    contents[i.index],
                    tuple([contents[operand.index] for operand in i.operands]),
                    tuple(sorted([contents[user.index] for user in users[i]])),
                )
            )
            for i in computation.instructions
        ]

    @cached_property
    def values(self) -> Values:
        """Which instructions compute the same, whatever the layout of it."""
        return Values(self.report.walk, self._operation)

    def is_dead(self, instruction: Instruction) -> bool:
        """Whether the root of its computation does not need it."""
        computation = instruction.computation
        alive = self._alive.get(computation)
        if alive is None:
            alive = self._alive[computation] = set(post_order(computation.root, lambda i: i.operands))
        return instruction not in alive

    def _intern(self, key: Hashable) -> int:
        return self._labels.of(key)


def _text_of(computation: Computation) -> Hashable:
    return computation.printed.text if computation.is_printed else computation


_Context = tuple[Computation, bool, str]
"""A computation that runs, whether its instructions are kernels, and the op_name of what calls it."""

_MOST_CONTEXTS = 10_000
"""Contexts of one program that are told apart, beside one for each computation."""
_LONGEST_CALLER = 4000
"""Characters of a caller's op_name that another is added to."""


def _contexts(walk: Walk) -> dict[_Context, Times]:
    """How often each computation runs for each op_name of its callers.

    Before it inlines them, XLA's computations hold op_names that go on from that of the call: a layer's forward pass,
    called from two places, is two. Where calls branch time after time there would be more contexts than lines by far:
    beyond _MOST_CONTEXTS a computation's further callers count with its first.
    """
    order = list(walk.runs)
    apart = 0
    contexts: dict[tuple[Computation, bool], dict[str, Times]] = {key: {} for key in order}
    contexts[order[0]][""] = 1
    for computation, kernel in order:
        for caller, times in contexts[computation, kernel].items():
            for instruction, edges in walk.edges(computation):
                inner = caller
                if instruction.opcode == "call" and len(caller) < _LONGEST_CALLER:
                    inner = _nested(caller, instruction.metadata.op_name)
                for edge in edges:
                    runs = contexts[edge.callee, kernel and edge.kernels]
                    apart += bool(runs) and inner not in runs
                    name = inner if not runs or inner in runs or apart <= _MOST_CONTEXTS else next(iter(runs))
                    runs[name] = runs.get(name, 0) + times * edge.times
    return {(*key, caller): times for key, callers in contexts.items() for caller, times in callers.items()}


def _nested(caller: str, op_name: str) -> str:
    """An op_name within a call: whole names, which begin with the jitted function, stay as they are."""
    if not caller or not op_name or op_name.startswith(("jit(", "pjit(")):
        return op_name
    return f"{caller}/{op_name}"


@lru_cache(maxsize=65536)
def place_of(op_name: str) -> tuple[bool, str, str]:
    """(whether it belongs to a backward pass, the user's scopes, the primitive) of an op_name.

    The name of the jitted function and what transforms and control flow add are left out, so that a function and its
    checkpointed or renamed version agree; what is rematerialized belongs to the forward pass.
    """
    if not op_name:
        return (False, "", "")
    scopes = [readable(part).removesuffix(" (backward)") for part in scope(op_name)]
    if scopes and op_name.startswith(("jit(", "pjit(")):
        scopes = scopes[1:]
    backward = "transpose(" in op_name and REMATERIALIZED not in op_name
    return (backward, "/".join(scopes), op_name.rsplit("/", 1)[-1])


def scope_name(item: Executed, depth: int | None = None) -> str:
    """Its scopes, `depth` levels of them; "block/mlp (backward)"."""
    backward, scopes, _ = item.where
    name = "/".join(scopes.split("/")[:depth])
    return f"{name or NO_SCOPE}{' (backward)' if backward else ''}"


def _contraction(instruction: Instruction) -> Hashable:
    if instruction.opcode != "dot":
        return None
    return (instruction.dims("lhs_contracting_dims"), instruction.dims("rhs_contracting_dims"))
