"""The scalars of a loop, trip by trip: expressions of what it carries, compiled into a list of operations and run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from hlo_count.hlo.evaluate import Function, Scalar
from hlo_count.hlo.trace import Tracer
from hlo_count.hlo.traced_values import Carried, Constant, TracedOperation, TracedValue, parts


def carried_in(values: Iterable[TracedValue]) -> list[Carried]:
    """The carried values that expressions are made of."""
    return [part for part in parts(values) if isinstance(part, Carried)]


def carried_by(
    tracer: Tracer, values: Iterable[TracedValue], update: Callable[[Carried], TracedValue] | None = None
) -> tuple[dict[Carried, TracedValue], dict[Carried, TracedValue]]:
    """What each trip leaves in the carried values that `values` depend on, and in those that these depend on in turn;
    and what each of them starts with. `update`: that of the tracer unless more is known of the trips."""
    find = update or tracer.update
    updates: dict[Carried, TracedValue] = {}
    waiting = carried_in(values)
    while waiting:
        carried = waiting.pop()
        updates[carried] = find(carried)
        waiting += [part for part in carried_in([updates[carried]]) if part not in updates]
    return updates, {carried: tracer.start(carried) for carried in updates}


class Steps:
    """Iterating gives what the `wanted` expressions are in one trip after another, without end.

    None of the expressions and updates may hold an Unknown, and every start must be a Constant.
    """

    def __init__(
        self, wanted: Sequence[TracedValue], updates: dict[Carried, TracedValue], starts: dict[Carried, TracedValue]
    ) -> None:
        slots: dict[TracedValue, int] = {}
        self._registers: list[Scalar] = []
        self._program: list[tuple[Function, int, tuple[int, ...]]] = []
        for part in [*updates, *parts([*wanted, *updates.values()])]:
            if part in slots:
                continue
            slots[part] = len(self._registers)
            known = starts.get(part) if isinstance(part, Carried) else part
            self._registers.append(known.value if isinstance(known, Constant) else 0)
            if isinstance(part, TracedOperation):
                self._program.append((part.function, slots[part], tuple(slots[arg] for arg in part.args)))
        self._wanted = [slots[value] for value in wanted]
        self._results = [slots[update] for update in updates.values()]

    @property
    def operations(self) -> int:
        """Scalar operations in a trip."""
        return len(self._program)

    @property
    def state(self) -> list[Scalar]:
        """The carried values, as the next trip finds them."""
        return self._registers[: len(self._results)]

    def __iter__(self) -> Iterator[list[Scalar]]:
        registers = self._registers
        carried = slice(0, len(self._results))
        while True:
            for function, slot, arguments in self._program:
                registers[slot] = function(*[registers[argument] for argument in arguments])
            found = [registers[slot] for slot in self._wanted]
            registers[carried] = [registers[result] for result in self._results]
            yield found
