"""Traces of GPUs and TPUs. These are written here, from what XLA's and XProf's sources say of the format and from what
the names in a trace of a TPU v6e show: no accelerator made them."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
from measured.xspace_files import message, plane, varint_field

import hlo_count as hc

US = 1_000_000
"""Picoseconds."""
N = 1024
TEXT = f"""HloModule jit_step, is_scheduled=true

body {{
  s.1 = (s32[], f32[{N},{N}]) parameter(0)
  i = s32[] get-tuple-element(s.1), index=0
  x.1 = f32[{N},{N}] get-tuple-element(s.1), index=1
  one = s32[] constant(1)
  next = s32[] add(i, one)
  dot.2 = f32[{N},{N}] dot(x.1, x.1), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}
  ROOT t.1 = (s32[], f32[{N},{N}]) tuple(next, dot.2)
}}

condition {{
  s.2 = (s32[], f32[{N},{N}]) parameter(0)
  j = s32[] get-tuple-element(s.2), index=0
  y.1 = f32[{N},{N}] get-tuple-element(s.2), index=1
  z.1 = f32[] constant(0)
  limit = s32[] constant(9)
  h.1 = s32[] custom-call(j), custom_call_target="measured_elsewhere"
  ROOT less = pred[] compare(h.1, limit), direction=LT
}}

sum {{
  a = f32[] parameter(0)
  b = f32[] parameter(1)
  ROOT c = f32[] add(a, b)
}}

