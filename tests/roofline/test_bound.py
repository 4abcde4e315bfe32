"""Bounds by arithmetic: what each resource must take, and what must not be counted."""

from __future__ import annotations

import dataclasses

import fixture_files
import pytest

import hlo_count
from hlo_count.errors import DeviceError
from hlo_count.hlo import parse
from hlo_count.roofline.bound import CERTAIN_OF_CALL
from hlo_count.roofline.catalog import device
from hlo_count.roofline.device import Device, Figure, MemoryLevel, Network
from hlo_count.roofline.needed_shares import NeededShares
from hlo_count.roofline.resources import HEADROOM
from hlo_count.roofline.roofline import Roofline
from hlo_count.visitors.settings import Settings
from hlo_count.visitors.walk import Walk


def figure(value: float) -> Figure:
    return Figure(value=value, typical=value / 2, source="test")


def level(name: str, kind: str, size: float, bandwidth: float) -> MemoryLevel:
    return MemoryLevel(name=name, kind=kind, size=figure(size), bandwidth=figure(bandwidth))


TOY = Device(
    name="toy",
    backend="gpu",
    description="a device with round figures",
    matrix={"bf16": figure(1000.0), "f16": figure(1000.0), "f32": figure(100.0)},
    vector={"f32": {"fma": figure(20.0), "add": figure(10.0)}, "s32": {"add": figure(10.0)}},
    special={"f32": {"any": figure(5.0), "tanh": figure(2.0)}},
    memory=(level("L2", "cache", 100, 80.0), level("HBM", "main", 1e9, 8.0)),
    network=Network(name="links", bandwidth=figure(4.0)),
)
UNCACHED = dataclasses.replace(TOY, memory=TOY.memory[1:])


def roofline(text: str, on: Device = UNCACHED, *, backend: str = "gpu", **settings: object) -> Roofline:
    walk = Walk(parse(text), backend, Settings(**settings))  # type: ignore[arg-type]
    return Roofline(walk, on)


def busy(found: Roofline, resource: str) -> float:
    return sum(b.seconds for b in found.busy if b.resource == resource)


def entry(body: str, result: str = "f32[8]", /, **computations: str) -> str:
    parts = "\n\n".join(text for text in computations.values())
    return f"HloModule m\n\n{parts}\n\nENTRY main () -> {result} {{\n{body}\n}}\n"


ADD = """add (a: f32[], b: f32[]) -> f32[] {
  a = f32[] parameter(0)
  b = f32[] parameter(1)
  ROOT s = f32[] add(a, b)
}"""


# Units


@pytest.mark.parametrize(
    ("dtype", "attributes", "seconds"),
    [
        ("f32", "", 2 * 2 * 4 * 3 / 100),
        ("bf16", "", 2 * 2 * 4 * 3 / 1000),
        ("f32", ", algorithm=dot_bf16_bf16_f32_x3", 3 * 2 * 2 * 4 * 3 / 1000),
    ],
)
def test_a_dot_takes_its_flop_over_the_peak_of_its_precision(dtype: str, attributes: str, seconds: float) -> None:
    found = roofline(
        entry(
            f"  a = {dtype}[2,4] parameter(0)\n  b = {dtype}[4,3] parameter(1)\n"
            f"  ROOT d = {dtype}[2,3] dot(a, b), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}{attributes}",
            f"{dtype}[2,3]",
        )
    )
    assert busy(found, "matrix") == pytest.approx(seconds)


def test_dtypes_on_the_matrix_unit_add_up() -> None:
    dots = "".join(
        f"  a{n} = {t}[8,8] parameter({n})\n"
        f"  d{n} = {t}[8,8] dot(a{n}, a{n}), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}\n"
        for n, t in enumerate(("bf16", "f32"))
    )
    found = roofline(entry(dots + "  ROOT t = (bf16[8,8], f32[8,8]) tuple(d0, d1)", "(bf16[8,8], f32[8,8])"))
    assert busy(found, "matrix") == pytest.approx(2 * 8**3 / 1000 + 2 * 8**3 / 100)
    assert next(b.what for b in found.busy if b.resource == "matrix") == "matrix f32"


