"""Estimates by arithmetic: kernels in a row, levels of memory, overlap, and what a roofline answers."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
import warnings

import fixture_files
import pytest
from test_bound import ADD, TOY, UNCACHED, copy_of, entry, figure, fusion, roofline

import hlo_count
from hlo_count.errors import DeviceError, HloCountError
from hlo_count.hlo import parse
from hlo_count.hlo.shapes import parse_shape
from hlo_count.roofline import cpu_runtime, tpu_kernels
from hlo_count.roofline.catalog import device
from hlo_count.roofline.cpu_runtime import MOST_IN_A_ROW
from hlo_count.roofline.device import Device, Figure
from hlo_count.roofline.roofline import Roofline
from hlo_count.roofline.routines import routines_of
from hlo_count.roofline.what_if import what_if
from hlo_count.roofline.work_by_unit import Works
from hlo_count.visitors.walk import Walk

TYPICAL = 0.5  # of every ceiling of the toy devices


# Kernels


def test_a_kernel_takes_as_long_as_its_slowest_resource() -> None:
    found = roofline(fusion("  t = f32[8] tanh(x)\n  ROOT r = f32[8] add(t, y)"))
    special, memory = 8 / (2 * TYPICAL), 3 * 4 * 8 / (8 * TYPICAL)
    assert found.estimate == pytest.approx(max(special, memory))


def test_kernels_run_one_after_another_with_a_launch_each() -> None:
    launching = dataclasses.replace(UNCACHED, launch_overhead=figure(100.0))
    text = entry("  x = f32[8] parameter(0)\n  c = f32[8] copy(x)\n  ROOT d = f32[8] copy(c)")
    one = 2 * 4 * 8 / (8 * TYPICAL)
    assert roofline(text, launching).estimate == pytest.approx(2 * (one + 100 * TYPICAL))


def test_a_call_is_counted_once_with_the_launch_that_is_in_it() -> None:
    slow = Figure(value=1000.0, typical=1500.0, source="test")
    calling = dataclasses.replace(UNCACHED, launch_overhead=figure(100.0), call_overhead=slow)
    one = 2 * 4 * 8 / (8 * TYPICAL)
    assert roofline(copy_of(8), calling).estimate == pytest.approx(1500 + one)


@pytest.mark.parametrize(("elements", "bandwidth"), [(12, 80), (13, 8)], ids=["in-cache", "beyond"])
def test_memory_is_the_nearest_level_that_holds_the_working_set(elements: int, bandwidth: int) -> None:
    moved = 2 * 4 * elements  # 96 bytes fit in a cache of 100, 104 do not
    assert roofline(copy_of(elements), TOY).estimate == pytest.approx(moved / (bandwidth * TYPICAL))


def test_windows_that_overlap_share_their_work() -> None:
    """513 wide: 10 doublings for each of 1024 outputs."""
    text = entry(
        "  x = f32[1024] parameter(0)\n  z = f32[] constant(0)\n"
        "  ROOT r = f32[1024] reduce-window(x, z), window={size=513 pad=256_256}, to_apply=add",
        "f32[1024]",
        add=ADD,
    )
    assert roofline(text).estimate < 2 * 10 * 1024 / (10 * TYPICAL) + 1
    assert hlo_count.count(text).flops == 1024 * 512 - 256 * 257


def test_a_window_over_everything_is_a_reduction() -> None:
    """As TPU prints one that is broadcast again: 1023 additions are certain, and no window's routine runs."""
    text = entry(
        "  x = f32[1024] parameter(0)\n  z = f32[] constant(0)\n"
        "  ROOT r = f32[1024] reduce-window(x, z), window={size=2047 pad=1023_1023}, to_apply=add",
        "f32[1024]",
        add=ADD,
    )
    walk = hlo_count.count(text).walk
    kernel = walk.module.entry.root
    assert hlo_count.count(text).flops == 1023
    works = Works(walk)
    for work in (works.least(kernel, lambda _: False), works.counted(kernel, lambda _: False)):
        assert work == {("vector", "f32", "add"): 1023}
    assert list(routines_of(walk, kernel)) == []


# Routines and threads


