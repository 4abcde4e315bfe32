"""Module, Computation and Instruction: what an HLO text says, its details read when they are asked for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hlo_count.errors import HloCountError
from hlo_count.hlo.attributes import int_list, parse_config, split_attributes
from hlo_count.hlo.metadata import NO_METADATA, Metadata, SourceTables, parse_metadata
from hlo_count.hlo.opcodes import FEWEST_OPERANDS
from hlo_count.hlo.shapes import Shape, parse_shape

if TYPE_CHECKING:
    import networkx as nx

    from hlo_count.hlo.trip_counts import TripCounts

_NAMES = re.compile(r"%([\w.\-]+)")
_COMMENT = re.compile(r"/\*.*?\*/", re.S)
_CALLEE = re.compile(
    r", (calls|to_apply|body|condition|select|scatter|true_computation|false_computation)=%?([\w.\-]+)"
)
_CALLING_ATTRIBUTES = (
    *("calls", "to_apply", "condition", "body", "select", "scatter", "true_computation", "false_computation"),
    *("branch_computations", "called_computations"),
)
NUMBERS = [str(n) for n in range(10_000)]
"""What stands in the parentheses of parameters, by number."""
LEAF_OPCODES = frozenset(("parameter", "constant"))
"""Opcodes whose parentheses hold a number or a literal, no operands."""


class Instruction:
    """One line of HLO. `operand_text` and `attribute_text` hold what the text says; the rest is read on demand."""

    __slots__ = (
        *("computation", "index", "name", "opcode", "shape", "operand_text", "attribute_text"),
        *("_operands", "_attributes", "_called"),
    )

    computation: Computation
    index: int
    """Position in the computation, which is the schedule's order where the module is scheduled."""
    shape: Shape
    _operands: tuple[Instruction, ...] | None
    _attributes: dict[str, str] | None
    _called: list[tuple[str, Computation]] | None

    def __init__(
        self,
        computation: Computation,
        index: int,
        name: str,
        opcode: str,
        shape: Shape,
        operand_text: str,
        attribute_text: str,
    ) -> None:
        self.computation = computation
        self.index = index
        self.name = name
        self.opcode = opcode
        self.shape = shape
        self.operand_text = operand_text
        self.attribute_text = attribute_text
        self._operands = None
        self._attributes = None
        self._called = None

    @property
    def operand_names(self) -> list[str]:
        """Names of the operands in order, repeats included."""
        if self.opcode in LEAF_OPCODES or not self.operand_text:
            return []
        names = _NAMES.findall(self.operand_text)
        if len(names) == self.operand_text.count(", ") + 1:
            return names
        # Tuple shapes hold commas, and hand-written text may leave the % of one operand out.
        return [part.split()[-1].lstrip("%") for part in _split_operands(self.operand_text)]

    @property
    def operands(self) -> tuple[Instruction, ...]:
        """The operands in order, repeats included. Raises HloCountError for a name that does not exist."""
        found = self._operands
        if found is None:
            table = self.computation.by_name
            try:
                found = tuple([table[name] for name in self.operand_names])
            except KeyError as missing:
                raise HloCountError(
                    f"{self.place}: {self.name} takes the operand "
                    f"{missing.args[0]}, which {self.computation.name} does not have; is the text complete?"
                ) from None
            for operand in found:
                if operand.index >= self.index:
                    raise HloCountError(
                        f"{self.place}: {self.name} takes the operand {operand.name}, which stands after it"
                    )
            if len(found) < FEWEST_OPERANDS.get(self.opcode, 0):
                raise HloCountError(f"{self.place}: {self.name} is a {self.opcode} with too few operands: {len(found)}")
            self._operands = found
        return found

    @property
    def attributes(self) -> dict[str, str]:
        """Attributes by name, each as the text has it."""
        if self._attributes is None:
            self._attributes = split_attributes(self.attribute_text)
        return self._attributes

    def attribute(self, name: str) -> str | None:
        """The text of one attribute, None where the instruction has none of that name."""
        return self.attributes.get(name) if name in self.attribute_text else None

    def dims(self, name: str) -> tuple[int, ...]:
        """An attribute that lists integers, such as `dimensions={0,2}`; () where it is missing."""
        return int_list(self.attribute(name))

    @property
    def is_root(self) -> bool:
        return self.computation.root is self

    @property
    def metadata(self) -> Metadata:
        """op_name, source file and line, through the tables at the top of the module where the text uses them."""
        if "metadata={" not in self.attribute_text:
            return NO_METADATA
        return parse_metadata(self.attributes.get("metadata"), self.computation.module.source_tables)

    @property
    def backend_config(self) -> dict[str, Any] | None:
        """The backend config, when it is JSON; None when there is none or it is written otherwise."""
        return parse_config(self.attribute("backend_config"))

    @property
    def called(self) -> list[tuple[str, Computation]]:
        """The computations it calls with the attribute that names each, in the order of the text."""
        if self._called is None:
            self._called = self._find_called() if "=" in self.attribute_text else []
        return self._called

    def _find_called(self) -> list[tuple[str, Computation]]:
        computations = self.computation.module.computations
        head, _, tail = self.attribute_text.partition(", metadata={")
        plain = '"' not in head and "branch_" not in head and "called_" not in head
        if plain and not any(f"{name}=" in tail for name in ("calls", "to_apply", "body", "condition")):
            pairs = _CALLEE.findall(head)
        else:
            pairs = [
                (name, callee.strip().lstrip("%"))
                for name, value in self.attributes.items()
                if name in _CALLING_ATTRIBUTES
                for callee in value.strip("{}").split(",")
                if callee.strip()
            ]
        try:
            return [(role, computations[callee]) for role, callee in pairs]
        except KeyError as missing:
            raise HloCountError(
                f"{self.place}: {self.name} calls the computation "
                f"{missing.args[0]}, which the text does not have; is it complete?"
            ) from None

    def callee(self, role: str) -> Computation | None:
        """The computation that the attribute `role` (calls, body, to_apply ...) names, None where there is none."""
        return next((computation for name, computation in self.called if name == role), None)

    @property
    def control_predecessors(self) -> list[Instruction]:
        """What must run before it without giving it a value."""
        text = self.attribute("control-predecessors")
        if text is None:
            return []
        names = [name.strip().lstrip("%") for name in text.strip("{}").split(",") if name.strip()]
        missing = next((name for name in names if name not in self.computation.by_name), None)
        if missing is not None:
            raise HloCountError(
                f"{self.place}: {self.name} waits for {missing}, which {self.computation.name} does not have"
            )
        return [self.computation.by_name[name] for name in names]

    @property
    def line(self) -> int:
        """Line of the text on which it stands, from 1."""
        return self.computation.line_of(self.index)

    @property
    def place(self) -> str:
        """File and line, for messages."""
        return f"{self.computation.module.filename or 'the HLO text'}:{self.line}"

    def to_text(self) -> str:
        """One line of HLO: operands as names, attributes in the order of the text."""
        inside = self.operand_text
        if self.opcode not in LEAF_OPCODES:
            inside = ", ".join("%" + name for name in self.operand_names)
        attributes = "".join(f", {name}={value}" for name, value in self.attributes.items())
        root = "ROOT " if self.is_root else ""
        return f"{root}%{self.name} = {self.shape} {self.opcode}({inside}){attributes}"

    def content(self) -> tuple[object, ...]:
        """All that it says, as a value to compare."""
        inside: object = self.operand_names
        if self.opcode in LEAF_OPCODES:
            inside = " ".join(self.operand_text.split())
        return (self.name, self.opcode, self.shape, inside, self.attributes)

    def __repr__(self) -> str:
        return f"<Instruction %{self.name} = {self.shape} {self.opcode}>"


