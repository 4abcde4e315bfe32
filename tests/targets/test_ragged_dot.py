"""A ragged dot is a matmul with the line that it stands on, also where the TPU compiler puts a kernel in its place."""

from __future__ import annotations

import inspect
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from environment import compiled_for

import hlo_count as hc

M, K, N, GROUPS = 512, 256, 128, 8

pytestmark = pytest.mark.skipif(not hasattr(jax.lax, "ragged_dot_general"), reason="needs a ragged dot in HLO")


def experts(x, w, order, groups):
    x = x[order]
    return jax.lax.ragged_dot(x, w, groups)


def loss(x, w, order, groups):
    return experts(x, w, order, groups).sum()


def arguments(dtype):
    return (
        jax.ShapeDtypeStruct((M, K), dtype),
        jax.ShapeDtypeStruct((GROUPS, K, N), dtype),
        jax.ShapeDtypeStruct((M,), jnp.int32),
        jax.ShapeDtypeStruct((GROUPS,), jnp.int32),
    )


LINE = inspect.getsourcelines(experts)[1] + 2
TPUS = compiled_for("tpu:v4", "tpu:v5e", "tpu:v5p", "tpu:v6e", "tpu:v7")


def flops_by_line(report):
    return {Path(place).name: cost.flops for place, cost in report.by("source").items() if cost.flops}


@pytest.mark.parametrize("target", TPUS)
def test_a_ragged_dot_is_a_matmul_on_its_own_line(target):
    report = hc.count(experts, *arguments(jnp.bfloat16), target=target)
    assert {name: cost.flops for name, cost in report.by("class").items() if cost.flops} == {"matmul": 2 * M * K * N}
    assert flops_by_line(report) == {f"{Path(__file__).name}:{LINE}": 2 * M * K * N}


@pytest.mark.parametrize("target", TPUS)
def test_its_gradients_stand_there_too(target):
    report = hc.count(jax.grad(loss, argnums=(0, 1)), *arguments(jnp.float32), target=target)
    # That of x is ragged; that of w is a dense product for each group, its rows masked.
    expected = 2 * M * K * N + GROUPS * 2 * M * K * N
    assert report.by("class")["matmul"].flops == expected
    assert flops_by_line(report)[f"{Path(__file__).name}:{LINE}"] == expected
