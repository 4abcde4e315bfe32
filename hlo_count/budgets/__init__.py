"""Budgets over time: snapshots of a count, what grew against them, growth with size, and the end of a test run."""
