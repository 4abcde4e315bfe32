"""Shapes with their layouts, read from text such as `bf16[8,128]{1,0:T(8,128)(2,1)S(1)}` or `(f32[2], s32[])`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from math import prod

from hlo_count.errors import HloCountError
from hlo_count.hlo.dtypes import DTYPES, DType

UNBOUNDED = -(2**63)
"""The size of a `?` dimension, as XLA has it."""


class NotAnArrayError(HloCountError):
    """A tuple, a token or an opaque value stands where an array is asked for."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How an array lies in memory: dimensions from minor to major, tiles, bits of an element, memory space."""

    minor_to_major: tuple[int, ...]
    tiles: tuple[tuple[int | None, ...], ...] = ()
    element_bits: int | None = None
    memory_space: int = 0
    text: str = ""

    def with_order(self, minor_to_major: tuple[int, ...]) -> Layout:
        """The same tiles, bits and memory space, the dimensions in another order of memory."""
        rest = self.text[1:-1].partition(":")[2]
        return replace(self, minor_to_major=minor_to_major, text=_spell(minor_to_major, rest))

    def with_element_bits(self, bits: int | None) -> Layout:
        """The same order, tiles and memory space, with elements of so many bits; None where they take whole bytes."""
        rest = _ELEMENT_BITS.sub("", self.text[1:-1].partition(":")[2])
        if bits:
            at = _AFTER_ELEMENT_BITS.search(rest)
            end = at.start() if at is not None else len(rest)
            rest = f"{rest[:end]}E({bits}){rest[end:]}"
        return replace(self, element_bits=bits or None, text=_spell(self.minor_to_major, rest))