SORT = entry(
    "  x = f32[8,16] parameter(0)\n  ROOT s = f32[8,16] sort(x), dimensions={1}, to_apply=less",
    "f32[8,16]",
    less="""less (a: f32[], b: f32[]) -> pred[] {
  a = f32[] parameter(0)
  b = f32[] parameter(1)
  ROOT l = pred[] compare(a, b), direction=LT
}""",
)


def test_a_routine_runs_at_the_pace_that_was_measured() -> None:
    measured = dataclasses.replace(UNCACHED, routine={"sort": figure(2.0)})
    found = roofline(SORT, measured)
    compares = 8 * 16 * 4  # a row of 16 takes 4 rounds
    assert found.estimate == pytest.approx(compares / (2 * TYPICAL))
    assert found.rows[0].limit == "sort"
    assert found.bound < found.estimate  # another algorithm may need fewer


MOVED = {
    "transposed": ("transpose(x), dimensions={1,0}", "f32[8,4]{1,0}", "transpose"),
    "copied the other way": ("copy(x)", "f32[4,8]{0,1}", "transpose"),
    "another name": ("transpose(x), dimensions={1,0}", "f32[8,4]{0,1}", None),
    "copied as it is": ("copy(x)", "f32[4,8]{1,0}", None),
}


@pytest.mark.parametrize(("operation", "shape", "routine"), MOVED.values(), ids=list(MOVED))
def test_what_turns_in_memory_is_a_transpose(operation: str, shape: str, routine: str | None) -> None:
    walk = Walk(parse(entry(f"  x = f32[4,8]{{1,0}} parameter(0)\n  ROOT t = {shape} {operation}", shape)), "cpu")
    expected = [] if routine is None else [(routine, 32)]
    assert [(name, work) for _, name, work in routines_of(walk, walk.module.entry.root)] == expected


def test_a_transpose_among_operations_is_another_routine() -> None:
    text = entry(
        "  p = f32[4,8]{1,0} parameter(0)\n  ROOT f = f32[8,4]{1,0} fusion(p), kind=kLoop, calls=fused",
        "f32[8,4]",
        fused="""fused (x: f32[4,8]) -> f32[8,4] {
  x = f32[4,8]{1,0} parameter(0)
  n = f32[4,8]{1,0} negate(x)
  ROOT t = f32[8,4]{1,0} transpose(n), dimensions={1,0}
}""",
    )
    walk = Walk(parse(text), "cpu")
    assert [name for _, name, _ in routines_of(walk, walk.module.entry.root)] == ["fused_transpose"]


CONVOLUTION = "window={size=3 pad=1_1}, dim_labels=b0f_0io->b0f"
PAIRS = 3 * 9 - 2
"""Of outputs and taps: at either end one tap falls on padding."""


@pytest.mark.parametrize(
    ("body", "routine"),
    [
        ("x = f32[2,9,4] parameter(0)\n  k = f32[3,4,4] parameter(1)\n  ROOT c = f32[2,9,4] convolution(x, k), "
         + CONVOLUTION, ("convolution", 2 * 2 * PAIRS * 4 * 4)),
        ("x = f32[2,9,4] parameter(0)\n  k = f32[3,1,4] parameter(1)\n  ROOT c = f32[2,9,4] convolution(x, k), "
         + CONVOLUTION + ", feature_group_count=4", ("grouped_convolution", 2 * 2 * PAIRS * 4)),
        ("x = f32[2,9,4] parameter(0)\n  k = f32[1,4,4] parameter(1)\n  ROOT c = f32[2,9,4] convolution(x, k), "
         "window={size=1}, dim_labels=b0f_0io->b0f", ("convolution", 2 * 2 * 9 * 4 * 4)),
        ("x = f32[2,3,4] parameter(0)\n  ROOT d = f32[2,3,3] dot(x, x), lhs_batch_dims={0}, rhs_batch_dims={0}, "
         "lhs_contracting_dims={2}, rhs_contracting_dims={2}", ("batched_matmul", 2 * 2 * 3 * 3 * 4)),
        ("x = f32[3,4] parameter(0)\n  ROOT d = f32[3,3] dot(x, x), lhs_contracting_dims={1}, "
         "rhs_contracting_dims={1}", None),
    ],
    ids=["convolution", "grouped", "of one tap", "batched", "plain matmul"],
)  # fmt: skip
def test_contractions_that_are_routines(body: str, routine: tuple[str, int] | None) -> None:
    walk = Walk(parse(entry("  " + body, body.rpartition("= ")[2].partition(" ")[0])), "cpu")
    found = [(name, work) for _, name, work in routines_of(walk, walk.module.entry.root)]
    assert found == ([] if routine is None else [routine])


