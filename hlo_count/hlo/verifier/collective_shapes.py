"""What collectives give, and halves of asynchronous pairs: results as many and as large as they take."""

from __future__ import annotations

from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import COLLECTIVE_STARTS, OPCODES, RESULT_ELEMENTS
from hlo_count.hlo.replica_groups import group_size
from hlo_count.hlo.shapes import tuple_of
from hlo_count.hlo.verifier.element_types import same_kind
from hlo_count.hlo.verifier.shape_agreement import fits, is_known


def check_awaited(i: Instruction) -> None:
    """What a native -done gives is a part of what its -start does."""
    started = i.operands[0].shape
    part = RESULT_ELEMENTS.get(f"{OPCODES[i.opcode].wraps}-start")
    if part is None and started.elements and started.elements[0].is_tuple:
        part = 1  # of an all-reduce that holds its operands, too
    given = started if part is None else started.elements[part]
    if not fits(given, i.shape):
        raise ValueError(f"it waits for {given} and gives {i.shape}")


def check_exchanged(i: Instruction) -> None:
    devices = group_size(i)
    if "dimensions" not in i.attributes and devices is not None and len(i.operands) != devices:
        raise ValueError(f"it takes {len(i.operands)} operands, with groups of {devices} devices")
    if "dimensions" in i.attributes and len(i.operands) != 1:
        raise ValueError(f"it takes {len(i.operands)} operands and splits dimensions={i.attributes['dimensions']}")


def check_copied(i: Instruction) -> None:
    """A copy-start gives what it writes, what it reads, and a context."""
    source = i.operands[0].shape
    if len(i.shape.elements) != 3 or (i.shape.elements[2].dtype, i.shape.elements[2].rank) != ("u32", 0):
        raise ValueError(f"it gives {i.shape}, and no two arrays and a u32[]")
    for shape in i.shape.elements[:2]:
        if not fits(shape.with_element_bits(None), source.with_element_bits(None)):
            raise ValueError(f"it copies {source} and gives {i.shape}")


def check_started(i: Instruction) -> None:
    """A collective gives as many results as it takes operands."""
    number = len(i.operands)
    shapes = tuple(operand.shape for operand in i.operands)
    given = shapes[0] if number == 1 else tuple_of(shapes)
    results = taken = i.shape
    if results.elements and results.elements[0].is_tuple:
        given, taken = tuple_of(shapes), results.elements[0]
    elif i.opcode != "all-reduce-start" and results.elements:
        taken = results.elements[0]
    if i.opcode in COLLECTIVE_STARTS and number != 4 and not fits(given, taken, rounded=True):
        raise ValueError(f"it takes {given} and gives {results}")
    if i.opcode in ("all-gather-start", "collective-permute-start") and results.is_tuple:
        results = results.elements[0]  # ((operands), (results)): the others print what they take, too
    if i.opcode == "collective-permute-start" and number == 4:
        return  # into buffers, at offsets
    if number > 1 and not (results.is_tuple and len(results.elements) == number):
        raise ValueError(f"it takes {number} operands and gives {i.shape}")


def check_gathered(i: Instruction) -> None:
    """An all-gather has one dimension larger, a whole number of times; a reduce-scatter smaller."""
    check_started(i)
    if not i.shape.is_array or len(i.operands) != 1 or not is_known(i.operands[0].shape, i.shape):
        return
    if not same_kind(i.operands[0].shape, i.shape):
        raise ValueError(f"{i.shape} is stated, with elements of {i.operands[0].shape}")
    small, large = i.operands[0].shape, i.shape
    if i.opcode == "reduce-scatter":
        small, large = large, small
    axis = i.dims("dimensions")[0]
    others = [n for n in range(small.rank) if n != axis]
    if small.rank != large.rank or any(small.dimensions[n] != large.dimensions[n] for n in others):
        raise ValueError(f"{i.operands[0].shape} and {i.shape} differ in other dimensions than {axis}")
    part, whole = small.dimensions[axis], large.dimensions[axis]
    if whole % part if part else whole:
        raise ValueError(f"{whole} is no whole number of parts of {part}")
