"""Whether a literal has as many elements as its shape, in its rows, each one that its type has."""

from __future__ import annotations

import re

from hlo_count.hlo.shapes import Shape

_COMMENT = re.compile(r"/\*.*?\*/", re.S)
_NO_BRACE = re.compile(r"[^{}]+")
_COMPLEX = re.compile(r"\([^()]*\)")
_INT = r"-?+\d{1,20}+"
FLOAT = r"(?:(?:-?+\d++\.?+\d*+|-\.\d++)(?:[eE][+\-]?+\d++)?+|-?+inf|-?+nan(?:\(0x[\da-fA-F]++\))?+)"
_ELEMENTS = {
    "pred": rf"true|false|{_INT}",
    "int": _INT,
    "uint": _INT,
    "float": FLOAT,
    "complex": rf"\(\s*+{FLOAT}\s*+,\s*+{FLOAT}\s*+\)",
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
        return "" if shape.is_tuple else f"is a constant of {shape}, which has no literals"
    literal = _COMMENT.sub(" ", text) if "/*" in text else text
    if not literal or _IS_LITERAL[shape.element_type.kind](literal) is None:
        return f"is a constant of {text}, which is no literal of {shape}"
    if "..." in literal or shape.is_unbounded or "{" not in literal:
        return _range_problem(literal, shape)
    values = _COMPLEX.sub("c", literal) if "(" in literal else literal
    number = len(values.translate(_TO_SPACE).split())
    if number != shape.size:
        return f"is a literal of {number} elements, but {shape} has {shape.size}"
    problem = _range_problem(values, shape)
    if problem:
        return problem
    rows = "{}" if shape.dimensions else ""
    for size in reversed(shape.dimensions[:-1]):
        rows = "{" + rows * size + "}"
    length = shape.dimensions[-1] if shape.dimensions else 0
    lengths = [len(row.replace(",", " ").split()) for row in _ROW.findall(values)]
    if number and (_NO_BRACE.sub("", values) != rows or any(each != length for each in lengths)):
        return f"is a literal whose rows are not those of {shape}"
    return ""


def _range_problem(values: str, shape: Shape) -> str:
    """A number that is too large for its type: XLA reads 64 bits as they are."""
    dtype = shape.element_type
    if dtype.is_integer and dtype.bits < 64:
        half = 2 ** (dtype.bits - 1)
        low, high = (-half, half - 1) if dtype.kind == "int" else (0, 2 * half - 1)
        odd = next((number for number in map(int, _INTEGER.findall(values)) if not low <= number <= high), None)
        return "" if odd is None else f"is a constant of {odd}, and {dtype.name} holds {low} to {high}"
    most = _MOST.get(dtype.name)
    if most is not None and _LARGE.search(values) is not None:
        largest, half = most  # what is less than half a step above the largest is rounded to it
        odd = next((number for number in _NUMBER.findall(values) if abs(float(number)) >= largest + half), None)
        return "" if odd is None else f"is a constant of {odd}, and {dtype.name} holds at most {largest}"
    return ""


_INTEGER = re.compile(r"-?\d+", re.A)
_NUMBER = re.compile(r"-?[\d.]+(?:[eE][+\-]?\d+)?", re.A)
_LARGE = re.compile(r"[eE]\+?\d|\d{5}", re.A)
_MOST = {
    "f16": ((2 - 2.0**-10) * 2.0**15, 2.0**4),
    "bf16": ((2 - 2.0**-7) * 2.0**127, 2.0**119),
    "f32": ((2 - 2.0**-23) * 2.0**127, 2.0**103),
}
"""The largest finite value, and half of its distance to the next."""
_ROW = re.compile(r"\{([^{}]*)\}")
_TO_SPACE = str.maketrans("{},", "   ")
