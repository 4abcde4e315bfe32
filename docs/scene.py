"""What stands around the reader of a document: the files and names that its blocks speak of."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

_MODULE = '''"""A function to be named on the command line."""

import jax
import jax.numpy as jnp


def function(x, labels=None):
    y = jnp.tanh(x @ x.T)
    return y if labels is None else (y, jnp.take(y, labels, 0))


def example():
    return (jax.ShapeDtypeStruct((64, 64), jnp.float32),)
'''
_TRAIN = '''"""A script that trains, and a model."""

import jax
import jax.numpy as jnp


def step(w, x):
    return w - 0.1 * jax.grad(lambda w: ((x @ w) ** 2).mean())(w)


def example():
    return jax.ShapeDtypeStruct((16, 4), jnp.float32), jax.ShapeDtypeStruct((8, 16), jnp.float32)


if __name__ == "__main__":
    w, x = jnp.ones((16, 4)), jnp.ones((8, 16))
    for _ in range(20):
        w = jax.jit(step)(w, x)
'''
_TEST = """from model.train import example, step


def test_step_is_cheap(flop_budget):
    flop_budget(step, *example(), flops="1 MFLOP")
"""


def names(folder: Path) -> dict[str, Any]:
    """Put the files there, and return the names that blocks of Python use without making them."""
    import jax
    import jax.numpy as jnp
    from jax.sharding import PartitionSpec

    import hlo_count

    _put_files(folder)

    def loss(params: Any, batch: Any) -> Any:
        return ((jnp.tanh(batch @ params["up"]) @ params["down"]) ** 2).mean()

    def train_step(params: Any, batch: Any) -> Any:
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, jax.grad(loss)(params, batch))

    def shape(*dimensions: int) -> Any:
        return jax.ShapeDtypeStruct(dimensions, jnp.float32)

    return {
        "__name__": "__main__", "hc": hlo_count, "jax": jax, "jnp": jnp, "P": PartitionSpec, "Path": Path,
        "train_step": train_step, "step": train_step,
        "params": {"up": shape(128, 256), "down": shape(256, 128)}, "batch": shape(64, 128),
    }  # fmt: skip


def _put_files(folder: Path) -> None:
    for name, text in {"package/module.py": _MODULE, "train.py": _TRAIN, "model/train.py": _TRAIN}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    # The kernel of which documents speak is called fusion.3 there.
    text = gzip.decompress((ROOT / "fixtures/h100/mlp_grad.hlo.gz").read_bytes()).decode()
    (folder / "dump.txt").write_text(text.replace(_a_fusion(text), "fusion.3"))
    small, large = (_compiled(n) for n in (64, 32))
    for name, content in (("before", small), ("after", large), ("main", small), ("branch", large)):
        (folder / f"{name}.txt").write_text(content)
    for name in ("dumps", "dumps-before", "xla_dump_dir"):
        shutil.copytree(_dumped(), folder / name)
    shutil.copytree(_profiled(), folder / "profile-folder")
    (folder / "dumps" / "one.hlo.gz").write_bytes(gzip.compress(large.encode()))
    (folder / "devices").mkdir()
    profile = (ROOT / "hlo_count/roofline/profiles/cpu-avx2.toml").read_text()
    (folder / "devices" / "local.toml").write_text(profile.replace('name = "cpu-avx2"', 'name = "local"'))
    os.environ["HLO_COUNT_DEVICES"] = str(folder / "devices")  # somebody who has calibrated, be it wrongly
    (folder / "tests").mkdir()
    for name in ("benchmarks", "fixtures", "tests/targets"):  # of a checkout, from which some commands are typed
        (folder / name).symlink_to(ROOT / name)


def _a_fusion(text: str) -> str:
    return next(line.split()[0].lstrip("%") for line in text.splitlines() if " fusion(" in line and "ROOT" not in line)


@cache
def _compiled(n: int) -> str:
    import jax

    import hlo_count

    return hlo_count.count(lambda x: x @ x, jax.ShapeDtypeStruct((n, n), "float32")).module.text


@cache
def _dumped() -> Path:
    import jax

    folder = _temporary()
    options = {"xla_dump_to": str(folder), "xla_dump_hlo_as_text": True}
    jax.jit(lambda x: x @ x).lower(jax.ShapeDtypeStruct((32, 32), "float32")).compile(options)
    return folder


@cache
def _profiled() -> Path:
    import jax.numpy as jnp

    import hlo_count

    folder = _temporary()
    with hlo_count.track(folder=folder):
        for n in range(64, 1024, 64):  # kernels of many sizes, from which a profile can learn
            x = jnp.ones((n, n))
            jnp.tanh(x @ x).block_until_ready()
    return folder


def _temporary() -> Path:
    import atexit
    import tempfile

    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def repository(folder: Path) -> None:
    """Make it one of two commits, of which the first has the branch `main` and a smaller model."""

    def git(*words: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)

    (folder / "requirements.txt").touch()
    (folder / "tests" / "flops").mkdir(exist_ok=True)
    (folder / "tests" / "flops" / "test_step.py").write_text(_TEST)
    shutil.rmtree(folder / ".git", ignore_errors=True)
    git("init", "-q", "-b", "main")
    for words in (["add", "."], ["commit", "-qm", "base"], ["checkout", "-qb", "change"]):
        git(*words)
    model = folder / "model" / "train.py"
    model.write_text(model.read_text().replace("0.1 *", "0.1 * 2 *"))
    git("commit", "-qam", "head")


def environment(folder: Path) -> dict[str, str]:
    """Of the shell that types: commands by their names are those of this Python, modules those of the folder."""
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin" / "gh").write_text("#!/bin/sh\n")  # GitHub's own command, which asks the network
    (folder / "bin" / "gh").chmod(0o755)
    return {
        "PATH": os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]),
        # This Python may be a virtual environment itself, of which one inside sees nothing.
        "PYTHONPATH": os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")]),
    }


def run_workflow(text: str, folder: Path) -> None:
    """The steps of a workflow of GitHub Actions on `repository`, those of this action among them, on a pull request.

    What others offer (a checkout, a Python) is there. Raises AssertionError with the output of a step that fails.
    """
    import yaml
    from workflow_steps import run_steps

    repository(folder)
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    base = subprocess.run(["git", "rev-parse", "main"], cwd=folder, check=True, capture_output=True, text=True).stdout
    known = {"runner.temp": str(folder / "runner"), "github.token": "t", "github.event.number": "7"}
    known |= {"github.event_name": "pull_request"}
    env = {**environment(folder), "GITHUB_ACTION_PATH": str(ROOT)}
    for job in yaml.safe_load(text)["jobs"].values():
        for step in job["steps"]:
            steps, inputs = [step], {}
            if str(step.get("uses", "")).startswith("hlo-count/"):
                given = {name: str(value) for name, value in step["with"].items()}
                unknown = given.keys() - action["inputs"].keys()
                assert not unknown, f"the action has no {unknown}"
                inputs = {name: str(each.get("default", "")) for name, each in action["inputs"].items()}
                inputs |= {"base": base.strip(), "system-site-packages": "true", **given}
                steps = action["runs"]["steps"]
            values = {**known, **{f"inputs.{name}": value for name, value in inputs.items()}}
            for done in run_steps(steps, values, folder, {**env, **job.get("env", {})}):
                assert done.code == 0, f"{done.name}: exit code {done.code}\n{done.output[-3000:]}"
