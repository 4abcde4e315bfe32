"""Transfers between slices, as texts spell them."""

from __future__ import annotations

import pytest

import hlo_count as hc

N = 4 * 8 * 128  # bytes of f32[8,128]
ATTRIBUTES = (
    'is_host_transfer=true, frontend_attributes={_xla_host_transfer_handler_name="xla_megascale_runtime",'
    '_xla_megascale_target=%s,_xla_megascale_transfer_type="%s"}'
)


def program(target: str, kind: str, partitions: int = 4) -> str:
    said = ATTRIBUTES % (target, kind)
    return f"""HloModule m, num_partitions={partitions}
ENTRY e {{
  p = f32[8,128] parameter(0)
  k = token[] after-all()
  s = (f32[8,128], u32[], token[]) send(p, k), channel_id=1, {said}
  v = (f32[8,128], u32[], token[]) recv(k), channel_id=2, {said}
  d = token[] send-done(s), channel_id=1, is_host_transfer=true
  w = (f32[8,128], token[]) recv-done(v), channel_id=2, is_host_transfer=true
  ROOT r = f32[8,128] get-tuple-element(w), index=0
}}
"""


# (target, type, devices, kind, devices in a group, bytes that one sends)
SPELLINGS = [
    ('"{1,2}x{0:3}"', "ALL_REDUCE", 8, "all-reduce", 2, N),  # 2 · N / 2
    ('"{1,2,3}x{0:3}"', "ALL_REDUCE", 12, "all-reduce", 3, -(-4 * N // 3)),
    ('"{1,2}x{0:3}"', "ALL_GATHER", 8, "all-gather", 2, N),
    ('"{1,2}x{0:3}"', "REDUCE_SCATTER", 8, "reduce-scatter", 2, N // 2),
    ("{{100000,300000},{100001,300001},{100002,300002},{100003,300003}}", "ALL_REDUCE", 12, "all-reduce", 2, N),
    ("{{100000,200000},{100001,200001},{100002,200002},{100003,200003}}", "ALL_TO_ALL", 8, "all-to-all", 2, N // 2),
    ("{{100003->200000},{200003->100000}}", "ONE_TO_ONE", 8, "collective-permute", 2, N),
]


@pytest.mark.parametrize(("target", "type_", "devices", "kind", "size", "sent"), SPELLINGS)
def test_a_transfer_is_the_collective_that_it_says(target, type_, devices, kind, size, sent):
    report = hc.count(program(target, type_))
    assert report.num_devices == devices
    (row,) = report.collectives
    assert (row.kind, row.group_size, row.across_slices) == (kind, size, True)
    assert (report.network_bytes, report.dcn_bytes, report.status) == (sent, sent, "exact")
    assert f"{kind} f32 over {size} across slices" in report.by("collective")


def test_one_device_a_slice():
    report = hc.count(program('"{1,2}x{0}"', "ALL_REDUCE", partitions=1))
    assert (report.num_devices, report.dcn_bytes) == (2, N)


def test_only_sources_send():
    costs = hc.count(program("{{100003->200000},{200003->100000}}", "ONE_TO_ONE")).devices.costs
    assert [cost.dcn_bytes for cost in costs] == [0, 0, 0, N, 0, 0, 0, N]


@pytest.mark.parametrize("target", ['"{1,2}x{0:1}"', '"{1,2}x{0:3,8}"', "{{0,1}}", '"all"'])
def test_a_spelling_that_is_not_known_is_an_unknown(target):
    report = hc.count(program(target, "ALL_REDUCE"))
    (unknown,) = report.unknowns
    assert unknown.instruction == "s" and "does not tell how many devices take part" in unknown.reason
    assert report.status == "lower bound"


def test_a_type_that_is_not_known_is_an_unknown():
    report = hc.count(program('"{1,2}x{0:3}"', "GOSSIP"))
    assert report.status == "lower bound" and "GOSSIP" in report.unknowns[0].reason


def test_what_goes_to_the_host_is_no_transfer_between_slices():
    text = (
        program("{}", "").replace("xla_megascale_runtime", "tf_rendezvous").replace("_xla_megascale_transfer_type", "x")
    )
    report = hc.count(text)
    assert (report.num_devices, report.network_bytes, report.collectives) == (4, 0, [])


def test_the_slice_of_a_device_settles_its_branch():
    text = """HloModule m, num_partitions=2
short { x = f32[8] parameter(0) ROOT y = f32[8] add(x, x) }
long { x = f32[8] parameter(0) z = f32[8] add(x, x) ROOT y = f32[8] add(z, x) }
ENTRY e {
  p = f32[8] parameter(0)
  k = token[] after-all()
  s = (f32[8], u32[], token[]) send(p, k), channel_id=1, is_host_transfer=true, frontend_attributes={_xla_megascale_target="{1,2}x{0:1}",_xla_megascale_transfer_type="ALL_REDUCE"}
  d = token[] send-done(s), channel_id=1, is_host_transfer=true
  i = u32[] custom-call(), custom_call_target="SliceId"
  c = s32[] convert(i)
  ROOT r = f32[8] conditional(c, p, p), branch_computations={short, long}
}
"""
    assert [cost.flops for cost in hc.count(text).devices.costs] == [8, 8, 16, 16]
