"""How XLA's CPU runtime runs a program: in which thread, on how many cores, and what its libraries add."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from math import prod

from hlo_count.hlo.computation import Computation
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.hlo.opcodes import LIBRARY
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.walk import Walk
from hlo_count.visitors.xla import xla_cost

DISPATCHED_FLOPS = 1000
"""XLA's CPU client (PjRtCpuExecutable, cpu_client.cc) runs a program of fewer FLOP, by XLA's own count, in the
thread that calls it, and hands any other to a thread of its own."""
MOST_IN_A_ROW = 8
"""XLA's CPU runtime (ThunkExecutor) hands the kernels of a longer computation to its thread pool."""
SHORTEST_SPLIT = 1e-6
"""Seconds of a library's kernel from which on it was seen to wake other threads."""
WARM_LAUNCH = 1 / 16
"""The part of a launch that is left in a loop, whose code the processor has at hand: 10 to 14 ns were measured in loops
of 1000 trips and 2 to 21 kernels, where a kernel more in a row took 200."""
LATENCY = 1e-9
"""Seconds from operands to result, four cycles at 4 GHz: a trip of a loop waits for what the one before has left."""
FRESH_BYTES = 2**25
"""glibc hands larger blocks back to the system, so that every call writes its result to fresh pages."""

_NO_PASS = frozenset(("parameter", "constant", "broadcast", "bitcast", "iota", "tuple", "get-tuple-element"))


def is_dispatched(module: Module, kernels: Iterable[Cost]) -> bool:
    """Whether a program of these kernels is handed to another thread."""
    # XLA counts no kernel at less FLOP than we do, so that one large one answers at once
    return any(cost.flops >= DISPATCHED_FLOPS for cost in kernels) or xla_cost(module).flops >= DISPATCHED_FLOPS


def is_one_function(instruction: Instruction) -> bool:
    """Whether XLA compiles a call into one function, all kernels and loops below it: its SmallWhileLoopHoistingPass
    makes one of a loop whose values have fewer than 1024 bytes, and ThunkEmitter::EmitCallThunk one kernel of that."""
    return instruction.opcode == "call" and 'xla_cpu_small_call="true"' in instruction.attribute_text


def inside_functions(walk: Walk) -> frozenset[Computation]:
    """The computations that run as a part of such a function: what is in them is not launched."""
    found: set[Computation] = set()
    left = [e.callee for c, _ in walk.runs for i, edges in walk.edges(c) if is_one_function(i) for e in edges]
    while left:
        computation = left.pop()
        if computation not in found:
            found.add(computation)
            left += [edge.callee for _, edges in walk.edges(computation) for edge in edges]
    return frozenset(found)


def is_library_kernel(kernel: Instruction) -> bool:
    """Whether a library runs it, rather than a loop that XLA has compiled."""
    return kernel.opcode in LIBRARY or is_library_fusion(kernel)


def is_library_fusion(kernel: Instruction) -> bool:
    """Whether XLA hands a fusion to a library, which runs it operation by operation."""
    return "fusion_config" in kernel.attribute_text


def is_warm_in_a_loop(kernel: Instruction) -> bool:
    """Whether later trips launch it for less: a library prepares anew each time (300 ns for a dot of 8 x 8). Products
    with a vector are XLA's own loops (DotImplementationStrategy::kTiledLlvmIrGemv)."""
    by_vector = kernel.opcode == "dot" and sum(size > 1 for size in kernel.shape.dimensions) <= 1
    return by_vector or not is_library_kernel(kernel)


def way_of_running(kernel: Instruction) -> Hashable:
    """All that this module says of a kernel: two of one computation that agree in it are run alike."""
    return is_library_kernel(kernel), is_warm_in_a_loop(kernel), _partitions(kernel), bytes_between(kernel)


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