HANDING = dataclasses.replace(
    UNCACHED,
    backend="cpu",
    cores=figure(2.0),
    call_overhead=figure(1e4),
    dispatch_overhead=figure(1e5),
    split_overhead=figure(1e6),
)


def times(elements: int, config: str = "") -> str:
    return entry(
        f"  p = f32[{elements}] parameter(0)\n  ROOT f = f32[{elements}] fusion(p), kind=kLoop, calls=fused{config}",
        f"f32[{elements}]",
        fused=f"""fused (x: f32[{elements}]) -> f32[{elements}] {{
  x = f32[{elements}] parameter(0)
  ROOT m = f32[{elements}] multiply(x, x)
}}""",
    )


@pytest.mark.parametrize(
    ("elements", "config", "waking"),
    [
        (999, "", 0),  # run by the thread that calls
        (1000, "", 1e5 * TYPICAL),
        (1000, ', backend_config={"outer_dimension_partitions":["2"]}', (1e5 + 1e6) * TYPICAL),
        (1000, ', backend_config={"fusion_config":{"kind":"a library"}}', (1e5 + 1e6) * TYPICAL),
    ],
)
def test_waking_threads_takes_time(elements: int, config: str, waking: float) -> None:
    with_threads = roofline(times(elements, config), HANDING, backend="cpu").estimate
    without = dataclasses.replace(HANDING, dispatch_overhead=None, split_overhead=None)
    assert with_threads - roofline(times(elements, config), without, backend="cpu").estimate == pytest.approx(waking)


def test_many_kernels_are_handed_out() -> None:
    def chain(kernels: int) -> str:
        copies = "".join(f"  c{n} = f32[8] copy(c{n - 1})\n" for n in range(1, kernels))
        return entry(f"  c0 = f32[8] parameter(0)\n{copies}  ROOT r = f32[8] copy(c{kernels - 1})")

    def waking(kernels: int) -> float:
        return roofline(chain(kernels), HANDING, backend="cpu")._estimate._threads()

    assert waking(MOST_IN_A_ROW) == 0
    assert waking(MOST_IN_A_ROW + 1) == 1e6 * TYPICAL


def counting(trips: int, call: str, result: str = "f32[]") -> str:
    """A loop of one kernel in its body and one in its condition, run through `call`, or by the entry itself."""
    loop = f'while(p), condition=less, body=twice, backend_config={{"known_trip_count":{{"n":"{trips}"}}}}'
    parts = {
        "twice": """twice (x: f32[]) -> f32[] {
  x = f32[] parameter(0)
  ROOT m = f32[] multiply(x, x)
}""",
        "less": """less (x: f32[]) -> pred[] {
  x = f32[] parameter(0)
  ROOT c = pred[] compare(x, x), direction=LT
}""",
    }
    if not call:
        return entry(f"  p = f32[] parameter(0)\n  ROOT w = f32[] {loop}", result, **parts)
    parts["loop"] = f"loop (p: f32[]) -> f32[] {{\n  p = f32[] parameter(0)\n  ROOT w = f32[] {loop}\n}}"
    return entry(f"  p = f32[] parameter(0)\n  ROOT r = f32[] {call}", result, **parts)


LAUNCHING = dataclasses.replace(TOY, backend="cpu", launch_overhead=Figure(value=100.0, typical=100.0, source="test"))
SMALL_CALL = 'call(p), to_apply=loop, frontend_attributes={xla_cpu_small_call="true"}'


def launches(text: str, on: Device = LAUNCHING) -> float:
    """Seconds that launching adds to a program."""
    without = dataclasses.replace(on, launch_overhead=None)
    return roofline(text, on, backend=on.backend).estimate - roofline(text, without, backend=on.backend).estimate


def test_a_call_that_is_one_function_is_launched_once() -> None:
    assert launches(counting(1000, SMALL_CALL)) == pytest.approx(100)
    as_large = counting(10 * cpu_runtime.MOST_IN_A_ROW, SMALL_CALL.replace("true", "false"))
    assert launches(as_large) > 10 * 100 * cpu_runtime.WARM_LAUNCH


