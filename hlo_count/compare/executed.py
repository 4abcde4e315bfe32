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
        *,
        order: int,
        times: Times,
        kernel: bool,
        cost: Cost,
        label: int,
        origin: Origin,
    ) -> None:
        self.instruction = instruction
        self.opcode = instruction.opcode
        self.order = order
        self.times = self.left = times
        self.kernel = kernel
        self.cost = cost
        self.label = label
        self.op_name, self.source, self.where = origin
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


class ExecutedProgram:
    """The items of a report, and the labels that say what each does."""

    def __init__(self, report: Report, labels: dict[Hashable, int]) -> None:
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
        walk = report.walk
        homes: dict[tuple[Computation, str], Executed] = {}
        for (computation, kernel, caller), times in _contexts(walk).items():
            if not times:
                continue
            home = None if kernel else homes.get((computation, caller))
            costs = dict(walk.costs_of(computation, kernel))
            for instruction, label in zip(computation.instructions, self._contents_of(computation), strict=True):
                opcode = instruction.opcode
                if opcode in SILENT:
                    continue
                item = Executed(
                    instruction,
                    order=len(self.items),
                    times=times,
                    kernel=kernel,
                    cost=costs.get(instruction, ZERO),
                    label=label,
                    origin=self._origin(instruction.metadata, caller),
                )
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
        computation = computation.twin
        found = self._contents.get(computation)
        if found is None:
            found = self._contents[computation] = [
                self._intern((self._what(i), self._shape(i.shape))) for i in computation.instructions
            ]
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
        return self._neighbourhoods_of(instruction.computation)[instruction.index]

    def _neighbourhoods_of(self, computation: Computation) -> list[int]:
        computation = computation.twin
        found = self._neighbourhoods.get(computation)
        if found is None:
            contents, users = self._contents_of(computation), computation.users
            found = self._neighbourhoods[computation] = [
                self._intern(
                    (
                        contents[i.index],
                        tuple([contents[operand.index] for operand in i.operands]),
                        tuple(sorted([contents[user.index] for user in users[i]])),
                    )
                )
                for i in computation.instructions
            ]
        return found

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
