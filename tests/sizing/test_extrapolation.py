"""Sizes that nobody compiled, by arithmetic on shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hlo_count as hc
from hlo_count.lowering import gpu

jax = pytest.importorskip("jax")

needs_gpu = pytest.mark.skipif(not gpu.installed(), reason=f"the CUDA compiler is not installed: {gpu.REMEDY}")
SIZES = {"m": [16384, 32768, 49152], "k": [256, 512, 768]}
"""Products large enough for XLA to divide the rows over the processors and not the sums."""
N = 256


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.getbasetemp() / "kept"  # of all tests here
    monkeypatch.setenv("HLO_COUNT_CACHE", str(folder))
    return folder


def product(m: int, k: int) -> tuple[Any, Any, Any]:
    shapes = jax.ShapeDtypeStruct((m, k), "bfloat16"), jax.ShapeDtypeStruct((k, N), "bfloat16")
    return (lambda x, w: x @ w), *shapes


def part_of_a_product(m: int) -> tuple[Any, Any, Any]:
    shapes = jax.ShapeDtypeStruct((m, N), "bfloat16"), jax.ShapeDtypeStruct((N, N), "bfloat16")
    return (lambda x, w: x[: 4096 * (m // 12288)] @ w), *shapes


@needs_gpu
def test_a_product_that_nobody_compiled() -> None:
    """65536 x 8192 times 8192 x 256 on H100: 2 m k N FLOP at 989 TFLOP/s take less than its bytes at 3352 GB/s, but for
    what the 50 MiB of L2 may keep from before and till after."""
    m, k = 65536, 8192
    sized = hc.size(product, on=["h100-sxm"], sizes=SIZES, at={"m": m, "k": k}, price_per_hour=3600.0)
    (row,) = sized.rows
    moved = 2 * (m * k + k * N + m * N)
    assert row.flops == 2 * m * k * N
    assert row.peak_bytes == moved
    assert row.fits is True
    assert row.bound == pytest.approx((moved - 2 * 50 * 2**20) / 3352.32e9)
    largest = {name: values[-1] for name, values in SIZES.items()}
    fn, *arguments = product(**largest)
    (compiled,) = hc.size(fn, *arguments, on=["h100-sxm"]).rows
    assert row.estimate == pytest.approx(row.bound * compiled.estimate / compiled.bound)
    assert row.cost == pytest.approx(row.estimate)
    text = str(sized)
    assert "extrapolated to m=65536, k=8192" in text
    assert "bound by memory bandwidth" in text
    assert max(map(len, text.splitlines())) <= 100
    assert sized.to_dict()["targets"][0]["flops"] == row.flops


@needs_gpu
def test_what_grows_as_no_polynomial_has_no_bound() -> None:
    (row,) = hc.size(part_of_a_product, on=["h100-sxm"], sizes={"m": SIZES["m"]}, at={"m": 65536}).rows
    assert (row.bound, row.estimate, row.flops) == (None, None, None)
    (why,) = [note for note in row.report.notes if note.startswith("flops: no polynomial")]
    assert f"{2 * 4096 * N * N:,} at m=16384; {2 * 8192 * N * N:,} at m=32768" in why


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"at": {"m": 8, "k": 8}}, "belong together"),
        ({"sizes": SIZES}, "belong together"),
        ({"at": {"m": 8}, "sizes": SIZES}, "at: a whole number above 0 for each of m, k"),
        ({"at": {"m": 8, "k": 0.5}, "sizes": SIZES}, "at: a whole number above 0"),
        ({"at": {"m": 8}, "sizes": {"m": [8]}}, "three different whole numbers"),
        ({"at": {"m": 8}, "sizes": {}}, "the values of each name"),
    ],
)
def test_sizes_that_are_none_are_refused_in_one_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(hc.HloCountError, match=message) as problem:
        hc.size(product, on=["h100-sxm"], **given)
    assert "\n" not in str(problem.value)
