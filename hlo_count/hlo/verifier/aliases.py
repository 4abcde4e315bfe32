"""Whether what is said to share a buffer is there, and of one shape.

After `HloInputOutputAliasConfig::SetUpAlias` and the checks of `output_to_operand_aliasing` in XLA's
xla/service/hlo_verifier.cc.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hlo_count.hlo.attributes import alias_pairs
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.hlo.shapes import Shape
from hlo_count.hlo.verifier.shape_agreement import fits

_UNCHECKED = "xla_skip_custom_call_alias_shape_check"


Pairs = Sequence[tuple[tuple[int, ...], int, tuple[int, ...]]]
"""(path in the result, number of what is given, path in it)."""


def header_outputs_problem(module: Module) -> str:
    """What XLA's parser has against `input_output_alias` of the header, in words; "" where it has nothing."""
    text = module.attributes.get("input_output_alias", "")
    result = module.entry.root.shape
    strange = any(_element(result, output) is None for output, _, _ in alias_pairs(text))
    return f"has input_output_alias={text:.200}, which names an output that is not there" if strange else ""


def header_parameters_problem(module: Module) -> str:
    """What only its verifier has against it."""
    text = module.attributes.get("input_output_alias", "")
    pairs = alias_pairs(text)
    taken = [(number, path) for _, number, path in {output: (output, *rest) for output, *rest in pairs}.values()]
    if len(set(taken)) < len(taken):
        return f"is in a module with input_output_alias={text:.200}, which gives away a parameter twice"
    problem = _pairs_problem(pairs, module.entry.root.shape, [p.shape for p in module.entry.parameters], _sizes_differ)
    return f"is in a module with input_output_alias={text:.200}, which {problem}" if problem else ""


def aliases_problem(i: Instruction) -> str:
    """What is wrong with `output_to_operand_aliasing` of an instruction, in words that follow its name."""
    text = i.attributes["output_to_operand_aliasing"]
    if _UNCHECKED in i.attribute_text:
        return ""
    shapes = [operand.shape for operand in i.operands]
    problem = _pairs_problem(alias_pairs(text), i.shape, shapes, lambda one, other: not fits(_held(one), _held(other)))
    return f"has output_to_operand_aliasing={text:.200}, which {problem}" if problem else ""


def _held(shape: Shape) -> Shape:
    """What a buffer holds: a call pins an array into one, or gives it back."""
    return shape.elements[0] if shape.dtype == "buffer" else shape


def _pairs_problem(pairs: Pairs, result: Shape, given: Sequence[Shape], differ: Callable[[Shape, Shape], bool]) -> str:
    for output, number, path in pairs:
        one = _element(result, output)
        other = _element(given[number], path) if number < len(given) else None
        if one is None or other is None:
            return "names what is not there"
        if differ(one, other):
            return f"puts {one} in the place of {other}"
    return ""


def _sizes_differ(one: Shape, other: Shape) -> bool:
    """Of arrays, which alone are given away: a donated buffer may hold another type."""
    if not (one.is_array and other.is_array):
        return True
    known = not (one.is_unbounded or other.is_unbounded)
    return known and one.size * one.element_type.bits != other.size * other.element_type.bits


def _element(shape: Shape, path: Sequence[int]) -> Shape | None:
    """What stands at a path of a tuple; None where nothing does."""
    for index in path:
        if not 0 <= index < len(shape.elements):
            return None
        shape = shape.elements[index]
    return shape
