"""The convention `xla`: what XLA's own cost analysis says of a module, quirks included."""

from hlo_count.visitors.xla.analysis import XlaAnalysis, xla_cost, xla_costs, xla_instruction_cost
from hlo_count.visitors.xla.rules import XlaCost

__all__ = ["XlaAnalysis", "XlaCost", "xla_cost", "xla_costs", "xla_instruction_cost"]
