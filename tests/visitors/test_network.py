"""What a device sends: arithmetic on shapes and group sizes, and the stored texts of three compilers."""

from __future__ import annotations

import pytest
from fixture_files import compiled_names, text

from fixtures.arithmetic import ring
from fixtures.programs.transformer import HIDDEN, LAYERS, VOCAB, WIDTH
from fixtures.registry import programs
from hlo_count.hlo import parse
from hlo_count.hlo.instruction import Instruction
from hlo_count.hlo.module import Module
from hlo_count.visitors.network import collective, continues_collective, network_bytes

ADD = "add {\n  a = f32[] parameter(0)\n  b = f32[] parameter(1)\n  ROOT s = f32[] add(a, b)\n}\n"


def root(line: str, *, before: str = "") -> Instruction:
    body = f"  p = f32[8,16] parameter(0)\n  q = s32[4] parameter(1)\n{before}  ROOT r = {line}\n"
    return parse(f"HloModule m, num_partitions=8\n{ADD}ENTRY e {{\n{body}}}\n").entry.root


FULL = 4 * 8 * 16
FOUR = "replica_groups=[2,4]<=[8], channel_id=1, use_global_device_ids=true"
BY_CHANNEL = "replica_groups=[2,4]<=[8], channel_id=1"
SENT = [
    (f"f32[8,16] all-reduce(p), {FOUR}, to_apply=add", ring(FULL, 4, 2)),
    (f"f32[8,16] all-reduce-start(p), {FOUR}, to_apply=add", ring(FULL, 4, 2)),
    (f"(f32[8,16], f32[8,16]) all-reduce(p, p), {FOUR}, to_apply=add", ring(2 * FULL, 4, 2)),
    (f"f32[32,16] all-gather(p), {FOUR}, dimensions={{0}}", ring(4 * FULL, 4)),
    (f"(f32[8,16], f32[32,16]) all-gather-start(p), {FOUR}, dimensions={{0}}", ring(4 * FULL, 4)),
    (f"f32[2,16] reduce-scatter(p), {FOUR}, dimensions={{0}}, to_apply=add", ring(FULL, 4)),
    (
        f"((f32[8,16]), f32[2,16]) reduce-scatter-start(p), {FOUR}, dimensions={{0}}, to_apply=add",
        ring(FULL, 4),
    ),
    (f"f32[8,16] all-to-all(p), {BY_CHANNEL}, dimensions={{0}}", ring(FULL, 4)),
    (f"(f32[8,16], f32[8,16]) all-to-all(p, p), {BY_CHANNEL}", ring(2 * FULL, 4)),
    (f"((f32[8,16]), f32[8,16]) all-to-all-start(p), {BY_CHANNEL}, dimensions={{0}}", ring(FULL, 4)),
    (f"f32[8,16] ragged-all-to-all(p, p, q, q, q, q), {BY_CHANNEL}", ring(FULL, 4)),
    (f"f32[8,16] collective-broadcast(p), {BY_CHANNEL}", FULL),
    ("f32[8,16] collective-broadcast(p), replica_groups=[8,1]<=[8], channel_id=1", 0),
    (
        f"f32[8,16] all-reduce(p), {FOUR.replace('[2,4]', '[8,1]')}, to_apply=add",
        0,
    ),
    ("f32[8,16] collective-permute(p), channel_id=1, source_target_pairs={{0,1}}", FULL),
    ("f32[8,16] collective-permute(p), channel_id=1, source_target_pairs={}", 0),
    ("f32[8,16] collective-permute(p), channel_id=1, source_target_pairs={{0,0},{1,1}}", 0),
    (
        "(f32[8,16], f32[8,16]) collective-permute-start(p), channel_id=1, source_target_pairs={{0,1}}",
        FULL,
    ),
    ("(f32[8,16], s32[4]) collective-permute(p, q), channel_id=1, source_target_pairs={{0,1}}", FULL + 16),
    ("f32[8,16] negate(p)", 0),
]


@pytest.mark.parametrize(("line", "expected"), SENT)
def test_ring_formulas(line, expected):
    assert network_bytes(root(line)) == expected


def test_a_fraction_of_a_byte_rounds_up_once():
    three = parse(
        f"HloModule m, replica_count=4\n{ADD}ENTRY e {{\n  x = s8[3] parameter(0)\n"
        "  ROOT r = (s8[3], s8[3]) all-reduce(x, x), replica_groups={}, to_apply=add\n}\n"
    ).entry.root
    assert network_bytes(three) == 9  # 2 · 6 · 3/4, not 2 · ceil(2 · 3 · 3/4)


