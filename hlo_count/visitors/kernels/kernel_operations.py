"""What one operation of a kernel costs when it runs once, by its name in MLIR and the shapes of its vectors.

Scalars are addresses and bits that choose: they count nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import ceil, log2, prod

from hlo_count.visitors.contractions import contraction_cost
from hlo_count.visitors.cost import ZERO, Cost
from hlo_count.visitors.elementwise import elementwise_cost
from hlo_count.visitors.kernels.kernel_code import Block, Operation, integers, split
from hlo_count.visitors.kernels.mlir_names import ELEMENTWISE, FREE, LIBDEVICE, REDUCTIONS
from hlo_count.visitors.kernels.value_types import ValueType

Typed = Sequence[ValueType]
Rule = Callable[[Operation, Typed, Typed], Cost | None]
"""Gives the cost of an operation by the types of its operands and results; None where they do not tell it."""


def operation_cost(operation: Operation, operands: Typed, results: Typed) -> Cost | None:
    """What it costs without what its regions hold; None for an operation that is not known."""
    name = operation.name
    if name in FREE:
        return ZERO
    opcodes = ELEMENTWISE.get(name)
    if opcodes is not None:
        return _each(opcodes, results[-1]) if results else None
    rule = _RULES.get(name)
    return rule(operation, operands, results) if rule is not None else None


def _each(opcodes: tuple[str, ...], kind: ValueType) -> Cost | None:
    """One operation of each opcode for every element of a vector."""
    if not kind.is_vector:
        return ZERO
    if not kind.is_counted:
        return None
    return Cost.sum(elementwise_cost(opcode, kind.dtype, kind.size) for opcode in opcodes)


# Rules


def _matmul(operation: Operation, operands: Typed, results: Typed) -> Cost | None:
    """2 · elements of the result · contracted elements of an lhs row; older kernels say no dimension numbers, of
    matrices."""
    lhs, rhs, result = operands[0], operands[1], results[0]
    numbers = operation.attributes.get("dimension_numbers", "")
    contracted = integers(split(numbers.partition("<")[2])[0]) if numbers else ()
    if contracted:
        depth = prod(lhs.dimensions[d] for d in contracted)
    elif len(lhs.dimensions) == 2:
        depth = lhs.dimensions[0 if operation.integer("transpose_lhs") else 1]
    else:
        return None
    return _product(result.size * depth, lhs, rhs)


def _contract(operation: Operation, operands: Typed, results: Typed) -> Cost | None:
    """2 · the iterations of `vector.contract`, whose maps say which dimension of an operand each iterator is."""
    maps = re.findall(r"affine_map<\([^)]*\) -> \(([^)]*)\)>", operation.attributes.get("indexing_maps", ""))
    sizes: dict[str, int] = {}
    for names, kind in zip(maps[:2], operands, strict=False):
        sizes.update(zip((name.strip() for name in names.split(",")), kind.dimensions, strict=False))
    return _product(prod(sizes.values()), operands[0], operands[1]) if sizes else None


def _dot(operation: Operation, operands: Typed, results: Typed) -> Cost | None:
    """2 · elements of the result · columns of lhs, which Triton keeps last."""
    lhs, rhs = operands[0], operands[1]
    return _product(results[0].size * lhs.dimensions[-1], lhs, rhs) if lhs.dimensions else None


def _dot_scaled(operation: Operation, operands: Typed, results: Typed) -> Cost | None:
    """As a dot; elements of 4 bits stand in pairs along the columns of lhs."""
    packed = 2 if "e2m1" in operation.attribute_text.lower() and operands[0].dtype in ("s8", "u8") else 1
    lhs = operands[0]
    return contraction_cost(results[0].size * lhs.dimensions[-1] * packed, results[0].dtype) if lhs.dimensions else None


def _product(pairs: int, lhs: ValueType, rhs: ValueType) -> Cost | None:
    """In the wider type of the two."""
    if not (lhs.is_counted and rhs.is_counted):
        return None
    return contraction_cost(pairs, lhs.dtype if lhs.element_bits >= rhs.element_bits else rhs.dtype)


def _kind(operation: Operation) -> str | None:
    found = re.search(r"<(\w+)>", operation.attributes.get("kind", ""))
    return REDUCTIONS.get(found[1]) if found is not None else None


def _reduction(operation: Operation, operands: Typed, results: Typed) -> Cost | None:
    """Elements that go in less those that come out, of the operation that is its kind."""
    opcode, source = _kind(operation), operands[0]
    left = results[0].size if results and results[0].is_vector else 1
    return _some(opcode, source, source.size - left)


def _scan(operation: Operation, operands: Typed, results: Typed) -> Cost | None:
    """Each element but the first is joined to what came before it."""
    return _some(_kind(operation), operands[0], operands[0].size - 1)


def _some(opcode: str | None, kind: ValueType, number: int) -> Cost | None:
    return elementwise_cost(opcode, kind.dtype, max(number, 0)) if opcode is not None and kind.is_counted else None


def _reduce_index(operation: Operation, operands: Typed, results: Typed) -> Cost | None:
    """As an argmax in HLO: a compare and a select for each element that goes in and does not come out."""
    source, left = operands[0], results[0].size if results[0].is_vector else 1
    if not source.is_counted:
        return None
    return Cost.sum(elementwise_cost(opcode, source.dtype, source.size - left) for opcode in ("compare", "select"))


def _region_reduction(operation: Operation, operands: Typed, results: Typed) -> Cost | None:
    """Triton's reduce: its region for every element that goes in and does not come out."""
    return _by_region(operation, operands[0], operands[0].size - (results[0].size if results[0].is_vector else 1))


