"""A function becomes HLO text: jit, lower, compile; the targets; the dumps of every pass."""
