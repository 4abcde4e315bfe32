"""What must hold before anything walks a module, as XLA's own parser has it: no text gets further without."""

from __future__ import annotations

from hlo_count.errors import HloCountError
from hlo_count.hlo.computation import NUMBERS, Computation
from hlo_count.hlo.instruction import called_names
from hlo_count.hlo.module import Module
from hlo_count.hlo.opcodes import CALLING, OPCODES, async_sugar
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
    followed = {computation for computation, called in callees.items() if not called}
    for computation in callees:
        if computation not in followed:
            _follow(computation, callees, followed)
    module.callees = callees


def _follow(start: Computation, callees: dict[Computation, list[Computation]], followed: set[Computation]) -> None:
    """Follows the calls below `start`; by a stack of its own, so that any depth is told apart from recursion."""
    path = {start: iter(callees[start])}
    while path:
        computation, left = next(reversed(path.items()))
        following = next((callee for callee in left if callee not in followed), None)
        if following is None:
            followed.add(computation)
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
    return [callee for i in computation.instructions if _calls(i.opcode) for _, callee in i.called]


def _names_called(computation: Computation) -> list[str]:
    if computation.twin is not computation:
        return callees_in(computation.printed.text)
    lines = computation.module.distinct_lines
    calling = [n for n in dict.fromkeys(computation.printed.numbers) if _calls(lines.kinds[n][0])]
    return [name for number in calling for _, name in called_names(lines.attributes[number])]


def _calls(opcode: str) -> bool:
    """Whether it may name computations, be it as the start of an asynchronous pair."""
    return opcode in CALLING or (async_sugar(opcode) or ("",))[0] in CALLING
