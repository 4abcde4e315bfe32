"""`size`: rows by arithmetic on shapes, failures as rows, programs compiled elsewhere and kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import hlo_count as hc
from hlo_count.lowering import gpu, tpu

jax = pytest.importorskip("jax")
jnp = jax.numpy

ROOT = Path(__file__).resolve().parent.parent.parent
needs_tpu = pytest.mark.skipif(not tpu.installed(), reason=f"libtpu is not installed: {tpu.REMEDY}")
needs_gpu = pytest.mark.skipif(not gpu.installed(), reason=f"the CUDA compiler is not installed: {gpu.REMEDY}")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HLO_COUNT_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


def product(x: Any, w: Any) -> Any:
    return x @ w


def arrays(*shapes: tuple[int, ...], dtype: str = "bfloat16") -> list[Any]:
    return [jax.ShapeDtypeStruct(shape, dtype) for shape in shapes]


@needs_gpu
def test_a_matmul_on_gpus_by_arithmetic() -> None:
    """4096 cubed in bf16: 2 x 4096^3 FLOP at 989 TFLOP/s on H100 and 312 on A100, the rates of their datasheets."""
    sized = hc.size(product, *arrays((4096, 4096), (4096, 4096)), on=["a100-sxm-80gb", "h100-sxm"], workers=1)
    first, second = sized.rows
    assert (first.target, second.target) == ("h100-sxm", "a100-sxm-80gb")  # the faster first
    assert first.flops == second.flops == 2 * 4096**3
    assert first.bound == pytest.approx(2 * 4096**3 / 989e12)
    assert second.bound == pytest.approx(2 * 4096**3 / 312e12)
    assert first.limited_by == "matrix bf16"
    assert first.fits is True
    assert first.peak_bytes == 3 * 4096 * 4096 * 2  # two operands and the result
    assert first.spare_bytes == 80e9 - 3 * 4096 * 4096 * 2
    assert first.hfu == pytest.approx(first.bound / first.estimate)  # all of it is matrix FLOP


@needs_tpu
def test_a_mesh_takes_the_devices_that_are_there() -> None:
    """Rows of a batch of 64 over 4 and over 8 devices: each does a 4th or an 8th, all together the same."""
    from jax.sharding import PartitionSpec

    sized = hc.size(
        product,
        *arrays((64, 256), (256, 128)),
        on=["tpu:v5e:2x2", "tpu:v5e:2x4"],
        mesh={"data": -1},
        in_specs=(PartitionSpec("data"), PartitionSpec()),
        workers=1,
    )
    whole = 2 * 64 * 256 * 128
    rows = {row.target: row for row in sized.rows}
    assert {target: row.num_devices for target, row in rows.items()} == {"tpu:v5e:2x2": 4, "tpu:v5e:2x4": 8}
    assert rows["tpu:v5e:2x2"].flops == whole // 4
    assert rows["tpu:v5e:2x4"].flops == whole // 8
    assert {row.step_flops for row in sized.rows} == {whole}


@needs_gpu
def test_devices_that_a_mesh_leaves_idle_are_said() -> None:
    with pytest.warns(UserWarning, match="mesh data=3: 3 of the 8 devices of h100-sxm:8 are used, the others are idle"):
        sized = hc.size(product, *arrays((64, 256), (256, 128)), on=["h100-sxm:8"], mesh={"data": 3}, workers=1)
    assert sized.rows[0].num_devices == 3


@needs_tpu
@needs_gpu
def test_each_target_may_have_its_own_mesh() -> None:
    from jax.sharding import PartitionSpec

    sized = hc.size(
        product,
        *arrays((64, 256), (256, 128)),
        on=["tpu:v5e:2x2", "h100-sxm"],
        mesh={"tpu:v5e:2x2": {"data": 4}, "h100-sxm": None},
        in_specs=(PartitionSpec("data"), PartitionSpec()),
        workers=1,
    )
    assert {row.target: row.num_devices for row in sized.rows} == {"tpu:v5e:2x2": 4, "h100-sxm": 1}


@needs_gpu
def test_a_target_that_fails_is_a_row() -> None:
    sized = hc.size(product, *arrays((64, 64), (64, 64)), on=["h100-sxm", "tpu:v99"], workers=1)
    done, failed = sized.rows
    assert done.report is not None
    assert failed.report is None and failed.fits is None
    assert "unknown target 'tpu:v99'" in failed.problem
    shown = str(sized)
    assert "tpu:v99   unknown target" in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_a_device_without_a_profile_is_counted_all_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))  # where a calibrated profile would lie
    (row,) = hc.size(product, *arrays((64, 64), (64, 64), dtype="float32"), on=["cpu"]).rows
    assert row.flops == 2 * 64**3
    assert row.estimate is None and row.fits is None
    assert "hlo-count calibrate" in row.problem


def test_where_all_fail_it_is_an_error() -> None:
    with pytest.raises(hc.TargetError, match=r"unknown target 'tpu:v99'.*unknown target 'h900'"):
        hc.size(product, *arrays((64, 64), (64, 64)), on=["tpu:v99", "h900"])


@needs_tpu
def test_a_program_that_the_device_cannot_hold_does_not_fit() -> None:
    """Two matrices of 65,536 squared in bf16 are 17.2 GB, and a v5e has 16."""
    sized = hc.size(product, *arrays((2**16, 2**16), (2**16, 2**16)), on=["tpu:v5e", "tpu:v7"], workers=1)
    fits = {row.target: row.fits for row in sized.rows}
    assert fits == {"tpu:v7": True, "tpu:v5e": False}


@needs_gpu
def test_what_does_not_fit_is_said_with_by_how_much() -> None:
    """Three arrays of 32 GB where 80 are there: 16 GB too much, a fifth."""
    n = 16 * 10**9
    (row,) = hc.size(lambda x, y: x + y, *arrays((n,), (n,)), on=["h100-sxm"]).rows
    assert row.fits is False
    assert row.spare_bytes == -16e9
    assert "h100-sxm: does not fit: 16 GB too much (20 % over)" in str(hc.Size([row]))


@needs_gpu
def test_prices() -> None:
    """Two dollars an hour for each device: the cost of a step is its share of an hour."""
    arguments = arrays((64, 64), (64, 64))
    sized = hc.size(product, *arguments, on=["h100-sxm", "a10g"], price_per_hour={"h100-sxm": 2}, tokens=64, workers=1)
    rows = {row.target: row for row in sized.rows}
    priced = rows["h100-sxm"]
    assert priced.estimate is not None
    assert priced.cost == pytest.approx(2 * priced.estimate / 3600)
    assert priced.cost_per_million_tokens == pytest.approx(priced.cost / 64 * 1e6)
    assert rows["a10g"].cost is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"on": []}, "none is given"),
        ({"on": [3]}, "not 3"),
        ({"on": ["cpu"], "price_per_hour": "much"}, "a number of 0 or more, not 'much'"),
        ({"on": ["cpu"], "price_per_hour": {"h100-sxm": 2}}, "'h100-sxm' is no target of on="),
        ({"on": ["cpu"], "mesh": {"h100-sxm": None}}, "'h100-sxm' is no target of on="),
        ({"on": ["cpu"], "tokens": 0}, "a whole number above 0, not 0"),
        ({"on": ["cpu"], "workers": 0}, "workers: how many compile at once, a whole number above 0, not 0"),
    ],
)
def test_what_is_none_is_refused_in_one_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(hc.HloCountError, match=message) as caught:
        hc.size(product, *arrays((4, 4), (4, 4)), **given)
    assert "\n" not in str(caught.value)


@needs_gpu
def test_what_is_not_known_is_settled_for_all_targets() -> None:
    """A loop as long as its argument says, run 7 times: 7 products of 8 cubed."""

    def looped(n: Any, x: Any) -> Any:
        return jax.lax.fori_loop(0, n, lambda _, carry: carry @ carry, x)

    arguments = (jax.ShapeDtypeStruct((), "int32"), *arrays((8, 8), dtype="float32"))
    sized = hc.size(looped, *arguments, on=["cpu", "h100-sxm"], trip_counts={"*while*": 7}, workers=1)
    for row in sized.rows:
        assert row.report is not None
        assert row.report.by("class")["matmul"].flops == 7 * 2 * 8**3


def test_a_compiled_program_is_refused() -> None:
    with pytest.raises(hc.HloCountError, match="size compiles a function for each target"):
        hc.size("HloModule m\nENTRY e { ROOT c = f32[] constant(1) }", on=["cpu"])


# In processes of their own


@needs_gpu
def test_targets_are_compiled_in_other_processes() -> None:
    pytest.importorskip("loky")
    here = os.getpid()

    def elsewhere(x: Any) -> Any:
        assert os.getpid() != here, "traced in the process of the test"
        return x @ x

    sized = hc.size(elsewhere, *arrays((64, 64)), on=["h100-sxm", "a10g"], workers=2)
    assert [row.flops for row in sized.rows] == [2 * 64**3] * 2
    assert {row.report.target for row in sized.rows if row.report} == {"h100-sxm", "a10g"}


@needs_gpu
def test_settings_of_jax_go_along() -> None:
    pytest.importorskip("loky")
    here = os.getpid()

    def doubles(n: int) -> Any:
        assert os.getpid() != here
        return jnp.ones((n, n)) @ jnp.arange(float(n * n)).reshape(n, n)

    with jax.experimental.enable_x64() if hasattr(jax.experimental, "enable_x64") else jax.enable_x64(True):
        sized = hc.size(lambda: doubles(8), on=["h100-sxm", "a10g"], workers=2)
    for row in sized.rows:
        assert row.report is not None
        assert row.report.output_bytes == 8 * 8 * 8


def test_a_compiler_that_ends_its_process_is_a_row_or_an_error() -> None:
    pytest.importorskip("loky")
    here = os.getpid()

    def deadly(x: Any) -> Any:
        if os.getpid() != here:
            os._exit(3)
        raise AssertionError("traced in the process of the test")

    with pytest.raises(hc.TargetError, match="cpu: the compiler ended its process"):
        hc.size(deadly, *arrays((4,)), on=["cpu", "local"], workers=2)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_processes_that_compile_end_with_the_one_that_started_them(number: signal.Signals, tmp_path: Path) -> None:
    pytest.importorskip("loky")
    (tmp_path / "forever.py").write_text(
        "import os, pathlib, time\n"
        "def forever(x):\n"
        "    pathlib.Path(f'traced-{os.getpid()}').touch()\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-m", "hlo_count", "size", "forever.py:forever", "--arg", "f32[4]", "--on", "cpu,local"]
    paths = {"PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))}
    process = subprocess.Popen(
        [*command, "--no-cache", "--workers", "2"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env={**os.environ, **paths},
    )  # fmt: skip
    try:
        assert _until(lambda: len(list(tmp_path.glob("traced-*"))) == 2)
        process.send_signal(number)
        assert process.stderr is not None
        err = process.stderr.read()  # which ends where all who could write there have ended
        assert process.wait(10) == (143 if number == signal.SIGTERM else -signal.SIGKILL)
    finally:
        process.kill()
    assert _until(lambda: not [p for p in tmp_path.glob("traced-*") if Path("/proc", p.name[7:], "exe").exists()])
    assert "resource_tracker" not in err
    assert number != signal.SIGTERM or err.splitlines()[-1] == "hlo-count: ended by SIGTERM"


def _until(holds: Callable[[], bool], seconds: float = 60) -> bool:
    """Whether something comes to hold before the time is over."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)
    return holds()


