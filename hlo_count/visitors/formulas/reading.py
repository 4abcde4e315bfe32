"""What formulas read of a custom call. What the text does not tell raises UnknownCostOf with the reason."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import isfinite, nan
from typing import Any

from hlo_count.hlo.attributes import split_attributes, unquote
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.shapes import Shape
from hlo_count.visitors.cost import Cost, Status
from hlo_count.visitors.elementwise import elementwise_cost
from hlo_count.visitors.kernels.kernel_count import KernelCount
from hlo_count.visitors.registry import KernelCost, UnknownCostOf

_TYPED = re.compile(r"^(.*?)\s*:\s*[a-z]+\d*$", re.S)


def target(instruction: Instruction) -> str:
    """The custom-call target, without quotes."""
    return unquote(instruction.attributes.get("custom_call_target", '""'))


def missing(instruction: Instruction, what: str) -> UnknownCostOf:
    """The unknown of a call whose text lacks something that its formula needs."""
    return UnknownCostOf(f"is a custom call of {target(instruction)!r} {what}")


def operand(instruction: Instruction, index: int, rank: int = 0) -> Shape:
    """The shape of one operand, an array of at least `rank` dimensions."""
    operands = instruction.operands
    if index >= len(operands) or not operands[index].shape.is_array or operands[index].shape.rank < rank:
        raise missing(instruction, f"whose operand {index} is no array of rank {rank} or more")
    return operands[index].shape


def matrices(instruction: Instruction, count: int = 1) -> list[Shape]:
    """The first `count` operands that are matrices or batches of them; older JAX has scalars before them."""
    found = [each.shape for each in instruction.operands if each.shape.is_array and each.shape.rank >= 2]
    if len(found) < count:
        raise missing(instruction, f"with {len(found)} matrices among its operands instead of {count}")
    return found[:count]


def result(instruction: Instruction, index: int = 0) -> Shape:
    """One of the arrays that it gives."""
    leaves = [leaf for leaf in instruction.shape.leaves if leaf.is_array]
    if index >= len(leaves):
        raise missing(instruction, f"without a result {index}")
    return leaves[index]


def dimension(instruction: Instruction, shape: Shape, index: int) -> int:
    """The size of one dimension that a config names."""
    if not 0 <= index < shape.rank:
        raise missing(instruction, f"whose config names dimension {index} of {shape}")
    return shape.dimensions[index]


# Configs


def json_config(instruction: Instruction, *path: str) -> dict[str, Any]:
    """The object under `path` in a JSON backend config."""
    text = instruction.attribute("backend_config")
    value: object = instruction.backend_config
    if value is None:
        raise missing(instruction, "whose backend config is no JSON" if text else "without a backend config")
    for name in path:
        if not isinstance(value, dict) or not isinstance(value.get(name), dict):
            raise missing(instruction, f"whose backend config has no {'.'.join(path)}")
        value = value[name]
    assert isinstance(value, dict)
    return value


def integers(instruction: Instruction, config: Mapping[str, Any], name: str) -> tuple[int, ...]:
    """A list of integers in a config; protocol buffers as JSON have strings, and leave empty lists out."""
    values = config.get(name, [])
    try:
        return tuple(int(value) for value in values)
    except (TypeError, ValueError):
        raise missing(instruction, f"whose backend config has {name}={json.dumps(values)}") from None


def number(instruction: Instruction, config: Mapping[str, Any], name: str, default: float = 0) -> float:
    """A number in a config, as a number or as a string; protocol buffers leave out what is 0."""
    value = config.get(name, default)
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = nan
    if not isfinite(found):
        raise missing(instruction, f"whose backend config has {name}={json.dumps(value)}")
    return found


def amount(instruction: Instruction, config: Mapping[str, Any], name: str) -> int:
    """A number of operations or bytes in a config: 0 or more."""
    found = number(instruction, config, name)
    if found < 0:
        raise missing(instruction, f"whose backend config has {name}={json.dumps(config[name])}")
    return int(found)


def ffi_attributes(instruction: Instruction) -> dict[str, str]:
    """The attributes of an FFI call, in MLIR's syntax: `{mode = 86 : ui8, lower = true}`, as text by name.

    Types are dropped. Empty where there are none; some texts wrap them in a JSON config.
    """
    text = instruction.attribute("backend_config")
    if text is None:
        return {}
    config = instruction.backend_config
    if config is not None:
        wrapped = [each.get("attributes") for each in config.values() if isinstance(each, dict)]
        text = next((each for each in wrapped if isinstance(each, str)), "")
    text = unquote(text).strip()
    if not (text.startswith("{") and text.endswith("}")):
        return {}
    found = split_attributes(text[1:-1])
    return {name.strip(): _TYPED.sub(r"\1", value.strip()).strip('"') for name, value in found.items()}


def ffi_integer(instruction: Instruction, attributes: Mapping[str, str], name: str) -> int:
    """An integer among FFI attributes."""
    try:
        return int(attributes[name])
    except KeyError:
        raise missing(instruction, f"whose attributes have no {name}") from None
    except ValueError:
        raise missing(instruction, f"whose attributes have {name}={attributes[name]}") from None


# Costs


def pointwise(shape: Shape, *opcodes: str) -> Cost:
    """One operation of each opcode for every element of an array."""
    return Cost.sum(elementwise_cost(opcode, shape.dtype, shape.size) for opcode in opcodes)


def traffic_without_scratch(instruction: Instruction) -> Cost:
    """Each operand read and each result written once, but for the scratch that a library asks for.

    cuBLAS and cuDNN calls give a tuple whose last element is a flat s8 or u8 buffer: room that was set
    aside, of which nobody knows how much is touched (XLA, cublas_cudnn.h).
    """
    leaves = list(instruction.shape.leaves)
    if len(leaves) > 1 and leaves[-1].dtype in ("s8", "u8") and leaves[-1].rank == 1:
        leaves.pop()
    read = sum(each.shape.bytes for each in dict.fromkeys(instruction.operands))
    return Cost.traffic(read=read, written=sum(leaf.bytes for leaf in leaves))


def kernel_cost(instruction: Instruction, count: KernelCount, backend: str, choice: str = "") -> KernelCost:
    """What a kernel's own code comes to, with what it leaves open; `choice` says what was taken from elsewhere."""
    cost = count.counted + count.traffic(instruction, backend)
    said = [*([choice] if choice else ()), *count.open.unknown, *count.open.choices]
    status: Status = "lower bound" if count.open.unknown else "estimate" if said else "exact"
    return KernelCost(Cost(cost.amounts, status), f"is a kernel that {', and '.join(said)}", count)
