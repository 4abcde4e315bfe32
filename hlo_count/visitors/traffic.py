"""Memory traffic: what one execution of a kernel-level instruction reads and writes, by memory space.

An instruction reads each distinct operand once and writes its outputs once. Slices, gathers and in-place updates touch
only a part, also inside a fusion, which moves data at its boundary alone.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable

from hlo_count.hlo.attributes import unquote
from hlo_count.hlo.computation import Computation
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import ELEMENTWISE, FREE, RESULT_ELEMENTS, SLICES, UPDATES, async_sugar
from hlo_count.hlo.shapes import Shape
from hlo_count.visitors.registry import MOVES_NOTHING

Access = tuple[int, int, Instruction | None]
"""(memory space, bytes, the operand that they are of; None for what is of the result)."""

_PARTIAL = SLICES | UPDATES | {"fusion"}
_IN_PLACE = "output_to_operand_aliasing={{}: (0, {})}"
_COPIES = frozenset(("parameter", "copy", "bitcast"))


def traffic(instruction: Instruction, backend: str = "unknown") -> tuple[list[Access], list[Access]]:
    """What it reads and what it writes, in the programs of a backend."""
    opcode = instruction.opcode
    if opcode in FREE:
        return [], []
    if opcode == "fusion":
        callee = instruction.callee("calls")
        if callee is not None:
            return _fusion(instruction, callee)
    sugar = async_sugar(opcode)
    if sugar is not None:
        wrapped = unwrapped(instruction) if sugar[1] == "start" else None
        return traffic(wrapped, backend) if wrapped is not None else ([], [])
    operands = instruction.operands
    if opcode in SLICES:
        taken = _capped([_resized(instruction.shape, operands[0].shape)], operands[0])
        return [*taken, *_whole(operands[1:])], _leaves(instruction.shape)
    if opcode == "dynamic-update-slice":
        update = operands[1].shape
        return _whole(operands[1:]), _in(instruction.shape, update.bytes)
    if opcode == "scatter":
        return _scatter(instruction)
    if opcode == "all-reduce-start":  # its shape is that of the result, or a tuple that holds the operands too
        done = next((u for u in instruction.computation.users[instruction] if u.opcode == "all-reduce-done"), None)
        return _whole(operands), _leaves((done or instruction).shape)
    if opcode in RESULT_ELEMENTS:
        written = _leaves(instruction.shape.elements[RESULT_ELEMENTS[opcode]]) if instruction.shape.elements else []
        return _whole(operands), written
    if opcode in ("send", "outfeed"):
        return _whole(operands), []
    if opcode == "custom-call" and unquote(instruction.attributes.get("custom_call_target", "")) in MOVES_NOTHING:
        return [], []
    if opcode == "get-dimension-size":  # the size stands beside the array
        return [], _leaves(instruction.shape)
    if opcode == "fft" and backend == "gpu" and instruction.attribute("fft_type") in ("IFFT", "IRFFT"):
        result = _leaves(instruction.shape)  # scaled in a pass of its own (xla/backends/gpu/runtime/fft_thunk.cc)
        return [*_whole(operands), *result], [*result, *result]
    return _whole(operands), _leaves(instruction.shape)


def unwrapped(instruction: Instruction) -> Instruction | None:
    """What a sugared start wraps, as an instruction with its own result; None where its tuple does not tell it."""
    sugar = async_sugar(instruction.opcode)
    if sugar is None or len(instruction.shape.elements) < 2:
        return None
    return Instruction(
        instruction.computation,
        instruction.index,
        instruction.name,
        sugar[0],
        instruction.shape.elements[1],
        instruction.operand_text,
        instruction.attribute_text,
    )


def _leaves(shape: Shape) -> list[Access]:
    return [(space, size, None) for space, size in shape.bytes_by_space]


def _whole(operands: Iterable[Instruction]) -> list[Access]:
    return [(*access, operand) for operand in dict.fromkeys(operands) for access in operand.shape.bytes_by_space]


def _in(shape: Shape, size: int) -> list[Access]:
    return [(shape.memory_space, size, None)] if size else []


def _resized(part: Shape, whole: Shape) -> int:
    """Bytes of `part` if its elements were those of `whole`."""
    if not part.is_array or part.element_bits == whole.element_bits:
        return part.bytes
    return -(-part.bytes * whole.element_bits // part.element_bits)


def _capped(parts: Iterable[int], operand: Instruction) -> list[Access]:
    """The parts of one operand that are read: never more than the operand."""
    size = min(sum(parts), operand.shape.bytes)
    return [(operand.shape.memory_space, size, operand)] if size else []


def _scatter(instruction: Instruction) -> tuple[list[Access], list[Access]]:
    """Indices, updates and the touched rows are read, the touched rows written."""
    operands = instruction.operands
    count = len(operands) // 2
    reads = _whole(operands[count:])
    writes: list[Access] = []
    for target, updates in zip(operands[:count], operands[count + 1 :], strict=True):
        size = _resized(updates.shape, target.shape)
        reads += _capped([size], target)
        writes += _in(target.shape, min(size, target.shape.bytes))
    return reads, writes


# Fusions


def _fusion(instruction: Instruction, callee: Computation) -> tuple[list[Access], list[Access]]:
    if callee.opcodes.isdisjoint(_PARTIAL):
        return _plain_fusion_reads(instruction, callee), _leaves(instruction.shape)
    callee = callee.twin
    in_place = updates_in_place(callee)
    reads: list[Access] = []
    parameters = callee.parameters
    by_operand: dict[Instruction, list[Instruction]] = {}
    for operand, parameter in zip(instruction.operands, parameters, strict=False):
        by_operand.setdefault(operand, []).append(parameter)
    for operand, standing_for in by_operand.items():
        parts = [part_read(parameter, in_place) for parameter in standing_for]
        if any(part is None for part in parts):
            reads += _whole([operand])
        else:
            reads += _capped((part for part in parts if part is not None), operand)
    return reads, _fusion_writes(instruction, callee, in_place)


def _plain_fusion_reads(instruction: Instruction, callee: Computation) -> list[Access]:
    """Every parameter that anything uses, whole: nothing in the body takes a part of one."""
    unused = callee.unused_parameters
    if not unused:
        return _whole(instruction.operands)
    numbers = {int(parameter.operand_text) for parameter in unused}
    return _whole(operand for n, operand in enumerate(instruction.operands) if n not in numbers)


def is_name(value: Instruction) -> bool:
    """Whether a value inside a fusion is another name for its first operand: a bitcast, or what TPU v7's compiler
    prints where the next instruction wants other tiles, a fusion in place around a copy."""
    if value.opcode == "bitcast":
        return True
    if value.opcode != "fusion" or len(value.operands) != 1 or _IN_PLACE not in value.attribute_text:
        return False
    callee = value.callee("calls")
    return callee is not None and callee.opcodes <= _COPIES


def through_names(value: Instruction) -> Instruction:
    """What a chain of names inside a fusion is another name for."""
    while is_name(value):
        value = value.operands[0]
    return value


def fusion_roots(callee: Computation) -> list[Instruction]:
    """What each output of a fused computation is, through names for it and a root tuple."""
    root = through_names(callee.root)
    if root.opcode == "tuple":
        return [through_names(operand) for operand in root.operands]
    return [root]


def updates_in_place(callee: Computation) -> set[Instruction]:
    """Updates and scatters whose result can be the buffer of the parameter that they update."""
    if callee.opcodes.isdisjoint(UPDATES):
        return set()
    return {
        root
        for root in fusion_roots(callee)
        if root.opcode in UPDATES and through_names(root.operands[0]).opcode == "parameter"
    }


def touched(update: Instruction) -> int:
    """Bytes that a dynamic-update-slice or scatter changes of its operand 0."""
    target = update.operands[0].shape
    if update.opcode == "dynamic-update-slice":
        return min(_resized(update.operands[1].shape, target), target.bytes)
    updates = update.operands[len(update.operands) // 2 + 1].shape
    return min(_resized(updates, target), target.bytes)


Partly = Callable[[Instruction, Instruction, Shape], int | None]
"""Bytes that an instruction reads of an operand, whose whole shape is given, where that is a part of it; else None."""


def sliced(user: Instruction, value: Instruction, whole: Shape) -> int | None:
    """What slices and gathers take."""
    if user.opcode in SLICES and _is_first(user, value):
        return _resized(user.shape, whole)
    return None


def part_read(value: Instruction, in_place: Container[Instruction], partly: Partly = sliced) -> int | None:
    """Bytes that all uses of a fusion's parameter read of it together; None where one reads it whole.

    Followed through names for it, operations element by element and fusions below. What several paths lead to is looked
    at once, and counts for each of them.
    """
    uses: dict[tuple[Instruction, int], _Uses] = {}
    read: dict[tuple[Instruction, int], int] = {}
    stack = [(value, value.shape)]
    while stack:
        current, whole = stack[-1]
        key = (current, id(whole))
        found = uses.get(key)
        if found is None:
            found = _uses(current, whole, in_place if current.computation is value.computation else (), partly)
            if found is None:  # whole already: no other use makes it less
                return None
            uses[key] = found
            stack += [further for further in found[1] if (further[0], id(further[1])) not in read]
        else:
            stack.pop()
            read[key] = found[0] + sum(read[(further, id(shape))] for further, shape in found[1])
    return read[(value, id(value.shape))]


_Uses = tuple[int, list[tuple[Instruction, Shape]]]
"""Bytes that the uses of a value read, and the values that others pass it on to, each with the whole shape."""


def _uses(value: Instruction, whole: Shape, in_place: Container[Instruction], partly: Partly) -> _Uses | None:
    computation = value.computation
    if value is computation.root:
        return None
    read = 0
    followed: list[tuple[Instruction, Shape]] = []
    for user in computation.users[value]:
        part = partly(user, value, whole)
        if part is not None:
            read += part
        elif user in in_place and _is_first(user, value):
            read += 0 if user.opcode == "dynamic-update-slice" else touched(user)
        elif is_name(user) or (user.opcode == "get-tuple-element" and user is not computation.root):
            followed.append((user, user.shape if value.shape.is_tuple else whole))
        elif user.opcode == "fusion" and (callee := user.callee("calls")) is not None:
            for operand, parameter in zip(user.operands, callee.parameters, strict=False):
                if operand is value:
                    followed.append((parameter, whole))
        elif (
            user.opcode in ELEMENTWISE
            and user.shape.dimensions == value.shape.dimensions
            and len(computation.users[user]) == 1
            and user is not computation.root
        ):
            followed.append((user, whole))
        else:
            return None
    return read, followed


def _is_first(user: Instruction, value: Instruction) -> bool:
    return user.operands[0] is value and value not in user.operands[1:]


def _fusion_writes(instruction: Instruction, callee: Computation, in_place: set[Instruction]) -> list[Access]:
    roots = fusion_roots(callee)
    outputs = instruction.shape.elements if instruction.shape.is_tuple else (instruction.shape,)
    if not in_place or len(outputs) != len(roots):
        return _leaves(instruction.shape)
    writes: list[Access] = []
    for root, output in zip(roots, outputs, strict=True):
        writes += _in(output, touched(root)) if root in in_place else _leaves(output)
    return writes
