"""The code of a kernel: functions of operations, which hold blocks of operations; read from MLIR's generic form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

_OPERATION = re.compile(r'(?:(%[\w#:, %]+?) = )?"([\w.$]+)"\(([^)]*)\)')
_ARGUMENT = re.compile(r"(%\w+): ")
_OPENS, _CLOSES = "<{[(", ">}])"
_VERSIONED = re.compile(r"stable_mosaic(?:_gpu)?\.")
"""What JAX puts before each name of a serialized kernel in Mosaic, whose dialects have versions."""


@dataclass(slots=True)
class Block:
    """Operations in their order, and the values that they are given."""

    arguments: tuple[int, ...]
    operations: list[Operation] = field(default_factory=list)


@dataclass(eq=False)
class Operation:
    """One operation. Values are numbers; `KernelCode.types` has the type of each. Of a region its first block."""

    name: str
    operands: tuple[int, ...]
    results: tuple[int, ...] = ()
    regions: list[Block] = field(default_factory=list)
    attribute_text: str = ""

    @cached_property
    def attributes(self) -> dict[str, str]:
        """MLIR's words for each; "" for one that has no value."""
        found = {}
        for part in split(self.attribute_text):
            name, _, value = part.partition(" = ")
            found[name.strip().strip('"')] = value.strip()
        return found

    def integer(self, name: str, default: int | None = None) -> int | None:
        """An integer attribute, as `2 : i64`."""
        text = self.attributes.get(name, "")
        first = text.partition(" ")[0]
        return int(first) if re.fullmatch(r"-?\d+", first) else {"true": 1, "false": 0}.get(first, default)

    def integers(self, name: str) -> tuple[int, ...]:
        """An array of integers, as `array<i64: 1, 2>`."""
        return integers(self.attributes.get(name, ""))


@dataclass(frozen=True, slots=True)
class Function:
    """A function of a kernel's module."""

    name: str
    body: Block
    operation: Operation


@dataclass(frozen=True, slots=True)
class KernelCode:
    """The functions of a kernel by name, the first one first, and the types of all values."""

    functions: dict[str, Function]
    types: tuple[str, ...]


@lru_cache(maxsize=64)
def kernel_code(generic: str) -> KernelCode:
    """The code that MLIR prints in its generic form. Raises ValueError, in words that go on from its
    name, for what is not in that form."""
    return _Reader(generic).code()


@contextmanager
def whole_operations() -> Iterator[None]:
    """Whoever follows code inside may take for granted that operations have what they take.

    Raises ValueError where one does not: nothing has verified them."""
    try:
        yield
    except (IndexError, KeyError) as problem:
        raise ValueError("has an operation that lacks operands, results or regions") from problem


def _outside_strings(text: str) -> Iterator[tuple[int, str, int]]:
    """The characters that stand in no string, each with its place and how deep brackets nest after it."""
    depth, quoted, before = 0, False, ""
    for at, c in enumerate(text):
        if c == '"' and before != "\\":
            quoted = not quoted
        elif not quoted:
            if c in _OPENS:
                depth += 1
            elif c in _CLOSES and not (c == ">" and before == "-"):  # an arrow closes nothing
                depth -= 1
            yield at, c, depth
        before = c


def split(text: str) -> list[str]:
    """The parts between commas that stand in no bracket and no string."""
    if not any(c in text for c in '<{[("'):
        return [part.strip() for part in text.split(",") if part.strip()]
    parts, start = [], 0
    for at, c, depth in _outside_strings(text):
        if c == "," and not depth:
            parts.append(text[start:at].strip())
            start = at + 1
    last = text[start:].strip()
    return [*parts, last] if last else parts


def integers(text: str) -> tuple[int, ...]:
    """The integers in `array<i64: 1, 2>` or `[1, 2]`."""
    inside = text.partition(":")[2] if text.startswith("array<") else text
    return tuple(map(int, re.findall(r"-?\d+", inside)))


