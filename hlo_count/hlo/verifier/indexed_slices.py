"""Whether the dimensions that a gather or a scatter names are those that its operands have.

After `ValidateGatherDimensionNumbers`, `ValidateScatterDimensionNumbers` and the rules that call them, in XLA's
xla/service/shape_inference.cc. Each raises ValueError for the first that is not.
"""

from __future__ import annotations

from collections.abc import Sequence

from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.shapes import Shape
from hlo_count.hlo.verifier.dimension_numbers import expect_within, in_braces
from hlo_count.hlo.verifier.shape_agreement import is_known


def gather_slices(i: Instruction) -> None:
    source, indices = (operand.shape for operand in i.operands)
    if not is_known(source, indices):
        return
    expanded = _expanded(i, indices)
    sizes, offsets = i.dims("slice_sizes"), i.dims("offset_dims")
    collapsed, batching = i.dims("collapsed_slice_dims"), i.dims("operand_batching_dims")
    expect_within("offset_dims", offsets, len(offsets) + len(expanded) - 1, ordered=True)
    expect_within("collapsed_slice_dims", collapsed, source.rank, ordered=True)
    _indexed(i, "start_index_map", source, expanded)
    _batched(i, "operand_batching_dims", "start_indices_batching_dims", source, expanded)
    if not len(sizes) == len(offsets) + len(collapsed) + len(batching) == source.rank:
        raise ValueError(f"its slices are of {len(sizes)} dimensions, those of {source} of {source.rank}")
    for d, (size, whole) in enumerate(zip(sizes, source.dimensions, strict=True)):
        if not 0 <= size <= whole or (size > 1 and d in (*collapsed, *batching)):
            raise ValueError(f"slice_sizes={in_braces(sizes)} of {source}")


def scatter_slices(i: Instruction) -> None:
    half = len(i.operands) // 2
    indices = i.operands[half].shape
    for target, update in zip(i.operands[:half], i.operands[half + 1 :], strict=True):
        if is_known(target.shape, indices, update.shape):
            _updated(i, target.shape, indices, update.shape)


def _updated(i: Instruction, target: Shape, indices: Shape, update: Shape) -> None:
    expanded = _expanded(i, indices)
    windows, inserted = i.dims("update_window_dims"), i.dims("inserted_window_dims")
    batching = i.dims("input_batching_dims")
    if update.rank != len(expanded) - 1 + len(windows):
        raise ValueError(f"it writes {update}, which has not {len(expanded) - 1 + len(windows)} dimensions")
    expect_within("update_window_dims", windows, update.rank, ordered=True)
    expect_within("inserted_window_dims", inserted, target.rank, ordered=True)
    _indexed(i, "scatter_dims_to_operand_dims", target, expanded)
    _batched(i, "input_batching_dims", "scatter_indices_batching_dims", target, expanded)
    if len(windows) + len(inserted) + len(batching) != target.rank:
        raise ValueError(f"its windows and {target} differ in rank")
    spanned = [size for d, size in enumerate(target.dimensions) if d not in (*inserted, *batching)]
    for d, most in zip(windows, spanned, strict=False):  # XLA lets one be inserted and batched
        if update.dimensions[d] > most:
            raise ValueError(f"a window of {update.dimensions[d]} is written to a dimension of {most}")
    scattered = [size for d, size in enumerate(update.dimensions) if d not in windows]
    vector = int(i.attributes["index_vector_dim"])
    wanted = [size for d, size in enumerate(expanded) if d != vector]
    if scattered != wanted:
        raise ValueError(f"there are indices for {in_braces(wanted)} windows, and {in_braces(scattered)} are written")


def _expanded(i: Instruction, indices: Shape) -> tuple[int, ...]:
    """The sizes of the indices, with the dimension of 1 that index_vector_dim may name behind their last."""
    vector = int(i.attributes["index_vector_dim"])
    if not 0 <= vector <= indices.rank:
        raise ValueError(f"index_vector_dim={vector} of {indices}")
    return (*indices.dimensions, 1) if vector == indices.rank else indices.dimensions


def _indexed(i: Instruction, name: str, source: Shape, expanded: Sequence[int]) -> None:
    """Each part of an index says where in one dimension."""
    dims, parts = i.dims(name), expanded[int(i.attributes["index_vector_dim"])]
    expect_within(name, dims, source.rank)
    if len(dims) != parts:
        raise ValueError(f"{name}={in_braces(dims)} of indices of {parts}")


def _batched(i: Instruction, ours: str, theirs: str, source: Shape, expanded: Sequence[int]) -> None:
    dims, others = i.dims(ours), i.dims(theirs)
    expect_within(ours, dims, source.rank, ordered=True)
    expect_within(theirs, others, len(expanded))
    if len(dims) != len(others):
        raise ValueError(f"{ours}={in_braces(dims)} and {theirs}={in_braces(others)} do not pair")
