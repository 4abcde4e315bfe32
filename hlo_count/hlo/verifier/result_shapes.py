"""Whether the shape that an instruction states is the one that its operands and attributes give.

After XLA's xla/service/hlo_verifier.cc and shape_inference.cc: layouts may differ, and what computes may give another
float type than its operands have. Where a rule is not sure it says nothing: what XLA takes is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from hlo_count.errors import HloCountError
from hlo_count.hlo.attributes import parse_slice, parse_window
from hlo_count.hlo.dims import dims_of, windowed
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import COLLECTIVE_STARTS, CONTRACTIONS, FREE, HOST, RUNNING, elementwise_of
from hlo_count.hlo.shape_rules import INFERRED, dot_shape, inferred
from hlo_count.hlo.shapes import Shape
from hlo_count.hlo.verifier.collective_shapes import (
    check_awaited,
    check_copied,
    check_exchanged,
    check_gathered,
    check_started,
)
from hlo_count.hlo.verifier.dimension_numbers import in_braces
from hlo_count.hlo.verifier.element_types import same_kind
from hlo_count.hlo.verifier.indexed_slices import gather_slices, scatter_slices
from hlo_count.hlo.verifier.operand_rules import OPERAND_RULES, arrays_only, named_dimensions
from hlo_count.hlo.verifier.shape_agreement import are_floats, fits, is_known


def shape_problem(i: Instruction) -> str:
    """What is wrong with the stated shape, or with the shapes of the operands together; "" where nothing is."""
    if i.opcode == "collective-permute" and len(i.operands) == 4:
        return ""  # into buffers, at offsets, of sizes that are operands too
    shapes = [operand.shape for operand in i.operands]
    if i.opcode in _SAME and i.shape.is_array and shapes.count(i.shape) == len(shapes):
        return ""
    if i.shape.dtype == "buffer" or "buffer" in [shape.dtype for shape in shapes]:
        return ""  # of which custom calls say what they hold
    try:
        named_dimensions(i)
        for check in (OPERAND_RULES.get(i.opcode), _CHECKS.get(i.opcode)):
            if check is not None:
                check(i)
        if i.opcode in _INFERRED:
            given = inferred(i)
            if not _is_result(i, given):
                return f"states the shape {i.shape}, but its operands give {given}"
    except (HloCountError, LookupError, ValueError, TypeError, ArithmeticError) as problem:
        return f"does not agree with its operands: {_words(problem)}"
    return ""


def _is_result(i: Instruction, given: Shape) -> bool:
    """A contraction may be summed in another type than it is of."""
    return fits(given, i.shape, rounded=i.opcode not in _MOVES) or (
        i.opcode in CONTRACTIONS and i.shape.is_array and given.dimensions == i.shape.dimensions
    )


def _words(problem: Exception) -> str:
    if isinstance(problem, KeyError):
        return f"{problem.args[0]} is missing"
    if isinstance(problem, IndexError):
        return "a dimension or element that does not exist is named"
    return str(problem)


def _expect_type(i: Instruction) -> None:
    source = i.operands[0].shape
    if not same_kind(source, i.shape):
        raise ValueError(f"{i.shape} is stated, with elements of {source}")


def _expect(i: Instruction, dimensions: tuple[int, ...]) -> None:
    if i.shape.is_array and not i.shape.is_unbounded and i.shape.dimensions != dimensions:
        raise ValueError(f"they give the sizes {_sizes(dimensions)}, and {i.shape} is stated")


def _sizes(dimensions: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, dimensions))}]"


def _elementwise(i: Instruction) -> None:
    """All arrays of one size. XLA's parser takes scalars and sizes of 1 for any other, its verifier does not."""
    shapes = [operand.shape for operand in i.operands]
    if i.opcode == "clamp":
        shapes = [shapes[1]]
    if i.opcode == "select":
        chooser, *shapes = shapes
        if is_known(chooser, shapes[0]) and chooser.rank and chooser.dimensions != shapes[0].dimensions:
            raise ValueError(f"{chooser} chooses between elements of {shapes[0]}")
    if not all(shape.is_array for shape in (*shapes, i.shape)):
        raise ValueError(f"{i.opcode} takes arrays")
    for one, other in pairwise(shapes):
        if one.dtype != other.dtype and not are_floats(one, other):
            raise ValueError(f"its operands are of the types {one.dtype} and {other.dtype}")
        if is_known(one, other) and one.dimensions != other.dimensions:
            raise ValueError(f"{one} and {other} differ in size, and nothing is broadcast")
    if i.shape.rank != max(shape.rank for shape in shapes):
        raise ValueError(f"{i.shape} is of another rank than {max(shapes, key=lambda shape: shape.rank)}")


