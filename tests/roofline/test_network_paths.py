"""Which links a collective uses, and what leaves a node: arithmetic on groups and sizes."""

from __future__ import annotations

import dataclasses

import pytest

import hlo_count
from hlo_count.roofline.network_paths import bytes_beyond, collective_of, links_at_once
from hlo_count.visitors.network import Collective

N = 1 << 20
"""Elements of f32: 4 MiB."""
DOMAIN = 8


def found(instruction: str, devices: int) -> Collective:
    text = f"""HloModule m, num_partitions={devices}

add {{
  a = f32[] parameter(0)
  b = f32[] parameter(1)
  ROOT s = f32[] add(a, b)
}}

ENTRY e {{
  p = f32[{N}] parameter(0)
  ROOT r = {instruction}
}}
"""
    collective = collective_of(hlo_count.parse(text).entry.root)
    assert collective is not None
    return collective


def all_reduce(groups: str, config: str = "") -> str:
    return f"f32[{N}] all-reduce(p), channel_id=1, replica_groups={groups}, use_global_device_ids=true, to_apply=add{config}"


def test_all_reduce_over_two_nodes() -> None:
    """Each of 8 rings between the nodes carries an 8th of the whole, there and back: 2 N (2 - 1) / 2 / 8."""
    assert bytes_beyond(found(all_reduce("[1,16]<=[16]"), 16), DOMAIN) == 2 * 4 * N // 2 // 8


def test_one_device_of_each_node_sends_all() -> None:
    """Groups {0,8}, {1,9} ...: nobody of a group is near, and all that is sent leaves: 2 N (2 - 1) / 2."""
    assert bytes_beyond(found(all_reduce("[8,2]<=[2,8]T(1,0)"), 16), DOMAIN) == 2 * 4 * N // 2


def test_what_stays_in_a_node_leaves_none() -> None:
    assert bytes_beyond(found(all_reduce("[2,8]<=[16]"), 16), DOMAIN) == 0


def test_all_gather_over_two_nodes() -> None:
    """N x 16 in all; what the other node has, half of it, comes over 8 rings."""
    gathered = f"f32[{16 * N}] all-gather(p), channel_id=1, replica_groups=[1,16]<=[16], dimensions={{0}}, use_global_device_ids=true"
    assert bytes_beyond(found(gathered, 16), DOMAIN) == 16 * 4 * N // 2 // 8


def test_an_exchange_over_two_nodes() -> None:
    """A 16th for each device, 8 of which are elsewhere."""
    exchanged = f"f32[{N}] all-to-all(p), channel_id=1, replica_groups=[1,16]<=[16], dimensions={{0}}"
    assert bytes_beyond(found(exchanged, 16), DOMAIN) == 8 * 4 * N // 16


@pytest.mark.parametrize(("pairs", "beyond"), [("{{0,1},{1,0}}", 0), ("{{7,8},{8,7}}", 4 * N)])
def test_a_permutation_leaves_where_a_pair_does(pairs: str, beyond: int) -> None:
    sent = f"f32[{N}] collective-permute(p), channel_id=1, source_target_pairs={pairs}"
    assert bytes_beyond(found(sent, 16), DOMAIN) == beyond


def test_groups_without_end_are_not_listed() -> None:
    assert bytes_beyond(found(all_reduce(f"[1,{2**40}]<=[{2**40}]"), 2**40), DOMAIN) > 0


@pytest.mark.parametrize(
    ("strategy", "links"),
    [
        ("StrategyRing{colors:1 phases:1 cores:{8}", 2),  # one ring, in both directions
        ("UniDirection1DRingStrategy{colors:2 phases:1 cores:{8}", 2),
        ("UniDirectionNDRingStrategy{colors:4 phases:2 cores:{8 8}", 4),  # a plane: both axes, both ways
        ("StrategyND{colors:2 phases:2 cores:{16 16}", 4),
        ("UniDirectionNDRingStrategy{colors:6 phases:3 cores:{4 4 4}", 4),  # no more than there are
    ],
)
def test_links_by_the_strategy_that_libtpu_names(strategy: str, links: int) -> None:
    name = strategy.partition("{")[0]
    config = f', backend_config={{"collective_algorithm_config":{{"strategy":"{name}","debug":"\\n{strategy}"}}}}'
    assert links_at_once(found(all_reduce("[1,8]<=[8]", config), 8), 4) == links


