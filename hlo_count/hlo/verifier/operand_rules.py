"""Whether operands are those that an opcode of its own kind takes: normalizations, solvers, random numbers, sizes.

After XLA's xla/service/shape_inference.cc and hlo_verifier.cc. Each rule raises ValueError for what is not right; where
a size is not known it says nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.shapes import UNBOUNDED, Shape
from hlo_count.hlo.verifier.dimension_numbers import expect_within, in_braces
from hlo_count.hlo.verifier.element_types import same_kind
from hlo_count.hlo.verifier.shape_agreement import size_agrees, sizes_agree


def named_dimensions(i: Instruction) -> None:
    """Dimensions that an attribute names are there, each once; one alone where the opcode takes one."""
    for attribute, number in _NAMED.get(i.opcode, ()):
        dims, shape = i.dims(attribute), i.operands[number].shape
        if not shape.is_array:
            continue
        expect_within(attribute, dims, shape)
        if i.opcode in _ONE_DIMENSION and attribute == "dimensions" and len(dims) != 1:
            raise ValueError(f"{attribute}={in_braces(dims)}, and it takes one")


def arrays_only(i: Instruction) -> None:
    odd = next((shape for shape in (*_shapes(i), i.shape) if not shape.is_array), None)
    if odd is not None:
        raise ValueError(f"{i.opcode} takes and gives arrays, and {odd} is none")


def reduced_precision(i: Instruction) -> None:
    arrays_only(i)
    exponent, mantissa = int(i.attributes["exponent_bits"]), int(i.attributes["mantissa_bits"])
    if exponent < 1 or mantissa < 0:
        raise ValueError(f"numbers of {exponent} bits of an exponent and {mantissa} of a mantissa")


def normalized(i: Instruction) -> None:
    """One number for each feature, and of a gradient the result's own."""
    operand, *others = _shapes(i)
    index = int(i.attributes["feature_index"])
    if not 0 <= index < operand.rank:
        raise ValueError(f"feature_index={index} of {operand}")
    if i.opcode == "batch-norm-grad":
        output = others.pop()
        if output.rank != operand.rank or not (same_kind(output, operand) and sizes_agree(output, operand)):
            raise ValueError(f"the gradient {output} of {operand}")
    features = operand.dimensions[index]
    for shape in others:
        if shape.rank != 1 or not same_kind(shape, operand) or not size_agrees(shape.dimensions[0], features):
            raise ValueError(f"{shape} for the {features} features of {operand}")


def solved(i: Instruction) -> None:
    """Square matrices, and of a solver as many as there are right sides, which they fit."""
    a, *rest = _shapes(i)
    if a.rank < 2 or not size_agrees(*a.dimensions[-2:]):
        raise ValueError(f"{a} holds no square matrices")
    for b in rest:
        axis = -2 if i.attribute("left_side") == "true" else -1
        if b.rank != a.rank or b.dtype != a.dtype or b.dimensions[:-2] != a.dimensions[:-2]:
            raise ValueError(f"{a} and {b} are not of the same batches and elements")
        if not size_agrees(b.dimensions[axis], a.dimensions[-1]):
            raise ValueError(f"matrices of {a.dimensions[-1]} meet right sides of {b.dimensions[axis]}")


def drawn(i: Instruction) -> None:
    """Two scalars of the type that is drawn."""
    shapes = _shapes(i)
    if len(shapes) != 2:
        raise ValueError(f"it takes {len(shapes)} operands and not 2")
    odd = next((shape for shape in shapes if shape.rank or not same_kind(shape, i.shape)), None)
    if odd is not None:
        raise ValueError(f"it draws {i.shape} between scalars of its type, and takes {odd}")


def bits_generated(i: Instruction) -> None:
    """A new state like the old one, and the bits."""
    state = i.operands[0].shape
    if not i.shape.is_tuple:
        return
    if len(i.shape.elements) != 2 or not _compatible(i.shape.elements[0], state):
        raise ValueError(f"it takes the state {state} and gives {i.shape}")


def size_given(i: Instruction) -> None:
    if i.shape.dtype not in ("s32", "u32") or i.shape.rank:  # older XLAs gave a u32
        raise ValueError(f"a size is an s32[], and {i.shape} is stated")


def size_set(i: Instruction) -> None:
    size = i.operands[1].shape
    if size.dtype != "s32" or size.rank:
        raise ValueError(f"a size is an s32[], and it takes {size}")


def grouped_product(i: Instruction) -> None:
    """The sizes of groups are integers, one for each group: of all, or along each dimension that is outside of them."""
    sizes, dims = i.operands[2].shape, i.dims("lhs_ragged_dims")
    lhs, rhs = i.operands[0].shape, i.operands[1].shape
    if len(dims) != 1 or not 0 <= dims[0] < lhs.rank:
        raise ValueError(f"lhs_ragged_dims={in_braces(dims)} of {lhs}, and it takes one")
    (ragged,) = dims
    contracting, batch = i.dims("lhs_contracting_dims"), i.dims("lhs_batch_dims")
    rows = tuple(d for d in range(lhs.rank) if d not in contracting and d not in batch)
    if ragged in batch:
        before = batch[: batch.index(ragged)]
    else:
        among = contracting if ragged in contracting else rows
        before = (*batch, *among[: among.index(ragged)])
    if sizes.rank != 1 and sizes.dimensions[:-1] != tuple(lhs.dimensions[d] for d in before):
        raise ValueError(f"sizes of groups {sizes} for {lhs}")
    groups = i.dims("rhs_group_dims")
    if len(groups) != (ragged in rows) or any(not 0 <= d < rhs.rank for d in groups):
        raise ValueError(f"rhs_group_dims={in_braces(groups)} of {rhs}")
    if groups and not size_agrees(rhs.dimensions[groups[0]], sizes.dimensions[-1]):
        raise ValueError(f"{rhs.dimensions[groups[0]]} groups, and {sizes.dimensions[-1]} sizes of groups")