FUSED = """fused (x: f32[8], y: f32[8]) -> f32[8] {{
  x = f32[8] parameter(0)
  y = f32[8] parameter(1)
{body}
}}"""


def fusion(body: str) -> str:
    return entry(
        "  p = f32[8] parameter(0)\n  q = f32[8] parameter(1)\n  ROOT f = f32[8] fusion(p, q), kind=kLoop, calls=fused",
        fused=FUSED.format(body=body),
    )


@pytest.mark.parametrize(
    ("body", "slots"),
    [
        ("  m = f32[8] multiply(x, y)\n  ROOT r = f32[8] add(m, x)", 8),
        ("  m = f32[8] multiply(x, y)\n  ROOT r = f32[8] maximum(m, x)", 16),
        ("  m = f32[8] multiply(x, y)\n  n = f32[8] multiply(m, y)\n  ROOT r = f32[8] subtract(n, x)", 16),
        ("  c = pred[8] compare(x, y), direction=LT\n  ROOT r = f32[8] select(c, x, y)", 0),
        ("  m = f32[8] multiply(x, y)\n  ROOT r = f32[8] copy(y)", 0),
    ],
    ids=["fma", "multiply-maximum", "two-multiply-subtract", "compare-select", "unused"],
)
def test_a_multiply_and_an_add_share_a_slot_and_nothing_else_does(body: str, slots: int) -> None:
    assert busy(roofline(fusion(body)), "vector") == pytest.approx(slots / 10)


def test_integers_are_not_certain() -> None:
    """Their identities are a compiler's to use: of a chain of `x ^ y`, say, nothing may be left."""
    text = entry(
        "  p = f32[90] parameter(0)\n  q = s32[90] parameter(1)\n  a = f32[90] add(p, p)\n  b = s32[90] add(q, q)\n"
        "  ROOT t = (f32[90], s32[90]) tuple(a, b)",
        "(f32[90], s32[90])",
    )
    assert busy(roofline(text), "vector") == pytest.approx(90 / 10)  # the floats, a slot each


def test_special_functions_have_the_rate_of_their_own() -> None:
    body = "  t = f32[8] tanh(x)\n  ROOT r = f32[8] exponential(t)"
    assert busy(roofline(fusion(body)), "special") == pytest.approx(8 / 2 + 8 / 5)


# What a fusion need not compute


@pytest.mark.parametrize(
    ("body", "name", "share"),
    [
        (
            "  e = f32[8] exponential(x)\n  s = f32[2] slice(e), slice={[0:2]}\n"
            "  ROOT r = f32[8] pad(s, z), padding=0_6",
            "e",
            2 / 8,
        ),
        (
            "  e = f32[8] exponential(x)\n  c = pred[8] compare(x, y), direction=LT\n  ROOT r = f32[8] select(c, e, y)",
            "e",
            0,
        ),
        (
            "  s = f32[1] slice(x), slice={[0:1]}\n  k = f32[] reshape(s)\n  b = f32[8] broadcast(k), dimensions={}\n"
            "  ROOT e = f32[8] exponential(b)",
            "e",
            1 / 8,
        ),
        (
            "  b = f32[8,8] broadcast(x), dimensions={0}\n  c = f32[8,8] broadcast(y), dimensions={1}\n"
            "  e = f32[8,8] add(b, c)\n  ROOT r = f32[8] reduce(e, z), dimensions={1}, to_apply=add",
            "e",
            1,
        ),
        (
            "  b = f32[8,8] broadcast(x), dimensions={0}\n  e = f32[8,8] exponential(b)\n"
            "  ROOT r = f32[8] reduce(e, z), dimensions={1}, to_apply=add",
            "e",
            1 / 8,
        ),
        ("  e = f32[8] exponential(x)\n  ROOT r = f32[8] add(e, y)", "e", 1),
    ],
    ids=["sliced", "not-chosen", "of-a-scalar", "of-two-vectors", "of-one-vector", "all-of-it"],
)
def test_what_is_not_asked_for_is_not_computed(body: str, name: str, share: float) -> None:
    module = parse(fusion("  z = f32[] constant(0)\n" + body).replace("fused (", f"{ADD}\n\nfused ("))
    computed = module.computations["fused"][name]
    assert NeededShares(Walk(module, "cpu")).shares.get(computed, 1.0) == pytest.approx(share)