@dataclass(frozen=True)
class Shape:
    """An array (`dtype`, `dimensions`, `layout`) or a tuple (`elements`); immutable and shared between instructions.

    `dtype` is the name of an element type, "tuple" for a tuple, "buffer" for a buffer around its one element.
    """

    dtype: str
    dimensions: tuple[int, ...] = ()
    dynamic: tuple[bool, ...] = ()
    layout: Layout | None = None
    elements: tuple[Shape, ...] = ()

    @cached_property
    def _hash(self) -> int:
        return hash((self.dtype, self.dimensions, self.dynamic, self.layout, self.elements))

    def __hash__(self) -> int:
        return self._hash

    @property
    def is_tuple(self) -> bool:
        return self.dtype == "tuple"

    @property
    def is_array(self) -> bool:
        return self.dtype not in ("tuple", "buffer", "token", "opaque")

    @property
    def rank(self) -> int:
        return len(self.dimensions)

    @cached_property
    def element_type(self) -> DType:
        """The element type of an array; raises HloCountError for a tuple."""
        try:
            return DTYPES[self.dtype]
        except KeyError:
            raise NotAnArrayError(f"{self} has no element type: it is a {self.dtype}") from None

    @cached_property
    def size(self) -> int:
        """Number of elements of an array (dynamic bounds `<=n` count n, of `?` none are known); of a tuple, of its
        first array leaf."""
        if self.elements or self.is_tuple:
            leaf = self.first_leaf
            return leaf.size if leaf is not None else 0
        return 0 if self.is_unbounded else prod(self.dimensions)

    @cached_property
    def is_unbounded(self) -> bool:
        """Whether a dimension of it, or of one of its elements, is `?`: any size at all."""
        return UNBOUNDED in self.dimensions or any(element.is_unbounded for element in self.elements)

    @cached_property
    def leaves(self) -> tuple[Shape, ...]:
        """The arrays (and tokens) in it, in order; an array is its own only leaf."""
        if self.is_tuple or self.elements:
            return tuple(leaf for element in self.elements for leaf in element.leaves)
        return (self,)

    @cached_property
    def num_leaves(self) -> int:
        """How many leaves it has, told without listing them: a tuple of a tuple twice has twice as many."""
        return sum(element.num_leaves for element in self.elements) if self.is_tuple or self.elements else 1

    @cached_property
    def depth(self) -> int:
        """How deep tuples and buffers nest in it: 0 for an array."""
        return 1 + max((element.depth for element in self.elements), default=0) if self.elements else 0

    @cached_property
    def leaf_starts(self) -> tuple[int, ...]:
        """Where the leaves of each element begin among all of them, and at the end how many there are."""
        return (0, *accumulate(element.num_leaves for element in self.elements))

    @cached_property
    def first_leaf(self) -> Shape | None:
        """Its first array leaf, or None where it has none."""
        return next((leaf for leaf in self.leaves if leaf.is_array), None)

    @property
    def memory_space(self) -> int:
        """`S(n)` of the layout, 0 where none is printed."""
        return self.layout.memory_space if self.layout is not None else 0

    @property
    def minor_to_major(self) -> tuple[int, ...]:
        """The layout's order of dimensions; row-major where the text has no layout."""
        if self.layout is not None:
            return self.layout.minor_to_major
        return tuple(range(self.rank - 1, -1, -1))

    @property
    def element_bits(self) -> int:
        """Bits that an element of an array takes in memory: `E(n)` of the layout, else whole bytes."""
        stated = self.layout.element_bits if self.layout is not None else None
        return stated or 8 * self.element_type.stored_bytes

    @cached_property
    def bytes(self) -> int:
        """Bytes of memory, tile padding included; of a tuple, the sum over its leaves. Tokens and opaque: 0.

        Only the first tile pads: `T(8,128)` rounds the two minor dimensions up to multiples of 8 and 128, and a
        scalar fills one tile. Elements take `E(n)` bits where the layout has it, else whole bytes.
        """
        if self.is_tuple or self.elements:
            return sum(leaf.bytes for leaf in self.leaves)
        if not self.is_array or self.is_unbounded:
            return 0
        layout = self.layout
        count = self.size
        if layout is not None and layout.tiles:
            count = _padded_elements(self.dimensions, layout)
        return (count * self.element_bits + 7) // 8

    @cached_property
    def bytes_by_space(self) -> tuple[tuple[int, int], ...]:
        """(memory space, bytes) of what it holds, a pair for each space that has any."""
        found: dict[int, int] = {}
        for leaf in self.leaves:
            if leaf.bytes:
                found[leaf.memory_space] = found.get(leaf.memory_space, 0) + leaf.bytes
        return tuple(found.items())

    def with_order(self, minor_to_major: tuple[int, ...]) -> Shape:
        """The same array, its dimensions in another order of memory; row-major is left unsaid where it was."""
        if minor_to_major == self.minor_to_major:
            return self
        return replace(self, layout=(self.layout or Layout(())).with_order(minor_to_major))

    def with_element_bits(self, bits: int | None) -> Shape:
        """The same array with elements of so many bits, None where they take whole bytes."""
        old = self.layout.element_bits if self.layout is not None else None
        if bits == old:
            return self
        layout = self.layout or Layout(self.minor_to_major)
        return replace(self, layout=layout.with_element_bits(bits))

    def __str__(self) -> str:
        if self.is_tuple:
            return "(" + ", ".join(map(str, self.elements)) + ")"
        if self.dtype == "buffer":
            return f"b({self.elements[0]})"
        dims = ",".join(
            "?" if size == UNBOUNDED else f"<={size}" if dynamic else str(size)
            for size, dynamic in zip(self.dimensions, self.dynamic or (False,) * self.rank, strict=True)
        )
        return f"{self.dtype}[{dims}]{self.layout.text if self.layout is not None else ''}"


def array(dtype: str, dimensions: tuple[int, ...], dynamic: tuple[bool, ...] = ()) -> Shape:
    """An array shape without a layout; `dynamic` may be left out when no dimension is."""
    return Shape(dtype, dimensions, dynamic if any(dynamic) else ())


def tuple_of(elements: tuple[Shape, ...]) -> Shape:
    return Shape("tuple", elements=elements)


def static(shape: Shape) -> Shape:
    """The same shape with every dimension of the size that was its bound."""
    if shape.elements:
        return replace(shape, elements=tuple(map(static, shape.elements)))
    return replace(shape, dynamic=()) if shape.dynamic else shape