def test_a_trip_of_a_function_takes_no_less_than_its_result_needs() -> None:
    quick = {"f32": {"add": figure(1e30)}, "s32": {"add": figure(1e30)}}
    memory = tuple(dataclasses.replace(m, bandwidth=figure(1e30)) for m in TOY.memory)
    found = roofline(counting(1000, SMALL_CALL), dataclasses.replace(TOY, backend="cpu", vector=quick, memory=memory))
    assert found.estimate == pytest.approx((1000 + 1001) * cpu_runtime.LATENCY)
    assert {row.limit for row in found.rows} == {"latency"}


def test_later_trips_of_a_loop_are_launched_for_less() -> None:
    warm = 100 * cpu_runtime.WARM_LAUNCH
    assert launches(counting(1000, "")) == pytest.approx(2 * 100 + (999 + 1000) * warm)
    gpu = dataclasses.replace(LAUNCHING, backend="gpu")  # each launch is the driver's work again
    assert launches(counting(1000, ""), gpu) == pytest.approx((1000 + 1001) * 100)


def test_functions_wake_no_threads() -> None:
    """However many kernels are in them: they are one kernel of their caller."""
    many = counting(10, SMALL_CALL).replace(
        "  ROOT m = f32[] multiply(x, x)",
        "".join(f"  m{n} = f32[] multiply(x, x)\n" for n in range(20)) + "  ROOT m = f32[] multiply(x, x)",
    )
    assert roofline(many, HANDING, backend="cpu")._estimate._threads() == 0
    handed_out = many.replace('="true"', '="false"')
    assert roofline(handed_out, HANDING, backend="cpu")._estimate._threads() == 1e6 * TYPICAL


@pytest.mark.parametrize(
    ("result", "is_warm"), [("f32[8,8]", False), ("f32[8,1]", True)], ids=["a library's", "a loop of XLA's own"]
)
def test_a_library_prepares_anew_in_every_trip(result: str, is_warm: bool) -> None:
    columns = result[-2]
    text = entry(
        f"  a = f32[8,8] parameter(0)\n  b = f32[8,{columns}] parameter(1)\n"
        f"  ROOT d = {result} dot(a, b), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}",
        result,
    )
    assert cpu_runtime.is_warm_in_a_loop(parse(text).entry.root) is is_warm


def test_a_library_runs_a_fusion_operation_by_operation() -> None:
    """What one writes the next one reads, through the cache: 2 * 32 bytes beside those of the boundary."""
    cpu = dataclasses.replace(TOY, backend="cpu", cores=figure(1.0))
    body = fusion("  m = f32[8] multiply(x, y)\n  ROOT a = f32[8] add(m, x)")
    in_library = body.replace("calls=fused", 'calls=fused, backend_config={"fusion_config":{"kind":"a library"}}')
    more = roofline(in_library, cpu, backend="cpu").estimate - roofline(body, cpu, backend="cpu").estimate
    assert more == pytest.approx(2 * 4 * 8 / (80 * TYPICAL))


# Overlap


def starts(between: str) -> str:
    return entry(
        "  x = f32[1000] parameter(0)\n  y = f32[100] parameter(1)\n"
        "  s = (f32[1000], f32[1000], u32[]) copy-start(x)\n"
        f"{between}"
        "  d = f32[1000] copy-done(s)\n  ROOT t = (f32[1000], f32[100]) tuple(d, c)",
        "(f32[1000], f32[100])",
    )


def test_an_asynchronous_copy_runs_beside_what_stands_between_its_halves() -> None:
    tanh = "  c = f32[100] tanh(y)\n"
    copy, work = 2 * 4 * 1000 / (8 * TYPICAL), 100 / (2 * TYPICAL)
    moved = copy + 2 * 4 * 100 / (8 * TYPICAL)
    assert work < moved
    # beside one another, but over one memory: no less than all the bytes take
    assert roofline(starts(tanh)).estimate == pytest.approx(moved)
    in_a_row = starts("").replace("  ROOT", tanh + "  ROOT")
    assert roofline(in_a_row).estimate == pytest.approx(copy + max(work, moved - copy))