# Memory


def copy_of(elements: int) -> str:
    return entry(f"  x = f32[{elements}] parameter(0)\n  ROOT n = f32[{elements}] copy(x)", f"f32[{elements}]")


def test_memory_moves_the_compulsory_bytes() -> None:
    found = roofline(copy_of(1000))
    assert found.bound == pytest.approx(2 * 4 * 1000 / 8.0)
    assert found.bottleneck == "memory bandwidth"


def test_what_caches_can_hold_need_not_come_from_memory() -> None:
    found = roofline(copy_of(1000), TOY)
    moved = 2 * 4 * 1000
    assert busy(found, "L2") == pytest.approx(moved / 80)
    # 100 bytes kept from the last run, and 100 not written back yet
    assert busy(found, "HBM") == pytest.approx((moved - 2 * 100) / 8)


def test_a_program_that_fits_in_the_cache_needs_no_main_memory() -> None:
    assert busy(roofline(copy_of(20), TOY), "HBM") == 0


def test_reading_has_a_ceiling_of_its_own() -> None:
    main = dataclasses.replace(UNCACHED.memory[0], read=figure(5.0))
    total = entry(
        "  x = f32[1000] parameter(0)\n  z = f32[] constant(0)\n"
        "  ROOT r = f32[] reduce(x, z), dimensions={0}, to_apply=add",
        "f32[]",
        add=ADD,
    )
    found = roofline(total, dataclasses.replace(UNCACHED, memory=(main,)))
    assert busy(found, "HBM") == pytest.approx(4 * 1000 / 5.0)


def test_a_gather_does_not_read_its_table() -> None:
    text = entry(
        "  table = f32[1000000,16] parameter(0)\n  rows = s32[32,1] parameter(1)\n"
        "  ROOT g = f32[32,16] gather(table, rows), offset_dims={1}, collapsed_slice_dims={0}, "
        "start_index_map={0}, index_vector_dim=1, slice_sizes={1,16}",
        "f32[32,16]",
    )
    row = 4 * 16  # all 32 may be the same one
    assert roofline(text).bound == pytest.approx((row + 4 * 32 + 32 * row) / 8.0)


# Control flow


LOOP = {
    "body": """body (s: (s32[], f32[8])) -> (s32[], f32[8]) {
  s = (s32[], f32[8]) parameter(0)
  i = s32[] get-tuple-element(s), index=0
  x = f32[8] get-tuple-element(s), index=1
  one = s32[] constant(1)
  j = s32[] add(i, one)
  y = f32[8] tanh(x)
  ROOT t = (s32[], f32[8]) tuple(j, y)
}""",
    "cond": """cond (s: (s32[], f32[8])) -> pred[] {
  s = (s32[], f32[8]) parameter(0)
  i = s32[] get-tuple-element(s), index=0
  n = s32[] constant(7)
  ROOT c = pred[] compare(i, n), direction=LT
}""",
}
RUN_LOOP = (
    "  x = f32[8] parameter(0)\n  zero = {start}\n  t = (s32[], f32[8]) tuple(zero, x)\n"
    "  w = (s32[], f32[8]) while(t), condition=cond, body=body\n  ROOT r = f32[8] get-tuple-element(w), index=1"
)


