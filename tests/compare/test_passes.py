"""What each pass of a compile did to the counts."""

from __future__ import annotations

import json
import os
import shutil
import tempfile

import jax
import jax.numpy as jnp
import pytest

import hlo_count as hc
from hlo_count.cli import main
from hlo_count.errors import HloCountError
from hlo_count.lowering import dump_passes, gpu, tpu
from hlo_count.visitors.cost import Cost

needs_dumps = pytest.mark.skipif(
    tuple(map(int, jax.__version__.split(".")[:2])) < (0, 5),
    reason="the CPU compiler of jax 0.4.30 dumps few of its passes, the one that fuses not among them",
)
X = jax.ShapeDtypeStruct((256, 256), jnp.float32)


def layer(x, w):
    return jnp.tanh(jax.nn.gelu(x @ w) * 2 + x)


@pytest.fixture(scope="module")
def dumped(tmp_path_factory):
    directory = tmp_path_factory.mktemp("dumps")
    dump_passes(layer, (X, X), None, directory)
    return directory


def is_whole(found):
    changes = Cost.sum(r.after for r in found.rows) - Cost.sum(r.before for r in found.rows)
    assert changes.amounts == (found.after - found.before).amounts
    table = str(found).partition("skipped")[0]  # the names of files are as long as they are
    assert all(len(line) <= 100 for line in table.splitlines())
    return True


@needs_dumps
def test_the_pass_that_fuses_carries_the_bytes():
    found = hc.passes(layer, X, X)
    fusing = [row for row in found.rows if row.name == "fusion"]
    assert sum(row.change.bytes for row in fusing) == min(row.change.bytes for row in found.rows)
    assert all(row.fusions[1] > row.fusions[0] for row in fusing)
    assert found.after == hc.count(layer, X, X).total
    assert is_whole(found)


@needs_dumps
def test_two_passes_can_be_compared():
    found = hc.passes(layer, X, X)
    at = next(row.index for row in found.rows if row.name == "fusion")
    diff = hc.diff(found.at(at - 1), found.at("fusion"))
    assert diff.change.bytes == found.states[at].change.bytes
    assert {row.name: row.change.bytes for row in diff.by("reason")}["fused"] < 0


@pytest.mark.skipif(not tpu.installed(), reason=f"libtpu is not installed: {tpu.REMEDY}")
def test_a_training_step_on_tpu():
    from hlo_count.demo import training_step

    step, arguments = training_step()
    found = hc.passes(step, *arguments, target="tpu:v5e")
    fusing = [row for row in found.rows if "fusion" in row.name and row.fusions[1] > row.fusions[0]]
    # Tiling and on-chip memory move bytes too, but only fusions bring them below what they were.
    assert min(row.change.bytes for row in fusing) < 0
    assert is_whole(found)
    diff = hc.diff(step, *arguments, target="tpu:v5e")
    changes = {row.name: row.change for row in diff.by("reason")}
    assert changes["fused"].bytes == min(change.bytes for change in changes.values())
    assert diff.after.bytes < diff.before.bytes


@pytest.mark.skipif(not gpu.installed(), reason="the CUDA plugin is not installed")
def test_a_gpu_that_is_not_there():
    found = hc.passes(layer, X, X, target="h100-sxm")
    fusing = [row for row in found.rows if "fusion" in row.name and row.change.bytes < 0]
    assert fusing
    assert is_whole(found)


@needs_dumps
def test_a_directory_of_dumps(dumped):
    found = hc.read_dumps(dumped)
    assert found.after == hc.passes(layer, X, X).after
    assert hc.passes(dumped).after == found.after
    assert json.loads(json.dumps(found.to_dict()))["after"]["flops"] == found.after.flops
    few = hc.read_dumps(dumped, pattern="fusion")
    assert 2 < len(few.states) < len(found.states)
    assert (few.before, few.after) == (found.before, found.after)


