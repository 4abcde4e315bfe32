"""Custom calls: the formula of a target gives the cost; a target without one is an unknown."""

from __future__ import annotations

from hlo_count.errors import HloCountError
from hlo_count.hlo.attributes import unquote
from hlo_count.hlo.instruction import Instruction
from hlo_count.visitors.cost import Cost
from hlo_count.visitors.registry import FORMULAS, UnknownCostOf


def custom_call_cost(instruction: Instruction) -> Cost:
    """What the formula of its target says. Raises UnknownCostOf without one, HloCountError when the formula fails."""
    target = unquote(instruction.attributes.get("custom_call_target", '""'))
    formula = FORMULAS.get(target)
    if formula is None:
        raise UnknownCostOf(f"is a custom call of {target!r}, which has no formula")
    try:
        cost = formula(instruction)
    except (UnknownCostOf, HloCountError):
        raise
    except Exception as problem:
        raise HloCountError(
            f"the formula {_name(formula)} of custom call {target!r} failed on {instruction.name}: "
            f"{type(problem).__name__}: {problem}"
        ) from problem
    if not isinstance(cost, Cost):
        raise HloCountError(
            f"the formula {_name(formula)} of custom call {target!r} gave {cost!r}, which is no Cost; "
            f"return hlo_count.Cost.ops(...) or a sum of such"
        )
    return cost


def _name(formula: object) -> str:
    return getattr(formula, "__qualname__", repr(formula))
