"""Branches that only raise an error: what they give is NaN, or what a callback into Python gives that raises.

Told by what a branch does, whichever library wrote it. A branch that gives numbers is none, nor one that passes an
array to Python: that may be work.
"""

from __future__ import annotations

from hlo_count.hlo.attributes import unquote
from hlo_count.hlo.computation import Computation
from hlo_count.hlo.depth import post_order
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.opcodes import COPIES, HOST, INLINED, LEAVES, NAMES
from hlo_count.hlo.slices import is_to_other_slices

CALLBACKS = frozenset(
    (
        *(f"xla_{kind}python_{device}_callback" for kind in ("", "ffi_") for device in ("cpu", "gpu")),
        *("xla_ffi_partitioned_python_cpu_callback", "xla_ffi_partitioned_python_gpu_callback"),
    )
)
"""Custom-call targets that are Python code on the host. On TPU it is a send to the host and a recv of the answer."""

_PASSES_ON = (
    NAMES
    | COPIES
    | INLINED
    | frozenset("tuple get-tuple-element bitcast reshape broadcast transpose convert after-all".split())
)
_HOST_HALVES = HOST - {"infeed", "outfeed"}
_CALLBACK, _NAN, _NUMBER, _ARGUMENT = "callback", "nan", "number", "argument"


def raises(branch: Computation) -> str:
    """How a branch does nothing but raise: "calls back into Python" or "gives NaN"; "" where it does anything else."""
    if not all(map(_does_nothing_else, post_order(branch, _part_of))):
        return ""
    given = [(shape, leaf) for leaf in _leaves(branch.root) for shape in leaf.shape.leaves]
    kinds = [
        (shape.element_type.is_float or shape.element_type.is_complex, _origins(i))
        for shape, i in given
        if shape.is_array
    ]
    if any(is_float and not (origins <= {_CALLBACK} or origins == {_NAN}) for is_float, origins in kinds):
        return ""
    if any(_CALLBACK in origins for _, origins in kinds):
        return "calls back into Python"
    return "gives NaN" if any(origins == {_NAN} for _, origins in kinds) else ""


def _part_of(computation: Computation) -> list[Computation]:
    return [callee for i in computation.instructions if i.opcode in INLINED for _, callee in i.called]


def _does_nothing_else(computation: Computation) -> bool:
    """Whether the instructions of a computation, those that it calls aside, only raise or prepare it."""
    for i in computation.instructions:
        if is_callback(i):
            asked = [operand for operand in i.operands if operand.shape.is_array]
            if any(_ARGUMENT in _origins(each) and not _says_which(each) for each in asked):
                return False
        elif i.opcode not in _PASSES_ON and i.opcode not in LEAVES:
            return False
    return True


def is_callback(i: Instruction) -> bool:
    """Whether an instruction hands over to Python on the host, or takes its answer."""
    if i.opcode == "custom-call":
        return unquote(i.attributes.get("custom_call_target", '""')) in CALLBACKS
    if i.opcode not in _HOST_HALVES or i.attribute("is_host_transfer") != "true":
        return False
    return not is_to_other_slices(i)


def _says_which(value: Instruction) -> bool:
    """An integer may say which error it is."""
    return value.shape.size == 1 and not value.shape.element_type.is_float


def _leaves(root: Instruction) -> list[Instruction]:
    """What a root is made of, through tuples of tuples, each once."""
    return [i for i in post_order(root, lambda i: i.operands if i.opcode == "tuple" else ()) if i.opcode != "tuple"]


def _origins(value: Instruction) -> set[str]:
    """What a value of a branch is made of: answers of callbacks, constants, arguments of the branch."""
    found: set[str] = set()
    stack, seen = [value], {value}
    while stack:
        i = stack.pop()
        if is_callback(i):
            found.add(_CALLBACK)
        elif i.opcode == "parameter":
            found.add(_ARGUMENT)
        elif i.opcode == "constant":
            found.add(_NAN if i.operand_text.strip(" {}\n").lstrip("-") == "nan" else _NUMBER)
        else:
            within = [c for _, callee in i.called for c in callee.instructions if c.opcode == "constant"]
            new = [each for each in (*i.operands, *within) if each not in seen]
            seen.update(new)
            stack += new
    return found