@needs_dumps
def test_a_truncated_file_is_skipped_and_named(dumped, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(dumped, copy)
    broken = next(copy.glob("*.after_fusion.*"))
    broken.write_text(broken.read_text()[: broken.stat().st_size // 2])
    with pytest.warns(UserWarning, match=r"skipped .*after_fusion"):
        found = hc.read_dumps(copy)
    assert found.skipped == [broken]
    assert broken.name in str(found)
    assert is_whole(found)


def test_one_of_several_modules(dumped, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(dumped, copy)
    for path in dumped.glob("*.txt"):
        shutil.copy(path, copy / f"module_9999.jit_other.{path.name.split('.', 2)[2]}")
    with pytest.raises(
        HloCountError, match=r"2 modules, say which by module= or --module(.|\n)*jit_layer(.|\n)*jit_other"
    ):
        hc.read_dumps(copy)
    with pytest.raises(HloCountError, match=r"no module called 'nn'(.|\n)*jit_other"):
        hc.read_dumps(copy, module="nn")
    assert hc.read_dumps(copy, module="jit_other").module == "module_9999.jit_other"


def test_directories_without_hlo(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(HloCountError, match="holds no HLO after passes"):
        hc.read_dumps(tmp_path)
    with pytest.raises(HloCountError, match="there is no such directory"):
        hc.read_dumps(tmp_path / "none")


def test_only_broken_files(tmp_path):
    (tmp_path / "module_0000.f.0001.pipe.after_dce.before_cse.txt").write_text("HloModule f\n\nENTRY")
    with pytest.raises(HloCountError, match="none of the 1 dumps"), pytest.warns(UserWarning, match="skipped"):
        hc.read_dumps(tmp_path)


@needs_dumps
def test_passes_that_are_not_there(dumped):
    found = hc.read_dumps(dumped)
    with pytest.raises(HloCountError, match="did you mean 'fusion'"):
        found.at("fusio")
    with pytest.raises(HloCountError, match="run=99"):
        found.at("fusion", run=99)
    with pytest.raises(HloCountError, match="no regular expression"):
        hc.read_dumps(dumped, pattern="(")


def test_the_temporary_directory_goes_with_the_result():
    found = hc.passes(layer, X, X)
    directory = found.states[0].path.parent
    assert directory.exists()
    del found
    assert not directory.exists()


def test_plot(dumped, tmp_path):
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    hc.read_dumps(dumped).plot(tmp_path / "passes.png")
    assert (tmp_path / "passes.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: hc.passes(layer, X, X, pass_filter="("), "'\\(' is no regular expression"),
        (lambda: hc.passes(jax.jit(layer).lower(X, X).compile()), "a Compiled is compiled already: pass the function"),
        (lambda: hc.passes(hc.count(layer, X, X)), "a Report is compiled already"),
        (lambda: hc.passes("HloModule m"), "a str is no function"),
        (lambda: hc.passes(3), "a int cannot be compiled"),
    ],
)
def test_what_is_refused(call, says, capfd):
    with pytest.raises(HloCountError, match=says) as refused:
        call()
    assert "\n" not in str(refused.value)
    assert capfd.readouterr().err == ""


@needs_dumps
def test_modules_of_passes_know_what_they_are_compiled_for():
    found = hc.passes(layer, X, X)
    assert hc.count(hc.parse(found.at(0).text)).backend == "unknown"  # the text does not tell
    diff = hc.diff(found.at(0), found.at("fusion"))
    assert (diff.before.backend, diff.after.backend) == ("cpu", "cpu")
    assert "compiled for" not in str(diff)


def test_a_plot_of_no_known_kind(dumped, tmp_path):
    with pytest.raises(HloCountError, match=r"p\.xyz: a plot is a file in \.png, \.svg, \.pdf"):
        hc.read_dumps(dumped).plot(tmp_path / "p.xyz")


def test_what_is_no_file_in_a_folder_of_dumps_is_passed_over(tmp_path):
    """Opening a FIFO waits for ever, reading a device never ends, and links may go round."""
    os.mkfifo(tmp_path / "module_0001.jit_f.before_optimizations.txt")
    (tmp_path / "module_0002.jit_g.before_optimizations.txt").symlink_to("module_0002.jit_g.before_optimizations.txt")
    (tmp_path / "module_0003.jit_h.before_optimizations.txt").symlink_to("/dev/zero")
    (tmp_path / "again").symlink_to(tmp_path)
    with pytest.raises(HloCountError, match="holds no HLO after passes"):
        hc.read_dumps(tmp_path)


# Logs, as of a program that ran with --xla_dump_to=-


def state(module: str, lines: str) -> str:
    return f"HloModule {module}\n\nENTRY e {{\n  p = f32[64] parameter(0)\n{lines}\n}}\n"


STATES = {
    "before_optimizations.txt": state("one", "  a = f32[64] negate(p)\n  ROOT b = f32[64] negate(a)"),
    "0001.simplify.after_algsimp.txt": state("one", "  ROOT b = f32[64] negate(p)"),
    "cpu_after_optimizations.txt": state("one", "  ROOT b = f32[64] negate(p)"),
}


def log_of(prefix: str, files: dict[str, str]) -> str:
    lines = [
        line
        for name, text in files.items()
        for line in (f"*** Begin {name} ***", *text.splitlines(), f"*** End {name} ***")
    ]
    return "".join(f"{prefix}{line}\n" for line in ["a program began", *lines, "and is done"])


@pytest.mark.parametrize("prefix", ["", "2026-01-02 03:04:05.678 [rank3] "])
def test_the_passes_in_a_log(tmp_path, prefix):
    one = {f"module_0001.one.{name}": text for name, text in STATES.items()}
    other = {f"module_0002.two.{name}": text.replace("HloModule one", "HloModule two") for name, text in STATES.items()}
    log = tmp_path / "run.log"
    log.write_text(log_of(prefix, one | other))
    with pytest.raises(HloCountError, match=r"run\.log: holds 2 modules") as several:
        hc.read_dumps(log)
    assert "hlo-count-" not in str(several.value), "the folder that they were put into is nobody's business"
    for wanted in ("two", "module_0002.two"):
        found = hc.read_dumps(log, module=wanted)
        assert found.module == "module_0002.two"
        assert [row.other_ops for row in (found.before, found.after)] == [128, 64]
    assert str(hc.passes(log, module="one")) == str(hc.read_dumps(log, module="one"))
    assert main(["passes", str(log), "--module", "one"]) == 0


def test_a_log_names_no_place_for_its_dumps(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    text = STATES["before_optimizations.txt"]
    away = tmp_path / "module_0001.away.before_optimizations.txt"
    names = ["../module_0001.away.before_optimizations.txt", f"{away}", "module_0001.here.before_optimizations.txt"]
    log = tmp_path / "run.log"
    log.write_text(log_of("", dict.fromkeys(names, text)))
    found = hc.read_dumps(log)
    assert found.module == "module_0001.here"
    assert not away.exists()


COUNTED_LOOP = """HloModule m
body {{ s = f32[4] parameter(0)
  ROOT n = f32[4] add(s, s) }}
condition {{ t = f32[4] parameter(0)
  ROOT r = pred[] custom-call(t), custom_call_target="again" }}
ENTRY e {{ p = f32[4] parameter(0)
  ROOT {} }}
"""


def test_a_loop_may_be_gone_after_a_pass(tmp_path):
    states = ["loop = f32[4] while(p), condition=condition, body=body", "d = f32[4] add(p, p)"]
    for order, root in enumerate(states):
        name = f"module_0001.jit_f.{order:04}.simplification.after_{order}.before_end.txt"
        (tmp_path / name).write_text(COUNTED_LOOP.format(root))
    found = hc.passes(tmp_path, trip_counts={"loop": 3})
    assert [row.after.flops for row in found.states] == [3 * 4, 4]
    with pytest.raises(hc.HloCountError, match="'loup' matches no while of this program"):
        hc.passes(tmp_path, trip_counts={"loup": 3})
