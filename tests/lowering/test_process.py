"""What a process is left with: its environment, JAX's configuration, its default backend and its screen."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hlo_count.lowering import gpu, tpu
from hlo_count.lowering.quiet import environment, quiet

TARGETS = [
    None, "cpu",
    *(["tpu:v5e", "tpu:v4", "tpu:v7:2x2x1"] if tpu.installed() else []),
    *(["h100-sxm", "v100-sxm2", "b200:8"] if gpu.installed() else []),
]  # fmt: skip

SCRIPT = """
import os, sys, threading
import hlo_count.lowering as lowering
from hlo_count.errors import HloCountError
assert "jax" not in sys.modules
how, targets = sys.argv[1], eval(sys.argv[2])
def f(x):
    import jax.numpy as jnp
    return jnp.tanh(x @ x)
def run():
    import numpy as np
    for target in [*targets, *targets[::-1]]:
        program = lowering.lower(f, (np.ones((64, 64), np.float32),), target=target)
        assert program.num_devices == 1
        assert target in (None, "cpu") or program.backend == ("tpu" if "tpu" in target else "gpu")
    for target in targets:
        try:
            lowering.lower(f, (np.ones((64, 64), np.float32),), target=target, mesh={"data": 999})
        except HloCountError:
            continue
        raise AssertionError("999 devices were found")
def state():
    import jax
    return dict(os.environ), dict(jax.config.values)
if how == "used":
    import jax, jax.numpy as jnp
    jnp.ones(3) + 1
    sys.stderr.flush()
    os.write(1, b"---")
if how != "fresh":
    before = state()
if how == "thread":
    failed = []
    def guarded():
        try:
            run()
        except BaseException as error:
            failed.append(error)
    threads = [threading.Thread(target=guarded) for _ in range(2)]
    for each in threads: each.start()
    for each in threads: each.join()
    assert not failed, failed
else:
    run()
if how != "fresh":
    assert state() == before
import jax, jax.numpy as jnp
assert jax.default_backend() == jax.devices()[0].platform
assert float(jnp.ones(3).sum()) == 3
"""


def run(how, **variables):
    variables = {**os.environ, **variables}
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, how, repr(TARGETS)],
        env={name: value for name, value in variables.items() if value is not None},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("platforms", ["cpu", None], ids=["JAX_PLATFORMS=cpu", "JAX_PLATFORMS unset"])
@pytest.mark.parametrize("how", ["fresh", "used", "thread"])
def test_target_after_target_leaves_the_process_as_it_was(how, platforms):
    done = run(how, JAX_PLATFORMS=platforms)
    assert done.returncode == 0, done.stderr
    if how == "fresh":  # a process that starts JAX itself hears its plugins before us
        assert done.stderr == ""


def test_log_lines_are_held_back_and_nothing_else(capfd):
    with quiet():
        os.write(2, b"I0000 00:00:1.2 3 cudart_stub.cc:31] no drivers\nW0101 12:00:00.1 7 a.cc:1] hm\n")
        os.write(2, b"F0000 00:00:1.2 3 check.cc:1] dying\nsomething of the user's\n")
    held = capfd.readouterr().err
    assert held == "F0000 00:00:1.2 3 check.cc:1] dying\nsomething of the user's\n"


def test_what_a_compiler_says_passes_the_gate(capfd):
    with quiet():
        os.write(2, b"a kernel called \x1b[31mred\n::error::of CI\n")
    assert capfd.readouterr().err == "a kernel called \\x1b[31mred\n\\x3a:error::of CI\n"


def test_an_exception_takes_the_log_along(capfd):
    with pytest.raises(ValueError, match="failed") as raised, quiet():  # noqa: PT012
        os.write(2, b"E0000 00:00:1.2 3 a.cc:1] the reason\n")
        raise ValueError("failed")
    assert "the reason" in raised.value.__notes__[0]
    assert capfd.readouterr().err == ""


def test_variables_are_set_for_the_while_and_never_overridden(monkeypatch):
    monkeypatch.setenv("HLO_COUNT_ONE", "the user's")
    monkeypatch.delenv("HLO_COUNT_TWO", raising=False)
    with pytest.raises(ValueError), environment({"HLO_COUNT_ONE": "ours", "HLO_COUNT_TWO": "ours"}):  # noqa: PT012
        assert (os.environ["HLO_COUNT_ONE"], os.environ["HLO_COUNT_TWO"]) == ("the user's", "ours")
        raise ValueError
    assert os.environ["HLO_COUNT_ONE"] == "the user's"
    assert "HLO_COUNT_TWO" not in os.environ
