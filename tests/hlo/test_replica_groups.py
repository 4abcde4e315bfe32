"""Every spelling of replica groups, and what the listed numbers stand for."""

from __future__ import annotations

import pytest

from hlo_count.hlo import parse
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.replica_groups import collective_kind, group_size, groups, mesh_axes, source_target_pairs


def instruction(line: str, header: str = "") -> Instruction:
    add = "add {\n  a = f32[] parameter(0)\n  b = f32[] parameter(1)\n  ROOT s = f32[] add(a, b)\n}\n"
    text = f"HloModule m{header}\n{add}"
    module = parse(f"{text}ENTRY e {{\n  p = f32[8,8] parameter(0)\n  ROOT r = {line}\n}}\n")
    return module.entry.root


def all_reduce(attributes: str, header: str = "") -> Instruction:
    return instruction(f"f32[8,8] all-reduce(p), {attributes}, to_apply=add", header)


GLOBAL = ", channel_id=1, use_global_device_ids=true"

SPELLINGS = [
    ("{{0,1},{2,3}}", [(0, 1), (2, 3)]),
    ("{{0, 1}, {2, 3}}", [(0, 1), (2, 3)]),
    ("{{3,0,1}}", [(3, 0, 1)]),
    ("{{0},{1,2}}", [(0,), (1, 2)]),
    ("[2,4]<=[8]", [(0, 1, 2, 3), (4, 5, 6, 7)]),
    ("[4,2]<=[2,4]T(1,0)", [(0, 4), (1, 5), (2, 6), (3, 7)]),
    ("[4,2]<=[2,2,2]T(0,2,1)", [(0, 2), (1, 3), (4, 6), (5, 7)]),
    ("mesh['a'=4,'b'=1] {'a'}", [(0, 1, 2, 3)]),
    ("mesh['a'=2,'b'=4] {'a'}", [(0, 4), (1, 5), (2, 6), (3, 7)]),
    ("mesh['a'=2,'b'=2] {'a','b'}", [(0, 1, 2, 3)]),
    ("mesh['a'=2,'b'=2] {'b','a'}", [(0, 2, 1, 3)]),
    ("mesh['a'=4] {}", [(0,), (1,), (2,), (3,)]),
    ("mesh['a'=4], device_ids=(3,2,1,0) {'a'}", [(3, 2, 1, 0)]),
    # [2,4]T(1,0) lays the devices out as 0,4,1,5,2,6,3,7, which a 4 by 2 mesh reads row by row.
    ("mesh['a'=4,'b'=1,'c'=2], device_ids=([2,4]T(1,0)) {'a'}", [(0, 1, 2, 3), (4, 5, 6, 7)]),
    ("mesh['a'=2,'b'=4], device_ids=([8]) {'b'}", [(0, 1, 2, 3), (4, 5, 6, 7)]),
    # Sub-axes, with the examples of XLA's own comments: 8 is taken as 1·2·4, and as 2·2·2.
    ("mesh['a'=8] {'a':(1)2}", [(0, 4), (1, 5), (2, 6), (3, 7)]),
    ("mesh['a'=8] {'a':(1)2,'a':(4)2}", [(0, 1, 4, 5), (2, 3, 6, 7)]),
    ("mesh['a'=8] {'a':(4)2,'a':(1)2}", [(0, 4, 1, 5), (2, 6, 3, 7)]),
    ("maximal_mesh[device_id=3] {}", [(3,)]),
]


@pytest.mark.parametrize(("text", "expected"), SPELLINGS)
def test_every_spelling_of_groups(text, expected):
    assert list(groups(all_reduce(f"replica_groups={text}{GLOBAL}"))) == expected


HEADER = ", replica_count=2, num_partitions=4"  # device = replica · 4 + partition
LISTED = [
    ("all-reduce", "", "{{0,1}}", [(0, 4), (1, 5), (2, 6), (3, 7)]),
    ("all-reduce", "", "{}", [(0, 4), (1, 5), (2, 6), (3, 7)]),
    ("all-to-all", ", channel_id=1", "{{0,1},{2,3}}", [(0, 1), (2, 3), (4, 5), (6, 7)]),
    ("collective-broadcast", ", channel_id=1", "{}", [(0, 1, 2, 3), (4, 5, 6, 7)]),
    ("all-reduce", ", channel_id=1", "{{0},{1}}", [(0, 1, 2, 3), (4, 5, 6, 7)]),
    ("all-reduce", ", channel_id=1, use_global_device_ids=false", "{{0,1}}", [tuple(range(8))]),
    ("all-reduce", GLOBAL, "{{0,7},{1,6}}", [(0, 7), (1, 6)]),
    ("all-reduce", GLOBAL, "{}", [tuple(range(8))]),
]