def parse_shape(text: str) -> Shape:
    """The shape that `text` spells. Raises HloCountError that quotes the text when it is none."""
    shape, end = scan_shape(text, 0)
    if text[end:].strip():
        raise HloCountError(f"{text!r} is no shape: {text[end:].strip()!r} follows it")
    return shape


COMMENT = r"/\*.*?\*/|//[^\r\n]*"
GAP = rf"(?:\s|{COMMENT})*+"
"""White space and comments, which may stand between any two tokens."""
_SPACE = re.compile(GAP, re.S)
_BLANK = re.compile(rf"\s+|{COMMENT}", re.S)
_ARRAY = re.compile(rf"([a-z][a-z0-9]*){GAP}\[((?:[^\]/]|{COMMENT})*+)\]", re.S)
_BUFFER_OPEN = re.compile(rf"b{GAP}\(", re.S)
_LAYOUT_OPEN = re.compile(rf"{GAP}\{{(?={GAP}[0-9:\-])|\{{(?={GAP}\}})", re.S)
_LAYOUT_END = re.compile(rf"(?:[^{{}}/]|{COMMENT})*+\}}", re.S)
_MOST_ELEMENTS = 10**100
_DIMENSION = re.compile(r"(<=)?(\d{1,18})\Z", re.A)
MOST_NESTED = 64
"""Tuples in tuples that are read: programs have a handful, and Python's stack has an end."""


def scan_shape(text: str, at: int, depth: int = 0) -> tuple[Shape, int]:
    """The shape that starts at index `at`, inside `depth` others, and the index after it. Raises HloCountError."""
    if depth > MOST_NESTED:
        raise HloCountError(f"tuples nest more than {MOST_NESTED} deep")
    at = _skip(text, at)
    if text.startswith("(", at):
        elements, at = _scan_elements(text, at + 1, depth + 1)
        return tuple_of(elements), at
    buffer = _BUFFER_OPEN.match(text, at)
    if buffer is not None:
        inner, at = scan_shape(text, buffer.end(), depth + 1)
        at = _skip(text, at)
        if not text.startswith(")", at):
            raise HloCountError("expected ')' after the buffer's shape")
        return Shape("buffer", elements=(inner,)), at + 1
    found = _ARRAY.match(text, at)
    if found is None or found[1] not in DTYPES:
        what = found[1] if found is not None else text[at : at + 40]
        raise HloCountError(f"{what!r} is no shape: expected one such as f32[8,128]{{1,0}} or (f32[2], s32[])")
    dimensions, dynamic = _dimensions(found[2], found[0])
    if dimensions and found[1] in ("token", "opaque"):
        raise HloCountError(f"{found[0]!r} is no shape: a {found[1]} has no dimensions")
    at = found.end()
    layout = None
    opened = _LAYOUT_OPEN.match(text, at)
    if opened is not None:
        closed = _LAYOUT_END.match(text, opened.end())
        if closed is None:
            raise HloCountError(f"the layout of {found[0]} is not closed")
        layout = parse_layout(text[opened.end() - 1 : closed.end()])
        if sorted(layout.minor_to_major) != list(range(len(dimensions))):
            raise HloCountError(
                f"the layout of {text[found.start() : closed.end()]!r} does not name each of its {len(dimensions)} "
                "dimensions once"
            )
        at = closed.end()
    return Shape(found[1], dimensions, dynamic if any(dynamic) else (), layout), at


def _scan_elements(text: str, at: int, depth: int) -> tuple[tuple[Shape, ...], int]:
    elements: list[Shape] = []
    at = _skip(text, at)
    while not text.startswith(")", at):
        element, at = scan_shape(text, at, depth)
        elements.append(element)
        at = _skip(text, at)
        if text.startswith(",", at):
            at = _skip(text, at + 1)
        elif not text.startswith(")", at):
            raise HloCountError("expected ',' or ')' in a tuple's shape")
    return tuple(elements), at + 1


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found is not None else at


def _tokens(text: str) -> str:
    """The text without white space and comments. Raises HloCountError where they stand between two numbers."""
    parts = [part for part in _BLANK.split(text) if part]
    if any(one[-1].isalnum() and other[0].isalnum() for one, other in pairwise(parts)):
        raise HloCountError(f"{text!r} has a space where a ',' should be")
    return "".join(parts)