def test_a_permutation_has_one_link_and_a_ring_two() -> None:
    sent = f"f32[{N}] collective-permute(p), channel_id=1, source_target_pairs={{{{0,1}},{{1,0}}}}"
    assert links_at_once(found(sent, 8), 4) == 1
    assert links_at_once(found(all_reduce("[1,8]<=[8]"), 8), 4) == 2


def test_the_estimate_takes_the_slower_network() -> None:
    """2 x 4 MiB x 15 / 16 at 370 GB/s between 8 and 2 x 4 MiB / 2 / 8 at 25 GB/s between nodes, each after what it takes to
    be under way: 30 and 76 us."""
    text = found(all_reduce("[1,16]<=[16]"), 16).instruction.computation.module.text
    report = hlo_count.count(text)
    device = hlo_count.device("h100-sxm")
    assert device.network is not None and device.dcn is not None and device.launch_overhead_s is not None
    roofline = report.roofline(device)
    within = 2 * 4 * N * 15 / 16 / device.network.bandwidth.typical + device.network.latency.typical
    beyond = 2 * 4 * N / 2 / 8 / device.dcn.bandwidth.typical + device.dcn.latency.typical
    (row,) = roofline.rows
    assert row.estimate == pytest.approx(max(within, beyond) + device.launch_overhead_s)
    assert roofline.bound is not None
    assert roofline.bound <= within  # all links at their ceiling, whatever algorithm is chosen


def test_a_profile_without_that_network_says_so() -> None:
    report = hlo_count.count(found(all_reduce("[1,16]<=[16]"), 16).instruction.computation.module.text)
    alone = dataclasses.replace(hlo_count.device("h100-sxm"), dcn=None)
    notes = report.roofline(alone).notes
    assert [note for note in notes if "among more devices than NVLink 4 joins (8)" in note and "dcn.bandwidth" in note]


def test_collectives_of_one_size_are_not_alike() -> None:
    """Two exchanges of 4 MiB: one among neighbours, one of which three quarters leave the node. The second takes as long
    as the network between nodes does, 50 GB/s, whichever of them stands first."""
    near, far = "{{0,1,2,3},{4,5,6,7},{8,9,10,11},{12,13,14,15}}", "{{0,4,8,12},{1,5,9,13},{2,6,10,14},{3,7,11,15}}"
    sent = "all-to-all({}), channel_id={}, replica_groups={}, dimensions={{0}}"
    for order in ((near, far), (far, near)):
        text = f"""HloModule m, num_partitions=16

ENTRY e {{
  p = f32[{N}] parameter(0)
  a = f32[{N}] {sent.format("p", 1, order[0])}
  ROOT b = f32[{N}] {sent.format("a", 2, order[1])}
}}
"""
        rows = {row.name: row for row in hlo_count.count(text).roofline("h100-sxm").rows}
        crossing = rows["b" if order[1] == far else "a"]
        assert crossing.limit == "network (InfiniBand NDR)"
        # of each four two are on the other node: two of the three quarters that are sent
        assert crossing.estimate >= 4 * N / 2 / 50e9
        assert sum(row.limit == crossing.limit for row in rows.values()) == 1


@pytest.mark.parametrize(("devices", "links"), [(8, 7), (4, 3), (2, 1)])
def test_links_that_go_to_one_device_each_are_used_by_their_group(devices: int, links: int) -> None:
    """MI350: 426 GB/s over 7 links. All that is sent of an all-reduce over d devices is 2 N (d - 1) / d."""
    groups = f"[{8 // devices},{devices}]<=[8]"
    text = found(all_reduce(groups), 8).instruction.computation.module.text
    device = hlo_count.device("mi350x")
    assert device.network is not None and device.network.is_mesh
    (row,) = hlo_count.count(text).roofline(device).rows
    sent = 2 * 4 * N * (devices - 1) // devices
    # 100 us until it is under way, and a kernel's launch
    assert row.estimate == pytest.approx(100e-6 + sent / (426e9 * links / 7) + device.launch_overhead_s, rel=1e-3)
    assert not hlo_count.device("h100-sxm").network.is_mesh  # 18 links to switches