@pytest.mark.parametrize(("opcode", "channel", "listed", "expected"), LISTED)
def test_what_the_list_holds_depends_on_channel_and_global_ids(opcode, channel, listed, expected):
    applied = ", to_apply=add" if opcode == "all-reduce" else ""
    found = groups(instruction(f"f32[8,8] {opcode}(p), replica_groups={listed}{channel}{applied}", HEADER))
    assert [sorted(group) for group in found] == [sorted(group) for group in expected]


def test_no_groups_at_all_are_all_replicas():
    assert group_size(all_reduce("channel_id=1", ", replica_count=4")) == 4
    assert group_size(instruction("f32[8,8] all-reduce(p), to_apply=add", ", replica_count=4")) == 4


def test_the_largest_group_is_the_size():
    assert group_size(all_reduce(f"replica_groups={{{{0}},{{1,2,3}}}}{GLOBAL}")) == 3


@pytest.mark.parametrize("text", ["new[8]", "mesh['a'=4] {'b'}"])
def test_a_spelling_that_is_none_is_unknown(text):
    odd = all_reduce(f"replica_groups={text}{GLOBAL}")
    assert groups(odd) is None
    assert group_size(odd) is None


def test_what_is_no_collective_has_no_groups():
    assert groups(instruction("f32[8,8] negate(p)")) is None


def test_pairs_list_partitions_with_a_channel_and_replicas_without():
    line = "f32[8,8] collective-permute(p), source_target_pairs={{0,1},{1,0}}"
    assert list(source_target_pairs(instruction(line + ", channel_id=1", HEADER))) == [
        (0, 1),
        (1, 0),
        (4, 5),
        (5, 4),
    ]
    by_replica = source_target_pairs(instruction(line, HEADER))
    assert list(by_replica) == [pair for p in range(4) for pair in ((p, 4 + p), (4 + p, p))]


def test_groups_of_a_permute_are_what_its_pairs_connect():
    permute = instruction("f32[8,8] collective-permute(p), channel_id=1, source_target_pairs={{0,1},{1,2},{4,5}}")
    assert list(groups(permute)) == [(0, 1, 2), (4, 5)]


MESH = {"data": 2, "one": 1, "model": 4}
AXES = [
    ([(0, 4), (1, 5), (2, 6), (3, 7)], ("data",)),
    ([(0, 1, 2, 3), (4, 5, 6, 7)], ("model",)),
    ([(7, 6, 5, 4), (3, 1, 2, 0)], ("model",)),
    ([(0, 1, 2, 3, 4, 5, 6, 7)], ("data", "model")),
    ([(d,) for d in range(8)], ()),
    ([(0, 1), (2, 3), (4, 5), (6, 7)], None),  # half of an axis
    ([(0, 5), (1, 4), (2, 6), (3, 7)], None),
    ([(0, 1, 2, 3)], None),  # the others take no part
    ([], None),
]


@pytest.mark.parametrize(("grouping", "expected"), AXES)
def test_groups_name_the_axes_of_a_mesh_where_they_lie_along_some(grouping, expected):
    assert mesh_axes(grouping, MESH) == expected


KINDS = [
    ("f32[8,8] all-reduce-start(p), to_apply=add", "all-reduce"),
    ("((f32[8,8]), f32[8,8]) all-to-all-start(p)", "all-to-all"),
    ("((f32[8,8]), f32[1,8]) reduce-scatter-start(p), dimensions={0}, to_apply=add", "reduce-scatter"),
    ("(f32[8,8], f32[8,8]) copy-start(p)", None),
    ("f32[8,8] copy(p)", None),
]


@pytest.mark.parametrize(("line", "kind"), KINDS)
def test_kind_is_the_opcode_without_start(line, kind):
    assert collective_kind(instruction(line)) == kind
