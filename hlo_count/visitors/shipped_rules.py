"""The rules that are shipped, all registered once this is loaded, and the decorators that register more."""

from hlo_count.visitors import applied, contractions, elementwise, formulas, movement, special  # noqa: F401  the list
from hlo_count.visitors.registry import custom_call, rule

__all__ = ["custom_call", "rule"]
