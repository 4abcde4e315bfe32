"""The same scan on the engines that people run clusters with: the same bytes, also when a worker is killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fixture_files
import pytest

import hlo_count as hc


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of three compilers, each a few times, so that there is a middle to kill a worker in."""
    folder = tmp_path_factory.mktemp("corpus")
    for backend in ("cpu", "h100", "tpu-v5e"):
        for path in sorted((fixture_files.FIXTURES / backend).glob("*.hlo.gz"))[:20]:
            for copy in range(2):
                (folder / f"{backend}-{copy}-{path.name}").write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope="module")
def expected(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("expected") / "counts.sqlite"
    assert hc.scan(corpus, out, ThreadPoolExecutor(1)).failed == 0
    return out.read_bytes()


class OnRay(Executor):
    """Ray as an executor: its references give futures."""

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        import ray

        return ray.remote(function).remote(*args, **kwargs).future()


def test_processes(corpus: Path, expected: bytes, tmp_path: Path) -> None:
    out = tmp_path / "counts.sqlite"
    hc.scan(corpus, out, workers=2)
    assert out.read_bytes() == expected


@contextmanager
def dask(**options: Any) -> Iterator[Any]:
    distributed = pytest.importorskip("dask.distributed", reason="needs dask[distributed]")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_dask_with_a_worker_killed_in_the_middle(corpus: Path, expected: bytes, tmp_path: Path) -> None:
    out = tmp_path / "counts.sqlite"
    with dask() as client:
        victim = min(client.run(os.getpid).values())

        def kill() -> None:
            while not any(client.processing().values()):  # until there is work under way
                time.sleep(0.01)
            os.kill(victim, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        hc.scan(corpus, out, client.get_executor())
        killer.join()
        assert victim not in client.run(os.getpid).values()
    assert out.read_bytes() == expected


def test_ray(corpus: Path, expected: bytes, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray", reason="needs ray")
    out = tmp_path / "counts.sqlite"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        hc.scan(corpus, out, OnRay())
    finally:
        ray.shutdown()
    assert out.read_bytes() == expected
