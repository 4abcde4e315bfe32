"""References to memory in a kernel of a GPU, as MLIR makes one of another: which are followed, and how."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from math import prod

from hlo_count.visitors.kernels.kernel_code import KernelCode, Operation
from hlo_count.visitors.kernels.value_types import value_type

POINTERS = frozenset(
    """memref.extract_aligned_pointer_as_index arith.index_cast builtin.unrealized_conversion_cast llvm.ptrtoint
    llvm.inttoptr llvm.getelementptr llvm.addrspacecast llvm.extractvalue llvm.add llvm.load""".split()
)
"""What makes a pointer into the memory of its first operand."""
ELSEWHERE = re.compile(r"!llvm\.ptr<(?!1>)|#gpu\.address_space|#mosaic_gpu\.tmem")
"""Types of what refers to memory inside a multiprocessor."""


def made_of(code: KernelCode, operation: Operation) -> Iterable[tuple[int, Sequence[int]]]:
    """What tells each result; `~memory` stands for how many elements lie before a part of an array."""
    name, operands, results = operation.name, operation.operands, operation.results
    if name == "memref.extract_strided_metadata":
        yield from ((results[0], operands), (results[1], (*operands, ~operands[0])), (~results[0], ()))
        return
    for each in results:
        refers = code.types[each].startswith("memref<")
        yield each, operands[:1] if refers or name in POINTERS else operands
        if refers and operands:
            told = operands[1:] if name in ("memref.subview", "memref.reinterpret_cast") else ()
            yield ~each, (*told, *([~operands[0]] if name != "memref.reinterpret_cast" else []))


def strides_of(memref: str) -> list[int] | None:
    """Elements between neighbours along each dimension; None where the type does not tell."""
    found = re.search(r"strided<\[([^\]]*)\]", memref)
    if found is None:
        sizes = value_type(memref).dimensions
        return [prod(sizes[n + 1 :]) for n in range(len(sizes))] if min(sizes, default=0) >= 0 else None
    strides = [each.strip() for each in found[1].split(",") if each.strip()]
    return None if "?" in strides else list(map(int, strides))
