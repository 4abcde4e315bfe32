"""Module -> Cost: a rule per opcode, custom-call formulas, memory traffic, the `xla` convention. Knows no devices."""

from hlo_count.visitors.cost import Cost
from hlo_count.visitors.shipped_rules import custom_call, rule

__all__ = ["Cost", "custom_call", "rule"]
