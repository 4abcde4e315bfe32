"""What must hold before anything walks a module, as XLA's own parser has it: no text gets further without."""

from __future__ import annotations

from hlo_count.errors import HloCountError
from hlo_count.hlo.computation import NUMBERS, Computation
from hlo_count.hlo.module import Module
from hlo_count.hlo.opcodes import CALLING, OPCODES

_CALL_NOTHING = OPCODES.keys() - CALLING


def check_calls(module: Module) -> None:
    """Raise HloCountError for parameters that are not 0, 1, 2 ..., callees that do not exist, and recursion."""
    callees: dict[Computation, list[Computation]] = {}
    for computation in module.computations.values():
        numbers = computation.parameter_numbers
        if sorted(numbers) != sorted(NUMBERS[: len(numbers)]):
            computation.parameters  # noqa: B018  raises
        callees[computation] = _callees(computation)
    depths = {computation: 1 for computation, called in callees.items() if not called}
    for computation in callees:
        if computation not in depths:
            _measure(computation, callees, depths)
    module.call_depth = max(depths.values(), default=0)


def _measure(start: Computation, callees: dict[Computation, list[Computation]], depths: dict[Computation, int]) -> None:
    """How deep the calls below `start` nest; by a stack of its own, so that any depth is told apart from recursion."""
    path = {start: None}
    while path:
        computation = next(reversed(path))
        following = next((callee for callee in callees[computation] if callee not in depths), None)
        if following is None:
            depths[computation] = 1 + max(depths[callee] for callee in callees[computation])
            path.popitem()
        elif following in path:
            raise HloCountError(f"{following.instructions[0].place}: the computation {following.name} calls itself")
        else:
            path[following] = None


def _callees(computation: Computation) -> list[Computation]:
    if computation.opcodes <= _CALL_NOTHING:
        return []
    calling = computation.opcodes - _CALL_NOTHING
    return [callee for i in computation.instructions if i.opcode in calling for _, callee in i.called]
