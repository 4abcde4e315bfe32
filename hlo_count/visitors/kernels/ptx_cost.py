"""What instructions of PTX cost one lane of a warp: kernels have them as text, in `llvm.inline_asm`.

Names and shapes are those of the PTX ISA. Integers are addresses, masks and bits that are shifted into place: they
count nothing, as scalars do elsewhere in a kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hlo_count.visitors.contractions import contraction_cost
from hlo_count.visitors.cost import ZERO, Cost
from hlo_count.visitors.elementwise import elementwise_cost

WARP, WARPGROUP = 32, 128
"""Lanes that run one instruction together."""
_STATEMENT = re.compile(
    r"[\s{}]*(?:\w+:\s+)?(?:@!?(?P<predicate>[\w$%]+)\s+)?(?P<name>[a-z]\w*(?:[.:]+\w+)*)(?P<rest>.*)", re.S
)
_TILE = re.compile(r"m(\d+)n(\d+)k(\d+)")
_DTYPES = {
    "f64": ("f64", 1), "f32": ("f32", 1), "tf32": ("f32", 1), "f16": ("f16", 1), "bf16": ("bf16", 1),
    "f32x2": ("f32", 2), "f16x2": ("f16", 2), "bf16x2": ("bf16", 2),
    "e4m3": ("f8e4m3fn", 1), "e5m2": ("f8e5m2", 1), "e2m1": ("f4e2m1fn", 1),
    "e4m3x2": ("f8e4m3fn", 2), "e5m2x2": ("f8e5m2", 2), "e2m1x2": ("f4e2m1fn", 2), "ue8m0x2": ("f8e8m0fnu", 2),
    "s8": ("s8", 1), "u8": ("u8", 1), "s4": ("s4", 1), "u4": ("u4", 1),
}  # fmt: skip
"""Types of data: HLO's name, and how many stand in one register."""
_OPCODES = {
    "add": ("add",), "sub": ("subtract",), "mul": ("multiply",), "div": ("divide",), "rcp": ("divide",),
    "fma": ("multiply", "add"), "max": ("maximum",), "min": ("minimum",), "abs": ("abs",), "neg": ("negate",),
    "copysign": ("sign",), "ex2": ("exp2",), "lg2": ("log2",), "sin": ("sine",), "cos": ("cosine",), "tanh": ("tanh",),
    "sqrt": ("sqrt",), "rsqrt": ("rsqrt",), "cvt": ("convert",), "setp": ("compare",), "set": ("compare",),
    "selp": ("select",), "red": ("add",), "atom": ("add",),
}  # fmt: skip
"""Opcodes of HLO that an instruction amounts to for each element of floating point."""
_FREE = frozenset(
    """mov prmt lop3 shl shr shf and or xor not bfe bfi bfind popc clz mad ld st ldmatrix stmatrix mapa cvta isspacep
    bar barrier mbarrier fence membar nanosleep trap exit ret bra elect activemask vote match shfl redux griddepcontrol
    setmaxnreg prefetch prefetchu createpolicy clusterlaunchcontrol discard applypriority cp call""".split()
)
"""What moves, waits, or works on addresses."""
_DEPTHS = {"f16": 16, "tf32": 8, "f8f6f4": 32, "i8": 32, "mxf8f6f4": 32, "mxf4": 64, "mxf4nvf4": 64}
"""Of a `tcgen05.mma` of each kind: how many products each element of the result adds up."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One instruction: its name with all suffixes, the operand that says whether it runs ("" for always), the rest."""

    name: str
    predicate: str
    rest: str

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(part for part in re.split(r"[.:]+", self.name) if part)


def statements(text: str) -> Iterator[Statement]:
    """The instructions of a text, without declarations and comments."""
    for part in re.sub(r"//[^\n]*", "", text).split(";"):
        found = _STATEMENT.match(part)
        if found is not None and not part.lstrip(" \t\n{}").startswith("."):
            yield Statement(found["name"], found["predicate"] or "", found["rest"].strip())


def statement_cost(statement: Statement, described: int | None) -> Cost | None:
    """What an instruction costs each lane that runs it; None for one that is not known.

    `described` is the descriptor of a `tcgen05.mma`, which holds its shape.
    """
    name, *rest = statement.parts
    if name in ("wgmma", "mma") and _TILE.search(statement.name):
        return _of_a_group(statement, WARPGROUP if name == "wgmma" else WARP)
    if name == "wgmma" or (name == "tcgen05" and rest[0] != "mma"):
        return ZERO
    if name == "tcgen05":
        return _tensor_core(statement, described)
    kinds = [_DTYPES[part] for part in rest if part in _DTYPES]
    floats = [(dtype, number) for dtype, number in kinds if dtype[0] in "fb"]
    if name in _FREE or (name in _OPCODES and not floats):
        return ZERO
    opcodes = _OPCODES.get(name)
    if opcodes is None:
        return None
    dtype, number = floats[0]
    if name in ("red", "atom") and (width := next((part for part in rest if re.fullmatch(r"v\d", part)), "")):
        number *= int(width[1:])
    return Cost.sum(elementwise_cost(opcode, dtype, number) for opcode in opcodes)


def _of_a_group(statement: Statement, lanes: int) -> Cost | None:
    """2 · m · n · k, of which each lane of the group does its share; half of it where half of lhs is 0."""
    tile = _TILE.search(statement.name)
    kinds = [_DTYPES[part] for part in statement.parts if part in _DTYPES]
    if tile is None or not kinds:
        return None
    m, n, k = map(int, tile.groups())
    # A product of integers gives s32, which is in no table: the first type is then that of lhs, else of the result.
    dtype = kinds[1 if len(kinds) > 2 else 0][0]
    return contraction_cost(m * n * k // lanes // (2 if "sp" in statement.parts else 1), dtype)


def _tensor_core(statement: Statement, described: int | None) -> Cost | None:
    """2 · m · n · k of the one lane that issues it, with m and n from its descriptor: n / 8 in bits 17 to 22, m / 16 in
    bits 24 to 28, of scaled kinds m / 128 in bits 27 and 28."""
    kind = next((part for part in statement.parts if part in _DEPTHS), None)
    if kind is None or described is None:
        return None
    scaled = kind.startswith("mx")
    m = (described >> 27 & 3) * 128 if scaled else (described >> 24 & 31) * 16
    n = (described >> 17 & 63) * 8
    which = described >> 7 & 7
    dtype = {
        "f16": ("f16", "bf16")[which & 1], "tf32": "f32", "i8": "s8", "mxf4": "f4e2m1fn", "mxf4nvf4": "f4e2m1fn",
    }.get(kind, ("f8e4m3fn", "f8e5m2")[which & 1])  # fmt: skip
    return contraction_cost(m * n * _DEPTHS[kind], dtype)
