"""Whether a literal has as many elements as its shape, in its rows, each one that its type has."""

from __future__ import annotations

import re

from hlo_count.hlo.shapes import Shape

_COMMENT = re.compile(r"/\*.*?\*/", re.S)
_NO_BRACE = re.compile(r"[^{}]+")
_COMPLEX = re.compile(r"\([^()]*\)")
_INT = r"-?+\d++"
_FLOAT = r"(?:-?+(?:\d++\.?+\d*+|\.\d++)(?:[eE][+\-]?+\d++)?+|-?+inf|-?+nan(?:\(0x[\da-fA-F]++\))?+)"
_ELEMENTS = {
    "pred": rf"true|false|{_INT}",
    "int": _INT,
    "uint": _INT,
    "float": _FLOAT,
    "complex": rf"\(\s*+{_FLOAT}\s*+,\s*+{_FLOAT}\s*+\)",
}
_BETWEEN = r"(?:[\s,{}]|\.\.\.)*+"
_IS_LITERAL = {
    kind: re.compile(rf"{_BETWEEN}(?:(?:{element})(?![\w.]){_BETWEEN})++|{_BETWEEN}", re.A).fullmatch
    for kind, element in _ELEMENTS.items()
}


def literal_problem(text: str, shape: Shape) -> str:
    """What is wrong with the literal of a constant; "" where nothing is. `{...}` stands for one that was left out.

    XLA skips all commas, and takes one number for all elements.
    """
    if not shape.is_array:
        return ""
    literal = _COMMENT.sub(" ", text) if "/*" in text else text
    if not literal or _IS_LITERAL[shape.element_type.kind](literal) is None:
        return f"is a constant of {text}, which is no literal of {shape}"
    if "..." in literal or shape.is_unbounded or "{" not in literal:
        return ""
    values = _COMPLEX.sub("c", literal) if "(" in literal else literal
    number = len(values.translate(_TO_SPACE).split())
    if number != shape.size:
        return f"is a literal of {number} elements, but {shape} has {shape.size}"
    rows = "{}" if shape.dimensions else ""
    for size in reversed(shape.dimensions[:-1]):
        rows = "{" + rows * size + "}"
    if number and _NO_BRACE.sub("", values) != rows:
        return f"is a literal whose rows are not those of {shape}"
    return ""


_TO_SPACE = str.maketrans("{},", "   ")
