"""Many files into one database: a row a module, whoever counts it, however often it is interrupted."""

from __future__ import annotations

import csv
import functools
import gzip
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from job.job_texts import dumped, flops, step

import hlo_count as hc
from hlo_count.fleet import counting_one
from hlo_count.fleet.counting_one import count_one, number
from hlo_count.fleet.sources import find
from hlo_count.fleet.store import Store
from hlo_count.fleet.workers import BATCH_BYTES, BATCH_FILES, batches

CALL = """HloModule calls
ENTRY %main (x: f32[8]) -> f32[8] {
  %x = f32[8]{0} parameter(0)
  ROOT %y = f32[8]{0} custom-call(%x), custom_call_target="theirs"
}
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Three folders of dumps, and what else lies in such folders."""
    top = tmp_path / "dumps"
    top.mkdir()
    for rank in range(3):
        for at in range(4):
            dumped(top / f"rank{rank}", at, step(rows=1 + 4 * rank + at), before=step(rows=1))
    (top / "rank0" / "notes.txt").write_text("lost the run here")
    (top / "rank0" / "module_0000.jit_step.debug_options").write_text("xla_dump_to: 'x'")
    (top / "rank1" / "module_0009.jit_cut.cpu_after_optimizations.txt").write_text(step()[:300])
    (top / "rank2" / "packed.hlo.gz").write_bytes(gzip.compress(CALL.encode()))
    (top / "rank2" / "round").symlink_to(top)  # a link that goes round
    return top


def here(workers: int = 2) -> ThreadPoolExecutor:
    """An executor that starts at once."""
    return ThreadPoolExecutor(workers)


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def test_a_row_a_module(fleet: Path, tmp_path: Path) -> None:
    out = tmp_path / "counts.sqlite"
    found = hc.scan(fleet, out, here())
    assert (found.modules, found.failed, found.counted) == (13, 1, 15)
    assert rows(out, "SELECT flops FROM modules WHERE name = 'jit_step' ORDER BY flops") == [
        (flops(n),) for n in range(1, 13)
    ]
    assert rows(out, "SELECT count(*), count(DISTINCT file) FROM modules") == [(14, 14)]
    ((file, error, known),) = rows(out, "SELECT file, error, flops FROM modules WHERE error IS NOT NULL")
    assert file.endswith("module_0009.jit_cut.cpu_after_optimizations.txt")
    assert ".txt:7:" in error  # the line at which it is cut
    assert known is None
    path = fleet / "rank2" / "packed.hlo.gz"
    ((size, sha256),) = rows(out, f"SELECT size, sha256 FROM modules WHERE file = '{path}'")
    assert size == path.stat().st_size
    assert sha256 == subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]
    assert rows(out, "SELECT DISTINCT what, instructions FROM unknowns") == [("custom-call theirs", 1)]
    for key in ("scope", "source", "class"):  # each adds up to the total
        whole = "SELECT sum(flops), sum(bytes) FROM modules"
        assert rows(out, f"SELECT sum(flops), sum(bytes) FROM contributors WHERE key = '{key}'") == rows(out, whole)
    assert rows(out, "SELECT DISTINCT contributor FROM contributors WHERE key = 'source' AND contributor LIKE '%:7'")


def test_other_formats_hold_the_same(fleet: Path, tmp_path: Path) -> None:
    whole = "SELECT flops, bytes, sha256 FROM modules WHERE error IS NULL ORDER BY id"
    hc.scan(fleet, tmp_path / "c.sqlite", here())
    expected = rows(tmp_path / "c.sqlite", whole)
    hc.scan(fleet, tmp_path / "c.csv", here())
    with (tmp_path / "c.csv").open(newline="") as stream:
        found = [row for row in csv.DictReader(stream) if not row["error"]]
    assert [(int(row["flops"]), int(row["bytes"]), row["sha256"]) for row in found] == expected
    hc.scan(fleet, tmp_path / "c.jsonl", here())
    lines = list(map(json.loads, (tmp_path / "c.jsonl").read_text().splitlines()))
    assert [(row["flops"], row["bytes"], row["sha256"]) for row in lines if row["error"] is None] == expected
    kinds = [json.loads(line)["what"] for line in (tmp_path / "c.unknowns.jsonl").read_text().splitlines()]
    assert kinds == ["custom-call theirs"]
    with pytest.raises(hc.HloCountError, match=r"c.txt: the suffix says what is written: .sqlite, .csv"):
        hc.scan(fleet, tmp_path / "c.txt", here())


