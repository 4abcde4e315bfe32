"""Peaks per unit and dtype, what runs what a device has no unit for, ridge points."""

from __future__ import annotations

import pytest

from hlo_count.errors import DeviceError
from hlo_count.roofline.catalog import device
from hlo_count.roofline.ridge import itemsize, required_intensity, ridge_matmul

TERA = 1e12


@pytest.mark.parametrize(
    ("name", "dtype", "keywords", "expected", "runs_as"),
    [
        # matrix units, dense, from the vendors' tables
        ("h100-sxm", "bf16", {}, 989 * TERA, ("matrix", "bf16")),
        ("tpu-v5e", "bf16", {}, 197 * TERA, ("matrix", "bf16")),
        ("b200", "f4e2m1fn", {}, 8900 * TERA, ("matrix", "f4")),
        ("h100-sxm", "f8e4m3fn", {}, 1979 * TERA, ("matrix", "f8")),
        ("h100-sxm", "f8e5m2", {}, 1979 * TERA, ("matrix", "f8")),
        ("h100-sxm", "u8", {}, 1979 * TERA, ("matrix", "s8")),
        # an f32 dot by precision: TF32 below HIGHEST on Ampere and later; 1, 3 or 6 bf16 passes on TPU
        ("a100-sxm-40gb", "f32", {}, 156 * TERA, ("matrix", "tf32")),
        ("a100-sxm-40gb", "f32", {"precision": "high"}, 156 * TERA, ("matrix", "tf32")),
        ("a100-sxm-40gb", "f32", {"precision": "highest"}, 19.5 * TERA, ("vector", "f32")),
        ("a100-sxm-40gb", "c64", {}, 156 * TERA, ("matrix", "tf32")),
        ("tpu-v5e", "f32", {}, 197 * TERA, ("matrix", "bf16")),
        ("tpu-v5e", "f32", {"precision": "high"}, 197 * TERA / 3, ("matrix", "bf16")),
        ("tpu-v5e", "f32", {"precision": "highest"}, 197 * TERA / 6, ("matrix", "bf16")),
        # HLO's dot algorithms say it themselves
        ("h100-sxm", "f32", {"precision": "dot_bf16_bf16_f32_x3"}, 989 * TERA / 3, ("matrix", "bf16")),
        ("h100-sxm", "f32", {"precision": "dot_tf32_tf32_f32"}, 495 * TERA, ("matrix", "tf32")),
        ("h100-sxm", "f32", {"precision": "dot_f32_f32_f32"}, 67 * TERA, ("vector", "f32")),
        ("h100-sxm", "f8e5m2", {"precision": "dot_any_f8_any_f8_f32"}, 1979 * TERA, ("matrix", "f8")),
        # no such unit: what runs it instead
        ("v100-sxm2", "bf16", {}, 15.7 * TERA, ("vector", "f32")),
        ("v100-sxm2", "f32", {}, 15.7 * TERA, ("vector", "f32")),
        ("a100-sxm-40gb", "f8e4m3fn", {}, 312 * TERA, ("matrix", "f16")),
        ("tpu-v5e", "f16", {}, 197 * TERA, ("matrix", "bf16")),
        ("tpu-v6e", "f8e5m2", {}, 918 * TERA, ("matrix", "bf16")),
        ("h100-sxm", "s32", {}, 33.45 * TERA, ("vector", "s32")),
        # vector and special units
        ("a100-sxm-40gb", "f32", {"unit": "vector"}, 19.5 * TERA, ("vector", "f32")),
        ("a100-sxm-40gb", "f32", {"unit": "vector", "fma": False}, 9.75 * TERA, ("vector", "f32")),
        ("l4", "bf16", {"unit": "vector"}, 30.3 * TERA, ("vector", "f32")),
        # 4 ALUs of 1024 lanes at 1.5 GHz, no FMA
        ("tpu-v5e", "f32", {"unit": "vector"}, 4 * 1024 * 1.5e9, ("vector", "f32")),
        ("tpu-v5e", "f64", {"unit": "vector"}, 4 * 1024 * 1.5e9, ("vector", "f32")),
        ("h100-sxm", "f32", {"unit": "special"}, 4.18 * TERA, ("special", "f32")),
        ("h100-sxm", "bf16", {"unit": "special"}, 4.18 * TERA, ("special", "f32")),
        ("h100-sxm", "f64", {"unit": "special"}, 16.75 * TERA, ("vector", "f64")),
        ("cpu-avx2", "f32", {"unit": "special"}, 8 * 5.0e9 * 16, ("vector", "f32")),
    ],
)
def test_peak(name, dtype, keywords, expected, runs_as):
    rate = device(name).peak(dtype, **keywords)
    assert rate.value == pytest.approx(expected, rel=1e-12)  # a division or two of floats
    assert (rate.unit, rate.dtype) == runs_as


