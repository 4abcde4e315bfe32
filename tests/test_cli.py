"""The command line: one document or one clear line, the exit code, and no traceback."""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import inspect
import io
import json
import os
import shlex
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import fixture_files
import pytest

import hlo_count
from hlo_count import __version__
from hlo_count.cli import main
from hlo_count.command_help import EXAMPLES
from hlo_count.command_options import command_parser

ROOT = Path(__file__).resolve().parent.parent
TEXT = """HloModule linear

ENTRY %main (x: f32[8,4], w: f32[4,2]) -> f32[8,2] {
  %x = f32[8,4]{1,0} parameter(0)
  %w = f32[4,2]{1,0} parameter(1)
  ROOT %y = f32[8,2]{1,0} dot(%x, %w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}
"""
FLOPS = 2 * 8 * 4 * 2
PROGRAMS = """
import jax.numpy as jnp

def product(x, w):
    return x @ w

def raises(x):
    raise RuntimeError("the user's own trouble\\nin two lines")

def doubled(x, times=1):
    return x * times

def arguments():
    return jnp.ones((8, 4)), jnp.ones((4, 2))

number = 3
"""


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "dump.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def programs(tmp_path: Path) -> str:
    path = tmp_path / "programs.py"
    path.write_text(PROGRAMS)
    return str(path)


def feed(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def run(*arguments: str, stdin: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hlo_count", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", **environment},
        timeout=300,
    )


# What works


def test_count_a_dump(dump: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["count", str(dump)]) == 0
    out, err = capsys.readouterr()
    assert "linear" in out.splitlines()[0]
    assert "matmul 100.0 %" in out
    assert err == ""