class _Reader:
    """Reads a module line by line: each is an operation, the head of a block, or an end of a region."""

    def __init__(self, text: str) -> None:
        self._lines = iter(text.splitlines())
        self._numbers: dict[str, int] = {}
        self._types: list[str] = []
        self._aliases: dict[str, str] = {}
        self._resolved: dict[str, str] = {}

    def code(self) -> KernelCode:
        functions: dict[str, Function] = {}
        for module in self._operations():
            for each in module.regions[0].operations if module.regions else ():
                name = each.attributes.get("sym_name", "").strip('"')
                if name and each.regions:
                    functions[name] = Function(name, each.regions[0], each)
        if not functions:
            raise ValueError("holds no function")
        return KernelCode(functions, tuple(self._types))

    def _operations(self) -> Iterator[Operation]:
        for raw in self._lines:
            line = raw.strip()
            if line.startswith("#"):
                name, _, meaning = line.partition(" = ")
                self._aliases[name] = meaning
            elif line and not line.startswith("//"):
                yield self._operation(line)

    def _block(self, head: str) -> tuple[Block, str]:
        """A region's first block, and the line that ends the region."""
        block = Block(tuple(self._defined(*each) for each in self._arguments(head)) if head else ())
        for raw in self._lines:
            line = raw.strip()
            if line.startswith("}"):
                return block, line
            if line.startswith("^"):
                if block.operations or block.arguments:
                    raise ValueError("jumps between blocks")
                block.arguments = tuple(self._defined(*each) for each in self._arguments(line))
            else:
                block.operations.append(self._operation(line))
        raise ValueError("is cut off")

    def _arguments(self, head: str) -> list[tuple[str, str]]:
        inside = head.partition("(")[2].rpartition(")")[0]
        return [(name, kind) for name, _, kind in (each.partition(": ") for each in split(inside))]

    def _operation(self, line: str) -> Operation:
        found = _OPERATION.match(line)
        if found is None:
            raise ValueError(f"holds {line[:60]!r}, which is no operation")
        names, name, operands = found.groups()
        operation = Operation(
            _VERSIONED.sub("", name, count=1),
            tuple(self._number(each.strip()) for each in operands.split(",") if each.strip()),
        )
        rest = line[found.end() :].lstrip()
        attributes: list[str] = []
        if rest.startswith("<{"):
            inside, rest = _bracketed(rest)
            attributes.append(inside[1:-1])
        if rest.startswith("({"):
            while not rest.startswith("})"):
                block, rest = self._block("")
                operation.regions.append(block)
            rest = rest[2:].lstrip()
        if rest.startswith("{"):
            inside, rest = _bracketed(rest)
            attributes.append(inside)
        operation.attribute_text = ", ".join(self._meaning(each) for each in attributes if each)
        operation.results = tuple(self._results(names, rest))
        return operation

    def _results(self, names: str | None, signature: str) -> Iterator[int]:
        if names is None:
            return
        _, _, given = signature.rpartition(" -> ") if not signature.endswith(")") else _last_tuple(signature)
        kinds = split(given[1:-1]) if given.startswith("(") else [given]
        name, _, number = names.partition(":")
        for n in range(int(number) if number else 1):
            yield self._defined(f"{name}#{n}" if number else name, kinds[n] if n < len(kinds) else "")

    def _defined(self, name: str, kind: str) -> int:
        """The number of a value that is defined here: a name may stand for another one in another region."""
        number = self._numbers[name] = len(self._types)
        self._types.append(self._resolved.setdefault(kind, self._meaning(kind)))
        return number

    def _number(self, name: str) -> int:
        try:
            return self._numbers[name]
        except KeyError:
            raise ValueError(f"names {name}, which is not defined") from None

    def _meaning(self, text: str) -> str:
        """A text with what its aliases (`#map`) stand for."""
        if not self._aliases or "#" not in text:
            return text
        return re.sub(r"#\w+", lambda found: self._aliases.get(found[0], found[0]), text)


def _bracketed(text: str) -> tuple[str, str]:
    """What stands in the bracket that a text begins with, and the rest behind it."""
    for at, c, depth in _outside_strings(text):
        if c in _CLOSES and not depth:
            return text[1:at], text[at + 1 :].lstrip()
    raise ValueError("has a bracket that does not end")


def _last_tuple(signature: str) -> tuple[str, str, str]:
    """`: (i32) -> (i32, i32)` at the arrow before its results."""
    depth = 0
    for at in range(len(signature) - 1, -1, -1):
        c = signature[at]
        if c in _CLOSES and not (c == ">" and signature[at - 1] == "-"):
            depth += 1
        elif c in _OPENS:
            depth -= 1
            if not depth:
                return signature[:at], "", signature[at:]
    raise ValueError("has a type that does not begin")