def test_tiles_pad_memory_and_not_the_network():
    line = f"f32[32,16]{{1,0:T(8,128)}} all-gather(t), {FOUR}, dimensions={{0}}"
    padded = root(line, before="  t = f32[8,16]{1,0:T(8,128)} copy(p)\n")
    assert network_bytes(padded) == ring(4 * FULL, 4)


def test_halves_of_a_pair_after_the_start_send_nothing():
    start = f"  s = f32[8,16] all-reduce-start(p), {FOUR}, to_apply=add\n"
    assert network_bytes(root("f32[8,16] all-reduce-done(s)", before=start)) == 0
    wrapped = f"  s = ((f32[8,16]), f32[8,16], s32[]) all-to-all-start(p), {BY_CHANNEL}, dimensions={{0}}\n"
    update = "  u = ((f32[8,16]), f32[8,16], s32[]) all-to-all-update(s)\n"
    done = root("f32[8,16] all-to-all-done(u)", before=wrapped + update)
    assert [network_bytes(i) for i in done.computation] == [0, 0, ring(FULL, 4), 0, 0]


def test_an_async_start_with_a_computation_leaves_the_count_to_it():
    module = parse(
        "HloModule m, num_partitions=4\nwrapped {\n  x = f32[8,16] parameter(0)\n"
        "  ROOT c = f32[8,16] all-to-all(x), channel_id=1, replica_groups={{0,1,2,3}}, dimensions={0}\n}\n"
        "ENTRY e {\n  p = f32[8,16] parameter(0)\n"
        "  s = ((f32[8,16]), f32[8,16], s32[]) async-start(p), calls=wrapped\n"
        "  ROOT d = f32[8,16] async-done(s), calls=wrapped\n}\n"
    )
    sent = {i.name: network_bytes(i) for i in module.instructions()}
    assert sent == {"x": 0, "c": ring(FULL, 4), "p": 0, "s": 0, "d": 0}


def test_send_counts_its_data_and_only_on_sources():
    send = "(f32[8,16], u32[], token[]) send(p, k), channel_id=1"
    before = "  k = token[] after-all()\n"
    pairs = ', frontend_attributes={_xla_send_recv_source_target_pairs="{{0,1},{1,2}}"}'
    nobody = ', frontend_attributes={_xla_send_recv_source_target_pairs="{}"}'
    assert network_bytes(root(send, before=before)) == FULL
    assert network_bytes(root(send + pairs, before=before)) == FULL
    assert network_bytes(root(send + nobody, before=before)) == 0
    assert network_bytes(root(send + ", is_host_transfer=true", before=before)) == 0
    assert network_bytes(root("(f32[8,16], u32[], token[]) recv(k), channel_id=1", before=before)) == 0


def test_a_permute_of_slices_sends_the_slices():
    line = "f32[8,16] collective-permute(p, p, o, o), channel_id=1, source_target_pairs={{0,1}}"
    line += ", slice_sizes={{2,16}}"
    before = "  c = s32[] constant(0)\n  o = (s32[], s32[]) tuple(c, c)\n"
    assert network_bytes(root(line, before=before)) == 4 * 2 * 16


def test_groups_that_cannot_be_told_leave_the_bytes_unknown():
    odd = root("f32[8,16] all-reduce(p), replica_groups=new[8], channel_id=1, to_apply=add")
    assert network_bytes(odd) is None
    found = collective(odd)
    assert found is not None
    assert (found.kind, found.group_size, found.bytes_sent, found.groups) == ("all-reduce", None, None, None)


def test_the_record_of_a_collective():
    found = collective(root(f"(f32[8,16], f32[32,16]) all-gather-start(p), {FOUR}, dimensions={{0}}"))
    assert found is not None
    assert (found.kind, found.dtype, found.group_size) == ("all-gather", "f32", 4)
    assert found.groups is not None
    assert list(found.groups) == [(0, 1, 2, 3), (4, 5, 6, 7)]
    assert found.groups_text == "[2,4]<=[8]"
    assert collective(root("f32[8,16] negate(p)")) is None