def test_json_is_one_document(dump: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["count", str(dump), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["flops"] == FLOPS
    assert err == ""


@pytest.mark.parametrize("key", ["opcode", "class", "scope", "source", "stack", "instruction", "scope,class"])
def test_by(dump: Path, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["count", str(dump), "--by", key]) == 0
    assert f"\n{key.replace(',', ' · ')} " in capsys.readouterr().out


def test_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    feed(monkeypatch, TEXT.encode())
    assert main(["count", "-", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["flops"] == FLOPS


def test_convention(dump: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["count", str(dump), "--convention", "xla", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["convention"] == "xla"


def test_a_function(programs: str, capsys: pytest.CaptureFixture[str]) -> None:
    shapes = ["--arg", "f32[8,4]", "--arg", "f32[4,2]"]
    assert main(["count", f"{programs}:product", *shapes, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["flops"] == FLOPS
    assert main(["count", f"{programs}:product", *shapes, "--target", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["target"] == "cpu"
    assert main(["count", f"{programs}:product", "--args-from", f"{programs}:arguments", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["flops"] == FLOPS
    assert main(["count", f"{programs}:doubled", "--arg", "f32[8]", "--kwarg", "times=f32[]", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["flops"] == 8


def test_trip_counts(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = fixture_files.text("cpu", "while_dynamic")
    path = tmp_path / "loop.txt"
    path.write_text(text)
    assert main(["count", str(path), "--json"]) == 0
    once = json.loads(capsys.readouterr().out)
    assert once["status"] == "lower bound"
    (loop,) = {unknown["instruction"] for unknown in once["unknowns"]}
    assert main(["count", str(path), "--trip-count", f"{loop}=10", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "exact"
    assert main(["count", str(path), "--strict"]) == 3
    assert "strict=True was asked for" in capsys.readouterr().err


def test_limits(dump: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["count", str(dump), "--max-flops", str(FLOPS), "--max-bytes", "1kB"]) == 0
    capsys.readouterr()
    assert main(["count", str(dump), "--max-flops", str(FLOPS - 1), "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["flops"] == FLOPS
    assert "flops" in err


@pytest.mark.parametrize("limit", ["lots", "2GFLOP/s"])
def test_a_limit_that_is_none_is_told_before_anything_is_counted(
    limit: str, programs: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hlo_count, "count", lambda *_, **__: pytest.fail("counted first"))
    assert main(["count", f"{programs}:doubled", "--arg", "f32[8]", "--max-flops", limit]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert limit in err
    assert len(err.splitlines()) == 1


def test_limits_hold_for_every_target(
    programs: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    count = hlo_count.count
    monkeypatch.setattr(hlo_count, "count", lambda *given, target, **keywords: count(*given, **keywords))
    shapes = ["--arg", "f32[8,4]", "--arg", "f32[4,2]"]
    command = ["count", f"{programs}:product", *shapes, "--target", "one,other", "--max-flops"]
    assert main([*command, str(FLOPS)]) == 0
    capsys.readouterr()
    assert main([*command, str(FLOPS - 1)]) == 1
    assert "flops" in capsys.readouterr().err


def test_devices_and_targets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices"]) == 0
    assert "h100-sxm" in capsys.readouterr().out
    assert main(["devices", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) > 10
    assert main(["targets"]) == 0
    out = capsys.readouterr().out
    assert any(line.startswith("cpu") and " yes" in line for line in out.splitlines())


def test_roofline(dump: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["roofline", str(dump), "--device", "h100-sxm"]) == 0
    assert "h100" in capsys.readouterr().out.lower()
    assert main(["roofline", str(dump), "--device", "h100-sxm", "--json"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out), dict)


def test_explain(dump: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(dump), "%y", "--device", "h100-sxm"]) == 0
    assert "2 · N · prod(contracting dimensions of lhs)" in capsys.readouterr().out
    assert main(["explain", str(dump), "y", "--device", "h100-sxm", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["cost"]["flops"], document["roofline"]["device"]) == (FLOPS, "h100-sxm")
    assert document == json.loads(json.dumps(hlo_count.count(TEXT).explain("y", "h100-sxm").to_dict())) | {
        "place": f"{dump}:6"
    }


def test_roofline_on_every_device(dump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["roofline", str(dump), "--device", "all", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["devices"]
    assert {"h100-sxm", "tpu-v5e"} <= {row["device"] for row in rows}
    assert main(["roofline", str(dump), "--device", "all"]) == 0
    assert capsys.readouterr().out.startswith("device ")
    assert main(["roofline", str(dump), "--device", "h100, v5e", "--json"]) == 0
    assert {row["device"] for row in json.loads(capsys.readouterr().out)["devices"]} == {"h100-sxm", "tpu-v5e"}
    plot = tmp_path / "plot.png"
    assert main(["roofline", str(dump), "--device", "all", "--plot", str(plot)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.splitlines()) == (
        "",
        ["hlo-count: --plot draws one device: name one with --device, not all or several"],
    )
    assert not plot.exists()


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"hlo-count {__version__}\n"
    assert main(["--help"]) == 0
    assert "count" in capsys.readouterr().out


def test_demo(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    out, err = capsys.readouterr()
    assert "matmul" in out
    assert "demo.py:" in out
    assert max(map(len, out.splitlines())) <= 100
    assert "Compiling" in err
    assert main(["demo", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["status"] == "exact"


# What does not: one clear line, exit code 2

BAD = {
    "a missing path": (["count", "no/such/file.txt"], "no/such/file.txt: there is no such file"),
    "a module that does not exist": (["count", "no_such_module:f"], "there is no module 'no_such_module'"),
    "a file that does not exist": (["count", "nowhere.py:f"], "there is no file nowhere.py"),
    "a function that does not exist": (["count", "PROGRAMS:produkt"], "has no function 'produkt'; did you mean product"),
    "what is no function": (["count", "PROGRAMS:number"], "cannot count 3"),
    "an argument that is no shape": (["count", "PROGRAMS:doubled", "--arg", "f32[8"], "--arg 'f32[8' is no argument"),
    "a dimension that is none": (["count", "PROGRAMS:doubled", "--arg", "f32[x]"], "--arg 'f32[x]' is no argument"),
    "an unknown dtype": (["count", "PROGRAMS:doubled", "--arg", "q7[8]"], "--arg 'q7[8]' is no argument"),
    "code for an argument": (["count", "PROGRAMS:doubled", "--arg", "open('x')"], "is no argument"),
    "a keyword argument without a name": (["count", "PROGRAMS:doubled", "--kwarg", "f32[8]"], "write NAME=VALUE"),
    "too few arguments": (["count", "PROGRAMS:product", "--arg", "f32[8,4]"], "missing 1 required positional argument"),
    "arguments for a text": (["count", "DUMP", "--arg", "f32[8]"], "an HLO text takes no arguments"),
    "a target for a text": (["count", "DUMP", "--target", "cpu"], "an HLO text takes no arguments and no target"),
    "an unknown target": (["count", "PROGRAMS:doubled", "--arg", "f32[8]", "--target", "h10-sxm"], "h100-sxm"),
    "an unknown key": (["count", "DUMP", "--by", "opcodes"], "did you mean 'opcode'"),
    "a depth of nothing": (["count", "DUMP", "--by", "scope", "--depth", "0"], "depth=0"),
    "a trip count that is no number": (["count", "DUMP", "--trip-count", "w=x"], "'x' is no whole number"),
    "a trip count of no loop": (["count", "DUMP", "--trip-count", "w=3"], "matches no while"),
    "a branch that is no number": (["count", "DUMP", "--branch", "c=x"], "neither the index of a branch nor the prob"),
    "a dtype of NumPy": (["count", "PROGRAMS:product", "--arg", "float32[8,4]"], "did you mean 'f32[8,4]'?"),
    "a dtype misspelt": (["count", "PROGRAMS:product", "--arg", "bf61[8]"], "did you mean 'bf16[8]'?"),
    "a dtype of PyTorch": (["count", "PROGRAMS:product", "--arg", "[fp16[8], i32]"], "did you mean '[f16[8], s32]'?"),
    "an unknown instruction": (["explain", "DUMP", "z"], "linear has no instruction 'z'"),
    "an unknown device": (["roofline", "DUMP", "--device", "h101"], "h100"),
    "a folder without dumps": (["passes", "FOLDER"], "holds no HLO after passes"),
    "all files of a folder": (["count", "DUMP", "DUMP"], "2 are named: hlo-count job FOLDER counts all"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str, dump: Path, programs: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, message = BAD[name]
    places = {"PROGRAMS": programs, "DUMP": str(dump), "FOLDER": str(dump.parent)}
    for word, place in places.items():
        arguments = [argument.replace(word, place) for argument in arguments]
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.startswith("hlo-count: ")
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


FILES = {
    "not HLO": (b"import jax\n", "this is no HLO"),
    "empty": (b"", "the text is empty"),
    "truncated": (TEXT.encode()[:200], "truncated"),
    "binary": (bytes(range(256)), "binary data"),
    "binary that is UTF-8": (b"\x00\x01\x02", "binary data"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("way", ["file", "stdin"])
def test_bad_files(
    name: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, message = FILES[name]
    path = tmp_path / "bad.txt"
    path.write_bytes(data)
    feed(monkeypatch, data)
    assert main(["count", str(path) if way == "file" else "-"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err.splitlines()[0]
    assert (str(path) if way == "file" else "<stdin>") in err.splitlines()[0]
    assert len(err.splitlines()) <= 3  # the line, the text at it, the caret


@pytest.mark.parametrize(
    "arguments", [[], ["counts"], ["count"], ["count", "x", "--no-such-option"], ["demo", "--rows", "many"]]
)
def test_wrong_commands(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "usage: hlo-count" in err


def test_a_function_that_raises(programs: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["count", f"{programs}:raises", "--arg", "f32[8]"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "hlo-count: RuntimeError: the user's own trouble" in err
    assert "Traceback" not in err


# Comparisons


def test_a_function_and_a_stored_text(
    dump: Path, programs: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shapes = ["--arg", "f32[8,4]", "--arg", "f32[4,2]", "--target", "cpu"]
    for both in ([f"{programs}:product", str(dump)], [str(dump), f"{programs}:product"]):
        assert main(["diff", *both, *shapes, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["change"]["flops"] == 0
    assert main(["diff", str(dump), str(dump), *shapes]) == 2
    assert "an HLO text takes no arguments" in capsys.readouterr().err
    feed(monkeypatch, gzip.compress(TEXT.encode()))
    assert main(["diff", "-", str(dump), "--json"]) == 0
    assert not json.loads(capsys.readouterr().out)["differs"]


def test_fail_above(dump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.txt"
    other.write_text(TEXT.replace("8,4]", "16,4]").replace("8,2]", "16,2]"))
    assert main(["diff", str(dump), str(other), "--fail-above", "100%"]) == 0
    assert main(["diff", str(dump), str(other), "--fail-above", "flops=99%"]) == 1
    assert main(["diff", str(dump), str(other), "--fail-above", "peak_bytes=50%"]) == 1
    assert "peak_bytes: 224 -> 416" in capsys.readouterr().err  # arguments of 128 + 32 bytes, a result of 64
    assert main(["diff", str(other), str(dump), "--fail-above", "0%"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fail-above", "5"], "--fail-above '5': write a percentage, 5% or bytes=5%"),
        (["--fail-above", "nan%"], "a limit is a part"),
        (["--fail-above=-5%"], "a limit is a part"),
        (["--fail-above", "flop=5%"], "no counter is called 'flop'"),
        (["--by", "zzz"], "no such key"),
        (["--json", "--markdown"], "not allowed with"),
    ],
)
def test_a_comparison_is_checked_before_anything_is_compiled(
    programs: str, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", f"{programs}:raises", f"{programs}:raises", "--arg", "f32[8]", *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err


# In a process of its own


def test_a_text_is_counted_without_jax(dump: Path) -> None:
    script = f"""
import sys
from hlo_count.cli import main
assert main(["count", {str(dump)!r}]) == 0
assert main(["count", {str(dump)!r}, "--json"]) == 0
print(sorted({{"jax", "jaxlib", "networkx", "numpy", "pandas", "matplotlib"}} & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stderr == "[]\n"


def test_as_a_module_with_standard_input() -> None:
    done = run("count", "-", "--json", stdin=TEXT)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["flops"] == FLOPS
    done = run("count", "-", stdin="nonsense")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_json_of_a_function_is_one_document_also_when_it_prints(programs: str) -> None:
    path = Path(programs)
    path.write_text(path.read_text().replace("return x @ w", "print('tracing'); return x @ w"))
    done = run("count", f"{programs}:product", "--arg", "f32[8,4]", "--arg", "f32[4,2]", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["flops"] == FLOPS
    assert "tracing" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell with pipes")
def test_a_pipe_that_closes_is_no_error(dump: Path) -> None:
    command = f"{sys.executable} -m hlo_count count {dump} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "0\n"
    assert done.stderr == ""


def test_calibrate_prints_a_row_of_the_table_of_devices(monkeypatch, capsys):
    monkeypatch.setattr(hlo_count, "calibrate", lambda path=None: hlo_count.device("cpu-avx2"))
    assert main(["calibrate"]) == 0
    out = capsys.readouterr().out
    assert "cpu-avx2" in out
    assert max(map(len, out.splitlines())) <= 100


def test_calibrate_says_how_to_use_what_it_wrote(tmp_path, monkeypatch, capsys):
    written = tmp_path / "cal.toml"

    def calibrate(path=None):
        found = hlo_count.device("cpu-avx2")
        return found if path is None else dataclasses.replace(found, path=path)

    monkeypatch.setattr(hlo_count, "calibrate", calibrate)
    assert main(["calibrate", "--output", str(written)]) == 0
    assert f"wrote {written}: use it as --device {written}, or hc.device('{written}')" in capsys.readouterr().err
    assert main(["calibrate"]) == 0
    assert "use it as --device local, or hc.device('local')" in capsys.readouterr().err


def test_a_warning_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "bad.toml").write_text('name = "bad"')
    monkeypatch.setenv("HLO_COUNT_DEVICES", str(tmp_path))
    assert main(["devices"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"hlo-count: warning: {tmp_path / 'bad.toml'}: this profile is left out")


@pytest.mark.parametrize(
    ("code", "name", "said"),
    [
        ("import sys\nsys.exit(0)", "f", "calls sys.exit(0)"),
        ("import sys\ndef f():\n    sys.exit(3)", "f", "calls sys.exit(3)"),
        ("f = abs", "", "a function is written package.module:function"),
    ],
)
def test_a_program_that_exits_or_has_no_name(tmp_path: Path, capsys, code: str, name: str, said: str):
    path = tmp_path / f"leaves_{abs(hash(code))}.py"
    path.write_text(code)
    assert main(["count", f"{path}:{name}"]) == 2
    assert said in capsys.readouterr().err


def test_a_target_list_without_targets(dump: Path, capsys):
    assert main(["count", "math:sqrt", "--target", ","]) == 2
    assert "names no target" in capsys.readouterr().err


def test_a_byte_order_mark_is_no_text(tmp_path: Path, capsys):
    path = tmp_path / "marked.txt"
    path.write_text(TEXT, encoding="utf-8-sig")
    assert main(["count", str(path)]) == 0


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["cuont", "dump.txt"], "did you mean 'count'?"),
        (["count", "dump.txt", "--jsno"], "did you mean '--json'?"),
        (["count", "dump.txt", "--convention", "xal"], "did you mean 'xla'?"),
        (["count", "dump.txt", "--qqqqqq"], "unrecognized arguments: --qqqqqq\n"),
    ],
)
def test_a_misspelt_word_is_told_what_was_meant(
    arguments: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.endswith(meant if meant.endswith("\n") else f"{meant}\n")


@pytest.mark.parametrize("example", [line for lines in EXAMPLES.values() for line in lines])
def test_examples_of_help_can_be_typed(example: str) -> None:
    program, *arguments = shlex.split(example)
    assert program == "hlo-count"
    ours = list(takewhile(lambda word: word not in ("|", ">"), arguments))  # the rest is the shell's
    assert callable(command_parser().parse_args(ours).run)


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_the_commands_and_their_flags(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab")
    assert main(["--print-completion", shell]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("explain", "roofline", "compiler-option", "hlo-count", "h100-sxm"))


def test_completion_is_of_shells_that_are_known(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("shtab", reason="needs shtab")
    assert main(["--print-completion", "rc"]) == 2
    assert "choose from bash, zsh, tcsh" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["--print-completion", "bash"]) == 2
    assert "pip install 'hlo-count[terminal]'" in capsys.readouterr().err


@pytest.mark.parametrize("command", sorted(EXAMPLES))
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert all(line in out for line in EXAMPLES[command])
    assert "exit codes:" in out


@pytest.mark.parametrize(
    "name", ["foo.txt", "dumps/module_0001.jit_f.after_optimizations.hlo.gz", "~/x.pb", "C:\\x.txt"]
)
def test_the_name_of_a_file_is_no_text(name: str) -> None:
    with pytest.raises(hlo_count.HloCountError, match=r"of a file pass pathlib.Path\("):
        hlo_count.count(name)


def test_a_program_of_an_accelerator_asks_which(dump: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, words in (("tpu-v5e", "of a TPU, of which one? Name it: "), ("h100", "of a GPU, of which one?")):
        dump.write_text(fixture_files.text(folder, "matmul_bf16"))
        assert main(["roofline", str(dump)]) == 2
        assert words in capsys.readouterr().err


def test_every_command_has_examples() -> None:
    (commands,) = (action for action in command_parser()._actions if action.dest == "command")
    assert set(commands.choices) == set(EXAMPLES)


OFFERED = {
    "count": hlo_count.count,
    "diff": hlo_count.count,  # whose keywords it understands
    "passes": hlo_count.passes,
    "size": hlo_count.size,
    "growth": hlo_count.growth,
    "measure": hlo_count.measure,
    "run": hlo_count.track,
    "trace": hlo_count.read_trace,
    "job": hlo_count.read_job,
    "scan": hlo_count.scan,
    "roofline": hlo_count.Report.roofline,
    "report": hlo_count.Report.save,
    "explain": hlo_count.Report.explain,
}
NOT_THERE = {
    "executor", "progress",  # objects of Python, and a bar that a terminal has anyway
    "num_devices",  # of a report whose text does not tell
    "on_done",  # a function of Python's, for which a terminal has a bar
}  # fmt: skip
NOT_OF_DIFF = {"convention"}  # it compares our own counts alone


@pytest.mark.parametrize("command", OFFERED)
def test_flags_have_the_names_of_keywords(command, capsys):
    parser = command_parser()
    commands = next(a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    flags = {flag for action in commands[command]._actions for flag in action.option_strings}
    positional = {action.dest for action in commands[command]._actions if not action.option_strings}
    for name, parameter in inspect.signature(OFFERED[command]).parameters.items():
        if parameter.default is parameter.empty and parameter.kind is not parameter.KEYWORD_ONLY:
            continue
        if name in NOT_THERE or name in positional or (command == "diff" and name in NOT_OF_DIFF):
            continue
        flag = f"--{name.replace('_', '-')}"
        assert any(each.startswith(flag) for each in flags), f"hlo-count {command} has no {flag}"