class UsersError(Exception):
    pass


def test_an_error_of_the_function_is_the_users_own() -> None:
    def wrong(x: Any) -> Any:
        raise UsersError("mine")

    with pytest.raises(UsersError, match="mine"):
        hc.size(wrong, *arrays((4,)), on=["cpu", "local"], workers=2)


def test_a_function_that_cannot_be_pickled_is_compiled_here() -> None:
    lock = __import__("threading").Lock()

    def locked(x: Any) -> Any:
        with lock:
            return x + 1

    rows = hc.size(locked, *arrays((4,), dtype="float32"), on=["cpu", "local"], workers=2).rows
    assert [row.flops for row in rows] == [4, 4]


# Kept


def twice(between: Callable[[], object] = lambda: None) -> list[hc.Size]:
    """From one line: the lines of all callers are among those that a program bears."""
    found = []
    for act in (lambda: None, between):
        act()
        found.append(sized_here())
    return found


def sized_here(fn: Any = product, shapes: Any = ((8, 8), (8, 8)), **options: Any) -> hc.Size:
    return hc.size(fn, *arrays(*shapes), on=["cpu"], **options)


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.program"))


def test_what_was_compiled_is_not_compiled_again(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more() -> None:
        assert len(kept(own_cache)) == 1
        monkeypatch.setattr(
            import_module("hlo_count.lowering.lower"), "_compile", lambda *_: pytest.fail("compiled again")
        )

    first, second = twice(no_more)
    assert first.rows[0].report == second.rows[0].report
    assert json.dumps(first.to_dict()) == json.dumps(second.to_dict())


def test_what_it_depends_on_is_part_of_the_key(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = [
        {},
        {},
        {"shapes": ((8, 8), (8, 4))},
        {"fn": lambda x, w: x @ w + 1},
        {"compiler_options": {"xla_cpu_enable_fast_math": True}},
    ]
    numbers = [sized_here(**each) and len(kept(own_cache)) for each in given]
    assert numbers == [1, 1, 2, 3, 4]
    monkeypatch.setenv("LIBTPU_INIT_ARGS", "--xla_tpu_something=1")
    twice()
    assert len(kept(own_cache)) == 5


def test_what_jax_tells_the_compiler_is_part_of_the_key(own_cache: Path) -> None:
    before = jax.config.values["jax_disable_most_optimizations"]
    try:
        for less in (False, True):
            jax.config.update("jax_disable_most_optimizations", less)
            sized_here()
    finally:
        jax.config.update("jax_disable_most_optimizations", before)
    assert len(kept(own_cache)) == 2


def test_a_file_that_another_process_drops_is_nothing_to_warn_of(own_cache: Path) -> None:
    own_cache.mkdir()
    (own_cache / "dropped.program").symlink_to("nowhere")  # listed, and not there when it is asked for its size
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sized_here()


@pytest.mark.parametrize("damage", [b"", b"nothing of the kind", "half"], ids=["empty", "other", "half"])
def test_a_damaged_file_is_compiled_anew(own_cache: Path, damage: Any) -> None:
    whole: dict[Path, bytes] = {}

    def hurt() -> None:
        (file,) = kept(own_cache)
        whole[file] = file.read_bytes()
        file.write_bytes(whole[file][: len(whole[file]) // 2] if damage == "half" else damage)

    with pytest.warns(UserWarning, match="compiled anew"):
        before, after = twice(hurt)
    assert after.rows[0].report == before.rows[0].report
    assert {file: file.read_bytes() for file in kept(own_cache)} == whole


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="compiled programs cannot be kept there"):
        sized = sized_here(cache=tmp_path / "file" / "below")
    assert sized.rows[0].flops is not None


def test_nothing_half_written_stays(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.warns(UserWarning, match="compiled programs cannot be kept there .No space left on device"):
        sized_here()
    assert list(own_cache.iterdir()) == []


def test_no_cache(own_cache: Path) -> None:
    sized_here(cache=False)
    assert not own_cache.exists()


def test_the_oldest_go_where_there_are_too_many(tmp_path: Path) -> None:
    from hlo_count.lowering import lower
    from hlo_count.lowering.compiled_texts import CompiledTexts

    sizes = []
    for n in (8, 16, 32):
        folder = CompiledTexts(tmp_path, most_bytes=sum(sizes[-1:]) + 10**6 if n < 32 else max(sizes) * 2)
        lower(product, arrays((8, n), (n, 8)), target="cpu", keep=folder)
        for path in kept(tmp_path):
            os.utime(path, (0, path.stat().st_mtime - 10))  # older than the next by more than a clock's step
        sizes = [path.stat().st_size for path in kept(tmp_path)]
    assert len(kept(tmp_path)) < 3
    assert sum(path.stat().st_size for path in kept(tmp_path)) <= folder.most_bytes


# Shown


@needs_gpu
def test_plot_and_exports(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    sized = hc.size(product, *arrays((64, 64), (64, 64)), on=["h100-sxm", "a10g"], workers=1)
    assert sized.plot(tmp_path / "sizes.png").stat().st_size > 10_000
    with pytest.raises(hc.HloCountError, match=r"\.png, \.svg, \.pdf"):
        sized.plot(tmp_path / "sizes.txt")
    frame = sized.to_pandas()
    assert list(frame["target"]) == [row.target for row in sized.rows]
    assert sized.to_dict()["targets"][0]["fits"] is True


@needs_gpu
def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from hlo_count.cli import main

    (tmp_path / "mine.py").write_text("def f(x):\n    return x @ x\n")
    program = [f"{tmp_path / 'mine.py'}:f", "--arg", "bf16[64,64]", "--workers", "1"]
    assert main(["size", *program, "--on", "h100-sxm,a10g"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split()[:3] == ["target", "estimate", "bound"]
    assert {line.split()[0] for line in lines[3:5]} == {"h100-sxm", "a10g"}
    assert main(["size", *program, "--on", "h100-sxm,tpu:v99", "--json"]) == 2  # one failed: said in its row
    found = json.loads(capsys.readouterr().out)
    assert [row["target"] for row in found["targets"]] == ["h100-sxm", "tpu:v99"]
    assert main(["size", *program, "--on", "h100-sxm", "--price-per-hour", "cheap"]) == 2
    assert capsys.readouterr().err.strip() == "hlo-count: --price-per-hour: 'cheap' is no number"


def test_nothing_is_warned_of_where_nothing_is_wrong() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        twice()
