"""Kernels of a GPU that are written in Triton's language: one program for each point of a grid.

They reach memory by pointers, so that nothing says which part of an array moves: each operand counts as read and each
result as written once, and no read is certain.
"""

from __future__ import annotations

from collections.abc import Sequence

from hlo_count.visitors.cost import Cost
from hlo_count.visitors.kernels.intervals import anything
from hlo_count.visitors.kernels.kernel_code import Function, KernelCode, whole_operations
from hlo_count.visitors.kernels.kernel_count import Open
from hlo_count.visitors.kernels.kernel_run import KernelRun
from hlo_count.visitors.kernels.kernel_tally import operations_of


def triton_operations(code: KernelCode, grid: Sequence[int]) -> tuple[Cost, Cost, Open]:
    """Operations of a call over a grid: those that are certain, those that are counted, and what is left open.

    Raises ValueError for code that cannot be followed.
    """
    run = KernelRun(code, grid)
    main = _main(code)
    with whole_operations():
        tally, _ = run.call(main, [anything() for _ in main.body.arguments])
    return operations_of(tally.least), operations_of(tally.counted), run.open


def _main(code: KernelCode) -> Function:
    """What a call runs: the function that is seen from outside, or the first."""
    there = list(code.functions.values())
    public = [each for each in there if each.operation.attributes.get("sym_visibility", "").strip('"') == "public"]
    return (public or there)[0]
