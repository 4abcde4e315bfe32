"""Instruction: what a line of HLO says, its details read when they are asked for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hlo_count.errors import HloCountError
from hlo_count.harmless import harmless
from hlo_count.hlo.attributes import (
    attribute_of,
    int_list,
    parse_config,
    skip_value,
    split_attributes,
    without_comments,
)
from hlo_count.hlo.calls import called_names
from hlo_count.hlo.metadata import Frame, Metadata
from hlo_count.hlo.opcodes import LEAVES, OPCODES
from hlo_count.hlo.shapes import Shape

if TYPE_CHECKING:
    from hlo_count.hlo.computation import Computation

_NAMES = re.compile(r"%([\w.\-]+)")


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
        if self.opcode in LEAVES or not self.operand_text:
            return []
        text = self.operand_text
        if text[0] == "%" and text.count(", %") == text.count(",") == text.count(" "):  # as XLA prints them
            return text[1:].split(", %")
        names = _NAMES.findall(text)
        if len(names) == text.count(", ") + 1:
            return names
        # Tuple shapes hold commas, and hand-written text may leave the % of one operand out.
        return [part.split()[-1].lstrip("%") for part in _split_operands(text)]

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
            if not self.computation.is_printed:  # else it was seen to when the text was read
                for operand in found:
                    if operand.index >= self.index:
                        raise HloCountError(
                            f"{self.place}: {self.name} takes the operand {operand.name}, which stands after it"
                        )
            row = OPCODES.get(self.opcode)
            if row is not None and len(found) < row.fewest:
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
        return attribute_of(self.attribute_text, name) if self._attributes is None else self._attributes.get(name)

    def dims(self, name: str) -> tuple[int, ...]:
        """An attribute that lists integers, such as `dimensions={0,2}`; () where it is missing."""
        return int_list(self.attribute(name))

    @property
    def is_root(self) -> bool:
        return self.computation.root is self

    @property
    def metadata(self) -> Metadata:
        """op_name, source file and line, through the tables at the top of the module where the text uses them."""
        return self.computation.module.metadata.of(self.attribute_text)

    @property
    def stack(self) -> list[Frame]:
        """The calls of the user's program that led to it, the innermost first; only its line where the text has no
        more, and nothing where the compiler gave it no place."""
        metadata = self.metadata
        found = self.computation.module.source_tables.stack(metadata.frame)
        return found or ([Frame(metadata.source_file, metadata.source_line)] if metadata.source else [])

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
        try:
            return [(role, computations[callee]) for role, callee in called_names(self.attribute_text)]
        except KeyError as missing:
            raise HloCountError(
                f"{self.place}: {self.name} calls the computation "
                f"{missing.args[0]}, which the text does not have; is it complete?"
            ) from None

    def callee(self, role: str) -> Computation | None:
        """The computation that the attribute `role` (calls, body, to_apply ...) names, None where there is none."""
        for name, computation in self.called:
            if name == role:
                return computation
        return None

    @property
    def control_predecessors(self) -> list[Instruction]:
        """What must run before it without giving it a value."""
        text = self.attribute("control-predecessors")
        if text is None:
            return []
        names = [name.strip().lstrip("%") for name in text.strip("{}").split(",") if name.strip()]
        found = [self.computation.by_name.get(name) for name in names]
        for name, predecessor in zip(names, found, strict=True):
            if predecessor is None or predecessor.index >= self.index:
                why = f"{self.computation.name} does not have" if predecessor is None else "does not stand before it"
                raise HloCountError(f"{self.place}: {self.name} waits for {name}, which {why}")
        return [predecessor for predecessor in found if predecessor is not None]

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
        if self.opcode not in LEAVES:
            inside = ", ".join("%" + name for name in self.operand_names)
        attributes = "".join(f", {name}={value}" for name, value in self.attributes.items())
        root = "ROOT " if self.is_root else ""
        return f"{root}%{self.name} = {self.shape} {self.opcode}({inside}){attributes}"

    def content(self) -> tuple[object, ...]:
        """All that it says, as a value to compare."""
        inside: object = self.operand_names
        if self.opcode in LEAVES:
            inside = " ".join(self.operand_text.split())
        return (self.name, self.opcode, self.shape, inside, self.attributes)

    def __repr__(self) -> str:
        return harmless(f"<Instruction %{self.name} = {self.shape} {self.opcode}>")


def _split_operands(text: str) -> list[str]:
    """Operands written without `%`, shapes before the names or not; stray commas give none."""
    text = without_comments(text)
    parts: list[str] = []
    at = 0
    while at < len(text):
        end = skip_value(text, at)
        part = text[at:end].strip()
        if part:
            parts.append(part)
        at = end + 1
    return parts
