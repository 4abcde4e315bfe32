"""A folder of dumps as one job: what is in it, what was compiled again and why, what it costs together."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest
from job_texts import ASSIGNMENT, dumped, flops, step

import hlo_count as hc
from hlo_count.cli import main

TRAINING = """
import jax, jax.numpy as jnp

def train_step(w, batch):
    loss = lambda w: jnp.mean(jnp.tanh(batch @ w) ** 2)
    return w - 0.5 * jax.grad(loss)(w)

w = jnp.ones((16, 8))
for size in (32, 32, 20):            # the last batch is smaller: a retrace
    w = jax.jit(train_step)(w, jnp.ones((size, 16)))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What XLA dumps of a small training loop, in a process of its own."""
    folder = tmp_path_factory.mktemp("run") / "dumps"
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_dump_to={folder} --xla_dump_hlo_as_text",
        "JAX_ENABLE_COMPILATION_CACHE": "0",
    }
    subprocess.run([sys.executable, "-c", TRAINING], env=environment, check=True, capture_output=True)
    return folder


def test_a_retrace_of_a_real_run_is_named_with_what_changed(run: Path) -> None:
    job = hc.read_job(run)
    again = next(each for each in job.retraces if each.name == "jit_train_step")
    assert len(again.compiles) == 2  # the second call of 32 was not compiled again
    shapes = next(change for change in again.changes[0] if change.kind == "shapes")
    assert shapes.what == "batch f32[32,16] -> f32[20,16]"
    # the gradient divides by the number of elements, a constant
    constants = next(change for change in again.changes[0] if change.kind == "constants")
    assert str(1 / (32 * 8)) in constants.what
    assert str(1 / (20 * 8)) in constants.what
    assert "jit_train_step, 2 times" in str(job)
    assert "shapes: batch f32[32,16] -> f32[20,16]" in str(job)


def test_a_real_run_adds_up_and_agrees_with_xla_on_memory(run: Path) -> None:
    job = hc.read_job(run)
    assert {row.counts.backend for row in job.rows if row.counts} == {"cpu"}
    assert job.problems == []
    assert job.total.flops == sum(hc.count(row.path).flops for row in job.rows)
    first, second = [row for row in job.compiles if row.name == "jit_train_step"]
    # forward and the gradient of w: two products of 2·n·16·8 FLOP each
    assert first.report.by("class")["matmul"].flops == 2 * 2 * 32 * 16 * 8
    assert second.report.by("class")["matmul"].flops == 2 * 2 * 20 * 16 * 8
    for row in job.rows:
        assert row.before is not None
        assert row.counts is not None
        assert row.xla_peak_bytes == row.counts.peak_bytes  # of programs this small, to the byte
        assert row.counts.peak_status == row.report.peak.status == "exact"
        assert hc.count(row.path).compiler_peak_bytes == row.xla_peak_bytes
    assert all(
        sum(cost.flops for cost in job.by(key).values()) == job.total.flops for key in ("source", "scope", "class")
    )


def test_what_a_folder_holds_is_told_from_its_files(tmp_path: Path) -> None:
    dumped(tmp_path, 1, step(), before=step())
    dumped(tmp_path, 2, step(rows=16), name="jit_other")
    for name in ("module_0001.jit_step.debug_options", "module_0001.jit_step.0.ptx", "run.sh", "notes.txt"):
        (tmp_path / name).write_text("xla_dump_to: '/elsewhere'\n")
    (tmp_path / "kept.txt.gz").write_bytes(gzip.compress(step(rows=2, name="packed").encode()))
    (tmp_path / "kept.hlo.bz2").write_bytes(bz2.compress(step(rows=4, name="packed_too").encode()))
    (tmp_path / "two.log").write_text(step(rows=1, name="one") + "\n" + step(rows=3, name="two"))
    (tmp_path / "round").symlink_to("round")
    job = hc.read_job(tmp_path)
    assert {row.label: row.counts.total.flops for row in job.rows if row.counts} == {
        "module_0001.jit_step": flops(8),
        "module_0002.jit_other": flops(16),
        "kept.txt.gz": flops(2),
        "kept.hlo.bz2": flops(4),
        "two.log#1": flops(1),
        "two.log#2": flops(3),
    }
    assert job.passed_over == 4
    assert [row.report.flops for row in job.rows if row.label == "two.log#2"] == [flops(3)]


def test_a_proto_is_read_where_there_is_no_text(tmp_path: Path) -> None:
    lowered = jax.jit(lambda x, w: x @ w).lower(*(jax.ShapeDtypeStruct((8, 8), "float32"),) * 2)
    proto = lowered.compiler_ir("hlo").as_serialized_hlo_module_proto()
    (tmp_path / "module_0001.jit_product.before_optimizations.hlo.pb").write_bytes(proto)
    dumped(tmp_path, 2, step())
    (tmp_path / "module_0002.jit_step.cpu_after_optimizations.hlo.pb").write_bytes(b"not to be read")
    rows = hc.read_job(tmp_path).compiles
    assert [row.counts.total.flops for row in rows if row.counts] == [2 * 8**3, flops()]


def test_zstd(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard", reason="needs zstandard")
    packed = zstandard.ZstdCompressor().compress(step().encode())
    (tmp_path / "module_0001.jit_step.cpu_after_optimizations.txt.zst").write_bytes(packed)
    assert hc.read_job(tmp_path).total.flops == flops()


@pytest.mark.parametrize(
    ("name", "label", "backend"),
    [
        ("module_0003.jit_f.cpu_after_optimizations.txt", "module_0003.jit_f", "cpu"),
        ("module_0003.jit_f.sm_9.0a_gpu_after_optimizations.txt.gz", "module_0003.jit_f", "gpu"),
        ("module_0003.jit_f.gfx942_gpu_after_optimizations.txt", "module_0003.jit_f", "gpu"),
        ("module_0003.jit_f.cl_933746096.after_optimizations.txt", "module_0003.jit_f.cl_933746096", "unknown"),
        ("1753950000.module_0003.jit_f.cpu_after_optimizations.txt", "1753950000.module_0003.jit_f", "cpu"),
        ("module_0003.cpu_after_optimizations.txt", "module_0003", "cpu"),  # XLA leaves too long a name out
    ],
)
def test_names_of_dumps(tmp_path: Path, name: str, label: str, backend: str) -> None:
    text = step(name="jit_f").encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    (row,) = hc.read_job(tmp_path).compiles
    assert row.counts is not None
    assert (row.label, row.name, row.counts.backend) == (label, "jit_f", backend)
    assert hc.count(tmp_path).backend == backend
    assert hc.read_dumps(tmp_path).after.flops == flops()


def test_memory_beside_what_xla_assigned(tmp_path: Path) -> None:
    path = dumped(tmp_path, 1, step())
    beside = path.with_name(path.name.replace(".txt", "-buffer-assignment.txt"))
    beside.write_text(ASSIGNMENT.format(rows=8, x=8 * 4 * 4, z=8 * 2 * 4))
    report = path.with_name(path.name.replace(".txt", "-memory-usage-report.txt"))
    report.write_text("Memory Space: default (color=0)\nTotal bytes: 300 (300B)\n  cumulative_size;\n")
    assert hc.read_job(tmp_path).rows[0].xla_peak_bytes == 128 + 32 + 64 + 64  # no constant, no stack
    assert hc.count(path).compiler_peak_bytes == hc.count(tmp_path).compiler_peak_bytes == 128 + 32 + 64 + 64
    assert hc.count(path.read_text()).compiler_peak_bytes is None
    beside.unlink()
    assert hc.read_job(tmp_path).rows[0].xla_peak_bytes == 300
    assert "300 B by the compiler" in " ".join(str(hc.count(path)).split())  # on two lines
    report.write_text("something else")
    assert hc.read_job(tmp_path).rows[0].xla_peak_bytes is None


def test_since_and_name(tmp_path: Path) -> None:
    old = dumped(tmp_path, 1, step())
    dumped(tmp_path, 2, step(name="jit_eval"), name="jit_eval")
    os.utime(old, (time.time() - 7200,) * 2)
    assert len(hc.read_job(tmp_path).rows) == 2
    assert [row.name for row in hc.read_job(tmp_path, since="1h").rows] == ["jit_eval"]
    assert [row.name for row in hc.read_job(tmp_path, name="*step").rows] == ["jit_step"]
    assert [row.name for row in hc.read_job(tmp_path, name="eval").rows] == ["jit_eval"]
    with pytest.raises(hc.HloCountError, match="holds no module called loss and written since 3h"):
        hc.read_job(tmp_path, name="loss", since="3h")
    with pytest.raises(hc.HloCountError, match="write a time such as"):
        hc.read_job(tmp_path, since="yesterday")


def test_a_module_that_cannot_be_read_is_a_row(tmp_path: Path) -> None:
    dumped(tmp_path, 1, step())
    dumped(tmp_path, 2, step()[:200])
    job = hc.read_job(tmp_path)
    assert job.total.flops == flops()
    (bad,) = job.problems
    assert "module_0002" in bad.problem
    assert "1 cannot be read" in str(job)
    assert job.to_dict()["modules"][-1]["problem"] == bad.problem
    assert [list(changes) for each in job.retraces for changes in each.changes] == [[]]


def test_unknowns_are_grouped_over_modules(tmp_path: Path) -> None:
    call = """HloModule jit_step
