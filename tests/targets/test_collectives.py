"""`by("collective")`: every opcode, synchronous and not, by type, group and axes; written texts and stored ones."""

from __future__ import annotations

import json

import pytest
from fixture_files import text

import hlo_count as hc
from fixtures.arithmetic import ring
from fixtures.programs import transformer as step

N = 4 * 64 * 128  # bytes of f32[64,128]
MESH = (("data", 4), ("model", 2))
ALL, DATA, MODEL = "{{0,1,2,3,4,5,6,7}}", "{{0,2,4,6},{1,3,5,7}}", "{{0,1},{2,3},{4,5},{6,7}}"
HEADER = (
    "HloModule m, num_partitions=8\nadd { a = f32[] parameter(0) b = f32[] parameter(1) ROOT s = f32[] add(a, b) }\n"
)


def entry(*lines: str, root: str = "f32[64,128] negate(p)") -> str:
    body = "\n  ".join(("p = f32[64,128] parameter(0)", *lines, f"ROOT r = {root}"))
    return f"{HEADER}ENTRY e {{\n  {body}\n}}\n"


def groups(listed: str, *, ids: bool = True) -> str:
    return f"channel_id=1, replica_groups={listed}" + (", use_global_device_ids=true" if ids else "")


def report(source: str, mesh: tuple[tuple[str, int], ...] = MESH) -> hc.Report:
    return hc.Report(hc.parse(source), mesh=mesh)


# (lines, label, bytes that one device sends)
OPCODES = [
    ([f"c = f32[64,128] all-reduce(p), {groups(ALL)}, to_apply=add"], "all-reduce f32 over 8 (data, model)", ring(N, 8, 2)),
    (
        [f"s = f32[64,128] all-reduce-start(p), {groups(DATA)}, to_apply=add", "c = f32[64,128] all-reduce-done(s)"],
        "all-reduce f32 over 4 (data)",
        ring(N, 4, 2),
    ),
    ([f"c = f32[128,128] all-gather(p), {groups(MODEL)}, dimensions={{0}}"], "all-gather f32 over 2 (model)", ring(2 * N, 2)),
    (
        [
            f"s = (f32[64,128], f32[256,128]) all-gather-start(p), {groups(DATA)}, dimensions={{0}}",
            "c = f32[256,128] all-gather-done(s)",
        ],
        "all-gather f32 over 4 (data)",
        ring(4 * N, 4),
    ),
    (
        [f"c = f32[8,128] reduce-scatter(p), {groups(ALL)}, dimensions={{0}}, to_apply=add"],
        "reduce-scatter f32 over 8 (data, model)",
        ring(N, 8),
    ),
    (
        [
            f"s = ((f32[64,128]), f32[16,128]) reduce-scatter-start(p), {groups(DATA)}, dimensions={{0}}, to_apply=add",
            "c = f32[16,128] reduce-scatter-done(s)",
        ],
        "reduce-scatter f32 over 4 (data)",
        ring(N, 4),
    ),
    (
        [f"c = f32[64,128] all-to-all(p), {groups(MODEL, ids=False)}, dimensions={{0}}"],
        "all-to-all f32 over 2 (model)",
        ring(N, 2),
    ),
    (
        [
            f"s = ((f32[64,128]), f32[64,128]) all-to-all-start(p), {groups(DATA, ids=False)}, dimensions={{0}}",
            "c = f32[64,128] all-to-all-done(s)",
        ],
        "all-to-all f32 over 4 (data)",
        ring(N, 4),
    ),
    (
        ["c = f32[64,128] collective-permute(p), channel_id=1, source_target_pairs={{0,1},{1,0},{2,3},{3,2},{4,5},{5,4},{6,7},{7,6}}"],
        "collective-permute f32 over 2 (model)",
        N,
    ),
    (
        [
            "s = (f32[64,128], f32[64,128]) collective-permute-start(p), channel_id=1, source_target_pairs={{0,1},{1,2}}",
            "c = f32[64,128] collective-permute-done(s)",
        ],
        "collective-permute f32 over 3",  # along no axis
        N,
    ),
    ([f"c = f32[64,128] collective-broadcast(p), {groups(DATA, ids=False)}"], "collective-broadcast f32 over 4 (data)", N),
]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "label", "sent"), OPCODES, ids=[case[0][0].split("(p)")[0][-24:] for case in OPCODES]
)
def test_each_opcode_has_a_row_of_its_kind(lines, label, sent):
    counted = report(entry(*lines))
    assert {name: cost.network_bytes for name, cost in counted.by("collective").items()} == {label: sent}
    assert counted.network_bytes == sent
    (row,) = counted.collectives
    assert (row.label, row.instructions, row.runs, row.cost.network_bytes) == (label, 1, 1, sent)


def test_synchronous_and_asynchronous_ones_that_are_alike_share_a_row():
    gather = f"{groups(DATA)}, dimensions={{0}}"
    counted = report(
        entry(
            f"a = f32[256,128] all-gather(p), {gather}",
            f"s = (f32[64,128], f32[256,128]) all-gather-start(p), {gather}",
            "c = f32[256,128] all-gather-done(s)",
        )
    )
    (row,) = counted.collectives
    assert (row.kind, row.instructions, row.runs) == ("all-gather", 2, 2)
    assert row.cost.network_bytes == 2 * ring(4 * N, 4)