def all_reduce_then_slice(*, index: str, opcode: str = "fusion", rows: int = 2, root_line: str = "") -> Instruction:
    inside = (
        f"  x = f32[8,16] parameter(0)\n  r = f32[8,16] all-reduce(x), {FOUR}, to_apply=add\n"
        "  id = u32[] partition-id()\n  two = u32[] constant(2)\n  zero = u32[] constant(0)\n"
        "  at = u32[] multiply(id, two)\n  b = f32[8,16] bitcast(r)\n"
        f"  {'ROOT ' if not root_line else ''}d = f32[{rows},16] dynamic-slice(b, {index}, zero), "
        f"dynamic_slice_sizes={{{rows},16}}\n{root_line}"
    )
    attribute = "kind=kCustom, calls=inside" if opcode == "fusion" else "to_apply=inside"
    shape = f"f32[{rows},16]" if not root_line else "(f32[2,16], f32[8,16])"
    module = parse(
        f"HloModule m, num_partitions=8\n{ADD}inside {{\n{inside}}}\n"
        f"ENTRY e {{\n  p = f32[8,16] parameter(0)\n  ROOT f = {shape} {opcode}(p), {attribute}\n}}\n"
    )
    return module.computations["inside"]["r"]


def test_an_all_reduce_that_keeps_only_the_devices_part_is_a_reduce_scatter():
    disguised = all_reduce_then_slice(index="at")
    assert network_bytes(disguised) == ring(FULL, 4)
    found = collective(disguised)
    assert found is not None
    assert found.kind == "reduce-scatter"


NO_DISGUISE = {
    "every device takes the same part": {"index": "two"},
    "not 1/g of it": {"index": "at", "rows": 4},
    "no fusion": {"index": "at", "opcode": "call"},
    "the whole is used too": {"index": "at", "root_line": "  ROOT t = (f32[2,16], f32[8,16]) tuple(d, r)\n"},
}


@pytest.mark.parametrize("case", NO_DISGUISE)
def test_what_is_no_reduce_scatter_in_disguise(case):
    assert network_bytes(all_reduce_then_slice(**NO_DISGUISE[case])) == ring(FULL, 4, 2)


def runs(module: Module) -> dict[str, int]:
    """How often each computation runs; every loop of the transformer runs once a layer."""
    times = {module.entry.name: 1}
    for computation in reversed(module.computations.values()):
        for instruction in computation:
            for role, callee in instruction.called:
                trips = LAYERS if instruction.opcode == "while" and role == "body" else 1
                times[callee.name] = times.get(callee.name, 0) + times.get(computation.name, 0) * trips
    return times


PARALLEL = [p for p in programs() if "network_bytes" in p.expect and p.name != "ring_matmul"]


@pytest.mark.parametrize("backend", ["cpu", "tpu-v5e", "h100"])
@pytest.mark.parametrize("program", PARALLEL, ids=lambda p: p.name)
def test_stored_collectives(program, backend):
    assert program.name in compiled_names(backend)
    module = parse(text(backend, program.name))
    assert sum(map(network_bytes, module.instructions())) == program.expected(backend)["network_bytes"]


MATRICES = LAYERS * (4 * WIDTH**2 + 2 * WIDTH * HIDDEN)  # elements of the four matrices of each layer
TABLES = VOCAB * WIDTH  # of one of the two tables


def sent_by_kind(backend: str, name: str) -> dict[str, int]:
    module = parse(text(backend, name))
    times = runs(module)
    sent: dict[str, int] = {}
    for instruction in module.instructions():
        found = collective(instruction)
        if found is not None:
            assert found.bytes_sent is not None
            total = times[instruction.computation.name] * found.bytes_sent
            sent[found.kind] = sent.get(found.kind, 0) + total
    return sent


def test_fsdp_on_h100_gathers_each_parameter_once_and_scatters_its_gradient():
    sent = sent_by_kind("h100", "transformer_step_fsdp")
    assert sent["all-gather"] == ring(4 * (MATRICES + 2 * TABLES), 8)
    assert sent["reduce-scatter"] == ring(4 * (MATRICES + 2 * TABLES), 8)


def test_fsdp_on_tpu_gathers_bf16_but_the_table_it_looks_rows_up_in():
    sent = sent_by_kind("tpu-v5e", "transformer_step_fsdp")
    assert sent["all-gather"] == ring(2 * (MATRICES + TABLES) + 4 * TABLES, 8)
    # The gradient of the looked-up table is summed whole, and cut afterwards.
    assert sent["reduce-scatter"] == ring(4 * (MATRICES + TABLES), 8)


def test_steps_of_a_tpu_collective_beside_other_work_count_once():
    module = parse(text("tpu-v5e", "transformer_step_fsdp"))
    steps = [i for i in module.instructions() if 'chain_id="0"' in i.attribute_text]
    assert [network_bytes(i) for i in steps if not continues_collective(i)] == [ring(2 * WIDTH * HIDDEN, 8)]
    assert {network_bytes(i) for i in steps if continues_collective(i)} == {0}