def test_parquet(fleet: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")
    found = hc.scan(fleet, tmp_path / "c.parquet", here())
    table = parquet.read_table(tmp_path / "c.parquet")
    assert table.num_rows == 14
    assert sum(n or 0 for n in table["flops"].to_pylist()) == sum(map(flops, range(1, 13)))
    assert [path.name for path in found.files] == ["c.parquet", "c.contributors.parquet", "c.unknowns.parquet"]
    names = set(parquet.read_table(tmp_path / "c.contributors.parquet")["key"].to_pylist())
    assert names == {"scope", "source", "class"}


def test_what_has_not_changed_is_not_read_again(fleet: Path, tmp_path: Path) -> None:
    out = tmp_path / "counts.sqlite"
    hc.scan(fleet, out, here())
    before = out.read_bytes()
    again = hc.scan(fleet, out, here())
    assert (again.counted, again.unchanged) == (0, 15)
    assert out.read_bytes() == before
    changed = fleet / "rank1" / "module_0002.jit_step.cpu_after_optimizations.txt"
    changed.write_text(step(rows=100))
    third = hc.scan(fleet, out, here())
    assert (third.counted, third.modules) == (1, 13)
    assert rows(out, f"SELECT flops FROM modules WHERE file = '{changed}'") == [(flops(100),)]
    hc.scan(fleet, tmp_path / "fresh.sqlite", here())
    assert out.read_bytes() == (tmp_path / "fresh.sqlite").read_bytes()


def test_bytes_do_not_depend_on_order_and_workers(fleet: Path, tmp_path: Path) -> None:
    """Files counted in two parts, later ones first, give what one scan gives."""
    one, other = tmp_path / "one.sqlite", tmp_path / "other.sqlite"
    hc.scan(fleet, one, here(1))
    hc.scan([fleet / "rank1", fleet / "rank0"], other, here(1))
    hc.scan(fleet, other, here(3))
    assert one.read_bytes() == other.read_bytes()


SCANS = """
import sys
import hlo_count
if __name__ == "__main__":
    hlo_count.scan(sys.argv[1], sys.argv[2], workers=int(sys.argv[3]))
"""


def process(tmp_path: Path, fleet: Path, out: Path, workers: int) -> subprocess.Popen[bytes]:
    script = tmp_path / "scans.py"
    script.write_text(SCANS)
    return subprocess.Popen([sys.executable, script, fleet, out, str(workers)])


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9")
def test_killed_at_random_and_started_again(fleet: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole.sqlite", tmp_path / "out.sqlite"
    hc.scan(fleet, whole, here(1))
    chance = random.Random(17)
    for _ in range(3):
        scan = process(tmp_path, fleet, out, 2)
        time.sleep(chance.uniform(0.3, 1.5))
        scan.kill()
        scan.wait()
    assert process(tmp_path, fleet, out, 2).wait() == 0
    assert out.read_bytes() == whole.read_bytes()


DEADLY = """
import os, signal, sys
def dies(event, arguments):
    if event == "open" and str(arguments[0]).endswith("deadly.txt"):
        if {always} or not os.path.exists({marker!r}):
            open({marker!r}, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(dies)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9")
@pytest.mark.parametrize("always", [False, True], ids=["one worker is killed", "one file ends each process"])
def test_a_process_that_ends(always: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts in a process that is killed is counted again; what ends each process is a row with its error."""
    folder, site = tmp_path / "dumps", tmp_path / "site"
    for at in range(3):
        dumped(folder, at, step(rows=1 + at))
    (folder / "deadly.txt").write_text(step(rows=9))
    site.mkdir()
    (site / "sitecustomize.py").write_text(DEADLY.format(always=always, marker=str(tmp_path / "dead")))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    found = hc.scan(folder, tmp_path / "out.sqlite", workers=1)
    counted = rows(found.path, "SELECT flops FROM modules WHERE error IS NULL ORDER BY flops")
    if not always:
        assert counted == [(flops(n),) for n in (1, 2, 3, 9)]
        return
    assert counted == [(flops(n),) for n in (1, 2, 3)]
    ((file, error),) = rows(found.path, "SELECT file, error FROM modules WHERE error IS NOT NULL")
    assert file.endswith("deadly.txt")
    assert "the process that counted it ended" in error
    monkeypatch.undo()  # it is tried again, as what ended it is not in the file
    assert hc.scan(folder, found.path, here()).counted == 1
    assert rows(found.path, "SELECT sum(flops) FROM modules") == [(sum(map(flops, (1, 2, 3, 9))),)]


SLEEPS = """
import sys, time
def waits(event, arguments):
    if event == "open" and str(arguments[0]).endswith("slow.txt"):
        open({marker!r}, "w").close()
        time.sleep(60)
sys.addaudithook(waits)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_waits_for_no_file(tmp_path: Path) -> None:
    """And what was counted before is there."""
    folder, site, marker = tmp_path / "dumps", tmp_path / "site", tmp_path / "waiting"
    for at in range(2):
        dumped(folder, at, step(rows=1 + at) + "\n" * BATCH_BYTES)  # each a batch of its own, and before the slow one
    (folder / "slow.txt").write_text(step())
    site.mkdir()
    (site / "sitecustomize.py").write_text(SLEEPS.format(marker=str(marker)))
    script = tmp_path / "scans.py"
    script.write_text(SCANS)
    path = os.pathsep.join([str(site), *sys.path])
    command = [sys.executable, script, folder, tmp_path / "out.sqlite", "1"]
    scan = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE, text=True)
    while not marker.exists():
        assert scan.poll() is None
        time.sleep(0.05)
    time.sleep(0.5)
    scan.send_signal(signal.SIGINT)
    _, said = scan.communicate(timeout=20)
    assert "KeyboardInterrupt" in said
    store = Store(tmp_path / "out.sqlite", f"hlo_count {hc.__version__}")
    assert [store.unchanged(source) for source in find(folder).sources] == [True, True, False]
    store.close()


def test_memory_that_runs_out_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dumped(tmp_path, 1, step())

    def full(*_: object) -> Iterator[Any]:
        raise MemoryError

    monkeypatch.setattr("hlo_count.fleet.counting_one.modules_in", full)
    ((row, *_),) = count_one(find(tmp_path).sources[0]).modules
    assert "out of memory" in row["error"]


def test_a_file_that_grows_while_it_is_read(tmp_path: Path) -> None:
    path = dumped(tmp_path, 1, step())
    (source,) = find(tmp_path).sources
    path.write_text(step() + "\n")
    counted = count_one(source)
    assert counted.modules[0][0]["error"].endswith("it changed while it was read: scan again")
    assert counted.again


def test_paths_of_fsspec(fleet: Path, tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec", reason="needs fsspec")
    memory = fsspec.filesystem("memory")
    try:
        memory.pipe("/run/rank0/module_0001.jit_step.cpu_after_optimizations.txt", step(rows=3).encode())
        memory.pipe("/run/rank0/module_0001.jit_step.debug_options", b"x")
        memory.pipe("/run/rank1/text.hlo.gz", gzip.compress(step(rows=5).encode()))
        found = hc.scan("memory://run", tmp_path / "c.sqlite", here())
        assert rows(found.path, "SELECT flops FROM modules ORDER BY file") == [(flops(3),), (flops(5),)]
        assert hc.scan(["memory://run/**/*.gz"], tmp_path / "c.sqlite", here()).counted == 0
        memory.pipe("/run/rank1/text.hlo.gz", gzip.compress(step(rows=6).encode()))
        assert hc.scan("memory://run", tmp_path / "c.sqlite", here()).counted == 1
        assert rows(found.path, "SELECT flops FROM modules ORDER BY file") == [(flops(3),), (flops(6),)]
        with pytest.raises(hc.HloCountError, match="there is no such file or folder"):
            hc.scan("memory://nowhere", tmp_path / "c.sqlite", here())
    finally:
        memory.rm("/run", recursive=True)


def test_work_is_handed_out_by_size(tmp_path: Path) -> None:
    for at in range(70):
        (tmp_path / f"{at:02}.txt").write_bytes(b" " * (100 + at))
    (tmp_path / "large.txt").write_bytes(b" " * (BATCH_BYTES + 1))
    handed = batches(find(tmp_path).sources)
    assert [source.name for source in handed[0]] == [str(tmp_path / "large.txt")]
    assert [len(batch) for batch in handed[1:]] == [BATCH_FILES, BATCH_FILES, 70 - 2 * BATCH_FILES]
    sizes = [source.size for batch in handed for source in batch]
    assert sizes == sorted(sizes, reverse=True)


def test_a_file_is_read_once_whatever_leads_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = dumped(tmp_path / "dumps", 1, step())
    (tmp_path / "link.txt").symlink_to(path)
    (tmp_path / "folder").symlink_to(tmp_path / "dumps")
    monkeypatch.chdir(tmp_path)
    given = ["dumps", "./dumps/", "dumps/*.txt", path, "link.txt", "folder", "."]
    (source,) = find(given).sources
    assert source.name == str(path)
    assert hc.scan(given, "out.sqlite", here()).modules == 1
    monkeypatch.chdir(tmp_path / "dumps")
    assert hc.scan(path.name, tmp_path / "out.sqlite", here()).unchanged == 1


def test_amounts_beyond_64_bits_are_doubles() -> None:
    assert number(2**63 - 1) == 2**63 - 1
    assert isinstance(number(2**63), float)
    assert number(10**400) == float("inf")


# What takes too long


def test_a_file_that_takes_too_long_is_a_row(fleet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a thread of an engine's, which no signal reaches."""
    real = counting_one.counts_of

    def endless(module: Any, jax_version: str | None) -> Any:
        while "custom-call" in str(module.entry.instructions):
            try:
                sum(range(1000))
            except Exception:  # what faults of ours are taken for
                continue
        return real(module, jax_version)

    monkeypatch.setattr(counting_one, "counts_of", endless)
    out = tmp_path / "counts.sqlite"
    found = hc.scan(fleet, out, here(), seconds=0.5)
    ((error,),) = rows(out, "SELECT error FROM modules WHERE file LIKE '%packed.hlo.gz'")
    assert error == f"{fleet}/rank2/packed.hlo.gz: not counted in 0.5 s: give it more (seconds=)"
    assert (found.modules, found.failed) == (12, 2)  # and the one that is cut
    monkeypatch.setattr(counting_one, "counts_of", real)
    assert hc.scan(fleet, out, here()).counted == 1  # it is tried again, and counted
    hc.scan(fleet, tmp_path / "fresh.sqlite", here())
    assert out.read_bytes() == (tmp_path / "fresh.sqlite").read_bytes()


def test_time_limits_of_processes(tmp_path: Path) -> None:
    chain = "".join(f"  %x{n} = f32[8]{{0}} negate(%x{n - 1})\n" for n in range(1, 10_000))  # some tenths of a second
    (tmp_path / "chain.txt").write_text(
        f"HloModule chain\nENTRY %main (x: f32[8]) -> f32[8] {{\n  %x0 = f32[8]{{0}} parameter(0)\n{chain}"
        f"  ROOT %y = f32[8]{{0}} negate(%x9999)\n}}\n"
    )
    out = tmp_path / "counts.sqlite"
    assert hc.scan(tmp_path / "chain.txt", out, workers=1, seconds=0.001).failed == 1
    assert "not counted in 0.001 s" in rows(out, "SELECT error FROM modules")[0][0]
    assert hc.scan(tmp_path / "chain.txt", out, workers=1).modules == 1
    assert rows(out, "SELECT other_ops FROM modules") == [(8 * 10_000,)]


LATE = """
import sys, time
from hlo_count.fleet.time_limit import TooLong, time_limit
def busy(seconds):  # a function, as work is: what ends a loop in the block itself Python 3.13 lets out of it
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
with time_limit(60):
    pass
ended = 0
for work in [0.0001 * n for n in range(200)] + [60]:  # it comes while the work is done, just after, or not
    try:
        with time_limit(0.002):
            busy(work)
    except TooLong:
        ended += 1
sys.setprofile(lambda *_: None)
print(sum(map(abs, range(1000))), 0 < ended)
"""


def test_a_limit_leaves_nothing_behind() -> None:
    """Profilers go on: JAX's did not where an exception had been called back."""
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "499500 True\n"


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan"), float("inf")])
def test_a_time_that_is_none(seconds: float, fleet: Path, tmp_path: Path) -> None:
    with pytest.raises(hc.HloCountError, match="more than 0, or None for no limit"):
        hc.scan(fleet, tmp_path / "counts.sqlite", here(), seconds=seconds)


# What is wrong is one line


def foreign(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()


def newer(path: Path) -> None:
    Store(path, "hlo_count 0").close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


BAD_DATABASES = {
    "of something else": (foreign, "this is a database of something else: name another file"),
    "of a newer version": (newer, "its tables are of version 99, those of this hlo_count of 2"),
    "no database": (functools.partial(Path.write_text, data="x" * 5000), "this is no SQLite database"),
    "a folder": (Path.mkdir, "unable to open database file: name a file in a folder that can be written to"),
}


@pytest.mark.parametrize(("make", "message"), BAD_DATABASES.values(), ids=BAD_DATABASES)
def test_a_database_of_another_kind(make: Any, message: str, fleet: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.sqlite"
    make(out)
    kept = out.read_bytes() if out.is_file() else b""
    with pytest.raises(hc.HloCountError, match=message):
        hc.scan(fleet, out, here())
    assert not out.is_file() or out.read_bytes() == kept


def test_two_scans_into_one_database(fleet: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.sqlite"
    first = Store(out, "hlo_count 0")
    with pytest.raises(hc.HloCountError, match="another scan writes to it"):
        hc.scan(fleet, out, here())
    first.close()
    assert hc.scan(fleet, out, here()).modules == 13


def test_an_executor_that_is_shut_down(fleet: Path, tmp_path: Path) -> None:
    executor = here()
    executor.shutdown()
    with pytest.raises(
        hc.HloCountError, match=r"the executor takes no work \(cannot schedule new futures after shutdown"
    ):
        hc.scan(fleet, tmp_path / "out.sqlite", executor)
    assert hc.scan(fleet, tmp_path / "out.sqlite", here()).modules == 13


FULL = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
import hlo_count
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))   # no file can be larger, as on a disk that is full
try:
    hlo_count.scan(sys.argv[1], sys.argv[2], ThreadPoolExecutor(1))
except hlo_count.HloCountError as problem:
    print(problem)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process")
def test_a_disk_that_is_full(fleet: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.sqlite"
    done = subprocess.run([sys.executable, "-c", FULL, fleet, out], capture_output=True, text=True, check=True)
    assert "what was written before is whole: make room, and scan again" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    hc.scan(fleet, out, here())
    hc.scan(fleet, tmp_path / "fresh.sqlite", here())
    assert out.read_bytes() == (tmp_path / "fresh.sqlite").read_bytes()


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ("nowhere", "nowhere: there is no such file or folder"),
        ("**/*.nothing", "no file matches"),
        ("s4://bucket/x", "s4"),
        ([], "nothing: no file that may hold HLO"),
    ],
)
def test_paths_that_lead_nowhere(paths: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(hc.HloCountError, match=message.replace("*", r"\*")):
        hc.scan(paths, tmp_path / "out.sqlite", here())
    with pytest.raises(hc.HloCountError, match="empty: no file that may hold HLO: name files"):
        hc.scan("empty", tmp_path / "out.sqlite", here())
    assert not (tmp_path / "out.sqlite").exists()


def test_a_script_without_its_guard_is_told(fleet: Path, tmp_path: Path) -> None:
    script = tmp_path / "bare.py"
    script.write_text("import sys, hlo_count\nhlo_count.scan(sys.argv[1], sys.argv[2], workers=1)\n")
    command = [sys.executable, script, fleet, tmp_path / "out.sqlite"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "below `if __name__ == '__main__':`" in done.stderr
    assert done.returncode == 1


def test_ctrl_c_keeps_what_is_counted(fleet: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "out.sqlite", "hlo_count 0")
    (source, *_) = find(fleet / "rank0").sources
    from hlo_count.fleet.scan import _keep

    def interrupted() -> Iterator[Any]:
        yield [count_one(source)]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _keep(store, interrupted())
    assert store.unchanged(source)
    store.close()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