ENTRY main {{
  x = f32[{N},{N}] parameter(0)
  zero = s32[] constant(0)
  multiply.1 = f32[{N},{N}] multiply(x, x)
  all-reduce-start.1 = f32[{N},{N}] all-reduce-start(multiply.1), replica_groups={{{{0,1}}}}, to_apply=sum
  t = (s32[], f32[{N},{N}]) tuple(zero, multiply.1)
  while.1 = (s32[], f32[{N},{N}]) while(t), condition=condition, body=body
  w = f32[{N},{N}] get-tuple-element(while.1), index=1
  all-reduce-done.1 = f32[{N},{N}] all-reduce-done(all-reduce-start.1)
  ROOT add.1 = f32[{N},{N}] add(w, all-reduce-done.1)
}}
"""
TRIPS, ID = 3, 2**63 + 5
SECONDS = {"multiply.1": 2, "dot.2": 10, "add.1": 3}
"""Microseconds of one run of each kernel; the all-reduce is under way for 20 from the end of the first on."""


def metadata() -> bytes:
    from jaxlib import _hlo

    module = _hlo.hlo_module_from_text(TEXT).as_serialized_hlo_module_proto()
    devices = b"".join(message(3, message(1, bytes([n]))) for n in range(2))
    assignment = message(15, varint_field(1, 1) + varint_field(2, 2) + devices)  # 1 replica of 2 partitions
    stats = {"Hlo Proto": module + assignment, "program_id": ID - 2**64}
    return plane("/host:metadata", {}, stats={"jax_version": "0.10.2"}, metadata={f"jit_step({ID})": {"stats": stats}})


def event(name: str, start: int, duration: int, **stats: Any) -> dict[str, Any]:
    return {"name": name, "start": start * US, "duration": duration * US, "stats": stats}


def schedule(start: int) -> list[tuple[str, int, int]]:
    """The kernels that compute in one run from `start` on; a microsecond passes before each."""
    names = ["multiply.1", *["dot.2"] * TRIPS, "add.1"]
    found = []
    for name in names:
        found.append((name, start, SECONDS[name]))
        start += SECONDS[name] + 1
    return found


COMPUTING = 2 + TRIPS * 10 + 3
RUN = COMPUTING + TRIPS + 1
"""With a microsecond between kernels."""
STARTS = (0, 100)


def gpu(device: int, **more: Any) -> bytes:
    about = {"hlo_module": "jit_step", "program_id": ID - 2**64}
    compute = [
        event(f"kernel_{name}", at, long, **about, hlo_op=name)
        for start in STARTS
        for name, at, long in schedule(start)
    ]
    send = [event("ncclDevKernel_AllReduce", start + 2, 20, **about, hlo_op="all-reduce-start.1") for start in STARTS]
    streams = {"Stream #13(Compute)": compute, "Stream #15(Communication)": send, **more}
    return plane(f"/device:GPU:{device}", {**streams, "XLA Modules": [event("jit_step", 0, RUN)]})


def tpu(device: int) -> bytes:
    modules = [event(f"jit_step({ID})", start, RUN, run_id=7 + n) for n, start in enumerate(STARTS)]
    ops = []
    for start in STARTS:
        kernels = schedule(start)
        first, last = kernels[1], kernels[-2]
        ops += [event(f"%{name} = f32[] op()", at, long) for name, at, long in kernels]
        ops.append(event("%while.1 = () while()", first[1], last[1] + last[2] - first[1]))
    flight = [event("%all-reduce-start.1 = f32[] all-reduce-start()", start + 2, 20) for start in STARTS]
    kinds = {each["name"]: each["name"].partition(" = ")[0][1:] for each in (*ops, *flight)}
    return plane(
        f"/device:TPU:{device}",
        {"XLA Modules": modules, "XLA Ops": ops, "Async XLA Ops": flight},
        stats={"device_type_string": "TPU v6 Lite"},
        metadata={name: {"display_name": shown} for name, shown in kinds.items()},
    )


@pytest.fixture(scope="module", params=["gpu", "tpu"])
def trace(request, tmp_path_factory) -> hc.Trace:
    pytest.importorskip("jaxlib._hlo", reason="this jaxlib makes no HLO proto of a text")
    file = Path(tmp_path_factory.mktemp(request.param)) / "host.xplane.pb"
    make = {"gpu": gpu, "tpu": tpu}[request.param]
    file.write_bytes(metadata() + make(0) + make(1))
    return hc.read_trace(file, device="h100-sxm" if request.param == "gpu" else None)


def test_runs_are_told_apart(trace):
    (program,) = trace.programs
    assert program.devices == program.report.num_devices == 2
    assert program.seconds == [pytest.approx(RUN * 1e-6)] * len(STARTS)
    assert program.starts == pytest.approx([start * 1e-6 for start in STARTS])
    assert trace.seconds == pytest.approx((STARTS[1] + RUN) * 1e-6)


def test_the_loop_is_settled_by_its_kernels(trace):
    (program,) = trace.programs
    assert program.courses.trip_counts == {"while.1": TRIPS}
    assert program.report.by("class")["matmul"].flops == TRIPS * 2 * N**3
    dot = next(row for row in program.rows if row.name == "dot.2")
    assert (dot.runs, dot.flops) == (len(STARTS) * TRIPS, len(STARTS) * TRIPS * 2 * N**3)
    assert dot.flops_per_s == pytest.approx(2 * N**3 / 10e-6)


def test_what_is_sent_meanwhile_is_hidden(trace):
    (program,) = trace.programs
    by_name = {row.name: row for row in program.rows}
    # 20 µs from the end of multiply.1 on: 1 before the first dot, 1 between it and the second, and 18 behind dots; a
    # TPU says that its loop is under way between them
    alone = 1 if trace.programs[0].backend == "tpu" else 2
    assert program.hidden_communication == pytest.approx(len(STARTS) * (20 - alone) * 1e-6)
    assert program.exposed_communication == pytest.approx(len(STARTS) * alone * 1e-6)
    for name, long in SECONDS.items():
        assert by_name[name].seconds == pytest.approx(by_name[name].runs * long * 1e-6)
    assert sum(row.seconds for row in program.rows) + program.idle == pytest.approx(program.total_seconds)


def test_bounds_are_of_the_device(trace):
    (program,) = trace.programs
    assert trace.device.name in ("h100-sxm", "tpu-v6e")
    assert program.bound <= program.median and 0 < program.hfu() < 1
    assert program.mfu(model_flops=2 * TRIPS * 2 * N**3) == pytest.approx(program.hfu(), rel=1e-6)


def test_calls_that_launch_a_kernel_are_no_kernels(tmp_path):
    """A driver's calls stand on the host's lines and tell the instruction too: found in traces of MI300X."""
    pytest.importorskip("jaxlib._hlo", reason="this jaxlib makes no HLO proto of a text")
    about = {"hlo_module": "jit_step", "program_id": ID - 2**64}
    calls = [
        event("hipModuleLaunchKernel", at - 1, 1, **about, hlo_op=name, correlation_id=number)
        for number, (name, at, _) in enumerate(schedule(10) + schedule(110))
    ]
    traces = []
    for name, host in (("without", b""), ("with", plane("/host:CPU", {"Host Threads/7": calls}))):
        file = tmp_path / f"{name}.xplane.pb"
        file.write_bytes(metadata() + gpu(0) + host)
        traces.append(hc.read_trace(file, device="h100-sxm").programs)
    (without,), (with_calls,) = traces
    assert with_calls.runs == without.runs == len(STARTS)
    assert with_calls.rows == without.rows


def test_kernels_of_command_buffers_are_shown_with_the_flag_that_helps(tmp_path):
    pytest.importorskip("jaxlib._hlo", reason="this jaxlib makes no HLO proto of a text")
    file = tmp_path / "host.xplane.pb"
    hidden = [event("gemm_in_a_graph", 200, 7, cuda_graph_id=3), event("gemm_in_a_graph", 210, 7, cuda_graph_id=3)]
    file.write_bytes(metadata() + gpu(0, **{"Stream #14": hidden}))
    trace = hc.read_trace(file)
    assert trace.unattributed["gemm_in_a_graph"].number == trace.unattributed["gemm_in_a_graph"].in_graph == 2
    assert "xla_gpu_enable_command_buffer" in trace.table()
    assert any("does not name its device" in problem for problem in trace.problems)


def test_a_program_of_one_kernel_ran_as_often_as_that(tmp_path):
    file = tmp_path / "host.xplane.pb"
    text = "HloModule f, is_scheduled=true\nENTRY e { x = f32[8] parameter(0) ROOT neg = f32[8] negate(x) }\n"
    hlo = pytest.importorskip("jaxlib._hlo", reason="this jaxlib makes no HLO proto of a text")
    proto = hlo.hlo_module_from_text(text).as_serialized_hlo_module_proto()
    about = {"hlo_op": "neg", "hlo_module": "f", "program_id": 1}
    events = [event("negate_kernel", 10 * n, 1, **about) for n in range(4)]
    modules = {"f(1)": {"stats": {"Hlo Proto": proto, "program_id": 1}}}
    file.write_bytes(plane("/host:metadata", {}, metadata=modules) + plane("/device:GPU:0", {"Stream #1": events}))
    (program,) = hc.read_trace(file).programs
    assert program.runs == 4 and program.seconds == [pytest.approx(1e-6)] * 4


@pytest.mark.parametrize("alike", [1, 2])
def test_a_program_without_an_id_is_known_by_its_name_where_one_alone_has_it(tmp_path, alike):
    text = "HloModule f, is_scheduled=true\nENTRY e { x = f32[8] parameter(0) ROOT neg = f32[8] negate(x) }\n"
    hlo = pytest.importorskip("jaxlib._hlo", reason="this jaxlib makes no HLO proto of a text")
    proto = hlo.hlo_module_from_text(text).as_serialized_hlo_module_proto()
    modules = {f"f({n})": {"stats": {"Hlo Proto": proto}} for n in range(alike)}
    events = [event("negate_kernel", 0, 1, hlo_op="neg", hlo_module="f")]
    file = tmp_path / "host.xplane.pb"
    file.write_bytes(plane("/host:metadata", {}, metadata=modules) + plane("/device:GPU:0", {"Stream #1": events}))
    (program,) = hc.read_trace(file).programs
    assert (program.report is not None) == (alike == 1)


def test_what_was_measured_travels(trace):
    """Equal to what it was, with rows and trips: what was read of the file, and not what the reader kept by it."""
    arrived = pickle.loads(pickle.dumps(trace))
    assert arrived == trace == copy.deepcopy(trace)
    assert arrived.to_dict() == trace.to_dict() and str(arrived) == str(trace)
    assert arrived.programs[0].rows == trace.programs[0].rows
    trace.programs[0].rows  # noqa: B018  what is kept is no part of it
    assert pickle.loads(pickle.dumps(trace)) == arrived
    arrived.programs[0].courses.trip_counts.clear()
    assert arrived != trace