def test_a_collective_overlaps_with_what_is_computed_meanwhile() -> None:
    text = entry(
        "  x = f32[100] parameter(0)\n  y = f32[1000] parameter(1)\n"
        "  s = f32[100] all-reduce-start(x), replica_groups={{0,1}}, to_apply=add\n"
        "  c = f32[1000] tanh(y)\n  d = f32[100] all-reduce-done(s)\n"
        "  ROOT t = (f32[1000], f32[100]) tuple(c, d)",
        "(f32[1000], f32[100])",
        add=ADD,
    )
    quick = dataclasses.replace(UNCACHED, memory=(dataclasses.replace(UNCACHED.memory[0], bandwidth=figure(1e9)),))
    sent, computed = 4 * 100 / (4 * TYPICAL), 1000 / (2 * TYPICAL)
    assert roofline(text, quick).estimate == pytest.approx(max(sent, computed), rel=1e-3)  # the memory's 1e-5


def test_a_collective_takes_the_latency_that_the_profile_states() -> None:
    text = entry(
        "  x = f32[100] parameter(0)\n  ROOT r = f32[100] all-reduce(x), replica_groups={{0,1}}, to_apply=add",
        "f32[100]",
        add=ADD,
    )
    assert UNCACHED.network is not None
    network = dataclasses.replace(UNCACHED.network, latency=figure(300.0))
    far = roofline(text, dataclasses.replace(UNCACHED, network=network))
    near = roofline(text)
    sent = 4 * 100 / (4 * TYPICAL)  # as many bytes from each of two
    assert near.estimate == pytest.approx(2 * 4 * 100 / (8 * TYPICAL))  # its memory takes as long, and no longer
    assert far.estimate == pytest.approx(sent + 300 * TYPICAL)
    assert far.bound == near.bound  # another algorithm may hide it


# What a roofline answers


def test_rows_add_up_and_stand_in_the_order_of_their_time() -> None:
    report = hlo_count.count(fixture_files.text("h100", "transformer_step"))
    found = report.roofline("h100-sxm")
    assert [row.estimate for row in found.rows] == sorted((row.estimate for row in found.rows), reverse=True)
    assert sum(row.flops for row in found.rows) == report.flops
    assert sum(row.bytes for row in found.rows) == report.bytes
    assert all(row.bound <= row.estimate for row in found.rows)


def test_utilization() -> None:
    report = hlo_count.count(fixture_files.text("tpu-v5e", "matmul_bf16"))
    found = report.roofline("v5e")
    assert found.hfu(2 * found.bound) == pytest.approx(0.5)
    assert found.mfu(1e-3, model_flops=1e9) == pytest.approx(1e9 / (1e-3 * 197e12))
    assert found.mfu(1e-3, model_flops=1e9, dtype="s8") == pytest.approx(1e9 / (1e-3 * 393e12))
    with pytest.raises(HloCountError, match="more than 0"):
        found.hfu(0)


def test_utilization_without_matrix_flop() -> None:
    found = roofline(copy_of(8))
    assert found.hfu(10.0) == 0
    with pytest.raises(HloCountError, match=r"has no matrix FLOP.*pass dtype"):
        found.mfu(1.0, model_flops=1)


def test_model_flops_are_those_of_all_devices() -> None:
    report = hlo_count.count(fixture_files.text("tpu-v5e", "transformer_step_tensor"))
    found = report.roofline("v5e")
    assert found.num_devices == fixture_files.entry("tpu-v5e", "transformer_step_tensor")["devices"]
    assert found.mfu(1.0, model_flops=found.num_devices * 197e12) == pytest.approx(1.0)


def test_only_tpu_programs_carry_the_compilers_estimate() -> None:
    assert hlo_count.count(fixture_files.text("h100", "matmul_bf16")).roofline("h100-sxm").compiler_estimate is None


def test_the_compilers_part_of_the_kernels_is_told() -> None:
    """argsort: of copy, sort and iota only the iota carries cycles."""
    found = hlo_count.count(fixture_files.text("tpu-v5e", "argsort")).roofline("v5e")
    assert [row.opcode for row in found.rows if row.compiler_estimate is not None] == ["iota"]
    assert "estimated_cycles over the clock, of 1 of 3 kernels" in str(found)
    document = found.to_dict()
    assert (document["compiler_estimate_kernels"], document["kernels"]) == (1, 3)
    whole = hlo_count.count(fixture_files.text("tpu-v5e", "max_pool")).roofline("v5e")
    assert "estimated_cycles over the clock\n" in str(whole)