def _region_scan(operation: Operation, operands: Typed, results: Typed) -> Cost | None:
    """Triton's scan: its region for each element but the first."""
    return _by_region(operation, operands[0], operands[0].size - 1)


def _by_region(operation: Operation, source: ValueType, number: int) -> Cost | None:
    opcodes = _scalar_opcodes(operation.regions[0]) if operation.regions else None
    if opcodes is None or not source.is_counted:
        return None
    return Cost.sum(elementwise_cost(opcode, source.dtype, number) for opcode in opcodes)


def _scalar_opcodes(block: Block) -> list[str] | None:
    """What a region does to two scalars, as opcodes of HLO."""
    found: list[str] = []
    for operation in block.operations:
        if operation.name in ELEMENTWISE:
            found += ELEMENTWISE[operation.name]
        elif operation.name not in FREE:
            return None
    return found


def _sort(operation: Operation, operands: Typed, results: Typed) -> Cost | None:
    """As HLO's: N · ceil(log2(N)) compares, along the last dimension."""
    keys = operands[0]
    steps = ceil(log2(max(2, keys.dimensions[-1]))) if keys.dimensions else 0
    return Cost.ops("other_ops", keys.size * steps, "sort", keys.dtype) if keys.is_counted else None


def _random(operation: Operation, operands: Typed, results: Typed) -> Cost | None:
    kind = results[0]
    return Cost.ops("other_ops", kind.size, "random", kind.dtype) if kind.is_vector and kind.is_counted else ZERO


def _store(operation: Operation, operands: Typed, results: Typed) -> Cost | None:
    """A store that adds to what is there: an add for each element."""
    return _each(("add",), operands[0]) if operation.integer("add") else ZERO


def _outer(operation: Operation, operands: Typed, results: Typed) -> Cost | None:
    return _each(("multiply", "add") if len(operands) > 2 else ("multiply",), results[0])


def _pointers(operation: Operation, operands: Typed, results: Typed) -> Cost | None:
    """An integer add for each pointer of a tensor of them."""
    return Cost.ops("int_ops", results[0].size, "integer", "s64") if results[0].is_vector else ZERO


def _atomic(operation: Operation, operands: Typed, results: Typed) -> Cost | None:
    kinds = re.findall(r"\w+", operation.attributes.get("atomic_rmw_op", ""))
    value = operands[1] if len(operands) > 1 else operands[0]
    adds = not kinds or kinds[0] in ("fadd", "add", "4", "5")
    return _each(("add",) if adds else ("maximum",), value)


def _external(operation: Operation, operands: Typed, results: Typed) -> Cost | None:
    """A function of libdevice on each element."""
    symbol = operation.attributes.get("symbol", "").strip('"').removeprefix("__nv_").removeprefix("fast_")
    opcodes = LIBDEVICE.get(symbol) or LIBDEVICE.get(symbol.removesuffix("f"))
    return _each(opcodes, results[0]) if opcodes is not None else None


_RULES: dict[str, Rule] = {
    "tpu.matmul": _matmul,
    "vector.contract": _contract,
    "vector.multi_reduction": _reduction,
    "vector.reduction": _reduction,
    "vector.scan": _scan,
    "vector.outerproduct": _outer,
    "tpu.all_reduce": _reduction,
    "tpu.reduce_index": _reduce_index,
    "tpu.scan": _scan,
    "tpu.sort": _sort,
    "tpu.prng_random_bits": _random,
    "tpu.vector_store": _store,
    "tt.dot": _dot,
    "tt.dot_scaled": _dot_scaled,
    "tt.reduce": _region_reduction,
    "tt.scan": _region_scan,
    "tt.addptr": _pointers,
    "tt.atomic_rmw": _atomic,
    "tt.extern_elementwise": _external,
}