def test_trip_counts_multiply_the_time() -> None:
    found = roofline(entry(RUN_LOOP.format(start="s32[] constant(0)"), **LOOP))
    assert busy(found, "special") == pytest.approx(7 * 8 / 2)


def test_an_unknown_loop_runs_no_trip_for_certain_and_says_so() -> None:
    text = entry(RUN_LOOP.format(start="s32[] parameter(1)"), **LOOP)
    found = roofline(text)
    assert busy(found, "special") == 0
    assert found.is_lower_bound
    assert any("lower bound of itself" in note for note in found.notes)
    settled = roofline(text, trip_counts={"w": 3})
    assert busy(settled, "special") == pytest.approx(3 * 8 / 2)
    assert not settled.is_lower_bound


def test_of_an_unknown_loop_the_certain_trips_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hlo_count.hlo.step_budget.MAX_OPERATIONS", 10)
    doubling = (
        LOOP["body"]
        .replace("add(i, one)", "multiply(i, two)")
        .replace("one = s32[] constant(1)", "two = s32[] constant(2)")
    )
    far = LOOP["cond"].replace("constant(7)", "constant(1000)")
    found = roofline(entry(RUN_LOOP.format(start="s32[] constant(1)"), body=doubling, cond=far))
    assert busy(found, "special") == pytest.approx(5 * 8 / 2)
    assert found.is_lower_bound


BRANCHES = {
    "many": "many (x: f32[8]) -> f32[8] {\n  x = f32[8] parameter(0)\n  t = f32[8] tanh(x)\n"
    "  ROOT u = f32[8] tanh(t)\n}",
    "one": "one (x: f32[8]) -> f32[8] {\n  x = f32[8] parameter(0)\n  t = f32[8] tanh(x)\n"
    "  ROOT u = f32[8] add(t, x)\n}",
}
CHOOSE = (
    "  k = s32[] parameter(0)\n  x = f32[8] parameter(1)\n"
    "  ROOT c = f32[8] conditional(k, x, x), branch_computations={many, one}"
)


def test_an_unsettled_conditional_costs_its_cheapest_branch_in_each_resource() -> None:
    found = roofline(entry(CHOOSE, **BRANCHES))
    assert busy(found, "special") == pytest.approx(8 / 2)  # one tanh of the second branch
    assert busy(found, "vector") == 0  # no add in the first
    settled = roofline(entry(CHOOSE, **BRANCHES), branches={"c": 0})
    assert busy(settled, "special") == pytest.approx(2 * 8 / 2)


def test_sort_counts_only_its_bytes() -> None:
    less = (
        "less (a: f32[], b: f32[]) -> pred[] {\n  a = f32[] parameter(0)\n  b = f32[] parameter(1)\n"
        "  ROOT c = pred[] compare(a, b), direction=LT\n}"
    )
    text = entry(
        "  x = f32[1024] parameter(0)\n  ROOT s = f32[1024] sort(x), dimensions={0}, to_apply=less",
        "f32[1024]",
        less=less,
    )
    assert roofline(text).bound == pytest.approx(2 * 4 * 1024 / 8.0)


# Several devices


ALL_REDUCE = (
    "  x = f32[1000] parameter(0)\n  ROOT r = f32[1000] all-reduce(x), replica_groups={{0,1,2,3}}, to_apply=add"
)


def test_an_all_reduce_sends_its_operand_at_least_once() -> None:
    # a ring sends it 2 * 3/4 times; a switch that adds up takes it once
    assert busy(roofline(entry(ALL_REDUCE, "f32[1000]", add=ADD)), "network") == pytest.approx(4 * 1000 / 4.0)


# Overheads, headroom, and what is missing


def test_a_call_takes_time_whatever_is_in_it() -> None:
    called = dataclasses.replace(TOY, call_overhead=figure(1e6))
    found = roofline(copy_of(4), called)
    assert found.bound == pytest.approx(CERTAIN_OF_CALL * 1e6)
    assert found.bottleneck == "calling it at all"