def test_a_tpus_estimate_is_its_compilers_where_that_is_known() -> None:
    report = hlo_count.count(fixture_files.text("tpu-v5e", "softmax"))
    on_its_own = report.roofline("v5e")
    for row in on_its_own.rows:
        if row.compiler_estimate is not None:
            assert row.estimate == pytest.approx(max(row.compiler_estimate, row.bound), rel=1e-12)
    assert on_its_own.estimate >= on_its_own.compiler_estimate  # 34488 cycles, one kernel after the other
    assert on_its_own == pickle.loads(pickle.dumps(on_its_own))
    compared = hlo_count.what_if(report, ["v5e", "v6e"])  # of which was it made for? of none for certain
    by_rule = {row.device: row.estimate for row in compared}
    assert by_rule["tpu-v6e"] < by_rule["tpu-v5e"] != on_its_own.estimate


def test_what_a_tpu_kernel_has_in_vmem_takes_cycles_beside_hbm() -> None:
    """A sum of 512 x 1024 over lanes: 2 MiB from HBM, and its 512 registers are rearranged; one of results."""
    lines = {
        "tpu": "x = f32[512,1024]{1,0:T(8,128)} parameter(0)",
        "vmem": "x = f32[512,1024]{1,0:T(8,128)S(1)} parameter(0)",
    }
    seconds = {}
    for where, parameter in lines.items():
        text = f"""HloModule m, is_scheduled=true

add {{
  a = f32[] parameter(0)
  b = f32[] parameter(1)
  ROOT c = f32[] add(a, b)
}}

ENTRY main {{
  {parameter}
  zero = f32[] constant(0)
  ROOT s = f32[512]{{0:T(512)S(1)}} reduce(x, zero), dimensions={{1}}, to_apply=add
}}
"""
        found = Roofline(Walk(parse(text), "tpu"), device("tpu-v5e"))
        seconds[where] = found.rows[0].estimate
    clock, launch = 1.5e9, 1.216e-6
    rearranged = 512 * tpu_kernels.REARRANGED / clock
    out = 512 * 4 / tpu_kernels.REGISTER_BYTES * tpu_kernels.MOVED / clock
    assert seconds["tpu"] == pytest.approx(launch + 2**21 / 738e9 + rearranged + out, rel=1e-6)
    added = 512 * 1023 / 6.144e12  # adds, less than what VMEM takes, which comes on top
    assert seconds["vmem"] == pytest.approx(
        launch + added + 512 * tpu_kernels.MOVED / clock + rearranged + out, rel=1e-3
    )


@pytest.mark.parametrize(("stated", "cycles"), [("1824", 1824), ("0", None), (str(2**63 - 1), None)])
def test_the_largest_of_integers_is_no_estimate(stated: str, cycles: int | None) -> None:
    """libtpu writes it down for some kernels of v7: two of a GPT would take 308 years."""
    config = f'{{"window_config":{{"estimated_cycles":"{stated}"}}}}'
    text = f"HloModule m\n\nENTRY e {{\n  x = f32[8] parameter(0)\n  ROOT c = f32[8] copy(x), backend_config={config}\n}}\n"
    assert tpu_kernels.compiler_cycles(parse(text).entry.root) == cycles


def test_registers_are_padded_to_lanes_and_sublanes() -> None:
    assert tpu_kernels.registers(parse_shape("f32[3,9,130]{2,1,0:T(8,128)}")) == 3 * 2 * 2
    assert tpu_kernels.registers(parse_shape("bf16[130,9]{0,1:T(8,128)(2,1)}")) == 2 * 2
    assert tpu_kernels.registers(parse_shape("f32[1025]{0:T(1024)}")) == 2
    assert tpu_kernels.registers(parse_shape("f32[]")) == 0


def test_a_table_within_100_columns() -> None:
    for backend, name, on in (
        ("tpu-v5e", "transformer_step", "v5e"),
        ("h100", "transformer_step_fsdp", "h100-sxm"),
        ("cpu", "transformer_step", "cpu-avx512"),
    ):
        text = str(hlo_count.count(fixture_files.text(backend, name)).roofline(on))
        assert max(map(len, text.splitlines())) <= 100
        assert "everything else" in text


