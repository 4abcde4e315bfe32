"""The stage that a text is at, and what follows from it: all devices or one, statuses, bounds, diffs and passes."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

import hlo_count as hc
from hlo_count.compare.passes import read_dumps
from hlo_count.errors import HloCountError

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
M, K, N, DEVICES = 1024, 512, 256, 8
WHOLE = 2 * M * K * N
"""FLOP of the product on all devices together."""

BEFORE = f"""HloModule jit_f, num_partitions={DEVICES}
ENTRY main {{
  x = f32[{M},{K}] parameter(0), sharding={{devices=[{DEVICES},1]<=[{DEVICES}]}}, metadata={{op_name="x"}}
  w = f32[{K},{N}] parameter(1), sharding={{replicated}}, metadata={{op_name="w"}}
  d = f32[{M},{N}] dot(x, w), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}, metadata={{op_name="jit(f)/dot"}}
  s = f32[{M},{N}] custom-call(d), custom_call_target="Sharding", sharding={{devices=[{DEVICES},1]<=[{DEVICES}]}}
  ROOT r = f32[{M},{N}] custom-call(s), custom_call_target="xla.sdy.FuncResultSharding"
}}
"""
PARTITIONED = f"""HloModule jit_f, num_partitions={DEVICES}
ENTRY main_spmd {{
  x = f32[{M // DEVICES},{K}] parameter(0), sharding={{devices=[{DEVICES},1]<=[{DEVICES}]}}, metadata={{op_name="x"}}
  w = f32[{K},{N}] parameter(1), sharding={{replicated}}, metadata={{op_name="w"}}
  ROOT d = f32[{M // DEVICES},{N}] dot(x, w), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}},
    metadata={{op_name="jit(f)/dot"}}
}}
"""
AFTER = PARTITIONED.replace("jit_f,", "jit_f, is_scheduled=true,")
ONE_DEVICE = BEFORE.replace(f"devices=[{DEVICES},1]<=[{DEVICES}]", "replicated").replace(
    f", num_partitions={DEVICES}", ""
)


def single(body: str, header: str = "") -> str:
    return f"HloModule m{header}\nENTRY e {{\n  p = f32[8] parameter(0)\n  {body}\n}}\n"


STAGES = {
    "shardings on instructions": (BEFORE, "unpartitioned"),
    "shardings, and no number of devices in the header": (
        BEFORE.replace(f", num_partitions={DEVICES}", ""),
        "unpartitioned",
    ),
    "shardings in the old spelling": (BEFORE.replace("<=[8]", "0,1,2,3,4,5,6,7"), "unpartitioned"),
    "shardings of Shardy alone": (
        single(
            'ROOT a = f32[8] add(p, p), frontend_attributes={xla.sdy.sharding="#sdy.sharding<@mesh, [{\\"d\\"}]>"}',
            ", num_partitions=8",
        ),
        "unpartitioned",
    ),
    "shardings of Shardy, and the number of devices in its mesh alone": (
        single(
            'ROOT a = f32[8] add(p, p), frontend_attributes={xla.sdy.sharding="#sdy.sharding<@mesh, [{\\"d\\"}]>"}',
            ', frontend_attributes={xla.sdy.meshes={mesh = #sdy.mesh<["d"=4, "e"=2]>}}',
        ),
        "unpartitioned",
    ),
    "a mesh that nothing is split over": (
        single("ROOT a = f32[8] add(p, p)", ', frontend_attributes={xla.sdy.meshes={mesh = #sdy.mesh<["d"=8]>}}'),
        "unoptimized",
    ),
    "a function of the user's named _spmd": (
        BEFORE.replace("ENTRY", "inner_spmd.3 {\n  ROOT q = f32[] parameter(0)\n}\n\nENTRY"),
        "unpartitioned",
    ),
    "shardings that the partitioner left": (PARTITIONED, "unoptimized"),
    "shardings, scheduled": (AFTER, "optimized"),
    "replicated on one device": (ONE_DEVICE, "unoptimized"),
    "a mesh of one device": (
        single('ROOT a = f32[8] add(p, p), frontend_attributes={xla.sdy.sharding="#sdy.sharding<@mesh, [{\\"d\\"}]>"}'),
        "unoptimized",
    ),
    "several devices, nothing split": (single("ROOT a = f32[8] add(p, p)", ", num_partitions=8"), "unoptimized"),
    "plain": (single("ROOT a = f32[8] add(p, p)"), "unoptimized"),
    "scheduled": (single("ROOT a = f32[8] add(p, p)", ", is_scheduled=true"), "optimized"),
    "tiled": (single("ROOT a = f32[8]{0:T(128)} add(p, p)"), "optimized"),
    "a bitcast": (single("ROOT a = f32[2,4] bitcast(p)"), "optimized"),
    "a matmul of a library": (
        single('ROOT a = f32[8] custom-call(p, p), custom_call_target="__cublas$gemm"'),
        "optimized",
    ),
    "attention of a library, which JAX writes itself": (
        single('ROOT a = f32[8] custom-call(p, p), custom_call_target="__cudnn$fmhaSoftmax"'),
        "unoptimized",
    ),
    "asynchronous": (
        single("s = (f32[8], f32[8], u32[]) copy-start(p)\n  ROOT a = f32[8] copy-done(s)"),
        "optimized",
    ),
}


@pytest.mark.parametrize(("text", "stage"), STAGES.values(), ids=STAGES)
def test_stage(text: str, stage: str) -> None:
    assert hc.parse(text).stage == stage
    assert hc.count(text).to_dict()["stage"] == stage


def test_every_fixture_is_at_its_stage() -> None:
    files = sorted(FIXTURES.rglob("*.hlo.gz"))
    assert len(files) > 200
    for file in files:
        expected = "unoptimized" if ".before." in file.name else "optimized"
        assert hc.parse(gzip.decompress(file.read_bytes()).decode()).stage == expected, file


@pytest.mark.parametrize("header", [f", num_partitions={DEVICES}", ""], ids=["stated", "from shardings"])
def test_the_whole_is_said_to_be_the_whole(header: str) -> None:
    report = hc.count(BEFORE.replace(f", num_partitions={DEVICES}", header))
    assert (report.flops, report.num_devices, report.status) == (WHOLE, DEVICES, "exact")
    assert report.unknowns == []
    assert (report.bytes_status, report.peak.status) == ("estimate", "estimate")
    assert "8 devices, counts are for all together · not partitioned yet" in str(report)
    assert "all devices" not in str(report)
    assert report.devices.total.flops == WHOLE  # and not eight times that
    data = report.to_dict()
    assert data["all_devices"]["flops"] == WHOLE
    assert (data["bytes_status"], data["peak_status"]) == ("estimate", "estimate")


LOWERED_SHARD_MAP = """HloModule jit_f, frontend_attributes={xla.sdy.meshes={mesh = #sdy.mesh<["a"=4, "b"=2]>}}

add {
  x = f32[] parameter(0)
  y = f32[] parameter(1)
  ROOT z = f32[] add(x, y)
}

body {
  p = f32[128,128] parameter(0)
  ROOT r = f32[128,128] all-reduce(p), channel_id=1, replica_groups={{0,1},{2,3},{4,5},{6,7}}, use_global_device_ids=true,
    to_apply=add
}

ENTRY main {
  x = f32[512,256] parameter(0)
  g = f32[128,128] custom-call(x), custom_call_target="xla.sdy.GlobalToLocalShape"
  c = f32[128,128] call(g), to_apply=body
  ROOT l = f32[512,128] custom-call(c), custom_call_target="xla.sdy.LocalToGlobalShape"
}
"""


def test_a_shard_map_as_jax_prints_it_before_compiling() -> None:
    """Without a number of devices in the header: that of the mesh, so that groups of 8 devices are no surprise."""
    report = hc.count(LOWERED_SHARD_MAP)
    assert (report.stage, report.num_devices, report.status) == ("unpartitioned", 8, "lower bound")
    (unknown,) = report.unknowns
    assert unknown.instruction == "g" and "shard_map" in unknown.reason


def test_a_diff_says_what_its_reports_say() -> None:
    one, other = hc.count(AFTER), hc.count(AFTER)
    other.notes.append("compiled with an option")
    assert "after: compiled with an option" in hc.diff(one, other).notes
    one.notes.append("compiled with an option")
    assert "before and after: compiled with an option" in hc.diff(one, other).notes


def test_replicas_each_run_the_whole() -> None:
    report = hc.count(BEFORE.replace("num_partitions=8", "num_partitions=8, replica_count=2"))
    assert (report.flops, report.num_devices) == (WHOLE, 2 * DEVICES)
    assert report.devices.total.flops == 2 * WHOLE
    assert "16 devices, counts are for the 8 of a replica together" in str(report).replace("\n  ", " ")


def test_a_compiled_text_keeps_its_statuses() -> None:
    report = hc.count(AFTER)
    assert (report.bytes_status, report.peak.status) == ("exact", "exact")
    assert "counts are for one" in str(report)
    assert "partitioned" not in str(report)
    assert report.devices.total.flops == WHOLE


def test_before_optimization_bytes_are_an_estimate() -> None:
    report = hc.count(single("ROOT a = f32[8] add(p, p)"))
    assert (report.status, report.bytes_status, report.peak.status) == ("exact", "estimate", "estimate")
    assert "before optimization" in str(report)
    assert any("before optimization" in note for note in report.roofline("h100-sxm").notes)


def test_the_bound_of_an_unpartitioned_text_is_withheld(tmp_path: Path) -> None:
    report = hc.count(BEFORE)
    roofline = report.roofline("h100-sxm")
    assert roofline.bound is None
    assert roofline.busy == []
    assert all(row.bound is None for row in roofline.rows)
    (row,) = roofline.rows
    assert row.flops == WHOLE // DEVICES
    data = roofline.to_dict()
    assert (data["bound_s"], data["resources"]) == (None, [])
    assert "withheld" in str(roofline)
    assert max(map(len, str(roofline).splitlines())) <= 100
    # An equal share of the work: that of the whole on one device, over the devices.
    alone = hc.count(ONE_DEVICE).roofline("h100-sxm")
    assert alone.bound is not None
    assert roofline.estimate == pytest.approx(alone.estimate / DEVICES)
    assert roofline.matrix_seconds == pytest.approx(alone.matrix_seconds / DEVICES)
    assert roofline.plot(tmp_path / "roofline.png").exists()
    with pytest.raises(HloCountError, match="not partitioned yet"):
        report.check(bound="1 s", device="h100-sxm")


def test_what_if_gives_estimates_without_bounds() -> None:
    rows = [row for row in hc.what_if(hc.count(BEFORE)) if not row.problem]
    assert rows
    assert all(row.bound is None and row.estimate for row in rows)
    estimates = [row.estimate for row in rows]
    assert estimates == sorted(estimates, key=lambda e: e or 0)
    assert rows[0].device in str(hc.what_if(hc.count(BEFORE)))


def test_diff_says_partitioned() -> None:
    diff = hc.diff(BEFORE, AFTER)
    assert diff.change.flops == WHOLE // DEVICES - WHOLE
    (row,) = [row for row in diff.by("reason") if row.change.flops]
    assert (row.name, row.before.flops, row.after.flops) == ("partitioned", WHOLE, WHOLE // DEVICES)
    assert any("before is not partitioned" in note and "all 8 devices together" in note for note in diff.notes)
    assert any("after is not partitioned" in note for note in (-diff).notes)
    assert (diff.to_dict()["before"]["stage"], diff.to_dict()["after"]["stage"]) == ("unpartitioned", "optimized")


def test_diff_of_two_shapes_on_several_devices_is_no_partitioning() -> None:
    diff = hc.diff(AFTER, AFTER.replace("f32[128,", "f32[64,"))
    assert {row.name for row in diff.by("reason") if row.change.flops} == {"shape changed"}


def test_passes_say_where_it_was_partitioned(tmp_path: Path) -> None:
    states = {
        "before_optimizations": BEFORE,
        "0001.spmd.after_start.before_shardy": BEFORE,
        "0002.spmd.after_partitioner.before_end": PARTITIONED,
        "after_optimizations": AFTER,
    }
    for name, text in states.items():
        (tmp_path / f"module_0001.jit_f.{name}.txt").write_text(text)
    passes = read_dumps(tmp_path)
    assert passes.partitioned is not None
    assert passes.partitioned.change.flops == WHOLE // DEVICES - WHOLE
    assert passes.states[0].stage == "unpartitioned"
    assert passes.states[-1].stage == "optimized"
    assert f"partitioned at #{passes.partitioned.index}" in str(passes)
    assert passes.to_dict()["partitioned_at"] == passes.partitioned.index


SHARD_MAP = f"""HloModule jit_f, num_partitions={DEVICES}
ENTRY main {{
  x = f32[{M},{K}] parameter(0), sharding={{devices=[{DEVICES},1]<=[{DEVICES}]}}
  s = f32[{M // DEVICES},{K}] custom-call(x), custom_call_target="TARGET", sharding={{manual}}
  n = f32[{M // DEVICES},{K}] tanh(s)
  ROOT r = f32[{M},{K}] custom-call(n), custom_call_target="BACK", sharding={{devices=[{DEVICES},1]<=[{DEVICES}]}}
}}
"""


@pytest.mark.parametrize(
    ("enter", "leave"),
    [
        ("SPMDFullToShardShape", "SPMDShardToFullShape"),
        ("xla.sdy.GlobalToLocalShape", "xla.sdy.LocalToGlobalShape"),
    ],
    ids=["gspmd", "shardy"],
)
def test_a_shard_map_that_is_not_partitioned_is_neither_whole_nor_one(enter: str, leave: str) -> None:
    report = hc.count(SHARD_MAP.replace("TARGET", enter).replace("BACK", leave))
    assert report.stage == "unpartitioned"
    assert (report.transcendentals, report.status) == (M // DEVICES * K, "lower bound")
    (unknown,) = report.unknowns
    assert "begins a shard_map" in unknown.reason


GROUPS = {
    "replica groups": "ROOT r = f32[8] all-reduce(p), replica_groups={{0,1,2,3}}, to_apply=add",
    "iota": "ROOT r = f32[8] all-reduce(p), replica_groups=[1,4]<=[4], to_apply=add",
    "pairs": "ROOT r = f32[8] collective-permute(p), source_target_pairs={{0,3},{3,0}}",
}
ADD = "add {\n  a = f32[] parameter(0)\n  b = f32[] parameter(1)\n  ROOT s = f32[] add(a, b)\n}\n"


@pytest.mark.parametrize("body", GROUPS.values(), ids=GROUPS)
@pytest.mark.parametrize("replicas", [1, 3, 4])
def test_groups_beyond_the_header_are_said(body: str, replicas: int) -> None:
    text = single(body, f", replica_count={replicas}").replace("ENTRY", f"{ADD}\nENTRY")
    report = hc.count(text)
    assert report.network_bytes == (2 * 32 * 3 // 4 if "all-reduce" in body else 32)
    if replicas == 4:
        assert (report.status, report.unknowns) == ("exact", [])
    else:
        (unknown,) = report.unknowns
        assert report.status == "lower bound"
        assert "device 3" in unknown.reason


@pytest.mark.parametrize(
    ("sharding", "stage"),
    [
        ("{mesh['d'=8], [{'d'}, {}]}", "unpartitioned"),
        ("{mesh['a'=2,'b'=4], [{}, {'a','b'}]}", "unpartitioned"),
        ("{mesh['d'=8], [{}, {}]}", "unoptimized"),  # no axis takes part: every device has all of it
        ("{mesh[], replicated}", "unoptimized"),
        ("{single_device[device_id=0]}", "unoptimized"),
    ],
)
def test_shardings_by_the_names_of_axes(sharding: str, stage: str) -> None:
    """As the XLA of jax 0.12 prints them; eight devices in each mesh that divides something."""
    text = f"HloModule m\n\nENTRY main {{\n  p = f32[64,128] parameter(0), sharding={sharding}\n  ROOT n = f32[64,128] negate(p)\n}}\n"
    report = hc.count(text)
    assert (report.stage, report.num_devices if stage == "unpartitioned" else 8) == (stage, 8)
