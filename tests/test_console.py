"""The command line in a process whose streams are closed or full, whose memory is short, and which is told to end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = """HloModule linear

ENTRY %main (x: f32[8,4], w: f32[4,2]) -> f32[8,2] {
  %x = f32[8,4]{1,0} parameter(0)
  %w = f32[4,2]{1,0} parameter(1)
  ROOT %y = f32[8,2]{1,0} dot(%x, %w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}
"""
INHERITED = {
    **{name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LC_", "LANG"))},
    "PYTHONPATH": str(ROOT),
    "JAX_PLATFORMS": "cpu",
}
"""Without PYTHONUNBUFFERED among others: what is in buffers is what is lost."""
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of a shell, /dev/full and /proc")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "one.txt").write_text(TEXT)
    (tmp_path / "two.txt").write_text(TEXT.replace("8,4]", "16,4]").replace("8,2]", "16,2]"))
    return tmp_path


def shell(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command of bash, in which `hlo` is the command line. The exit code is that of the first of a pipe."""
    command = command.replace("hlo ", f"{sys.executable} -m hlo_count ")
    return subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        encoding="utf-8",
        cwd=folder,
        env={**INHERITED, **environment},
        timeout=300,
    )


CLOSED = "hlo-count: the result cannot be written to standard output: it is closed\n"
FULL = "hlo-count: the result cannot be written to standard output: No space left on device\n"
STREAMS = {
    # What is decided stays decided: a budget that failed is a 1.
    "hlo count one.txt --max-flops 1 | true": (1, None),
    "hlo count one.txt --max-flops 1 2>&1 | true": (1, ""),
    "hlo count one.txt --max-flops 1 --json | head -c 1": (1, None),
    "hlo count one.txt --max-flops 1 >&-": (1, None),
    "hlo count one.txt --max-flops 1 >&- 2>&-": (1, ""),
    "hlo count one.txt --max-flops 1 >/dev/full": (1, None),
    "hlo count one.txt --max-flops 1 >/dev/full 2>/dev/full": (1, ""),
    "hlo diff one.txt two.txt --fail-above 1% | true": (1, None),
    "hlo diff one.txt two.txt --fail-above 1% 2>/dev/full | true": (1, ""),
    "hlo count one.txt --max-flops 1TFLOP | true": (0, ""),
    # One line each.
    "hlo count one.txt | true": (0, ""),
    "hlo count one.txt >&-": (2, CLOSED),
    "hlo count one.txt >/dev/full": (2, FULL),
    "hlo count one.txt --json >/dev/full": (2, FULL),
    "hlo --help >/dev/full": (2, FULL),
    "hlo --version >&-": (2, CLOSED),
    "hlo count one.txt 2>&-": (0, ""),
    "hlo count one.txt <&-": (0, ""),
    "hlo count one.txt <&- >&- 2>&-": (2, ""),
    "hlo count nothing.txt 2>&-": (2, ""),
    "hlo counts 2>&-": (2, ""),
    "hlo count - <&-": (2, "hlo-count: -: standard input is closed; name a file\n"),
    "hlo passes . 2>&- | true": (2, ""),
    "hlo roofline one.txt --device h100-sxm --plot /proc/none/roofline.png": (
        2,
        "hlo-count: /proc/none/roofline.png: the plot cannot be written (No such file or directory)\n",
    ),
}


@pytest.mark.parametrize("command", STREAMS)
def test_streams(command: str, folder: Path) -> None:
    code, said = STREAMS[command]
    done = shell(command, folder)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if said is None:
        assert " is over 1 " in done.stderr or "more than 1 %" in done.stderr
    else:
        assert done.stderr == said


def test_what_is_opened_is_no_standard_stream(folder: Path) -> None:
    """Else a file that is read would be written to: the next one opened takes the number of a closed stream."""
    (folder / "opens.py").write_text("""
import os
FILE = open("kept.txt", "w+")
FILE.write("kept"); FILE.flush()

def f(x):
    os.write(1, b"one"); os.write(2, b"two")
    return x
""")
    done = shell("hlo count opens.py:f --arg 'f32[2]' <&- >&- 2>&-", folder)
    assert done.returncode == 2  # the result is lost
    assert (folder / "kept.txt").read_text() == "kept"


def test_what_the_program_left_in_a_stream_does_not_change_the_code(folder: Path) -> None:
    (folder / "prints.py").write_text("import sys\ndef f(x):\n    sys.__stdout__.write('x' * 9)\n    return x + x\n")
    assert shell("hlo count prints.py:f --arg 'f32[8]' --max-flops 1 >/dev/full", folder).returncode == 1


# Signs


