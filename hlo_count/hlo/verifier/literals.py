"""Whether a literal has as many elements as its shape."""

from __future__ import annotations

import re

from hlo_count.hlo.shapes import Shape

_BETWEEN = re.compile(r"/\*.*?\*/|[{}]", re.S)
_COMPLEX = re.compile(r"\([^()]*\)")


def literal_problem(text: str, shape: Shape) -> str:
    """What is wrong with the literal of a constant; "" where nothing is. `{...}` stands for one that was left out."""
    if "%" in text:
        return f"is a constant of {text}, which is no literal"
    if not shape.is_array or "..." in text or shape.is_unbounded or "{" not in text:
        return ""  # one number stands for all elements
    values = _BETWEEN.sub(" ", text)  # XLA does not miss a comma between two rows
    if "(" in values:
        values = _COMPLEX.sub("c", values)
    number = len(values.replace(",", " ").split())
    if number != shape.size:
        return f"is a literal of {number} elements, but {shape} has {shape.size}"
    return ""