ENTRY %main (x: f32[8]) -> f32[8] {
  %x = f32[8]{0} parameter(0)
  ROOT %y = f32[8]{0} custom-call(%x), custom_call_target="theirs"
}
"""
    for number in range(3):
        dumped(tmp_path, number, call)
    (group,) = hc.read_job(tmp_path).unknowns
    assert (group.what, group.instructions, len(group.labels)) == ("custom-call theirs", 3, 3)
    assert "3 custom-call theirs of module_0000.jit_step and 2 more" in str(hc.read_job(tmp_path))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, rows in enumerate((8, 16, 24)):
        dumped(tmp_path, number, step(rows=rows), before=step(rows=rows))
    assert main(["job", str(tmp_path), "--rows", "1", "--by", "class"]) == 0
    text = capsys.readouterr().out
    assert "2 compiled again:" in text
    assert max(map(len, text.splitlines())) <= 100
    assert main(["job", str(tmp_path), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["total"]["flops"] == sum(map(flops, (8, 16, 24)))
    assert [each["name"] for each in data["retraces"]] == ["jit_step"]


def test_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("jinja2", reason="a page is made with Jinja2, the extra `html`")
    folder = tmp_path / "dumps"
    for number, rows in enumerate((8, 16)):
        dumped(folder, number, step(rows=rows))
    dumped(folder, 2, step()[:200], name="jit_cut")
    assert main(["job", str(folder), "--save", str(tmp_path / "job.html")]) == 0
    assert "wrote" in capsys.readouterr().err
    text = (tmp_path / "job.html").read_text()
    assert "shapes: batch f32[8,4] -&gt; f32[16,4]" in text
    assert "3 modules, 1 that cannot be read, 0 other files" in text
    assert "model.py:7" in text
    assert "://" not in text  # nothing is fetched


def test_one_of_two_modules_of_a_name_can_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dumped(tmp_path, 4, step(rows=8))
    dumped(tmp_path, 6, step(rows=16))
    for command in ("count", "passes", "roofline"):
        assert main([command, str(tmp_path)]) == 2
        assert "holds 2 modules, say which by module= or --module" in capsys.readouterr().err
        assert main([command, str(tmp_path), "--module", "jit_step"]) == 2
        assert "say which by jit_step#1 to #2" in capsys.readouterr().err
    for module in ("jit_step#2", "6", "module_0006.jit_step", "module_0006"):
        assert hc.count(tmp_path, module=module).flops == flops(16)
    assert main(["diff", str(tmp_path), str(tmp_path), "--module", "4", "--module", "6"]) == 0
    assert f" {flops(16) - flops(8):+} " in capsys.readouterr().out
    for module in ("jit_step#3", "5", "loss"):
        with pytest.raises(hc.HloCountError, match="no module called"):
            hc.count(tmp_path, module=module)


BAD = {
    "nothing": (lambda folder: None, "holds no HLO, nor anything else: dump with"),
    "other files": (
        lambda folder: (folder / "module_0001.jit_f.debug_options").write_text("x"),
        "holds no HLO, but 1 file (module_0001.jit_f.debug_options): dump with",
    ),
    "only folders": (lambda folder: (folder / "rank0").mkdir(), "holds no HLO, but 1 folder (rank0): dump with"),
    "a text without HLO": (lambda folder: (folder / "notes.txt").write_text("nothing"), "but 1 file (notes.txt)"),
    "several": (
        lambda folder: [(folder / f"{n}.log").write_text("x") for n in range(4)],
        "but 4 files (0.log, 1.log, 2.log, …)",
    ),
}


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD)
def test_folders_without_modules(make, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path)
    assert main(["job", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1


def test_what_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(hc.HloCountError, match="there is no such directory"):
        hc.read_job(tmp_path / "nowhere")
    path = dumped(tmp_path, 1, step())
    with pytest.raises(hc.HloCountError, match="this is a file: hlo-count count"):
        hc.read_job(path)
    with pytest.raises(hc.HloCountError, match="over many modules there is source, scope, class"):
        hc.read_job(tmp_path).by("opcode")


def test_programs_of_a_trace_are_modules(tmp_path: Path) -> None:
    """What a profiler recorded holds the programs: those beside the dumps count too, with the jax that compiled them."""
    if tuple(map(int, jax.__version__.split(".")[:2])) < (0, 5):
        pytest.skip("jax 0.4.30 keeps no HLO in a trace of a CPU")

    @jax.jit
    def a_product_of_this_test(x):  # what ran in the process before is in the trace too
        return x @ x

    x = jax.numpy.ones((16, 16))
    with jax.profiler.trace(str(tmp_path / "profile")):
        a_product_of_this_test(x).block_until_ready()
    (trace,) = (tmp_path / "profile").rglob("*.xplane.pb")
    rows = hc.read_job(trace.parent, name="a_product_of_this_test").rows
    assert [row.counts.total.flops for row in rows if row.counts] == [2 * 16**3]
    trace.with_name("cut.xplane.pb").write_bytes(trace.read_bytes()[:100])
    (bad,) = hc.read_job(trace.parent).problems
    assert "cut.xplane.pb" in bad.problem
