"""The types of values in a kernel: scalars, vectors, and where the memory lies that is referred to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from hlo_count.hlo.dtypes import DTYPES

_SHAPED = re.compile(r"(vector|tensor|memref)<((?:(?:\d+|\?|\[\d+\])x)*)(.*)>$", re.S)
_SPACE = re.compile(r"#tpu\.memory_space<(\w+)>")

DYNAMIC = -1
"""The size of a dimension that is known when the kernel runs."""
DEVICE_SPACES = ("any", "hbm")
"""Where a TPU's kernel refers to memory outside its core, which it reaches by DMAs alone."""


@dataclass(frozen=True, slots=True)
class ValueType:
    """`kind` is scalar, vector (a tensor of Triton's too) or memory; `dtype` is HLO's name of an element type, MLIR's
    words where HLO has none; `space` is where memory lies, "" where it is not said."""

    kind: str
    dtype: str
    dimensions: tuple[int, ...] = ()
    space: str = ""

    @property
    def is_vector(self) -> bool:
        return self.kind == "vector"

    @property
    def size(self) -> int:
        return prod(self.dimensions)

    @property
    def is_counted(self) -> bool:
        """Whether HLO has the element type, so that operations on it are known."""
        return self.dtype in DTYPES

    @property
    def element_bits(self) -> int:
        """Bits of an element as it lies in memory; 0 for semaphores and other types without data."""
        kind = DTYPES.get(self.dtype)
        if kind is None:
            return 0
        return kind.bits if kind.bits < 8 else 8 * kind.stored_bytes


@lru_cache(maxsize=4096)
def value_type(text: str) -> ValueType:
    """`vector<8x128xbf16>`, `memref<2x?xi32, #tpu.memory_space<smem>>`, `i1`."""
    shaped = _SHAPED.match(text)
    if shaped is None:
        return ValueType("scalar", hlo_dtype(text))
    kind, sizes, rest = shaped.groups()
    dimensions = tuple(DYNAMIC if size == "?" else int(size.strip("[]")) for size in sizes.split("x") if size)
    element = rest.partition(",")[0].strip() if kind != "tensor" or not rest.startswith("!") else rest.strip()
    space = _SPACE.search(rest)
    name = {"tensor": "vector", "memref": "memory"}.get(kind, kind)
    return ValueType(name, hlo_dtype(element), dimensions, space[1] if space is not None else "")


def hlo_dtype(element: str) -> str:
    """HLO's name: MLIR writes i32 for s32, ui8 for u8, i1 for pred, tf32 as it is; an index has 32 bits on TPU."""
    if element == "i1":
        return "pred"
    if element == "index":
        return "s32"
    return re.sub(r"^i(?=\d)", "s", re.sub(r"^ui(?=\d)", "u", element.lower()))
