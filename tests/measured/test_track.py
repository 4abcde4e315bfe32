"""What JAX did inside a `with`, and in a script that `hlo-count run` runs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from measured.conftest import needs_thunks

import hlo_count as hc

N, RUNS = 64, 4
SCRIPT = f"""
import os, sys
assert "jax" not in sys.modules
os.environ["JAX_ENABLE_X64"] = "1"  # read when JAX is imported
import jax, jax.numpy as jnp
print("given", sys.argv[1:])
product = jax.jit(lambda x: x @ x)
x = jnp.ones(({N}, {N}), jnp.float64)
for _ in range({RUNS}):
    y = product(x)
print(float(y[0, 0]), y.dtype)
if sys.argv[1:] == ["fails"]:
    raise RuntimeError("the script's own trouble")
sys.exit(7)
"""


@needs_thunks
def test_all_that_runs_inside_is_told(tmp_path):
    @jax.jit
    def product(x):
        return x @ x

    @jax.jit
    def total(x):
        return x.sum()

    x = jax.block_until_ready(jnp.ones((N, N)))
    with hc.track(folder=tmp_path, device="cpu-avx512") as t:
        with pytest.raises(hc.HloCountError, match="before it is over"):
            t.flops  # noqa: B018
        results = [*(product(x) for _ in range(RUNS)), total(x)]
    assert sorted(program.runs for program in t.programs) == [1, RUNS] and len(results) == RUNS + 1
    assert t.flops == RUNS * 2 * N**3 + N * N - 1
    assert t.compiles == 2 and 0 < t.compile_seconds < t.wall_seconds
    assert 0 < t.seconds <= t.wall_seconds
    assert f"2 programs, {RUNS + 1} runs" in t.table()
    assert max(map(len, str(t).splitlines())) <= 100
    assert hc.read_trace(tmp_path).programs[0].seconds == t.programs[0].seconds


@needs_thunks
def test_what_is_raised_inside_goes_through_and_what_ran_before_is_kept():
    product = jax.jit(lambda x: x @ x)
    results = []

    def fail():
        results.append(product(jnp.ones((N, N))))
        raise ZeroDivisionError

    tracked = hc.track()
    with pytest.raises(ZeroDivisionError), tracked as t:
        fail()
    assert t.flops >= 2 * N**3


def run(
    tmp_path: Path, script: str, *arguments: str, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "script.py"
    file.write_text(script)
    command = [sys.executable, "-m", "hlo_count", "run", *options, str(file), *arguments]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONIOENCODING": "utf-8"}
    environment.pop("JAX_ENABLE_X64", None)
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@needs_thunks
def test_a_script_keeps_its_output_arguments_and_exit_code(tmp_path):
    options = ("--json", "--whole", "--device", "cpu-avx512", "-o", str(tmp_path / "kept"))
    done = run(tmp_path, SCRIPT, "--json", "a b", options=options)
    assert done.returncode == 7
    *own, document = done.stdout.splitlines()
    assert own == ["given ['--json', 'a b']", f"{float(N)} float64"]
    found = json.loads(document)
    product = next(each for each in found["trace"]["programs"] if each["runs"] == RUNS)
    assert product["report"]["flops"] == 2 * N**3
    assert 0 < found["running_s"] < found["wall_s"]
    trace = hc.read_trace(tmp_path / "kept")
    assert {each.name for each in trace.programs} == {each["name"] for each in found["trace"]["programs"]}


@needs_thunks
def test_a_window_of_a_block_is_recorded(tmp_path):
    """Programs that ran before the window, or after it, are not in it."""
    early, inside, late = (jax.jit(lambda x, by=by: x @ x * by) for by in (2.0, 3.0, 4.0))
    x = jnp.ones((N, N))
    for each in (early, inside, late):
        jax.block_until_ready(each(x))
    with hc.track(skip=0.2, seconds=0.4, folder=tmp_path) as t:
        begun = time.perf_counter()
        jax.block_until_ready(early(x))
        time.sleep(max(0.0, begun + 0.4 - time.perf_counter()))
        jax.block_until_ready(inside(x))
        time.sleep(0.5)
        jax.block_until_ready(late(x))
    assert [program.runs for program in t.programs] == [1]
    assert 0.4 <= t.recorded_seconds < t.wall_seconds
    assert "recorded" in t.table() and "in one window" in t.table()


@pytest.mark.parametrize("window", [{"seconds": 0}, {"seconds": -1}, {"skip": -1}, {"skip": float("nan")}])
def test_a_window_has_a_length(window):
    with pytest.raises(hc.HloCountError, match="numbers of seconds"), hc.track(**window):
        pass


PROFILES_ITSELF = """
import sys, jax, jax.numpy as jnp
product = jax.jit(lambda x: x @ x)
for _ in range(3):
    product(jnp.ones((64, 64))).block_until_ready()
