"""Files that fsspec reads: a web server of this machine, archives, and what is said of those that are not there."""

from __future__ import annotations

import functools
import gzip
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from job.job_texts import dumped, flops, step

import hlo_count as hc
from hlo_count.fleet import elsewhere

pytest.importorskip("fsspec", reason="needs fsspec")


@pytest.fixture
def dumps(tmp_path: Path) -> Path:
    top = tmp_path / "dumps"
    top.mkdir()
    for rank in range(2):
        dumped(top / f"rank{rank}", 1, step(rows=3 + rank))
    (top / "rank1" / "module_0001.jit_step.debug_options").write_text("x")
    (top / "rank1" / "packed.hlo.gz").write_bytes(gzip.compress(step(rows=7).encode()))
    return top


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web(dumps: Path) -> Iterator[str]:
    pytest.importorskip("aiohttp", reason="needs aiohttp")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(dumps))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def scanned(url: str, out: Path) -> tuple[hc.Scan, dict[str, int]]:
    """The scan, and FLOP by URL."""
    found = hc.scan(url, out, ThreadPoolExecutor(2))
    return found, dict(found.query("SELECT file, flops FROM modules", rows=None).rows)


DUMP = "module_0001.jit_step.cpu_after_optimizations.txt"


def test_a_web_server(web: str, dumps: Path, tmp_path: Path) -> None:
    out = tmp_path / "c.sqlite"
    found, by_url = scanned(f"{web}/", out)
    expected = {
        f"{web}/rank0/{DUMP}": flops(3),
        f"{web}/rank1/{DUMP}": flops(4),
        f"{web}/rank1/packed.hlo.gz": flops(7),
    }
    assert by_url == expected
    assert (found.counted, found.unchanged, found.passed_over) == (3, 0, 1)
    times = dict(found.query("SELECT file, modified FROM modules", rows=None).rows)
    assert times[f"{web}/rank0/{DUMP}"] == int((dumps / "rank0" / DUMP).stat().st_mtime)  # HTTP has whole seconds
    assert scanned(f"{web}/**/*.gz", out)[0].unchanged == 1

    path = dumps / "rank0" / DUMP
    path.write_text(step(rows=5))
    os.utime(path, (0, 0))
    found, by_url = scanned(f"{web}/", out)
    assert (found.counted, found.unchanged) == (1, 2)
    assert by_url == {**expected, f"{web}/rank0/{DUMP}": flops(5)}

    # Signed addresses have a query, in which "?" is no pattern.
    signed = f"{web}/rank1/packed.hlo.gz?signature=x"
    assert scanned(signed, tmp_path / "one.sqlite")[1] == {signed: flops(7)}


def test_an_archive(dumps: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "dumps"), "zip", dumps)
    _, by_url = scanned(f"zip://::file://{archive}", tmp_path / "c.sqlite")
    assert by_url == {
        f"zip://rank0/{DUMP}::file://{archive}": flops(3),
        f"zip://rank1/{DUMP}::file://{archive}": flops(4),
        f"zip://rank1/packed.hlo.gz::file://{archive}": flops(7),
    }
    found, by_url = scanned(f"zip://*/*.gz::file://{archive}", tmp_path / "c.sqlite")
    assert (found.counted, found.unchanged) == (0, 1)


def test_a_file_without_a_state_is_counted_each_time() -> None:
    assert elsewhere.state_of({"name": "x", "type": "file", "size": None}) == (0, None, "")
    size, modified, state = elsewhere.state_of(
        {"size": 3, "ETag": "a", "Last-Modified": "Thu, 01 Jan 1970 00:01:00 GMT"}
    )
    assert (size, modified) == (3, 60.0)
    assert state != elsewhere.state_of({"size": 3, "ETag": "b", "Last-Modified": "Thu, 01 Jan 1970 00:01:00 GMT"})[2]
    assert elsewhere.state_of({"size": 3, "date_time": (1970, 1, 1, 0, 2, 0)})[1] == 120.0  # of an archive


def test_folders_are_listed_anew(tmp_path: Path) -> None:
    import fsspec

    class Remembering(fsspec.AbstractFileSystem):  # as those of buckets are, for as long as the process lasts
        protocol = "remembering"
        files = ("/run/a.txt",)

        def ls(self, path: str, detail: bool = True, **_: object) -> list[dict[str, object]]:
            if "/run" not in self.dircache:
                self.dircache["/run"] = [
                    {"name": name, "size": 1, "type": "file", "ETag": "x"} for name in Remembering.files
                ]
            return list(self.dircache["/run"])

        def invalidate_cache(self, path: str | None = None) -> None:
            self.dircache.clear()

        def isfile(self, path: str) -> bool:
            return False

    fsspec.register_implementation("remembering", Remembering, clobber=True)
    assert list(elsewhere.listed("remembering://run").files) == ["/run/a.txt"]
    Remembering.files = ("/run/a.txt", "/run/b.txt")
    assert list(elsewhere.listed("remembering://run").files) == ["/run/a.txt", "/run/b.txt"]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("{web}/nothing.txt", "{web}/nothing.txt: ClientResponseError: 404, message='File not found'"),
        ("http://127.0.0.1:9/", "Cannot connect to host 127.0.0.1:9"),
        ("zip://::file:///none.zip", "zip://::file:///none.zip: .*No such file or directory: '/none.zip'"),
        ("memory://none", "memory://none: there is no such file or folder"),
        ("s4://bucket", "s4://bucket: Protocol not known: s4"),
    ],
)
def test_what_is_not_there(url: str, message: str, web: str, tmp_path: Path) -> None:
    with pytest.raises(hc.HloCountError, match=message.format(web=web)) as problem:
        hc.scan(url.format(web=web), tmp_path / "c.sqlite", ThreadPoolExecutor(1))
    assert len(str(problem.value).splitlines()) == 1
    assert not (tmp_path / "c.sqlite").exists()
