"""Folders as XLA dumps them, of small texts whose counts a reader can check."""

from __future__ import annotations

from pathlib import Path

STEP = """HloModule {name}, is_scheduled=true

ENTRY %main (x: f32[{rows},4], w: f32[4,2]) -> f32[{rows},2] {{
  %x = f32[{rows},4]{{1,0}} parameter(0){sharding}, metadata={{op_name="batch"}}
  %w = f32[4,2]{{1,0}} parameter(1), metadata={{op_name="w"}}
  %c = f32[] constant({rate})
  %y = f32[{rows},2]{{1,0}} dot(%x, %w), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}, metadata={{op_name="jit(step)/dense/dot_general" source_file="model.py" source_line=7}}
  %b = f32[{rows},2]{{1,0}} broadcast(%c), dimensions={{}}
  ROOT %z = f32[{rows},2]{{1,0}} multiply(%y, %b), metadata={{op_name="jit(step)/scale/mul" source_file="model.py" source_line=8}}
}}
"""
ASSIGNMENT = """BufferAssignment:
allocation 0: size {x}, parameter 0, shape |f32[{rows},4]| at ShapeIndex {{}}:
 value: <0 x @0> (size={x},offset=0): f32[{rows},4]{{1,0}}
allocation 1: size 32, parameter 1, shape |f32[4,2]| at ShapeIndex {{}}:
allocation 2: size {z}, output shape is |f32[{rows},2]|, maybe-live-out:
allocation 3: size 4, constant:
allocation 4: size 8, thread-local:
allocation 5: size {z}, preallocated-temp:
"""


def step(rows: int = 8, rate: str = "0.5", sharding: str = "", name: str = "jit_step") -> str:
    sharding = f", sharding={sharding}" if sharding else ""
    return STEP.format(name=name, rows=rows, rate=rate, sharding=sharding)


def flops(rows: int = 8) -> int:
    """A product and a multiplication."""
    return 2 * rows * 4 * 2 + rows * 2


def dumped(folder: Path, number: int, text: str, *, name: str = "jit_step", before: str | None = None) -> Path:
    """The last state of a compile, and the first where it is given."""
    folder.mkdir(exist_ok=True)
    path = folder / f"module_{number:04}.{name}.cpu_after_optimizations.txt"
    path.write_text(text)
    if before is not None:
        (folder / f"module_{number:04}.{name}.before_optimizations.txt").write_text(before)
    return path
