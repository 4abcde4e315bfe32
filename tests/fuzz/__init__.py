"""Damaged HLO texts, and what may be said of them.

`mutants` damages texts, `judge` holds what hlo_count says of one against the whole text and against XLA.
"""