def _converted(i: Instruction) -> None:
    arrays_only(i)
    if is_known(i.operands[0].shape):
        _expect(i, i.operands[0].shape.dimensions)


def _bitcast_converted(i: Instruction) -> None:
    arrays_only(i)
    source = i.operands[0].shape
    if not is_known(source, i.shape):
        return
    if source.size * source.element_type.bits != i.shape.size * i.shape.element_type.bits:
        raise ValueError(f"{source} has other bits than {i.shape}")


def _reshaped(i: Instruction) -> None:
    _expect_type(i)
    source = i.operands[0].shape
    if is_known(source, i.shape) and source.size != i.shape.size:
        raise ValueError(f"{source} has {source.size} elements, {i.shape} {i.shape.size}")


def _broadcast(i: Instruction) -> None:
    _expect_type(i)
    source, dims = i.operands[0].shape, i.dims("dimensions")
    if not is_known(source, i.shape):
        return
    if len(dims) != source.rank or any(d >= i.shape.rank for d in dims):
        raise ValueError(f"dimensions={in_braces(dims)} of {source} into {i.shape}")
    for size, d in zip(source.dimensions, dims, strict=True):
        if size != i.shape.dimensions[d]:
            raise ValueError(f"a dimension of {size} becomes one of {i.shape.dimensions[d]}")


def _permutes(i: Instruction) -> None:
    dims = i.dims("dimensions")
    if sorted(dims) != list(range(i.operands[0].shape.rank)):
        raise ValueError(f"dimensions={in_braces(dims)} is no order of those of {i.operands[0].shape}")