PrintedLine = tuple[str, str, str, str, str, str]
"""A line as XLA prints an instruction: "ROOT " or "", name, shape, opcode, operands, attributes."""


class ShapeTable(dict[str, Shape]):
    """Shapes by their text: a module of 100,000 instructions has some fifty."""

    def __missing__(self, text: str) -> Shape:
        shape = self[text] = parse_shape(text)
        return shape


class Computation:
    """A named list of instructions in the order of the text, its root among them."""

    def __init__(
        self,
        module: Module,
        name: str,
        *,
        printed: list[PrintedLine] | None = None,
        line: int | None = None,
        offset: int = 0,
    ) -> None:
        self.module = module
        self.name = name
        self.attribute_text = ""
        self.lines: list[int] | None = None
        """Line of each instruction, where they do not stand on consecutive lines."""
        self._printed = printed
        self._line = line
        self._offset = offset

    @cached_property
    def instructions(self) -> list[Instruction]:
        """Its instructions in the order of the text, which is the schedule's where the module is scheduled."""
        shapes = self.module.shapes
        return [
            Instruction(self, index, name, opcode, shapes[shape], operands, attributes)
            for index, (_, name, shape, opcode, operands, attributes) in enumerate(self._printed or ())
        ]

    @cached_property
    def root(self) -> Instruction:
        """What it gives: the instruction marked ROOT, else the last."""
        marked = next((index for index, line in enumerate(self._printed or ()) if line[0]), -1)
        return self.instructions[marked]

    @cached_property
    def kinds(self) -> list[tuple[str, Shape, int]]:
        """(opcode, shape, how many) of its instructions; a printed text is counted without making them."""
        if self._printed is not None:
            shapes = self.module.shapes
            lines = Counter([(line[3], line[2]) for line in self._printed])
            return [(opcode, shapes[shape], number) for (opcode, shape), number in lines.items()]
        by_id = {id(i.shape): i.shape for i in self.instructions}
        made = Counter([(i.opcode, id(i.shape)) for i in self.instructions])
        return [(opcode, by_id[shape], number) for (opcode, shape), number in made.items()]

    @cached_property
    def by_name(self) -> dict[str, Instruction]:
        """Its instructions by name. Raises HloCountError where two have the same."""
        found = {instruction.name: instruction for instruction in self.instructions}
        if len(found) < len(self.instructions):
            second = next(i for i in self.instructions if found[i.name] is not i)
            raise HloCountError(f"{found[second.name].place}: {self.name} has a second instruction named {second.name}")
        return found

    @cached_property
    def opcodes(self) -> frozenset[str]:
        """The opcodes that occur in it."""
        if self._printed is not None:
            return frozenset([opcode for opcode, _, _ in self.kinds])
        return frozenset([i.opcode for i in self.instructions])  # asked before their shapes are settled

    @property
    def unused_parameters(self) -> set[Instruction]:
        """Parameters that no instruction takes and that are not the root."""
        # Asked of every fused computation, and hardly ever finds one: splitting all operands at once answers most.
        if self._printed is not None:
            used = set(", ".join([line[4] for line in self._printed]).split(", "))
            if all(line[0] or "%" + line[1] in used for line in self._printed if line[3] == "parameter"):
                return set()
        names = {self.root.name, *(name for i in self.instructions for name in i.operand_names)}
        return {p for p in self.parameters if p.name not in names}

    @property
    def parameter_numbers(self) -> list[str]:
        """The numbers of its parameters, as the text has them and in its order."""
        if self._printed is not None:
            return [line[4] for line in self._printed if line[3] == "parameter"]
        return [i.operand_text for i in self.instructions if i.opcode == "parameter"]

    @cached_property
    def parameters(self) -> list[Instruction]:
        """Its parameters, in the order of their numbers. Raises HloCountError where these are not 0, 1, 2 ..."""
        found = [i for i in self.instructions if i.opcode == "parameter"]
        numbers = [i.operand_text.strip() for i in found]
        if numbers == NUMBERS[: len(found)]:
            return found
        by_number = dict(zip(numbers, found, strict=True))
        try:
            return [by_number[str(n)] for n in range(len(found))]
        except KeyError as missing:
            raise HloCountError(
                f"{found[0].place}: {self.name} has {len(found)} parameters, but none with the number {missing.args[0]}"
            ) from None

    @cached_property
    def users(self) -> dict[Instruction, list[Instruction]]:
        """The instructions that take each as an operand, once each, in the order of the text."""
        found: dict[Instruction, list[Instruction]] = {i: [] for i in self.instructions}
        for instruction in self.instructions:
            for operand in dict.fromkeys(instruction.operands):
                found[operand].append(instruction)
        return found

    @property
    def is_printed(self) -> bool:
        """Whether the text has it as XLA prints one: an instruction a line, each with its shape."""
        return self._printed is not None

    @property
    def is_entry(self) -> bool:
        return self.module.entry is self

    @property
    def attributes(self) -> dict[str, str]:
        """What follows its closing brace, `execution_thread` mostly."""
        return split_attributes(self.attribute_text)

    @cached_property
    def graph(self) -> nx.DiGraph[str]:
        """Operand -> user over its instructions; an edge's `control` is True where it only orders."""
        from hlo_count.hlo.graphs import computation_graph

        return computation_graph(self)

    def line_of(self, index: int) -> int:
        if self.lines is not None:
            return self.lines[index]
        if self._line is None:
            self._line = self.module.text.count("\n", 0, self._offset) + 1
        return self._line + index

    def to_text(self) -> str:
        head = "ENTRY " if self.is_entry else ""
        parameters = ", ".join(f"{p.name}: {bare_shape(p.shape)}" for p in self.parameters)
        lines = [f"{head}%{self.name} ({parameters}) -> {bare_shape(self.root.shape)} {{"]
        lines += [f"  {instruction.to_text()}" for instruction in self.instructions]
        lines.append("}" + "".join(f", {name}={value}" for name, value in self.attributes.items()))
        return "\n".join(lines)

    def __iter__(self) -> Iterator[Instruction]:
        return iter(self.instructions)

    def __len__(self) -> int:
        return len(self._printed if self._printed is not None else self.instructions)

    def __getitem__(self, name: str) -> Instruction:
        return self.by_name[name]

    def __repr__(self) -> str:
        return f"<Computation %{self.name}, {len(self.instructions)} instructions>"


