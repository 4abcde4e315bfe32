"""How often the operations of a kernel run: grids, branches, loops and copies, by arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from mosaic_support import needs_mosaic
from visitors.kernels.kernel_texts import ANY, ONE_ADD, SMEM, VMEM, code, module

from hlo_count.visitors.kernels.kernel_memory import Memory
from hlo_count.visitors.kernels.kernel_run import KernelRun
from hlo_count.visitors.kernels.kernel_tally import READ, WRITTEN


def run(body, *, bounds=(), arguments="", trips=None, functions="", integers=None):
    """The FLOP that are certain and counted in additions of 8 elements, and the run."""
    found = code(module(body, bounds=bounds, arguments=arguments, functions=functions))
    main = found.functions["main"]
    kernel = KernelRun(found, bounds, trips)
    indices = [kernel.steps.index(n) for n in range(len(bounds))]
    number = len(main.body.arguments) - len(bounds)
    memory = [Memory(n, integers=(integers or {}).get(n)) for n in range(number)]
    tally, _ = kernel.call(main, [*indices, *memory])
    kernel.tally = tally
    counts = (sum(n for key, n in each.items() if key[0] == "flops") for each in (tally.least, tally.counted))
    return tuple(n // 8 for n in counts), kernel


def test_a_body_runs_at_every_step():
    assert run(ONE_ADD, bounds=(2, 3))[0] == (6, 6)
    assert run(ONE_ADD)[0] == (1, 1)


def test_a_branch_on_the_grid_is_settled_step_by_step():
    """Below the diagonal of 4 by 4 steps: 1 + 2 + 3 + 4."""
    body = f"""
    %b = arith.cmpi sle, %i1, %i0 : i32
    scf.if %b {{
      {ONE_ADD}
    }}"""
    counts, kernel = run(body, bounds=(4, 4))
    assert counts == (10, 10)
    assert not kernel.open.choices


def test_a_loop_runs_in_the_steps_that_a_branch_on_the_grid_leaves():
    """Of 2 · 3 · 5 steps those whose second index is not 0, where the loop has as many trips as that says: 1 + 2."""
    body = f"""
    %b = arith.cmpi sgt, %i1, %c0 : i32
    scf.if %b {{
      scf.for %k = %c0 to %i1 step %c1 : i32 {{
        {ONE_ADD}
      }}
    }}"""
    assert run(body, bounds=(2, 3, 5))[0] == (2 * 5 * (1 + 2),) * 2


SCALARS = f"%s: memref<4xi32, {SMEM}>"
LOADED = f"""
    %at = arith.index_cast %i0 : i32 to index
    %n = memref.load %s[%at] : memref<4xi32, {SMEM}>
    scf.for %k = %c0 to %n step %c1 : i32 {{
      {ONE_ADD}
    }}"""


def test_scalars_that_are_known_are_read_at_each_step():
    """Loops of 3, 0, 5 and 2 trips; of as many as the largest where it is not known which one is read."""
    known = {0: np.array([3, 0, 5, 2])}
    assert run(LOADED, bounds=(4,), arguments=SCALARS, integers=known)[0] == (10, 10)
    assert run(LOADED, bounds=(4,), arguments=SCALARS)[0] == (0, 4)  # nothing is known: each once
    by_data = LOADED.replace("%i0", "%some").replace(
        "%at =",
        f"""%some = memref.load %t[%zero] : memref<1xi32, {SMEM}>
    %at =""",
    )
    other = f"{SCALARS}, %t: memref<1xi32, {SMEM}>"
    counts, kernel = run(by_data, bounds=(4,), arguments=other, integers=known)
    assert counts == (0, 4 * 5)
    assert list(kernel.open.choices) == ["loops as often as data say, counted as the most"]


UNKNOWN_BIT = f"""
    %n = memref.load %s[%zero] : memref<4xi32, {SMEM}>
    %b = arith.cmpi eq, %n, %c3 : i32"""


def test_a_branch_on_data_counts_as_the_larger():
    body = f"""{UNKNOWN_BIT}
    scf.if %b {{
      {ONE_ADD}
      %w = arith.mulf %v, %x : vector<8xf32>
    }} else {{
      {ONE_ADD}
    }}"""
    counts, kernel = run(body, bounds=(5,), arguments=SCALARS)
    assert counts == (5, 10)  # the add runs either way
    assert list(kernel.open.choices) == ["branches by data, counted as the larger branch"]


def test_a_branch_on_data_without_a_difference_is_no_choice():
    body = f"""{UNKNOWN_BIT}
    scf.if %b {{
      {ONE_ADD}
    }} else {{
      {ONE_ADD}
    }}"""
    counts, kernel = run(body, arguments=SCALARS)
    assert counts == (1, 1)
    assert not kernel.open.choices


def test_what_the_grid_excludes_is_excluded_whatever_the_data():
    """At 2 of 3 steps data decide; at the first they do not."""
    body = f"""{UNKNOWN_BIT}
    %g = arith.cmpi ne, %i0, %c0 : i32
    %both = arith.andi %b, %g : i1
    scf.if %both {{
      {ONE_ADD}
    }}"""
    assert run(body, bounds=(3,), arguments=SCALARS)[0] == (0, 2)


def test_a_loop_by_its_trips():
    """0 + 1 + 2 + 3 trips, and 3 of (0, 3, 6) below 7."""
    body = f"""
    scf.for %k = %c0 to %i0 step %c1 : i32 {{
      {ONE_ADD}
    }}
    scf.for %k = %c0 to %c7 step %c3 : i32 {{
      %w = arith.addf %x, %x : vector<8xf32>
    }}"""
    assert run(body, bounds=(4,))[0] == (6 + 4 * 3,) * 2


def test_a_branch_on_the_index_of_a_loop():
    body = f"""
    scf.for %k = %c0 to %c8 step %c1 : i32 {{
      %b = arith.cmpi sge, %k, %i0 : i32
      scf.if %b {{
        {ONE_ADD}
      }}
    }}"""
    assert run(body, bounds=(3,))[0] == (8 + 7 + 6,) * 2


def test_a_loop_too_long_for_its_steps_counts_all_of_them():
    body = f"""
    %many = arith.constant 5000000 : i32
    scf.for %k = %c0 to %many step %c1 : i32 {{
      {ONE_ADD}
    }}"""
    assert run(body, bounds=(3,))[0] == (15_000_000,) * 2


def test_integers_that_a_loop_carries():
    """A slot that flips, and an index that grows by 2 up to 10: 5 of 6 trips below 10, 3 in the second slot."""
    body = f"""
    %s, %t = scf.for %k = %c0 to %c6 step %c1 iter_args(%slot = %c0, %at = %c0) -> (i32, i32) : i32 {{
      %even = arith.cmpi eq, %slot, %c1 : i32
      scf.if %even {{
        {ONE_ADD}
      }}
      %more = arith.addi %at, %c2 : i32
      %ten = arith.constant 10 : i32
      %b = arith.cmpi slt, %at, %ten : i32
      scf.if %b {{
        %w = arith.addf %x, %x : vector<8xf32>
      }}
      %next = arith.subi %c1, %slot : i32
      scf.yield %next, %more : i32, i32
    }}
    %last = arith.cmpi eq, %t, %c9 : i32
    scf.if %last {{
      %w = arith.addf %x, %x : vector<8xf32>
    }}"""
    assert run(body)[0] == (3 + 5,) * 2


BY_DATA = f"""
    %n = memref.load %s[%zero] : memref<4xi32, {SMEM}>
    scf.for %k = %c0 to %n step %c1 : i32 {{
      {ONE_ADD}
    }}"""


def test_a_loop_by_data_counts_once_and_can_be_told():
    counts, kernel = run(BY_DATA, bounds=(2,), arguments=SCALARS)
    assert counts == (0, 2)
    assert list(kernel.open.unknown) == ["loops as often as data say, counted once"]
    counts, kernel = run(BY_DATA, bounds=(2,), arguments=SCALARS, trips=7)
    assert counts == (14, 14)
    assert kernel.open.loops and not kernel.open.unknown


def test_a_loop_by_data_with_an_end_counts_as_the_most():
    body = BY_DATA.replace("scf.for", "%m = arith.minsi %n, %c5 : i32\n    scf.for", 1).replace("to %n", "to %m")
    counts, kernel = run(body, arguments=SCALARS)
    assert counts == (0, 5)
    assert list(kernel.open.choices) == ["loops as often as data say, counted as the most"]


def test_a_loop_over_addresses_alone_is_nothing_unknown():
    body = BY_DATA.replace(ONE_ADD, "%y = arith.addi %k, %c1 : i32")
    counts, kernel = run(body, arguments=SCALARS)
    assert counts == (0, 0)
    assert not kernel.open.unknown


WHILE = f"""
    %r = scf.while (%k = %c0) : (i32) -> i32 {{
      %b = arith.cmpi slt, %k, END : i32
      scf.condition(%b) %k : i32
    }} do {{
    ^bb0(%k: i32):
      {ONE_ADD}
      %next = arith.addi %k, %c2 : i32
      scf.yield %next : i32
    }}"""


def test_a_while_that_tells_its_trips():
    assert run(WHILE.replace("END", "%c7"))[0] == (4, 4)


def test_a_while_by_data():
    body = f"%n = memref.load %s[%zero] : memref<4xi32, {SMEM}>" + WHILE.replace("END", "%n")
    counts, kernel = run(body, arguments=SCALARS)
    assert counts == (0, 1)
    assert kernel.open.loops
    assert run(body, arguments=SCALARS, trips=9)[0] == (9, 9)


def test_a_function_that_is_called():
    functions = f"""
  func.func private @twice(%x: vector<8xf32>) {{
    {ONE_ADD}
    %w = arith.addf %v, %x : vector<8xf32>
    return
  }}"""
    assert run("func.call @twice(%x) : (vector<8xf32>) -> ()", bounds=(3,), functions=functions)[0] == (6, 6)


def test_an_operation_that_no_rule_knows_is_named():
    body = '%w = "stable_mosaic.tpu.guess"(%x) : (vector<8xf32>) -> vector<8xf32>'
    _, kernel = run(body)
    assert list(kernel.open.unknown) == ["has a tpu.guess, which no rule knows"]
    _, kernel = run("%w = arith.constant dense<0> : vector<8xindex>\n%y = arith.addi %w, %w : vector<8xindex>")
    assert not kernel.open.unknown


def test_operations_inside_each_other_end_somewhere():
    functions = "  func.func private @again() {\n    func.call @again() : () -> ()\n    return\n  }"
    with pytest.raises(ValueError, match="nests operations more than 50 deep"):
        run("func.call @again() : () -> ()", functions=functions)


def test_code_in_no_generic_form_is_refused():
    from hlo_count.visitors.kernels.kernel_code import kernel_code

    for text, reason in (
        ("", "holds no function"),
        ("nonsense", "which is no operation"),
        ('"builtin.module"() ({\n  "func.func"() ({', "cut off"),
        ('"builtin.module"() ({\n  "a.b"(%0) : (i32) -> ()\n}) : () -> ()', "names %0, which is not defined"),
    ):
        with pytest.raises(ValueError, match=reason):
            kernel_code(text)


@needs_mosaic
def test_dmas_move_bytes_of_what_they_copy():
    space = "#tpu.memory_space<semaphore_mem>"
    body = f"""
    %part = "tpu.memref_slice"(%hbm, %i0, %c0) {{operandSegmentSizes = array<i32: 1, 2, 0>}}
      : (memref<64x128xf32, {ANY}>, i32, i32) -> memref<8x128xf32, {ANY}>
    "tpu.enqueue_dma"(%part, %buf, %sem) {{operandSegmentSizes = array<i32: 1, 0, 1, 1, 0, 0, 0>}}
      : (memref<8x128xf32, {ANY}>, memref<8x128xf32, {VMEM}>, memref<!tpu.dma_semaphore, {space}>) -> ()
    "tpu.enqueue_dma"(%buf, %sem, %part, %sem, %c1) {{operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0, 0>}}
      : (memref<8x128xf32, {VMEM}>, memref<!tpu.dma_semaphore, {space}>, memref<8x128xf32, {ANY}>,
         memref<!tpu.dma_semaphore, {space}>, i32) -> ()"""
    arguments = (
        f"%hbm: memref<64x128xf32, {ANY}>, %buf: memref<8x128xf32, {VMEM}>, %sem: memref<!tpu.dma_semaphore, {space}>"
    )
    _, kernel = run(body, bounds=(5,), arguments=arguments)
    size = 5 * 8 * 128 * 4
    assert kernel.tally.counted == {(READ, 0): size, (WRITTEN, 0): size, ("network_bytes",): size}
    assert kernel.tally.least == kernel.tally.counted