@pytest.mark.parametrize(
    ("name", "dtype", "keywords", "note"),
    [
        ("h100-sxm", "bf16", {}, ""),
        ("v100-sxm2", "bf16", {}, "bf16 has no matrix unit on v100-sxm2: runs as f32 on the vector unit"),
        ("a100-sxm-40gb", "f8e4m3fn", {}, "f8e4m3fn has no matrix figure on a100-sxm-40gb: runs as f16"),
        ("a100-sxm-40gb", "f32", {}, "f32 at precision default runs as tf32"),
        (
            "tpu-v5e",
            "f32",
            {"precision": "highest"},
            "f32 at precision highest runs as bf16 in 6 passes",
        ),
        ("tpu-v5e", "f32", {"unit": "vector"}, "no FMA: each operation takes a slot"),
        ("a10g", "bf16", {}, "a figure that is not sure"),
    ],
)
def test_a_rate_says_what_really_runs(name, dtype, keywords, note):
    assert device(name).peak(dtype, **keywords).note == note


@pytest.mark.parametrize(
    ("name", "devices", "bf16_per_chip", "bandwidth_per_chip"),
    [("tpu-v3", 2, 123 * TERA, 900e9), ("tpu-v7", 2, 2307 * TERA, 7400e9), ("tpu-v5p", 1, 459e12, 2765e9)],
)
def test_figures_are_those_of_one_jax_device(name, devices, bf16_per_chip, bandwidth_per_chip):
    found = device(name)
    assert found.devices_per_chip == devices
    assert found.peak("bf16").value == bf16_per_chip / devices
    assert found.bandwidth().value == bandwidth_per_chip / devices


@pytest.mark.parametrize(
    ("name", "dtype", "unit", "tflop_per_s", "gb_per_s"),
    [
        ("h100-sxm", "bf16", "matrix", 989, 3352.32),  # 295 FLOP/B
        ("a100-sxm-40gb", "f32", "vector", 19.5, 1555),  # 12.5
        ("a100-sxm-40gb", "f32", "matrix", 156, 1555),  # 100, in TF32
        ("a100-sxm-40gb", "bf16", "matrix", 312, 1555),  # 200.6
        ("tpu-v3", "bf16", "matrix", 123, 900),  # halves cancel
    ],
)
def test_ridge_is_peak_over_bandwidth(name, dtype, unit, tflop_per_s, gb_per_s):
    ridge = required_intensity(name, dtype, unit=unit)
    assert ridge == pytest.approx(tflop_per_s * 1e12 / (gb_per_s * 1e9), rel=1e-12)  # float rounding only


def test_ridge_of_a_nearer_memory_is_lower():
    assert required_intensity("h100-sxm", "bf16", memory="L2") == pytest.approx(989 / 8.986, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "dtype", "unit"),
    [("h100-sxm", "bf16", "matrix"), ("a100-sxm-40gb", "f32", "vector"), ("tpu-v5e", "s8", "matrix")],
)
def test_ridge_matmul_is_the_smallest_that_reaches_the_ridge(name, dtype, unit):
    n, ridge = ridge_matmul(name, dtype, unit), required_intensity(name, dtype, unit)

    def intensity(n):
        return 2 * n**3 / (3 * n**2 * itemsize(dtype))  # two operands read, one result written

    assert intensity(n) >= ridge > intensity(n - 1)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("f32", 4), ("tf32", 4), ("bf16", 2), ("f8e4m3fn", 1), ("s4", 0.5), ("c128", 16), ("pred", 1)],
)
def test_itemsize(dtype, expected):
    assert itemsize(dtype) == expected


def test_working_sets_find_their_level():
    h100 = device("h100-sxm")
    assert h100.memory_for(40 * 2**20).name == "L2"
    assert h100.memory_for(60 * 2**20).name == "HBM3"
    # VMEM holds what the program puts there, not whatever is small
    assert device("tpu-v5e").memory_for(1).name == "HBM"
    assert device("tpu-v5e").last_level_cache is None
    assert h100.last_level_cache.name == "L2"
    # an L2 whose bandwidth no source states is passed over
    assert device("mi300x").memory_for(1).name == "HBM3"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: d.peak("bf16", "tensor"), "no unit 'tensor': the units are matrix, vector, special"),
        (lambda d: d.peak("f32", precision="best"), "no precision 'best': default, high, highest, or"),
        (lambda d: d.bandwidth("L9"), "h100-sxm has no memory level 'L9': its levels are L2, HBM3"),
        (lambda d: d.peak("token"), "h100-sxm: no figure for token on the matrix unit"),
        (lambda _: itemsize("float"), "'float' is no dtype"),
    ],
)
def test_what_is_not_there_is_named(call, message):
    with pytest.raises(DeviceError, match="^" + message.replace("(", r"\(")):
        call(device("h100-sxm"))
