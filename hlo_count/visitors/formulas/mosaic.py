"""Kernels that XLA's TPU compiler writes itself, such as the online softmax of attention: counted by their code.

Their code stands in the text as MLIR in words. That of a Pallas kernel, which JAX serializes, is MLIR's bytecode.
"""

from __future__ import annotations

import base64
import binascii
import re
from math import prod

from hlo_count.hlo.dtypes import DTYPES
from hlo_count.hlo.instruction import Instruction
from hlo_count.visitors.contractions import contraction_cost
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.elementwise import elementwise_cost
from hlo_count.visitors.formulas.reading import estimated, missing

_ELEMENTWISE = {
    **{f"arith.{name}f": opcode for name, opcode in (("add", "add"), ("sub", "subtract"), ("mul", "multiply"))},
    **{f"arith.{name}i": opcode for name, opcode in (("add", "add"), ("sub", "subtract"), ("mul", "multiply"))},
    **{f"arith.{name}i": name for name in ("and", "or", "xor")},
    **{f"arith.{kind}{name}": f"{kind}imum" for kind in ("max", "min") for name in ("imumf", "numf", "si", "ui")},
    "arith.divf": "divide",
    "arith.divsi": "divide",
    "arith.remsi": "remainder",
    "arith.negf": "negate",
    **dict.fromkeys(("arith.cmpf", "arith.cmpi"), "compare"),
    "arith.select": "select",
    **{f"arith.{name}": "convert" for name in ("extf", "truncf", "extsi", "extui", "trunci", "sitofp", "fptosi")},
    "math.exp": "exponential",
    "math.exp2": "exp2",
    "math.log": "log",
    "math.tanh": "tanh",
    "math.absf": "abs",
    "math.rsqrt": "rsqrt",
    "math.sqrt": "sqrt",
}
_MOVEMENT = frozenset(
    (
        "arith.constant arith.index_cast vector.load vector.store vector.broadcast vector.shape_cast vector.transpose "
        "memref.load memref.store tpu.iota tpu.transpose func.return return scf.if scf.yield"
    ).split()
)
_REDUCTIONS = {"add": "add", "mul": "multiply", "maximumf": "maximum", "maxnumf": "maximum", "minimumf": "minimum"}

_BY_CODE = "is a kernel of the compiler's, counted by its code"

_OPERATION = re.compile(r'(?:%[\w:, %]+ = )?"?([a-z_]+(?:\.[a-z_0-9]+)?)\b(.*)$')
_VECTOR = re.compile(r"vector<((?:\d+x)*)(\w+)>")
_BOUNDS = re.compile(r"iteration_bounds = array<i64: ([-\d, ]+)>")
_CONTRACTED = re.compile(r"dot_dimension_numbers<\[([\d, ]*)\]")
_KIND = re.compile(r"<(\w+)>")


def compiler_kernel(instruction: Instruction) -> str | None:
    """The MLIR of a kernel that the compiler wrote; None for any other, a Pallas kernel among them."""
    config = (instruction.backend_config or {}).get("custom_call_config")
    body = config.get("body") if isinstance(config, dict) else None
    if not isinstance(body, str):
        return None
    try:
        code = base64.b64decode(body, validate=True)
    except binascii.Error:
        return None
    return code.decode("utf-8", "replace") if code.startswith(b"module") else None


def kernel_cost(instruction: Instruction, code: str) -> Cost:
    """What one step does to vectors, times the steps: an estimate, since branches count as taken.

    Scalars, which are addresses, count nothing. Raises UnknownCostOf for a kernel that works on vectors in loops or on
    a grid whose size is known when it runs, and for operations that are not known.
    """
    main = code.partition("@main")[2].partition("\n  func.func")[0]
    head, _, body = main.partition("\n")
    lines = [line.strip() for line in body.splitlines()]
    if lines and not any("vector<" in line for line in lines):
        return estimated(instruction, Cost(), f"{_BY_CODE}; it works on scalars alone, which count nothing")
    bounds = _BOUNDS.search(head)
    steps = [int(size) for size in bounds[1].split(",")] if bounds is not None else [1]
    if not lines or min(steps) < 0:
        raise missing(instruction, "that the compiler wrote, a kernel whose number of steps its code does not tell")
    one = Cost.sum(_operation_cost(instruction, line) for line in lines if line.strip("}"))
    return estimated(instruction, one * prod(steps), f"{_BY_CODE}; its branches count as taken")


def _operation_cost(instruction: Instruction, line: str) -> Cost:
    operation = _OPERATION.match(line)
    name, rest = operation.groups() if operation is not None else (line.split()[0], "")
    vectors = [(prod(sizes), sizes, dtype) for sizes, dtype in map(_vector, _VECTOR.findall(rest))]
    if name in _MOVEMENT or (name in _ELEMENTWISE and not vectors):
        return Cost()
    if any(dtype not in DTYPES for _, _, dtype in vectors):
        raise missing(instruction, f"that the compiler wrote, a kernel with a {name} of {vectors[-1][2]}")
    if name in _ELEMENTWISE:
        size, _, dtype = vectors[-1]
        return elementwise_cost(_ELEMENTWISE[name], dtype, size)
    kind, contracted = _KIND.search(rest), _CONTRACTED.search(rest)
    if name == "vector.multi_reduction" and len(vectors) == 2 and kind is not None and kind[1] in _REDUCTIONS:
        (size, _, dtype), (left, _, _) = vectors
        return elementwise_cost(_REDUCTIONS[kind[1]], dtype, size - left)
    if name == "tpu.matmul" and len(vectors) == 4 and contracted is not None:
        _, sizes, dtype = vectors[0]
        depth = prod(sizes[int(d)] for d in contracted[1].split(",") if d)
        return contraction_cost(vectors[-1][0] * depth, dtype)
    raise missing(instruction, f"that the compiler wrote, a kernel with a {name}")


def _vector(found: tuple[str, str]) -> tuple[tuple[int, ...], str]:
    """The dimensions and the dtype of `vector<8x128xbf16>`; MLIR writes i32 for s32 and i1 for pred."""
    sizes, dtype = found
    name = "pred" if dtype == "i1" else re.sub(r"^i(?=\d)", "s", dtype.lower())
    return tuple(int(size) for size in sizes.split("x") if size), name
