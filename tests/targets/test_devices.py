"""Many devices: what all of them do together, and the imbalance where they do not do the same."""

from __future__ import annotations

import json

import pytest
from fixture_files import text

import hlo_count as hc

N = 4 * 64 * 64  # bytes of f32[64,64]
PRODUCT = 2 * 64**3
HEADER = """HloModule m, num_partitions=8
add { a = f32[] parameter(0) b = f32[] parameter(1) ROOT s = f32[] add(a, b) }
nothing { ROOT x = f32[64,64] parameter(0) }
once { x = f32[64,64] parameter(0) ROOT y = f32[64,64] dot(x, x), lhs_contracting_dims={1}, rhs_contracting_dims={0} }
twice { x = f32[64,64] parameter(0) y = f32[64,64] dot(x, x), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  ROOT z = f32[64,64] dot(y, x), lhs_contracting_dims={1}, rhs_contracting_dims={0} }
"""


def report(*lines: str, mesh: tuple[tuple[str, int], ...] = (), **options: object) -> hc.Report:
    body = "\n  ".join(("p = f32[64,64] parameter(0)", *lines))
    return hc.Report(hc.parse(f"{HEADER}ENTRY e {{\n  {body}\n}}\n"), mesh=mesh, **options)


def permute(pairs: str) -> str:
    return f"ROOT c = f32[64,64] collective-permute(p), channel_id=1, source_target_pairs={{{pairs}}}"


def test_a_balanced_program_is_eight_times_one_device():
    counted = hc.Report(hc.parse(text("h100", "transformer_step_fsdp")), mesh=(("data", 8),))
    assert counted.devices.total == counted.total * 8
    assert [counted.devices.imbalance(name) for name in ("flops", "bytes", "network_bytes")] == [1.0] * 3
    shown = str(counted)
    assert "8 devices (data=8), counts are for one" in shown
    assert "every device has an equal share" in shown


def test_who_is_no_source_sends_nothing():
    counted = report(permute("{0,1},{1,2},{2,3},{3,4},{4,5},{5,6},{6,7}"))
    assert [cost.network_bytes for cost in counted.devices.costs] == [N] * 7 + [0]
    assert counted.network_bytes == N
    assert counted.devices.total.network_bytes == 7 * N
    assert counted.devices.imbalance("network_bytes") == 8 / 7
    assert "1.14 times the mean bytes sent" in str(counted)


def test_a_device_that_sends_to_itself_sends_nothing():
    counted = report(permute("{0,0},{1,2},{2,1}"))
    assert [cost.network_bytes for cost in counted.devices.costs] == [0, N, N, 0, 0, 0, 0, 0]


def test_groups_of_different_sizes():
    line = "ROOT c = f32[64,64] all-reduce(p), channel_id=1, replica_groups={{0,1,2,3},{4,5},{6},{7}}, "
    counted = report(line + "use_global_device_ids=true, to_apply=add")
    # In a ring of g devices each sends 2 (g - 1)/g of the operand.
    assert [cost.network_bytes for cost in counted.devices.costs] == [2 * N * 3 // 4] * 4 + [N] * 2 + [0] * 2
    assert counted.network_bytes == 2 * N * 3 // 4


IS_FIRST = ("d = u32[] partition-id()", "zero = u32[] constant(0)", "first = pred[] compare(d, zero), direction=EQ")
BY_PREDICATE = "ROOT r = f32[64,64] conditional(first, p, p), true_computation=twice, false_computation=once"
BY_INDEX = "ROOT r = f32[64,64] conditional(i, p, p, p), branch_computations={nothing, once, twice}"


def test_a_branch_taken_by_the_device_s_id_is_settled_for_each_device():
    counted = report(*IS_FIRST, BY_PREDICATE)
    assert counted.status == "estimate", "one device's count takes the dearest branch"
    assert counted.flops == 2 * PRODUCT
    devices = counted.devices
    assert [cost.flops for cost in devices.costs] == [2 * PRODUCT] + [PRODUCT] * 7
    assert (devices.total.flops, devices.total.status) == (9 * PRODUCT, "exact")
    assert devices.imbalance("flops") == 2 / (9 / 8)
    document = json.loads(counted.to_json())["all_devices"]
    assert (document["flops"], document["imbalance"]["flops"]) == (9 * PRODUCT, 2 / (9 / 8))


def test_an_index_beyond_the_branches_takes_the_last():
    counted = report("d = u32[] partition-id()", "i = s32[] convert(d)", BY_INDEX)
    assert [cost.flops for cost in counted.devices.costs] == [0, PRODUCT] + [2 * PRODUCT] * 6


def test_a_branch_that_the_data_decides_stays_an_estimate_on_every_device():
    counted = report(*IS_FIRST[1:2], "i = s32[] parameter(1)", BY_INDEX)
    assert {(cost.flops, cost.status) for cost in counted.devices.costs} == {(2 * PRODUCT, "estimate")}


def test_what_the_user_says_of_a_branch_holds_for_all_devices():
    source = report(*IS_FIRST, BY_PREDICATE).module
    counted = hc.count(source, branches={"r": 0})
    assert [cost.flops for cost in counted.devices.costs] == [PRODUCT] * 8


def test_replicas_and_partitions():
    module = """HloModule m, replica_count=2, num_partitions=2
once { x = f32[64,64] parameter(0) ROOT y = f32[64,64] dot(x, x), lhs_contracting_dims={1}, rhs_contracting_dims={0} }
nothing { ROOT x = f32[64,64] parameter(0) }
ENTRY e { p = f32[64,64] parameter(0) d = u32[] replica-id() i = s32[] convert(d)
  ROOT r = f32[64,64] conditional(i, p, p), branch_computations={nothing, once} }"""
    assert [cost.flops for cost in hc.count(module).devices.costs] == [0, 0, PRODUCT, PRODUCT]


@pytest.mark.parametrize("backend", ["cpu", "tpu-v5e", "h100"])
def test_one_device_is_all_devices(backend):
    counted = hc.count(text(backend, "transformer_step"))
    assert counted.devices.total == counted.total
    assert "all devices" not in str(counted)


def test_a_header_breaks_between_its_parts():
    counted = report(
        permute("{0,1},{1,0}"),
        mesh=(("data", 4), ("model", 2)),
        target="tpu:v5e:2x4",
        backend="tpu",
        jax_version="0.10.2",
    )
    long_name = hc.parse(counted.module.text.replace("HloModule m", f"HloModule {'name' * 8}, is_scheduled=true"))
    lines = str(hc.Report(long_name, mesh=counted.mesh, target="tpu:v5e:2x4", jax_version="0.10.2")).splitlines()
    assert len(lines[0]) <= 100
    assert [line.strip() for line in lines[:2]][1].split(" · ")[-1] == "1 FMA = 2 FLOP"


def test_thousands_of_devices():
    lines = [
        f"c{n} = f32[64,64] all-reduce(p), channel_id={n + 1}, replica_groups=[64,64]<=[64,64]T(1,0), "
        f"use_global_device_ids=true, to_apply=add"
        for n in range(200)
    ]
    source = report(*lines, "ROOT r = f32[64,64] add(c0, c1)").module.text.replace("partitions=8", "partitions=4096")
    counted = hc.Report(hc.parse(source), mesh=(("data", 64), ("model", 64)))
    (row,) = counted.collectives
    assert (row.label, row.runs) == ("all-reduce f32 over 64 (data)", 200)
    assert row.cost.network_bytes == 200 * (2 * N * 63 // 64)
    assert counted.devices.total.network_bytes == 4096 * row.cost.network_bytes
