"""What must hold before anything walks a module, as XLA's own parser has it: no text gets further without."""

from __future__ import annotations

from hlo_count.errors import HloCountError
from hlo_count.hlo.computation import NUMBERS, Computation
from hlo_count.hlo.instruction import called_names
from hlo_count.hlo.module import Module
from hlo_count.hlo.opcodes import CALLING, OPCODES
from hlo_count.hlo.twins import callees_in

_CALL_NOTHING = OPCODES.keys() - CALLING


def check_calls(module: Module) -> None:
    """Raise HloCountError for parameters that are not 0, 1, 2 ..., callees that do not exist, and recursion."""
    callees: dict[Computation, list[Computation]] = {}
    for computation in module.computations.values():
        numbers = computation.parameter_numbers
        if numbers != (counted := NUMBERS[: len(numbers)]) and sorted(numbers) != sorted(counted):
            computation.parameters  # noqa: B018  raises
        callees[computation] = _callees(computation)
    depths = {computation: 1 for computation, called in callees.items() if not called}
    for computation in callees:
        if computation not in depths:
            _measure(computation, callees, depths)
    module.call_depth = max(depths.values(), default=0)


def _measure(start: Computation, callees: dict[Computation, list[Computation]], depths: dict[Computation, int]) -> None:
    """How deep the calls below `start` nest; by a stack of its own, so that any depth is told apart from recursion."""
    path = {start: iter(callees[start])}
    while path:
        computation, left = next(reversed(path.items()))
        following = next((callee for callee in left if callee not in depths), None)
        if following is None:
            depths[computation] = 1 + max(depths[callee] for callee in callees[computation])
            path.popitem()
        elif following in path:
            raise HloCountError(f"{following.instructions[0].place}: the computation {following.name} calls itself")
        else:
            path[following] = iter(callees[following])


def _callees(computation: Computation) -> list[Computation]:
    if computation.opcodes <= _CALL_NOTHING:
        return []
    if computation.is_printed and not computation.is_entry:
        module = computation.module
        names = _names_called(computation)
        if module.computations.keys() >= set(names):
            return [module.computations[name] for name in names]
    return [callee for i in computation.instructions if i.opcode in CALLING for _, callee in i.called]


def _names_called(computation: Computation) -> list[str]:
    if computation.twin is not computation:
        return callees_in(computation.printed.text)
    lines = computation.module.distinct_lines
    calling = [n for n in dict.fromkeys(computation.printed.numbers) if lines.kinds[n][0] in CALLING]
    return [name for number in calling for _, name in called_names(lines.attributes[number])]
