"""Whether the entry is the one that the header describes: a text that was cut off has another."""

from __future__ import annotations

from hlo_count.errors import HloCountError
from hlo_count.hlo.module import Module
from hlo_count.hlo.printed import Shapes
from hlo_count.hlo.shapes import Shape
from hlo_count.hlo.verifier.shape_agreement import fits


def entry_problem(module: Module) -> str:
    """How `entry_computation_layout` differs from the entry; "" where it does not, or where there is none."""
    text = module.attributes.get("entry_computation_layout")
    if text is None:
        return ""
    stated, entry = _parameters_and_result(text, module.kinds.shapes), module.entry
    if stated is None:
        return f"the header has entry_computation_layout={text}: expected shapes, {{(f32[2]{{0}})->f32[2]{{0}}}}"
    parameters, result = stated
    if len(parameters) != len(entry.parameters):
        return (
            f"the header describes an entry of {len(parameters)} parameters, but {entry.name} has "
            f"{len(entry.parameters)}: is the text complete?"
        )
    pairs = [*zip(parameters, [p.shape for p in entry.parameters], strict=True), (result, entry.root.shape)]
    for number, (one, other) in enumerate(pairs):
        if not fits(one, other):
            what = "result" if number == len(parameters) else f"parameter {number}"
            return (
                f"the header says that the entry's {what} is {one}, but {entry.name} has {other}: is the text complete?"
            )
    return ""


def _parameters_and_result(text: str, shapes: Shapes) -> tuple[list[Shape], Shape] | None:
    """What `{(f32[2]{0}, s32[])->f32[2]{0}}` lists; None for any other spelling."""
    taken, arrow, given = text.strip().removeprefix("{").removesuffix("}").rpartition("->")
    try:
        return (list(shapes[taken].elements), shapes[given]) if arrow else None
    except HloCountError:
        return None