def test_it_exports_as_json() -> None:
    found = hlo_count.count(fixture_files.text("tpu-v5e", "mlp_grad")).roofline("v5e")
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["bound_s"] == found.bound
    assert len(document["rows"]) == len(found.rows)


def test_a_time_that_cannot_be_is_said() -> None:
    """2048 cubed in bf16 at 989 TFLOP/s is 17.4 us: a millisecond can be, 10 us cannot."""
    found = hlo_count.count(fixture_files.text("h100", "matmul_bf16")).roofline("h100-sxm")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found.hfu(1e-3)
        found.mfu(1e-3, model_flops=2 * 2048**3)
    with pytest.warns(UserWarning, match=r"10.0 µs cannot be: it takes at least 17.4 µs \(matrix bf16\)"):
        assert found.hfu(10e-6) == pytest.approx(2 * 2048**3 / 989e12 / 10e-6)
    with pytest.warns(UserWarning, match="MFU of 400% cannot be: it would need 4 times the peak"):
        found.mfu(1e-3, model_flops=4 * 989e9)


def test_one_report_on_every_device() -> None:
    found = what_if(hlo_count.count(fixture_files.text("h100", "matmul_bf16")))
    by_name = {row.device: row for row in found}
    flops = 2 * 2048**3
    assert by_name["h100-sxm"].bound == pytest.approx(flops / 989e12, rel=0.01)  # the profile's digits
    assert by_name["tpu-v5e"].bound == pytest.approx(flops / 197e12)
    estimates = [row.estimate for row in found if row.estimate is not None]
    assert estimates == sorted(estimates)
    bounds = [row.bound for row in found if row.bound is not None]
    assert all(math.isfinite(bound) for bound in bounds)
    assert max(map(len, str(found).splitlines())) <= 100
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert [row["bound_s"] for row in document["devices"]] == bounds


def test_devices_are_given_by_name() -> None:
    report = hlo_count.count(fixture_files.text("h100", "matmul_bf16"))
    assert {row.device for row in what_if(report, ["h100", "tpu:v5e:2x4"])} == {"h100-sxm", "tpu-v5e"}
    with pytest.raises(DeviceError, match="did you mean h100-sxm"):
        what_if(report, ["h100-sxn"])


def test_another_compilers_program_is_said_first() -> None:
    """What the CPU compiler made is no program of a GPU's, and its times no bound there."""
    report = hlo_count.count(fixture_files.text("cpu", "matmul_bf16"))
    found = report.roofline("h100-sxm")
    assert found.compiled_for == "cpu"
    first, *others = str(found).splitlines()
    assert first.startswith("Compiled for CPU: on h100-sxm an estimate of another compiler's program, and no bound.")
    assert "--on h100-sxm" in str(found)
    assert not any("bound " in line for line in others[:6])
    assert str(what_if(report, ["h100-sxm", "v5e"])).startswith("Compiled for CPU: on the 2 of other kinds an estimate")
    own = hlo_count.count(fixture_files.text("h100", "matmul_bf16")).roofline("a100-sxm-80gb")
    assert own.compiled_for == ""
    assert "Compiled for" not in str(own)
    by_hand = hlo_count.count("HloModule m\nENTRY e { ROOT c = f32[8] constant({1,2,3,4,5,6,7,8}) }")
    assert by_hand.roofline("h100-sxm").compiled_for == ""  # the text does not tell


def test_what_if_says_which_figure_a_profile_lacks() -> None:
    report = hlo_count.count(copy_of(1000))
    dark = dataclasses.replace(UNCACHED, memory=(dataclasses.replace(UNCACHED.memory[0], bandwidth=None),))
    (row,) = what_if(report, [dark])
    assert row.bound is None
    assert "no bandwidth of HBM" in row.problem
    assert row.problem.split(":")[0] in str(what_if(report, [dark]))


def test_an_unknown_device_lists_near_names() -> None:
    with pytest.raises(DeviceError, match="did you mean h100-sxm"):
        hlo_count.count(copy_of(8)).roofline("h100-sxn")