class Module:
    """An HLO module: its computations by name, in the order of the text, and what its header says."""

    def __init__(self, text: str, filename: str | None = None) -> None:
        self.text = text
        self.filename = filename
        self.name = ""
        self.attributes: dict[str, str] = {}
        self.tables_text = ""
        self.computations: dict[str, Computation] = {}
        self.entry: Computation
        self.shapes = ShapeTable()
        self.call_depth = 0
        """How deep its calls nest."""

    @cached_property
    def source_tables(self) -> SourceTables:
        """The tables of files, functions, locations and stack frames at the top of newer texts."""
        return SourceTables.parse(self.tables_text)

    @property
    def is_scheduled(self) -> bool:
        return self.attributes.get("is_scheduled") == "true"

    @property
    def num_partitions(self) -> int:
        return self._header_number("num_partitions")

    @property
    def replica_count(self) -> int:
        return self._header_number("replica_count")

    def _header_number(self, name: str) -> int:
        value = self.attributes.get(name, "1")
        if not value.isdecimal() or int(value) < 1:
            raise HloCountError(
                f"{self.filename or 'the HLO text'}: {name}={value} in the header is no number of devices"
            )
        return int(value)

    @property
    def num_devices(self) -> int:
        """Devices that run it together: replicas times partitions."""
        return self.num_partitions * self.replica_count

    @property
    def num_instructions(self) -> int:
        return sum(map(len, self.computations.values()))

    def instructions(self) -> Iterator[Instruction]:
        for computation in self.computations.values():
            yield from computation.instructions

    @cached_property
    def call_graph(self) -> nx.MultiDiGraph[str]:
        """Caller -> callee, an edge a call site, with `role`, `instruction`, and `runs` where it can be told."""
        from hlo_count.hlo.graphs import call_graph

        return call_graph(self)

    @cached_property
    def trip_counts(self) -> TripCounts:
        """How often its loops run, each worked out when it is first asked for."""
        from hlo_count.hlo.trip_counts import TripCounts

        return TripCounts(self)

    def to_text(self) -> str:
        """The module as HLO text; parsing it gives an equal module."""
        header = f"HloModule {self.name}" + "".join(f", {k}={v}" for k, v in self.attributes.items())
        parts = [header]
        if self.tables_text:
            parts.append(self.tables_text.strip())
        parts += [computation.to_text() for computation in self.computations.values()]
        return "\n\n".join(parts) + "\n"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Module) and self._content() == other._content()

    __hash__ = object.__hash__

    def _content(self) -> tuple[object, ...]:
        return (
            self.name,
            self.attributes,
            self.source_tables,
            self.entry.name,
            [
                (c.name, c.root.name, c.attributes, [i.content() for i in c.instructions])
                for c in self.computations.values()
            ],
        )

    def __repr__(self) -> str:
        return f"<Module {self.name}, {len(self.computations)} computations, {self.num_instructions} instructions>"


def _split_operands(text: str) -> list[str]:
    """Operands written without `%`, shapes before the names or not; stray commas give none."""
    from hlo_count.hlo.attributes import skip_value

    text = _COMMENT.sub("", text)
    parts: list[str] = []
    at = 0
    while at < len(text):
        end = skip_value(text, at)
        part = text[at:end].strip()
        if part:
            parts.append(part)
        at = end + 1
    return parts


def bare_shape(shape: Shape) -> str:
    """A shape as a computation's signature prints it: without layouts."""
    if shape.is_tuple:
        return "(" + ", ".join(map(bare_shape, shape.elements)) + ")"
    if shape.dtype == "buffer":
        return f"b({bare_shape(shape.elements[0])})"
    return str(replace(shape, layout=None))
