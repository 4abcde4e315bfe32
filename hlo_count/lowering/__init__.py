"""A function becomes HLO text: jit, lower, compile; the targets; the dumps of every pass."""

from __future__ import annotations

from hlo_count.lowering.dumps import dump_passes
from hlo_count.lowering.lower import lower
from hlo_count.lowering.program import Program
from hlo_count.lowering.stages import stage_in
from hlo_count.lowering.targets import TargetInfo, targets

__all__ = ["Program", "TargetInfo", "dump_passes", "lower", "stage_in", "targets"]