LOOP = (
    HEADER
    + """
body { t = (s32[], f32[64,128]) parameter(0) i = s32[] get-tuple-element(t), index=0
  x = f32[64,128] get-tuple-element(t), index=1 one = s32[] constant(1) n = s32[] add(i, one)
  y = f32[64,128] all-reduce(x), channel_id=1, replica_groups=[2,4]<=[4,2]T(1,0), use_global_device_ids=true, to_apply=add
  ROOT o = (s32[], f32[64,128]) tuple(n, y) }
cond { t = (s32[], f32[64,128]) parameter(0) i = s32[] get-tuple-element(t), index=0
  n = s32[] BOUND ROOT c = pred[] compare(i, n), direction=LT }
ENTRY e { p = f32[64,128] parameter(0) z = s32[] constant(0) t = (s32[], f32[64,128]) tuple(z, p)
  ROOT w = (s32[], f32[64,128]) while(t), condition=cond, body=body }
"""
)


def test_a_collective_in_a_loop_runs_with_every_trip():
    (row,) = report(LOOP.replace("BOUND", "constant(6)")).collectives
    assert (row.label, row.instructions, row.runs) == ("all-reduce f32 over 4 (data)", 1, 6)
    assert row.cost.network_bytes == 6 * ring(N, 4, 2)


def test_a_loop_of_unknown_length_makes_what_is_sent_a_lower_bound():
    counted = report(LOOP.replace("n = s32[] BOUND", 'n = s32[] custom-call(), custom_call_target="elsewhere"'))
    for key in ("collective", "memory_space"):
        groups_found = counted.by(key)
        assert len(groups_found) == 1, "a loop is no row of its own"
        assert {cost.status for cost in groups_found.values()} == {"lower bound"}


def test_groups_that_cannot_be_read_are_refused():
    with pytest.raises(hc.ParseError, match=r"c has replica_groups=<odd>: expected groups, \{\{0,1\},\{2,3\}\} or"):
        report(entry("c = f32[64,128] all-reduce(p), channel_id=1, replica_groups=<odd>, to_apply=add"))


def test_element_types_that_are_combined_are_all_named():
    line = f"c = (f32[64,128], bf16[64,128]) all-reduce(p, h), {groups(ALL)}, to_apply=add"
    counted = report(entry("h = bf16[64,128] convert(p)", line))
    assert list(counted.by("collective")) == ["all-reduce f32+bf16 over 8 (data, model)"]


def test_a_kernel_whose_formula_sends_is_among_them():
    @hc.custom_call("ring_kernel_of_this_test")
    def ring_kernel(instruction):
        return hc.Cost.network(instruction.shape.bytes)

    counted = report(entry('k = f32[64,128] custom-call(p), custom_call_target="ring_kernel_of_this_test"'))
    assert {name: cost.network_bytes for name, cost in counted.by("collective").items()} == {
        "ring_kernel_of_this_test f32 over ?": N
    }
    assert sum(row.cost.network_bytes for row in counted.collectives) == counted.network_bytes == N


# The parameters of the step, whole, as each compiler sends them.
TABLE, LAYERS = step.VOCAB * step.WIDTH, step.LAYERS * (4 * step.WIDTH**2 + 2 * step.WIDTH * step.HIDDEN)
FSDP = {
    "h100": {"all-gather f32 over 8 (data)": 4 * (2 * TABLE + LAYERS), "reduce-scatter f32 over 8 (data)": 4 * (2 * TABLE + LAYERS)},
    # Every matrix that only a product reads is gathered in bf16, what the matrix unit takes; embedding rows are
    # looked up in f32, and their gradient, a scatter, is all-reduced instead.
    "tpu-v5e": {
        "all-gather f32 over 8 (data)": 4 * TABLE,
        "all-gather bf16 over 8 (data)": 2 * (TABLE + LAYERS),
        "reduce-scatter f32 over 8 (data)": 4 * (TABLE + LAYERS),
    },
}  # fmt: skip


@pytest.mark.parametrize("backend", FSDP)
def test_fully_sharded_parameters_are_gathered_once_and_their_gradients_scattered_once(backend):
    counted = report(text(backend, "transformer_step_fsdp"), (("data", 8),))
    sent = {name: cost.network_bytes for name, cost in counted.by("collective").items()}
    assert {name: sent[name] for name in FSDP[backend]} == {name: ring(size, 8) for name, size in FSDP[backend].items()}
    assert sum(sent.values()) == counted.network_bytes
    assert counted.status == "exact"


@pytest.mark.parametrize("backend", ["cpu", "tpu-v5e", "h100"])
@pytest.mark.parametrize("name", ["transformer_step_fsdp", "transformer_step_tensor", "ring_matmul", "psum_subgroups"])
def test_rows_add_up_and_table_and_json_have_them(backend, name):
    counted = report(text(backend, name), ())
    rows = counted.by("collective")
    assert sum(cost.network_bytes for cost in rows.values()) == counted.network_bytes > 0
    assert {row.label: row.cost for row in counted.collectives} == rows
    assert list(rows) == [row.label for row in counted.collectives]
    table = counted.table("collective")
    assert all(label in table for label in rows)
    assert max(map(len, table.splitlines())) <= 100
    document = json.loads(counted.to_json())
    assert [row["network_bytes"] for row in document["collectives"]] == [c.network_bytes for c in rows.values()]
    assert document["all_devices"]["network_bytes"] == 8 * counted.network_bytes


def test_axes_of_a_tensor_parallel_step():
    counted = report(text("h100", "transformer_step_tensor"), (("data", 2), ("model", 4)))
    assert set(counted.by("collective")) == {"all-reduce f32 over 4 (model)", "all-reduce f32 over 2 (data)"}


def test_a_program_that_sends_nothing_has_no_rows():
    counted = report(entry())
    assert counted.by("collective") == {} and counted.collectives == []
    assert "no collectives" in counted.table("collective")
