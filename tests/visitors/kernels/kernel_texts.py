"""Kernels in MLIR's words, for the tests that count them."""

from __future__ import annotations

from hlo_count.lowering.mlir import generic_form
from hlo_count.visitors.kernels.kernel_code import KernelCode, kernel_code

VMEM, SMEM, ANY = (f"#tpu.memory_space<{space}>" for space in ("vmem", "smem", "any"))
ONE_ADD = "%v = arith.addf %x, %x : vector<8xf32>"
"""8 FLOP each time that it runs."""


def module(
    body: str, *, arguments: str = "", bounds: tuple[int, ...] = (), attributes: str = "", functions: str = ""
) -> str:
    """A kernel over a grid of `bounds`, whose indices are %i0, %i1 ...; %x is a vector, and %c0, %c1 ... integers."""
    indices = [f"%i{n}: i32" for n in range(len(bounds))]
    given = ", ".join([*indices, *([arguments] if arguments else [])])
    said = [f"iteration_bounds = array<i64: {', '.join(map(str, bounds))}>"] if bounds else []
    said += [attributes] if attributes else []
    constants = "\n".join(f"    %c{n} = arith.constant {n} : i32" for n in range(10))
    return f"""module {{
  func.func @main({given}) attributes {{{", ".join(said)}}} {{
    %x = arith.constant dense<1.0> : vector<8xf32>
    %zero = arith.constant 0 : index
{constants}
{body}
    return
  }}
{functions}
}}
"""


def code(text: str) -> KernelCode:
    """As it is read from a call."""
    return kernel_code(generic_form(text.encode()))