def _dimensions(text: str, whole: str) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    text = _tokens(text)
    if not text:
        return (), ()
    sizes: list[int] = []
    dynamic: list[bool] = []
    for part in text.split(","):
        if part == "?":
            sizes.append(UNBOUNDED)
            dynamic.append(True)
            continue
        found = _DIMENSION.match(part)
        if found is None:
            raise HloCountError(f"{part!r} is no dimension in {whole!r}: expected a number, <=n or ?")
        sizes.append(int(found[2]))
        dynamic.append(found[1] is not None)
    if len(sizes) > 5 and abs(prod(sizes)) > _MOST_ELEMENTS:
        raise HloCountError("an array of more than 10^100 elements")
    return tuple(sizes), tuple(dynamic)


_TILE = re.compile(r"\(([^()]*)\)")
_ELEMENT_BITS = re.compile(r"E\((\d+)\)", re.A)
_AFTER_ELEMENT_BITS = re.compile(r"(?:S|SC|P|M)\(")
_SIZE = r"\d{1,19}+"
"""Of 64 bits, as all that XLA reads of a layout."""
_INDICES = rf"-?+{_SIZE}(?:,-?+{_SIZE})*+"
_LAYOUT = re.compile(
    rf"\{{(?P<order>(?:{_INDICES})?)(?::(?:D\([A-Z+~,]*\))?(?P<tiles>(?:T(?:\((?:(?:{_SIZE}|\*)(?:,(?:{_SIZE}|\*))*+)?\))++)?)"
    rf"(?:L\({_SIZE}\))?(?:#\(u\d++\))?(?:\*\(u\d++\))?(?:E\((?P<bits>{_SIZE})\))?(?:S\((?P<space>{_SIZE})\))?"
    rf"(?:SC(?:\({_SIZE}:{_INDICES}\))++)?(?:M\({_SIZE}\))?)?\}}",
    re.A,
)
"""Order, kinds of dimensions, tiles, padding, index and pointer types, bits, memory space, splits, prefix: as XLA's
parser takes them (xla/hlo/parser/hlo_parser.cc), in this order."""


def parse_layout(text: str) -> Layout:
    """The layout that `text`, braces included, spells: `{1,0:T(8,128)(2,1)E(4)S(1)}`. Raises HloCountError."""
    text = _tokens(text)
    found = _LAYOUT.fullmatch(text)
    if found is None:
        raise HloCountError(f"{text!r} is no layout: expected one such as {{1,0:T(8,128)S(1)}}")
    tiles = tuple(
        tuple(None if part == "*" else int(part) for part in tile.split(",") if part)
        for tile in _TILE.findall(found["tiles"] or "")
    )
    if any(size is not None and not 1 <= size < 2**63 for tile in tiles for size in tile):
        raise HloCountError(f"the layout {text!r} has an empty tile, or one of a size that no tile has")
    minor_to_major = tuple(map(int, found["order"].split(","))) if found["order"] else ()
    bits, space = found["bits"], found["space"]
    return Layout(minor_to_major, tiles, int(bits) if bits else None, int(space) if space else 0, text)


def _padded_elements(dimensions: tuple[int, ...], layout: Layout) -> int:
    tile = layout.tiles[0]
    physical = [dimensions[d] for d in reversed(layout.minor_to_major)] if layout.minor_to_major else []
    while len(physical) < len(tile):
        physical.insert(0, 1)
    # A None ("*") in a tile combines that dimension with the next minor one: it pads nothing of its own.
    for back, width in enumerate(reversed(tile), start=1):
        if width is not None:
            physical[-back] = -(-physical[-back] // width) * width
    return prod(physical)


def _spell(minor_to_major: tuple[int, ...], rest: str) -> str:
    return "{" + ",".join(map(str, minor_to_major)) + (f":{rest}" if rest else "") + "}"


def leaf_span(shape: Shape, path: tuple[int, ...]) -> tuple[int, int]:
    """Where the leaves of the element at `path` begin among all of the shape, and how many they are."""
    start = 0
    for index in path:
        start += shape.leaf_starts[index]
        shape = shape.elements[index]
    return start, len(shape.leaves)