def _slice(i: Instruction) -> None:
    _expect_type(i)
    source = i.operands[0].shape
    bounds = parse_slice(i.attributes["slice"])
    if not is_known(source):
        return
    if len(bounds) != source.rank:
        raise ValueError(f"slice={i.attributes['slice']} of {source}")
    for (start, limit, stride), size in zip(bounds, source.dimensions, strict=True):
        if not (start <= limit <= size and stride > 0):
            raise ValueError(f"[{start}:{limit}:{stride}] of a dimension of {size}")
    _expect(i, tuple(-(-(limit - start) // stride) for start, limit, stride in bounds))


def _dynamic_slice(i: Instruction) -> None:
    _expect_type(i)
    source, sizes = i.operands[0].shape, i.dims("dynamic_slice_sizes")
    _starts_at(i.operands[1:], source)
    _fits_into(sizes, source)
    _expect(i, sizes)


def _update(i: Instruction) -> None:
    source, update = i.operands[0].shape, i.operands[1].shape
    _starts_at(i.operands[2:], source)
    if is_known(source, update):
        _fits_into(update.dimensions, source)
        _expect(i, source.dimensions)


def _starts_at(starts: Sequence[Instruction], source: Shape) -> None:
    """A slice starts at a scalar for each dimension, or at one array of them, as it was long ago."""
    listed = len(starts) == 1 and starts[0].shape.rank == 1
    if source.is_array and len(starts) != source.rank and not listed:
        raise ValueError(f"{len(starts)} starts in {source}")
    for start in starts:
        if start.shape.is_array and not start.shape.element_type.is_integer:
            raise ValueError(f"{start.shape} says where it starts")


def _fits_into(sizes: tuple[int, ...], source: Shape) -> None:
    if not is_known(source):
        return
    if len(sizes) != source.rank or any(size > whole for size, whole in zip(sizes, source.dimensions, strict=True)):
        raise ValueError(f"{_sizes(sizes)} is no part of {source}")


def _dot(i: Instruction) -> None:
    lhs, rhs = i.operands[0].shape, i.operands[1].shape
    if not is_known(lhs, rhs):
        return
    for kind in ("contracting", "batch"):
        ours, theirs = i.dims(f"lhs_{kind}_dims"), i.dims(f"rhs_{kind}_dims")
        if len(ours) != len(theirs) or len(set(ours)) < len(ours) or len(set(theirs)) < len(theirs):
            raise ValueError(f"the {kind} dimensions {_sizes(ours)} and {_sizes(theirs)} do not pair")
        for d, e in zip(ours, theirs, strict=True):
            if lhs.dimensions[d] != rhs.dimensions[e]:
                raise ValueError(f"a {kind} dimension of {lhs.dimensions[d]} meets one of {rhs.dimensions[e]}")


def _scaled_dot(i: Instruction) -> None:
    _dot(i)
    _expect(i, dot_shape(i).dimensions)


def _convolution(i: Instruction) -> None:
    lhs, rhs = i.operands[0].shape, i.operands[1].shape
    lhs_labels, _, rest = i.attributes["dim_labels"].partition("_")
    rhs_labels, _, _ = rest.partition("->")
    if not is_known(lhs, rhs):
        return
    if len(lhs_labels) != lhs.rank or len(rhs_labels) != rhs.rank:
        raise ValueError(f"dim_labels={i.attributes['dim_labels']} of {lhs} and {rhs}")
    if len(i.operands) > 2 and i.attribute("sparsity_config") is None:
        raise ValueError(f"it takes {len(i.operands)} operands")
    windows = len(parse_window(i.attribute("window")))
    if windows != lhs.rank - 2:
        raise ValueError(f"a window of {windows} dimensions for dim_labels={i.attributes['dim_labels']}")
    groups, batches = (int(i.attribute(f"{kind}_group_count") or 1) for kind in ("feature", "batch"))
    if groups < 1 or batches < 1:
        raise ValueError(f"it takes {groups} groups of features and {batches} of batches")
    features, taken = lhs.dimensions[lhs_labels.index("f")], rhs.dimensions[rhs_labels.index("i")]
    if features != taken * groups:
        raise ValueError(f"{features} features meet a kernel of {taken} in {groups} groups")


def _selected(i: Instruction) -> None:
    """A select-and-scatter has one source for each place of its window."""
    operand, source = i.operands[0].shape, i.operands[1].shape
    _start_from_scalars(i.operands[2:])
    if not is_known(operand, source):
        return
    windows = parse_window(i.attribute("window"), operand.rank)
    places = tuple(windowed(*pair)[0] for pair in zip(dims_of(operand), windows, strict=True))
    if places != source.dimensions:
        raise ValueError(f"its window has the places {_sizes(places)} of {operand}, and {source} is scattered")


def _padded(i: Instruction) -> None:
    _start_from_scalars(i.operands[1:])


def _reduced(i: Instruction) -> None:
    half = len(i.operands) // 2
    _start_from_scalars(i.operands[half:])
    if len(i.operands) % 2 or any(d >= i.operands[0].shape.rank for d in i.dims("dimensions")):
        raise ValueError("it takes as many initial values as arrays, and reduces dimensions that they have")
    first = i.operands[0].shape
    for operand in i.operands[1:half]:
        if operand.shape.dimensions != first.dimensions:
            raise ValueError(f"{first} and {operand.shape} differ in size")


def _windowed(i: Instruction) -> None:
    if len(i.operands) % 2:
        raise ValueError("it takes as many initial values as arrays")
    _start_from_scalars(i.operands[len(i.operands) // 2 :])
    source = i.operands[0].shape
    if source.is_array and len(parse_window(i.attribute("window"))) != source.rank:
        raise ValueError(f"window={i.attribute('window') or ''} of {source}")


def _start_from_scalars(values: Sequence[Instruction]) -> None:
    for value in values:
        if value.shape.rank:
            raise ValueError(f"its initial value {value.shape} is no scalar")


def _iota(i: Instruction) -> None:
    axis = int(i.attributes["iota_dimension"])
    if not 0 <= axis < i.shape.rank:
        raise ValueError(f"iota_dimension={axis} of {i.shape}")


def _fft(i: Instruction) -> None:
    shape, lengths = i.operands[0].shape, i.dims("fft_length")
    if not is_known(shape):
        return
    if not 1 <= len(lengths) <= min(3, shape.rank):
        raise ValueError(f"fft_length={_sizes(lengths)} of {shape}")
    taken = ("f32", "f64") if i.attribute("fft_type") == "RFFT" else ("c64", "c128")
    if shape.dtype not in taken:
        raise ValueError(f"fft_type={i.attribute('fft_type')} of {shape}")
    if not same_kind(inferred(i), i.shape):
        raise ValueError(f"it gives {inferred(i)}, and {i.shape} is stated")
    outer, halves = shape.dimensions[: -len(lengths)], (*lengths[:-1], lengths[-1] // 2 + 1)
    whole = shape.dimensions[-len(lengths) :]  # complex transforms are not held to fft_length
    before, after = {"RFFT": (lengths, halves), "IRFFT": (halves, lengths)}.get(
        i.attributes["fft_type"], (whole, whole)
    )
    if whole != before and shape.size:
        raise ValueError(f"fft_length={_sizes(lengths)} of {shape}")
    _expect(i, (*outer, *after))


def element_problem(i: Instruction) -> str:
    """What is wrong with the element that a get-tuple-element names; "" where nothing is."""
    whole, index = i.operands[0].shape, i.attributes["index"]
    if not whole.is_tuple:
        return "takes an element of what is no tuple"
    if not (index.isascii() and index.isdecimal()) or int(index) >= len(whole.elements):
        return f"takes the element index={index} of a tuple of {len(whole.elements)}"
    return ""


_MOVES = frozenset(("tuple", "get-tuple-element", "dynamic-update-slice", "opt-barrier", "domain"))
"""What moves values as they are: no other float type comes out of it."""
_CHECKS: dict[str, Callable[[Instruction], None]] = {
    **dict.fromkeys(elementwise_of(1), arrays_only),
    **dict.fromkeys((*elementwise_of(2), *elementwise_of(3)), _elementwise),
    **dict.fromkeys(("convert", "stochastic-convert", "reduce-precision"), _converted),
    "bitcast-convert": _bitcast_converted,
    "reshape": _reshaped,
    "copy": _reshaped,
    "broadcast": _broadcast,
    "transpose": _permutes,
    "slice": _slice,
    "dynamic-slice": _dynamic_slice,
    "dynamic-update-slice": _update,
    "dot": _dot,
    "ragged-dot": _dot,
    "scaled-dot": _scaled_dot,
    "convolution": _convolution,
    "reduce": _reduced,
    "reduce-window": _windowed,
    "select-and-scatter": _selected,
    "copy-start": check_copied,
    "pad": _padded,
    "all-to-all": check_exchanged,
    **dict.fromkeys(("copy-done", "all-reduce-done", "all-gather-done", "collective-permute-done"), check_awaited),
    **dict.fromkeys(("all-reduce-start", "all-gather-start", "collective-permute-start"), check_started),
    "all-gather": check_gathered,
    "reduce-scatter": check_gathered,
    "fft": _fft,
    "gather": gather_slices,
    "scatter": scatter_slices,
    "iota": _iota,
}

_RETYPED = {"compare", "is-finite", "complex", "real", "imag", "abs"}
_SAME = (elementwise_of(1) | elementwise_of(2)) - _RETYPED - OPERAND_RULES.keys()
"""Opcodes that give what they take, where all that they take is of one shape."""
_OTHERWISE = (
    RUNNING
    | HOST
    | FREE
    | COLLECTIVE_STARTS
    | {"broadcast", "fft", "scaled-dot", "get-dimension-size", "partition-id", "replica-id"}
)
_INFERRED = (INFERRED - _OTHERWISE) | {"tuple", "get-tuple-element", "opt-barrier", "domain"}
"""Opcodes whose shape follows from operands and attributes alone. Callers are held to their callees, and halves of
asynchronous pairs are printed in several ways."""
