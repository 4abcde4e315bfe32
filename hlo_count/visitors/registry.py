"""The registries: a rule per opcode, another where a backend does otherwise, a formula per custom-call target.

Registering twice needs `override=True`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from hlo_count.errors import HloCountError
from hlo_count.hlo import Computation, Instruction
from hlo_count.visitors.cost import Cost, weakest

if TYPE_CHECKING:
    from hlo_count.visitors.kernels.kernel_count import KernelCount

Body = Callable[[Computation | None], Cost]
"""Gives the operations of a computation that an instruction applies (a reduce's `to_apply`), once."""
Rule = Callable[[Instruction, Body], Cost]
Formula = Callable[[Instruction], Cost]

RULES: dict[str, Rule] = {}
BACKEND_RULES: dict[tuple[str, str], Rule] = {}
"""By backend (cpu, gpu, tpu) and opcode: where its compiler does otherwise than the rule says."""
FORMULAS: dict[str, Formula] = {}
MOVES_NOTHING: set[str] = set()
"""Custom-call targets that are no work to the device: their operands and outputs are no traffic."""

_R = TypeVar("_R", bound=Rule)
_F = TypeVar("_F", bound=Formula)


def rule(*opcodes: str, override: bool = False) -> Callable[[_R], _R]:
    """Register a rule for opcodes: `rule(instruction, body) -> Cost`, the operations of one execution, no bytes."""

    def register(function: _R) -> _R:
        for opcode in opcodes:
            if opcode in RULES and not override:
                raise HloCountError(f"opcode {opcode!r} has a rule already; pass override=True to replace it")
            RULES[opcode] = function
            for key in [key for key in BACKEND_RULES if key[1] == opcode]:
                del BACKEND_RULES[key]  # a rule that replaces another holds for every backend
        return function

    return register


def backend_rule(backend: str, opcode: str) -> Callable[[_R], _R]:
    """Register what holds instead of an opcode's rule, registered before, in one backend's programs."""

    def register(function: _R) -> _R:
        BACKEND_RULES[(backend, opcode)] = function
        return function

    return register


def rule_of(opcode: str, backend: str) -> Rule | None:
    """The rule that holds for an opcode in the programs of a backend."""
    return BACKEND_RULES.get((backend, opcode)) or RULES.get(opcode)


def foreign_opcodes() -> frozenset[str]:
    """Opcodes whose rule is not of this package: it may look at anything of an instruction, its metadata too."""
    own = __name__.partition(".")[0] + "."
    rules = [*RULES.items(), *((opcode, function) for (_, opcode), function in BACKEND_RULES.items())]
    return frozenset(opcode for opcode, function in rules if not getattr(function, "__module__", "").startswith(own))


def custom_call(*targets: str, override: bool = False, moves_bytes: bool = True) -> Callable[[_F], _F]:
    """Register a formula for custom-call targets: `formula(instruction) -> Cost` of one execution.

    The instruction gives `operands`, `shape`, `attributes` and `backend_config`. Bytes that the formula's Cost holds
    replace the default, each operand read once and each output written once; `moves_bytes=False` says that there is no
    traffic at all. Raises HloCountError for a target that has a formula, unless `override=True`.
    """

    def register(formula: _F) -> _F:
        for target in targets:
            if target in FORMULAS and not override:
                raise HloCountError(f"custom call {target!r} has a formula already; pass override=True to replace it")
            FORMULAS[target] = formula
            (MOVES_NOTHING.discard if moves_bytes else MOVES_NOTHING.add)(target)
        return formula

    return register


class Explained(Cost):
    """A Cost with what there is to say of it: `reason` goes on from the instruction's name.

    It is what a rule or formula gives in the end: a sum with it has its status without its words.
    """

    __slots__ = ("reason",)

    reason: str

    def __init__(self, cost: Cost, reason: str) -> None:
        super().__init__(cost.amounts, cost.status)
        object.__setattr__(self, "reason", reason)


class Estimate(Explained):
    """A Cost that rests on a choice: `reason` says which."""

    __slots__ = ()

    def __init__(self, cost: Cost, reason: str) -> None:
        super().__init__(Cost(cost.amounts, weakest(cost.status, "estimate")), reason)


class KernelCost(Explained):
    """A Cost that a kernel's own code tells, its traffic too: what it moves not, or by other ways, is no traffic."""

    __slots__ = ("count",)

    count: KernelCount

    def __init__(self, cost: Cost, reason: str, count: KernelCount) -> None:
        super().__init__(cost, reason)
        object.__setattr__(self, "count", count)


class UnknownCostOf(Exception):  # noqa: N818 - not an error to a user: it carries a reason to the report
    """Raised by a rule or formula that cannot tell: the instruction becomes an unknown with this reason and remedy.

    That of a custom call is to say what it costs, unless another is given.
    """

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
