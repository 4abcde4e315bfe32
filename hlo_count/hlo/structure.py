"""What must hold before anything walks a module, as XLA's own parser has it: no text gets further without."""

from __future__ import annotations

from collections.abc import Sequence

from hlo_count.errors import HloCountError
from hlo_count.hlo.calls import Call, may_call
from hlo_count.hlo.computation import NUMBERS, Computation
from hlo_count.hlo.module import Module


def check_calls(module: Module) -> None:
    """Raise HloCountError for parameters that are not 0, 1, 2 ..., callees that do not exist, and recursion."""
    callees: dict[Computation, Sequence[Computation]] = {}
    for computation in module.computations.values():
        numbers = computation.parameter_numbers if computation.twin is computation else []
        if numbers != (counted := NUMBERS[: len(numbers)]) and sorted(numbers) != sorted(counted):
            computation.parameters  # noqa: B018  raises
        callees[computation] = _callees(computation, computation.calls)
    followed = {computation for computation, called in callees.items() if not called}
    for computation in callees:
        if computation not in followed:
            _follow(computation, callees, followed)
    module.callees = callees


def _follow(start: Computation, callees: dict[Computation, Sequence[Computation]], followed: set[Computation]) -> None:
    """Follows the calls below `start`; by a stack of its own, so that any depth is told apart from recursion."""
    path = {start: iter(callees[start])}
    while path:
        computation, left = next(reversed(path.items()))
        for following in left:
            if following in path:
                raise HloCountError(f"{following.instructions[0].place}: the computation {following.name} calls itself")
            if following not in followed:
                path[following] = iter(callees[following])
                break
        else:
            followed.add(computation)
            path.popitem()


def _callees(computation: Computation, calls: Sequence[Call]) -> Sequence[Computation]:
    """Those that it calls, once each."""
    if not calls:
        return ()
    computations = computation.module.computations
    try:
        return [computations[name] for name in dict.fromkeys([call.name for call in calls])]
    except KeyError:  # which the instruction that names it says
        return [callee for i in computation.instructions if may_call(i.opcode) for _, callee in i.called]
