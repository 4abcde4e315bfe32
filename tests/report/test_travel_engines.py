"""Reports come back from the worker processes of engines that people run clusters with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

import fixture_files
import pytest

import hlo_count as hc

TEXTS = [fixture_files.load("cpu", name)[0] for name in ("scan_matmul", "softmax", "mlp_grad")]
Map = Callable[[Callable[..., Any], list[Any]], list[Any]]


@contextmanager
def pool() -> Iterator[Map]:
    executor: Executor
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        yield lambda function, values: list(executor.map(function, values))


@contextmanager
def dask() -> Iterator[Map]:
    distributed = pytest.importorskip("dask.distributed", reason="needs dask[distributed]")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield lambda function, values: client.gather(client.map(function, values))


@contextmanager
def ray() -> Iterator[Map]:
    ray = pytest.importorskip("ray", reason="needs ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        yield lambda function, values: ray.get([ray.remote(function).remote(value) for value in values])
    finally:
        ray.shutdown()


@pytest.mark.parametrize("engine", [pool, dask, ray])
def test_an_engine_counts_texts_and_times_reports(engine: Callable[[], Any]) -> None:
    here = [hc.count(text) for text in TEXTS]
    with engine() as run:
        counted = run(hc.count, TEXTS)
        assert counted == here
        assert [report.to_json() for report in counted] == [report.to_json() for report in here]
        assert run(hc.what_if, here[:1]) == [hc.what_if(here[0])]
