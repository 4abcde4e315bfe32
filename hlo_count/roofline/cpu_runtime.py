"""How XLA's CPU runtime runs a program: in which thread, on how many cores, and what its libraries add."""

from __future__ import annotations

from math import prod

from hlo_count.hlo.instruction import Instruction
from hlo_count.visitors.walk import Walk
from hlo_count.visitors.xla import xla_cost

DISPATCHED_FLOPS = 1000
"""XLA's CPU client (PjRtCpuExecutable, cpu_client.cc) runs a program of fewer FLOP, by XLA's own count, in the
thread that calls it, and hands any other to a thread of its own."""
MOST_IN_A_ROW = 8
"""XLA's CPU runtime (ThunkExecutor) hands the kernels of a longer computation to its thread pool."""
SHORTEST_SPLIT = 1e-6
"""Seconds of a library's kernel from which on it was seen to wake other threads."""
FRESH_BYTES = 2**25
"""glibc hands larger blocks back to the system, so that every call writes its result to fresh pages."""

_LIBRARY = frozenset(("dot", "convolution", "custom-call", "fft", "sort", "topk", "cholesky", "triangular-solve"))
"""What a CPU runs in a routine of a library, which splits the work over the cores itself or not at all."""
_NO_PASS = frozenset(("parameter", "constant", "broadcast", "bitcast", "iota", "tuple", "get-tuple-element"))


def is_dispatched(walk: Walk) -> bool:
    """Whether a program is handed to another thread."""
    # XLA counts no kernel at less FLOP than we do, so that one large one answers at once
    return any(cost.flops >= DISPATCHED_FLOPS for _, _, cost in walk.kernels()) or (
        xla_cost(walk.module).flops >= DISPATCHED_FLOPS
    )


def is_library_kernel(kernel: Instruction) -> bool:
    """Whether a library runs it, rather than a loop that XLA has compiled."""
    return kernel.opcode in _LIBRARY or is_library_fusion(kernel)


def is_library_fusion(kernel: Instruction) -> bool:
    """Whether XLA hands a fusion to a library, which runs it operation by operation."""
    return "fusion_config" in kernel.attribute_text


def is_split_loop(kernel: Instruction) -> bool:
    """Whether XLA has split the loop that it made of a kernel over cores."""
    return not is_library_kernel(kernel) and _partitions(kernel) > 1


def part_of_cores(kernel: Instruction, cores: float) -> float:
    """The part of the cores that a kernel runs on: libraries see to that themselves, of loops it is written down."""
    return 1.0 if is_library_kernel(kernel) else min(1.0, _partitions(kernel) / cores)


def _partitions(kernel: Instruction) -> int:
    return prod(int(number) for number in (kernel.backend_config or {}).get("outer_dimension_partitions", []))


def bytes_between(kernel: Instruction) -> int:
    """Bytes that the operations of a library's fusion write for each other to read, both ways."""
    callee = kernel.callee("calls") if kernel.opcode == "fusion" else None
    if callee is None or not is_library_fusion(kernel):
        return 0
    inside = [i for i in callee.instructions if i.opcode not in _NO_PASS]
    written = sum(i.shape.bytes for i in inside if i is not callee.root)
    return written + sum(o.shape.bytes for i in inside for o in i.operands if o.opcode not in _NO_PASS)


def writes_again(kernel: Instruction) -> bool:
    """Whether the pages it writes were written before in the same run, or are a donated argument's."""
    computation = kernel.computation
    return not computation.is_entry or "input_output_alias" in computation.module.attributes