def test_a_calibrated_device_has_headroom_over_what_was_measured() -> None:
    measured = dataclasses.replace(UNCACHED, calibration={"date": "today"})
    assert roofline(copy_of(1000), measured).bound == pytest.approx(roofline(copy_of(1000)).bound / HEADROOM)


@pytest.mark.parametrize(
    ("body", "result"),
    [("  ROOT t = () tuple()", "()"), ("  x = f32[0] parameter(0)\n  ROOT n = f32[0] add(x, x)", "f32[0]")],
)
def test_nothing_to_do_is_said_in_a_sentence(body: str, result: str) -> None:
    found = roofline(entry(body, result))
    assert "nothing to do" in found.bottleneck
    assert found.bound == 0
    assert "nothing to do" in str(found)


def test_a_missing_figure_fails_only_what_needs_it() -> None:
    matrixless = dataclasses.replace(UNCACHED, matrix={}, vector={"f64": {"add": figure(1.0)}})
    assert roofline(copy_of(1000), matrixless).bound > 0
    with pytest.raises(DeviceError, match=r"toy: no figure for f32 on the vector unit"):
        roofline(fusion("  ROOT r = f32[8] add(x, y)"), matrixless)


def test_a_program_that_sends_needs_a_network() -> None:
    alone = dataclasses.replace(UNCACHED, network=None)
    with pytest.raises(DeviceError, match="the profile has no network"):
        roofline(entry(ALL_REDUCE, "f32[1000]", add=ADD), alone)


def test_a_dtype_without_a_unit_falls_to_what_would_run_it_and_says_so() -> None:
    found = roofline(
        entry(
            "  a = f8e4m3fn[8,8] parameter(0)\n"
            "  ROOT d = f32[8,8] dot(a, a), lhs_contracting_dims={1}, rhs_contracting_dims={0}",
            "f32[8,8]",
        )
    )
    assert busy(found, "matrix") == pytest.approx(2 * 8**3 / 1000)
    assert any("f8e4m3fn has no matrix figure on toy: runs as f16" in note for note in found.notes)


# The compiler's own estimates


def test_a_matmul_on_v5e() -> None:
    report = hlo_count.count(fixture_files.text("tpu-v5e", "matmul_bf16"))
    found = report.roofline("tpu-v5e")
    assert found.bound == pytest.approx(2 * 2048**3 / 197e12)  # 87.2 µs
    assert found.compiler_estimate == pytest.approx(143032 / 1.5e9)  # 95.4 µs
    assert found.bottleneck == "matrix bf16"


@pytest.mark.parametrize("name", fixture_files.compiled_names("tpu-v5e"))
def test_no_fixture_is_estimated_below_its_bound(name: str) -> None:
    walk = Walk(parse(fixture_files.text("tpu-v5e", name)), "tpu")
    found = Roofline(walk, device("tpu-v5e"), own_cycles=False)  # what our rules say
    assert found.bound <= found._estimate.seconds  # the schedule's own time, before it is raised to the bound
    for row in found.rows:
        if row.compiler_estimate is not None:
            # the compiler rounds its cycles, and does not charge what it overlaps: 5 % for that
            assert row.bound <= 1.05 * row.compiler_estimate or row.limit == "memory bandwidth", row


@pytest.mark.parametrize(("function", "rate"), [("tanh(x)", 2), ("power(x, x)", 5), ("sine(x)", 5)])
def test_a_function_whose_time_depends_on_its_argument_takes_the_least_of_any(function: str, rate: float) -> None:
    slow = {"f32": {"any": figure(5.0), "tanh": figure(2.0), "power": figure(1.0), "sine": figure(1.0)}}
    text = entry(f"  x = f32[8] parameter(0)\n  ROOT p = f32[8] {function}")
    assert busy(roofline(text, dataclasses.replace(UNCACHED, special=slow)), "special") == pytest.approx(8 / rate)
