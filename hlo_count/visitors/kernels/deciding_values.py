"""Values of a kernel that decide something: what runs, how often, and which memory is meant. The others are data.

A kernel of a GPU makes an address of its own in every lane; those of a block of threads need not be followed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from hlo_count.visitors.kernels.kernel_code import Block, KernelCode, Operation

_DECIDING = {"scf.if": 1, "scf.index_switch": 1, "scf.for": 3, "scf.condition": 1}
"""How many of the first operands say what runs."""


MadeOf = Callable[[Operation], Iterable[tuple[int, Sequence[int]]]]
"""Says of an operation without regions of what it makes each of its results. Numbers below 0 are for its own use."""


def deciding_values(code: KernelCode, asked: Callable[[Operation], Iterable[int]], made_of: MadeOf) -> frozenset[int]:
    """All values that control flow depends on, or that are `asked` of an operation, with what they are made of."""
    walk = _Walk(code, asked, made_of)
    for function in code.functions.values():
        walk.block(function.body)
    found, waiting = set[int](), list(walk.roots)
    while waiting:
        value = waiting.pop()
        if value not in found:
            found.add(value)
            waiting += walk.sources.get(value, ())
    return frozenset(found)


class _Walk:
    """Collects the values that something decides by, and for each value those that it is made of."""

    def __init__(self, code: KernelCode, asked: Callable[[Operation], Iterable[int]], made_of: MadeOf) -> None:
        self._code, self._asked, self._made_of = code, asked, made_of
        self.roots: list[int] = []
        self.sources: dict[int, list[int]] = {}

    def block(self, block: Block) -> None:
        for operation in block.operations:
            self.roots += operation.operands[: _DECIDING.get(operation.name, 0)]
            self.roots += self._asked(operation)
            for region in operation.regions:
                self.block(region)
            self._operation(operation)

    def _operation(self, operation: Operation) -> None:
        ends = [_end(region) for region in operation.regions]
        if operation.name == "scf.for":
            (body,), (end,) = operation.regions, ends
            self._all(body.arguments[:1], [operation.operands[:3]])
            for into in (body.arguments[1:], operation.results):
                self._each(into, operation.operands[3:], end)
        elif operation.name == "scf.while":
            before, after = operation.regions
            self._each(before.arguments, operation.operands, ends[1])
            for into in (after.arguments, operation.results):
                self._each(into, ends[0][1:])
        elif operation.name == "func.call":
            function = self._code.functions.get(operation.attributes.get("callee", "").strip('@"'))
            if function is not None:
                self._each(function.body.arguments, operation.operands)
                self._each(operation.results, _end(function.body))
        elif operation.regions:
            self._each(operation.results, *ends)
            self._all(operation.results, [operation.operands])
        else:
            for value, sources in self._made_of(operation):
                self._all([value], [sources])

    def _each(self, values: Sequence[int], *sources: Sequence[int]) -> None:
        """The nth value is made of the nth of each."""
        for each in sources:
            for value, source in zip(values, each, strict=False):
                self.sources.setdefault(value, []).append(source)

    def _all(self, values: Sequence[int], sources: Sequence[Sequence[int]]) -> None:
        for value in values:
            for each in sources:
                self.sources.setdefault(value, []).extend(each)


def _end(block: Block) -> tuple[int, ...]:
    return block.operations[-1].operands if block.operations else ()
