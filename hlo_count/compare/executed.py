"""The instructions of a program that run, with what matching needs to know of each."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cached_property, lru_cache

from hlo_count.compare.constants import Constants
from hlo_count.compare.values import Values
from hlo_count.hlo.computation import Computation
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.metadata import Metadata
from hlo_count.hlo.opcodes import LEAVES
from hlo_count.hlo.shapes import Shape
from hlo_count.report.breakdown import NO_SCOPE
from hlo_count.report.report import Report
from hlo_count.report.scopes import readable, scope
from hlo_count.visitors.cost import Cost, Times
from hlo_count.visitors.elementwise import COMPUTING
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


class Executed:
    """An instruction where it runs: as a kernel or inside one, and how often. `left` runs have no partner yet."""

    __slots__ = (
        "cost",
        "home",
        "instruction",
        "kernel",
        "label",
        "left",
        "op_name",
        "opcode",
        "order",
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
        instruction: Instruction,
        metadata: Metadata,
        *,
        order: int,
        times: Times,
        kernel: bool,
        cost: Cost,
        caller: str,
    ) -> None:
        self.instruction = instruction
        self.opcode = instruction.opcode
        self.order = order
        self.times = self.left = times
        self.kernel = kernel
        self.cost = cost
        self.op_name = _nested(caller, metadata.op_name)
        self.source = metadata.source
        self.where = place(self.op_name)
        self.label = 0
        self.home = self

    @property
    def dims(self) -> tuple[Hashable, ...]:
        return tuple(leaf.dimensions for leaf in self.instruction.shape.leaves)

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


class Program:
    """The items of a report, and the labels that say what each does."""

    def __init__(self, report: Report, labels: dict[Hashable, int]) -> None:
        self.report = report
        self.constants = Constants(report.module)
        self.items: list[Executed] = []
        self.fusions: list[Executed] = []
        self._labels = labels
        self._contents: dict[Instruction, int] = {}
        self._shapes: dict[int, int] = {}
        self._whats: dict[tuple[str, str, str], int] = {}
        self._costs: tuple[dict[Hashable, Cost], dict[Hashable, Cost]] = ({}, {})
        self._metadatas: dict[str, Metadata] = {}
        self._operations: dict[int, int] = {}
        walk = report.walk
        homes: dict[tuple[Computation, str], Executed] = {}
        for (computation, kernel, caller), times in _contexts(walk).items():
            if not times:
                continue
            home = None if kernel else homes.get((computation, caller))
            for instruction in computation.instructions:
                opcode = instruction.opcode
                if opcode in SILENT:
                    continue
                cost = self._cost(walk, instruction, kernel)
                item = Executed(
                    instruction,
                    self._metadata(instruction),
                    order=len(self.items),
                    times=times,
                    kernel=kernel,
                    cost=cost,
                    caller=caller,
                )
                item.label = self.content(instruction)
                item.home = home or item
                self.items.append(item)
                if opcode == "fusion":
                    self.fusions.append(item)
                    for _, callee in instruction.called:
                        homes.setdefault((callee, caller), item.home)

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

    def _metadata(self, instruction: Instruction) -> Metadata:
        """Its metadata: where the texts are the same, read once."""
        text = instruction.attribute_text.partition("metadata={")[2]
        found = self._metadatas.get(text)
        if found is None:
            found = self._metadatas[text] = instruction.metadata
        return found

    def _cost(self, walk: Walk, instruction: Instruction, kernel: bool) -> Cost:
        """What one run costs: one object for elementwise instructions that are alike."""
        if instruction.opcode not in COMPUTING:
            return walk.cost_of(instruction, kernel)
        shapes = [id(operand.shape) for operand in dict.fromkeys(instruction.operands)] if kernel else ()
        key = (instruction.opcode, id(instruction.shape), *shapes)
        found = self._costs[kernel].get(key)
        if found is None:
            found = self._costs[kernel][key] = walk.cost_of(instruction, kernel)
        return found

    def content(self, instruction: Instruction) -> int:
        """A number for what it does, whatever it is named: opcode, shape, literal, attributes."""
        found = self._contents.get(instruction)
        if found is None:
            found = self._contents[instruction] = self._intern(
                (self._what(instruction), self._shape(instruction.shape))
            )
        return found

    def _what(self, instruction: Instruction) -> int:
        """The same without its shape."""
        literal = instruction.operand_text if instruction.opcode == "constant" else ""
        head, _, rest = instruction.attribute_text.partition(", metadata={")
        key = (instruction.opcode, literal, head if "}, " not in rest else instruction.attribute_text)
        found = self._whats.get(key)
        if found is None:
            named = instruction.attributes.items()
            attributes = tuple([(name, value) for name, value in named if name not in _NAMING])
            found = self._whats[key] = self._intern((instruction.opcode, literal, attributes))
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
            found = self._operations[content] = self._intern((self._what(instruction), leaves))
        return found

    def neighbourhood(self, item: Executed) -> int:
        """A number for what it does, and what its operands and users do."""
        instruction = item.instruction
        content = self.content
        users = sorted(map(content, instruction.computation.users[instruction]))
        return self._intern((item.label, tuple(map(content, instruction.operands)), tuple(users)))

    @cached_property
    def values(self) -> Values:
        """Which instructions compute the same, whatever the layout of it."""
        return Values(self.report.walk, self._operation)

    @cached_property
    def dead(self) -> set[Instruction]:
        """Instructions that no root needs, in the computations that run."""
        found: set[Instruction] = set()
        for computation in dict.fromkeys(c for c, _ in self.report.walk.runs):
            alive = {computation.root}
            stack = [computation.root]
            while stack:
                for operand in stack.pop().operands:
                    if operand not in alive:
                        alive.add(operand)
                        stack.append(operand)
            found.update(i for i in computation.instructions if i not in alive and i.opcode != "parameter")
        return found

    def _intern(self, key: Hashable) -> int:
        return self._labels.setdefault(key, len(self._labels))


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
def place(op_name: str) -> tuple[bool, str, str]:
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
