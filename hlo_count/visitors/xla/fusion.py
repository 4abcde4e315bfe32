"""Bytes that XLA counts for a fusion: its outputs, large constants, and what its parameters are read for."""

from __future__ import annotations

from hlo_count.hlo import Computation, Instruction, Shape
from hlo_count.hlo.depth import post_order
from hlo_count.visitors.xla.float32 import f32, f32_of_int
from hlo_count.visitors.xla.sizes import elements, shape_size, value_size


def fusion_bytes(fusion: Instruction, body: Computation, known: dict[Instruction, int]) -> float:
    """The three sums of `HloCostAnalysis::HandleFusion`, in its order. `known` keeps what parameters are read for."""
    sizes = _output_sizes(fusion, body.root)
    sizes += [value_size(i) for i in body.instructions if i.opcode == "constant" and elements(i.shape) > 1]
    sizes += [_parameter_size(parameter, known) for parameter in body.parameters]
    total = 0.0
    for size in sizes:
        total = f32(total + f32_of_int(size))
    return total


def _output_sizes(fusion: Instruction, root: Instruction) -> list[int]:
    """A dynamic-update-slice that is the root, or feeds a tuple that is the root, writes its update only."""
    sizes: list[int] = []

    def walk(shape: Shape, index: tuple[int, ...]) -> None:
        if shape.is_tuple:
            for n, element in enumerate(shape.elements):
                walk(element, (*index, n))
        elif shape.is_array or shape.dtype == "buffer":
            source = root.operands[index[0]] if len(index) == 1 and root.opcode == "tuple" else root
            updates = source.opcode == "dynamic-update-slice"
            sizes.append(value_size(source.operands[1]) if updates else shape_size(shape))

    walk(fusion.shape, ())
    return sizes


def _parameter_size(parameter: Instruction, known: dict[Instruction, int]) -> int:
    """What a parameter is read for; of a tuple, its leaves through their get-tuple-elements."""
    if not parameter.shape.is_tuple:
        return _read_size(parameter, known)
    total = 0
    for index in _leaf_indices(parameter.shape):
        leaf = parameter
        for n in index:
            leaf = next((user for user in _users(leaf) if _takes(user, n)), leaf)
        total += _read_size(leaf, known)
    return total


def _takes(user: Instruction, index: int) -> bool:
    return user.opcode == "get-tuple-element" and user.attributes["index"] == str(index)


def _leaf_indices(shape: Shape) -> list[tuple[int, ...]]:
    if not shape.is_tuple:
        return [()]
    return [(n, *index) for n, element in enumerate(shape.elements) for index in _leaf_indices(element)]


def _read_size(value: Instruction, known: dict[Instruction, int]) -> int:
    """Bytes read of a parameter or an element of one, by what uses it (`FusionParameterReadBytes`)."""
    if value not in known:
        for each in post_order(value, _in_nested, known):
            known[each] = _read_by_users(each, known)
    return known[value]


def _in_nested(value: Instruction) -> list[Instruction]:
    """The parameters that a value is in the fusions that it is passed on to."""
    return [parameter for user in _users(value) if user.opcode == "fusion" for parameter in _standing_for(value, user)]


def _standing_for(value: Instruction, fusion: Instruction) -> list[Instruction]:
    body = fusion.callee("calls")
    assert body is not None
    return [body.parameters[number] for number, operand in enumerate(fusion.operands) if operand is value]


def _read_by_users(value: Instruction, known: dict[Instruction, int]) -> int:
    """The same, where that of the parameters of fusions inside is known."""
    size = 0
    shared = False  # whether the full size was counted for users that can share one read
    for user in _users(value):
        if user.opcode == "fusion":
            size += _read_by_nested(value, user, known)
        elif user.opcode in ("broadcast", "reshape"):
            size += value_size(value)
        else:
            read, shares = _read_by(value, user)
            if not shares:
                size += read
            elif not shared:
                shared = True
                size += value_size(value)
    return size


def _read_by(value: Instruction, user: Instruction) -> tuple[int, bool]:
    """Bytes of a slicing user's own, or 0 and True for a user that reads all of it together with others."""
    if user.opcode == "slice":
        return value_size(user), False
    if user.opcode == "dynamic-slice" and value is user.operands[0]:
        return value_size(user), False
    if user.opcode == "dynamic-update-slice" and value is user.operands[0]:
        return 0, False  # the output takes its place
    return 0, True


def _read_by_nested(value: Instruction, fusion: Instruction, known: dict[Instruction, int]) -> int:
    """Of a fusion inside: what the users of its result read, or what its own parameter is read for."""
    body = fusion.callee("calls")
    assert body is not None
    size = 0
    for parameter in _standing_for(value, fusion):
        passes_through = not body.root.operands or body.root.operands[0] is parameter
        shared = False
        for user in _users(fusion):
            if passes_through and user.opcode in ("slice", "dynamic-slice", "dynamic-update-slice"):
                read, shares = _read_by(fusion, user)
                if not shares:
                    size += read
                elif not shared:
                    shared = True
                    size += value_size(fusion)
            elif not shared:
                shared = True
                size += known[parameter]
    return size


def _users(instruction: Instruction) -> list[Instruction]:
    return instruction.computation.users[instruction]