with jax.profiler.trace(sys.argv[1]):
    product(jnp.ones((64, 64))).block_until_ready()
"""


@needs_thunks
def test_a_script_may_profile_itself(tmp_path):
    done = run(tmp_path, PROFILES_ITSELF, str(tmp_path / "own"), options=("--whole",))
    assert done.returncode == 0, done.stderr
    assert hc.read_trace(tmp_path / "own").programs
    assert "started a profiler itself" in done.stderr and "jit" in done.stderr


@needs_thunks
def test_a_script_that_fails_shows_its_own_frames_and_what_ran(tmp_path):
    done = run(tmp_path, SCRIPT, "fails", options=("--whole",))  # a sample may miss what is so short
    assert done.returncode == 1
    assert done.stderr.count("RuntimeError: the script's own trouble") == 1
    frames = [line for line in done.stderr.splitlines() if line.startswith("  File")]
    assert len(frames) == 1 and "script.py" in frames[0]
    assert re.search(rf"^jit__?lambda_? +{RUNS} ", done.stderr, re.M)


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        ("import os; os._exit(3)", 3, "ended by os._exit, or in C code before its trace was written"),
        (f"import os; os.kill(os.getpid(), {int(signal.SIGTERM)})", 128 + signal.SIGTERM, "ended by SIGTERM before"),
        ("print('no JAX')", 0, "the script compiled nothing with JAX"),
    ],
)
def test_a_script_of_which_nothing_is_known_is_told_in_a_line(tmp_path, script, code, said):
    done = run(tmp_path, script)
    assert done.returncode == code
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


ENDS_AT_ONCE = """
import os, time, jax, jax.numpy as jnp
product = jax.jit(lambda x: x @ x)
x = jnp.ones((64, 64))
until = time.process_time() + 1.0
while time.process_time() < until:
    product(x).block_until_ready()
os._exit(3)
"""


@needs_thunks
def test_a_sample_is_there_when_a_script_ends_at_once(tmp_path):
    done = run(tmp_path, ENDS_AT_ONCE)
    assert done.returncode == 3
    said = " ".join(done.stderr.split())
    assert "ended by os._exit, or in C code: what is told is what was recorded before" in said
    assert re.search(r"in one window|in \d+ windows?, so that it costs little", said)
    assert "where" in said and "runs went" in said


INTERRUPTED = """
import time
try:
    print("running", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    raise SystemExit(7)
"""


@pytest.mark.skipif(not hasattr(os, "setsid"), reason="sessions are POSIX's")
def test_an_interrupt_that_no_terminal_gave_to_the_script_is_handed_on(tmp_path):
    (tmp_path / "script.py").write_text(INTERRUPTED)
    command = [sys.executable, "-m", "hlo_count", "run", str(tmp_path / "script.py")]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, **streams, text=True, start_new_session=True, cwd=tmp_path)
    assert process.stdout is not None and process.stdout.readline() == "running\n"
    process.send_signal(signal.SIGINT)  # to it alone
    out, _ = process.communicate(timeout=60)
    assert (out, process.returncode) == ("interrupted\n", 7)


SHORT = """
import jax, jax.numpy as jnp
product = jax.jit(lambda x: jnp.tanh(x @ x).sum())
x = jnp.ones((512, 512))
for _ in range(20):
    product(x).block_until_ready()
"""


@needs_thunks
def test_of_a_script_of_a_moment_runs_are_seen(tmp_path):
    """Windows may take a tenth of a second in any case: 2 % of a moment is less than one window."""
    said = run(tmp_path, SHORT).stderr
    runs = re.search(r"^jit__?lambda_? +(\d+) ", said, re.M)
    assert runs is not None and 1 <= int(runs[1]) <= 20


def test_there_must_be_a_script(tmp_path):
    command = [sys.executable, "-m", "hlo_count", "run", str(tmp_path / "nowhere.py")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "there is no such script" in done.stderr
    assert len(done.stderr.splitlines()) == 1
