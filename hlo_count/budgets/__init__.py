"""Budgets over time: snapshots of a count and what grew against them, growth with size, and a test run's bookkeeping."""