@pytest.mark.parametrize(
    ("environment", "signs"),
    [
        ({"PYTHONIOENCODING": "ascii"}, ("|", "us", "^9")),
        ({"LC_ALL": "C"}, ("|", "us", "^9")),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, ("|", "us", "^9")),
        ({"PYTHONIOENCODING": "latin-1"}, ("\xb7", "\xb5s", "^9")),
        ({"PYTHONIOENCODING": "cp437"}, ("\xb7", "\xb5s", "^9")),
        ({"PYTHONIOENCODING": "utf-8"}, ("·", "µs", "⁹")),
        ({"PYTHONIOENCODING": "utf-8", "LC_ALL": "C"}, ("·", "µs", "⁹")),
    ],
)
@pytest.mark.parametrize("printed", ["by the command", "by print"])
def test_a_terminal_gets_signs_that_it_has(
    environment: dict[str, str], signs: tuple[str, str, str], printed: str, folder: Path
) -> None:
    (folder / "mod\u00e8le.txt").write_text(TEXT)
    if printed == "by print":
        script = """
import hlo_count as hc, sys
from pathlib import Path
report = hc.count(next(Path().glob("mod*.txt")))
print(report.roofline("a100-sxm-80gb")); print(hc.devices()); print(hc.diff(report, report))
"""
        commands = [["-c", script]]
    else:
        commands = [["-m", "hlo_count", *a] for a in (["roofline", "one.txt", "--device", "h100-sxm"], ["devices"])]
    output = b""
    for command in commands:
        done = subprocess.run(
            [sys.executable, *command],
            capture_output=True,
            cwd=folder,
            env={**INHERITED, **environment},
        )
        assert (done.returncode, done.stderr) == (0, b"")
        output += done.stdout
    encoding = environment.get("PYTHONIOENCODING", "ascii")
    text = output.decode(encoding)
    assert "?" not in text
    for sign in signs:
        assert sign in text


# Memory and signals


def test_memory_that_runs_out(folder: Path) -> None:
    lines = "".join(f"  %x.{n + 1} = f32[8]{{0}} add(%x.{n}, %x.{n})\n" for n in range(200_000))
    text = f"ENTRY %main (x.0: f32[8]) -> f32[8] {{\n  %x.0 = f32[8]{{0}} parameter(0)\n{lines}}}\n"
    (folder / "large.txt").write_text(text)
    done = shell("ulimit -v 150000; hlo count large.txt", folder)
    assert done.returncode == 2
    assert done.stderr == "hlo-count: out of memory: what is counted takes more than this process may have\n"


ABORTS = ("os.abort()", "os.kill(os.getpid(), signal.SIGKILL)")
"""What C++ does when memory runs out, and what Linux does."""


@pytest.mark.parametrize("end", ABORTS)
def test_what_python_does_not_get_to_see_is_said_in_one_line(end: str, folder: Path) -> None:
    (folder / "program.py").write_text(f"import os, signal\n{end}\n")
    done = shell("hlo count program.py:f --arg f32[2]", folder)
    assert done.returncode in (128 + signal.SIGABRT, 128 + signal.SIGKILL)
    lines = [line for line in done.stderr.splitlines() if line.startswith("hlo-count:")]  # bash adds one of its own
    assert len(lines) == 1
    assert lines[0].startswith("hlo-count: ended before it was done, as a compiler that runs out of memory")


SLOW = """
import jax, jax.numpy as jnp

def slow(x):
    for n in range(3000):
        x = jnp.sin(x @ x) * (n + 0.5) + jnp.cumsum(x, axis=n % 2)
    return x
"""


@pytest.mark.parametrize(("number", "said"), [(signal.SIGTERM, "ended by SIGTERM"), (signal.SIGINT, "interrupted")])
def test_a_compile_that_is_ended_leaves_nothing(number: signal.Signals, said: str, folder: Path) -> None:
    (folder / "program.py").write_text(SLOW)
    temporary = folder / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "hlo_count", "passes", "program.py:slow", "--arg", "f32[32,32]"]
    environment = {**INHERITED, "TMPDIR": str(temporary)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=folder, env=environment) as process:
        try:
            while not any(temporary.glob("hlo-count-*/*")):  # it compiles, and dumps
                assert process.poll() is None, process.stderr
                time.sleep(0.02)
            process.send_signal(number)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 128 + number
    ours = [line for line in err.splitlines() if "cudart_stub" not in line and "absl::InitializeLog" not in line]
    assert ours == [f"hlo-count: {said}"]  # CUDA's plugin tells of the hardware that is not there
    assert list(temporary.iterdir()) == []


def test_nothing_is_left_of_the_handlers(folder: Path) -> None:
    script = """
import signal, threading
from hlo_count.cli import main
before = signal.getsignal(signal.SIGTERM), threading.active_count(), signal.set_wakeup_fd(-1)
main(["count", "one.txt"])
assert before == (signal.getsignal(signal.SIGTERM), threading.active_count(), signal.set_wakeup_fd(-1))
threading.Thread(target=main, args=(["count", "one.txt"],)).run()
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=folder,
        env=INHERITED,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("linear") == 2


def test_help_explains_every_exit_code(folder: Path) -> None:
    for command in ("hlo --help", "hlo count --help", "hlo diff --help"):
        done = shell(command, folder)
        assert (done.returncode, done.stderr) == (0, "")
        codes = done.stdout.partition("exit codes:")[2]
        assert [line.split()[0].rstrip(",") for line in codes.strip().splitlines()] == ["0", "1", "2", "3", "130"]


def test_json_is_one_document_on_a_terminal_of_ascii(folder: Path) -> None:
    done = shell("hlo count one.txt --json", folder, PYTHONIOENCODING="ascii")
    assert json.loads(done.stdout)["name"] == "linear"