def scaled_product(i: Instruction) -> None:
    """A scale for each block of an operand along its one contracting dimension."""
    for side, operand, scale in (("lhs", *_pair(i, 0)), ("rhs", *_pair(i, 1))):
        if scale.dtype == operand.dtype == "bf16" and prod(scale.dimensions) == 1 != prod(operand.dimensions):
            continue  # which stands for no scale
        if len(i.dims(f"{side}_contracting_dims")) != 1:
            raise ValueError(
                f"{side}_contracting_dims={in_braces(i.dims(f'{side}_contracting_dims'))}, and it takes one"
            )
        if scale.rank != operand.rank or any(
            UNBOUNDED not in (size, parts) and (not parts or size % parts)
            for size, parts in zip(operand.dimensions, scale.dimensions, strict=True)
        ):
            raise ValueError(f"{scale} scales {operand}")
    if not (i.operands[2].shape.rank or i.operands[3].shape.rank):
        raise ValueError("both of its scales are scalars")


def _pair(i: Instruction, number: int) -> tuple[Shape, Shape]:
    return i.operands[number].shape, i.operands[2 + number].shape


def exchanged_in_parts(i: Instruction) -> None:
    """A ragged all-to-all writes into its second operand; the other four say what goes where."""
    operand, output, *where = _shapes(i)
    if not (same_kind(i.shape, output) and sizes_agree(i.shape, output)):
        raise ValueError(f"it writes parts of {operand} into {output} and gives {i.shape}")
    for shape in where:
        if not _compatible(shape, where[0]) or shape.rank not in (1, 2):
            raise ValueError(f"it takes {shape} beside {where[0]} to say what goes where")


def sorted_alike(i: Instruction) -> None:
    first, *others = _shapes(i)
    for shape in others:
        if not sizes_agree(shape, first):
            raise ValueError(f"it sorts {shape} as {first}")


def reshaped_at_run(i: Instruction) -> None:
    """The sizes of the result are operands."""
    source, *sizes = _shapes(i)
    if len(sizes) != i.shape.rank or any(shape.dtype != "s32" or shape.rank for shape in sizes):
        raise ValueError(f"it takes {len(sizes)} sizes for {i.shape}: an s32[] for each dimension")
    if not same_kind(source, i.shape) or (
        UNBOUNDED not in (*source.dimensions, *i.shape.dimensions) and source.size != i.shape.size
    ):
        raise ValueError(f"{source} becomes {i.shape}")


def ordered(i: Instruction) -> None:
    """What waits for a token takes one, as its last operand."""
    token = i.operands[-1].shape
    if token.dtype != "token":
        raise ValueError(f"it waits for a token, and takes {token}")


_NAMED: dict[str, tuple[tuple[str, int], ...]] = {
    **dict.fromkeys(
        ("reverse", "get-dimension-size", "set-dimension-size", "concatenate", "sort", "reduce"),
        (("dimensions", 0),),
    ),
    **dict.fromkeys(("all-gather", "all-gather-start", "all-to-all", "reduce-scatter"), (("dimensions", 0),)),
    **dict.fromkeys(
        ("dot", "ragged-dot", "scaled-dot"),
        (
            *(("lhs_contracting_dims", 0), ("rhs_contracting_dims", 1)),
            *(("lhs_batch_dims", 0), ("rhs_batch_dims", 1)),
        ),
    ),
}
"""Attributes that name dimensions, each with the number of the operand that has them."""
_ONE_DIMENSION = frozenset(
    ("get-dimension-size", "set-dimension-size", "concatenate", "sort", "all-gather", "all-gather-start")
)

OPERAND_RULES: dict[str, Callable[[Instruction], None]] = {
    "reduce-precision": reduced_precision,
    **dict.fromkeys(("batch-norm-training", "batch-norm-inference", "batch-norm-grad"), normalized),
    **dict.fromkeys(("cholesky", "triangular-solve"), solved),
    "rng": drawn,
    "rng-bit-generator": bits_generated,
    "get-dimension-size": size_given,
    "set-dimension-size": size_set,
    "ragged-dot": grouped_product,
    "scaled-dot": scaled_product,
    "sort": sorted_alike,
    "ragged-all-to-all": exchanged_in_parts,
    "dynamic-reshape": reshaped_at_run,
    **dict.fromkeys(("add-dependency", "infeed", "outfeed"), ordered),
}


def _shapes(i: Instruction) -> list[Shape]:
    return [operand.shape for operand in i.operands]


def _compatible(one: Shape, other: Shape) -> bool:
    return one.dtype == other.dtype and sizes_agree(one, other)
