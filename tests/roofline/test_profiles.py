"""Profile files: the shipped ones are whole, bad ones are refused with the place named."""

from __future__ import annotations

import tomllib

import pytest

import hlo_count
from hlo_count.errors import DeviceError
from hlo_count.roofline.device import SHIPPED
from hlo_count.roofline.profile_file import load_profile, to_toml

NAMES = [
    "v100-sxm2",
    "a100-sxm-40gb",
    "a100-sxm-80gb",
    "a10g",
    "l4",
    "l40s",
    "h100-sxm",
    "h100-pcie",
    "h200",
    "b200",
    "gb200",
    "mi250x",
    "mi300x",
    "mi355x",
    "tpu-v2",
    "tpu-v3",
    "tpu-v4",
    "tpu-v5e",
    "tpu-v5p",
    "tpu-v6e",
    "tpu-v7",
    "cpu-avx2",
    "cpu-avx512",
    "cpu-amx",
    "cpu-zen4",
    "t4",
    "rtx-3090",
    "rtx-4090",
    "rtx-5090",
    "rtx-6000-ada",
    "rtx-pro-6000",
    "a6000",
    "a100-pcie-80gb",
    "h20",
    "h100-nvl",
    "gh200",
    "b300",
    "gb300",
    "mi300a",
    "mi325x",
    "mi350x",
    "epyc-naples",
    "epyc-rome",
    "epyc-milan",
    "epyc-genoa",
    "epyc-turin",
    "xeon-cascade-lake",
    "xeon-ice-lake",
    "xeon-sapphire-rapids",
    "xeon-emerald-rapids",
    "xeon-granite-rapids",
    "graviton2",
    "graviton3",
    "graviton4",
    "grace",
    "apple-m1",
    "apple-m2",
    "apple-m3",
    "apple-m4",
]


def test_every_device_has_one_file_named_like_it():
    assert sorted(path.stem for path in SHIPPED.glob("*.toml")) == sorted(NAMES)
    assert all(load_profile(SHIPPED / f"{name}.toml").name == name for name in NAMES)


def test_no_two_devices_share_a_name():
    spoken = [n.lower() for name in NAMES for n in (name, *load_profile(SHIPPED / f"{name}.toml").aliases)]
    assert sorted(set(spoken)) == sorted(spoken)


def figures(value, where=""):
    """Every table of `value` that holds a number with a unit, and where it stands."""
    if isinstance(value, list):
        for at, item in enumerate(value):
            yield from figures(item, f"{where}[{at}]")
    elif isinstance(value, dict):
        if any(key.endswith(UNITS) for key in value):
            yield where, value
        for key, item in value.items():
            yield from figures(item, f"{where}.{key}")


UNITS = ("_per_s", "ghz", "mhz", "mib", "kib", "gib", "gb", "us", "ns", "ms", "count", "per_cycle")


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_its_source_beside_it(name):
    document = tomllib.loads((SHIPPED / f"{name}.toml").read_text())
    found = dict(figures(document))
    assert {".matrix.bf16", ".vector.f32.add", ".memory[0].size"} & found.keys()
    for where, figure in found.items():
        assert figure.get("source"), where
        if "not confirmed" in figure["source"]:
            assert figure["unsure"], where


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_can_be_bounded_with(name):
    found = load_profile(SHIPPED / f"{name}.toml")
    assert found.main_memory.kind == "main"
    for dtype in ("f32", "bf16", "s8"):
        assert found.peak(dtype).value >= found.peak(dtype, "vector", fma=False).value / 2
    for dtype in ("f32", "bf16", "f64", "s32", "pred"):
        fused, lone = (found.peak(dtype, "vector", fma=fma).value for fma in (True, False))
        assert lone <= fused <= 2 * lone * 1.001  # printed digits
    speeds = [level.bandwidth.value for level in found.memory if level.bandwidth is not None]
    assert speeds == sorted(speeds, reverse=True)


@pytest.fixture
def profile(tmp_path):
    def write(text):
        path = tmp_path / "my.toml"
        path.write_text(text)
        return path

    return write


def test_a_users_profile_loads(profile, small_profile):
    mine = load_profile(profile(small_profile))
    assert mine.peak("bf16").value == 100e12
    assert mine.bandwidth().value == 1e12


def test_a_rate_without_a_ceiling_bounds_nothing(profile, small_profile):
    """XLA's rule of thumb for L2, 2.5 times main memory, is what estimates take, and no limit of the hardware."""
    cache = """[[memory]]
name = "L2"
kind = "cache"
size = { mib = 32, source = "hope" }
bandwidth = { typical_gb_per_s = 2500, source = "a rule of thumb" }

"""
    mine = load_profile(profile(small_profile.replace("[[memory]]", cache + "[[memory]]")))
    assert mine.memory[0].bandwidth.value == float("inf")
    assert mine.memory[0].bandwidth.typical == 2500e9
    report = hlo_count.count("HloModule m\nENTRY e { p = f32[1000000] parameter(0) ROOT a = f32[1000000] add(p, p) }")
    roofline = report.roofline(mine)
    assert roofline.bottleneck == "vector f32"  # all of the data may be in the cache, as fast as may be
    assert "L2 bandwidth" not in [busy.what for busy in roofline.busy if busy.seconds]
    (row,) = roofline.rows
    assert row.estimate >= 8e6 / 2500e9


def test_the_least_time_is_not_left_out(profile, small_profile):
    wrong = 'launch_overhead = { typical_us = 2, source = "hope" }\n'
    with pytest.raises(DeviceError, match=r"launch_overhead: needs us = …, the least time, beside the typical one"):
        load_profile(profile(wrong + small_profile))


def test_a_missing_figure_fails_only_what_needs_it(profile, small_profile):
    without_vector = small_profile[: small_profile.index("[vector]")]
    mine = load_profile(profile(without_vector + small_profile[small_profile.index("[[memory]]") :]))
    assert mine.peak("bf16").value == 100e12
    with pytest.raises(DeviceError) as error:
        mine.peak("f64")
    assert str(error.value) == (
        "mine: no figure for f64 on the matrix unit, nor for what would run it instead; "
        "add matrix.f64 to a profile (my.toml)"
    )


LEVEL = """[[memory]]
name = "{}"
kind = "cache"
size = {{ mib = {}, source = "hope" }}

"""


def test_private_caches_may_hold_more_than_the_one_they_share(profile, small_profile):
    """56 x 2 MiB of L2 on a Xeon 8480 against 105 MiB of L3."""
    levels = LEVEL.format("L2", 112) + LEVEL.format("L3", 105)
    assert len(load_profile(profile(small_profile.replace("[[memory]]", levels + "[[memory]]"))).memory) == 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("100,", "-1,", "my.toml: matrix.bf16.tflop_per_s: must be a finite number from 0 up, not -1"),
        (
            "100,",
            '"fast",',
            "my.toml: matrix.bf16.tflop_per_s: must be a finite number from 0 up, not 'fast'",
        ),
        ("100,", "nan,", "my.toml: matrix.bf16.tflop_per_s: must be a finite number from 0 up, not nan"),
        ("100,", "true,", "my.toml: matrix.bf16.tflop_per_s: must be a finite number from 0 up, not True"),
        (
            "100,",
            "0,",
            "my.toml: matrix.bf16.tflop_per_s: must be more than 0; leave out a figure that is not",
        ),
        ("{ tflop_per_s = 100", "{ tflops = 100", "my.toml: matrix.bf16: needs one number with its unit as"),
        (
            "{ tflop_per_s = 100",
            "{ tflop_per_s = 100, gflop_per_s = 1",
            "my.toml: matrix.bf16: needs one number with its unit as the key",
        ),
        (
            "{ tflop_per_s = 100",
            "{ top_per_s = 100",
            "my.toml: matrix.bf16: needs one number with its unit as",
        ),
        ('100, source = "its datasheet"', "100", "my.toml: matrix.bf16.source: is missing"),
        ('100, source = "its', '100, sauce = 1, source = "its', "my.toml: matrix.bf16.sauce: is no key of a"),
        ('100, source = "its', '100, unsure = 1, source = "its', "my.toml: matrix.bf16.unsure: must be true"),
        ("bf16 =", "bfloat16 =", "my.toml: matrix.bfloat16: is not known here: one of f64, f32, tf32, bf16"),
        ("f32.add", "f32.minmax", "my.toml: vector.f32.add: is missing: the rate of lone operations"),
        (
            "100,",
            "100, typical_tflop_per_s = 101,",
            "my.toml: matrix.bf16.typical_tflop_per_s: 101 is more than tflop_per_s = 100, which is the peak",
        ),
        (
            "[matrix]",
            'launch_overhead = { us = 2, typical_us = 1, source = "hope" }\n[matrix]',
            "my.toml: launch_overhead.typical_us: 1 is less than us = 2, which is the least time",
        ),
        (
            "[[memory]]",
            '[special]\nf32.any = { gop_per_s = 1, source = "hope" }\n'
            'f32.exponentail = { gop_per_s = 1, source = "hope" }\n[[memory]]',
            "my.toml: special.f32.exponentail: is not known here: one of any, ",
        ),
        (
            "[[memory]]",
            LEVEL.format("L2", 50) + LEVEL.format("L1", 1) + "[[memory]]",
            "my.toml: memory[1].size: L1 holds less than L2 before it: main memory comes last",
        ),
        ("f32.add", "f32.addd", "my.toml: vector.f32.addd: is not known here: one of fma, add"),
        ('"gpu"', '"npu"', "my.toml: backend: must be one of cpu, gpu, tpu, not 'npu'"),
        ('name = "mine"', "", "my.toml: name: is missing"),
        ('name = "mine"', "name = 3", "my.toml: name: must be text, not 3"),
        ('name = "mine"', 'name = "mine"\ncolour = "red"', "my.toml: colour: is no key of a profile"),
        (
            'name = "mine"',
            'name = "mine"\ndevices_per_chip = 0',
            "my.toml: devices_per_chip: must be a whole",
        ),
        (
            'name = "mine"',
            'name = "mine"\naliases = "m"',
            "my.toml: aliases: must be a list of texts, not 'm'",
        ),
        (
            'kind = "main"',
            'kind = "cache"',
            'my.toml: memory: needs exactly one level of kind "main", the last',
        ),
        ("gb_per_s = 1000", "gb = 1000", "my.toml: memory[0].bandwidth: needs one number with its unit as"),
        ("[[memory]]", "[memory]", "my.toml: memory: must be a list of tables, written [[memory]]"),
        ("[matrix]", "[matrix", "my.toml: not a TOML file: "),
        ("[matrix]", "a = " + "[" * 5000 + "\n[matrix]", "my.toml: not a TOML file: "),
        ("[matrix]", "a = " + "9" * 5000 + "\n[matrix]", "my.toml: not a TOML file: "),
    ],
)
def test_a_bad_profile_names_the_bad_key(profile, small_profile, old, new, message):
    assert old in small_profile
    with pytest.raises(DeviceError) as error:
        load_profile(profile(small_profile.replace(old, new, 1)))
    text = str(error.value)
    assert text[text.index("my.toml") :].startswith(message)
    assert "\n" not in text.split("not a TOML file")[0]


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DeviceError, match=r"none\.toml: cannot be read: No such file"):
        load_profile(tmp_path / "none.toml")


@pytest.mark.parametrize("name", NAMES)
def test_writing_a_profile_and_reading_it_again_changes_nothing(name):
    document = tomllib.loads((SHIPPED / f"{name}.toml").read_text())
    assert tomllib.loads(to_toml(document, "a comment\nof two lines")) == document


@pytest.mark.parametrize(
    ("name", "gflop_per_s"),
    [
        ("epyc-rome", 64 * 3.4 * 2 * 8 * 2),  # cores x GHz x FMA units x lanes x 2, as published for Zen 2
        ("epyc-turin", 128 * 4.1 * 2 * 16 * 2),
        ("xeon-sapphire-rapids", 56 * 3.8 * 2 * 16 * 2),
        ("graviton4", 96 * 2.8 * 4 * 4 * 2),
        ("apple-m1", 4 * 3.2 * 4 * 4 * 2 + 4 * 2.06 * 2 * 4 * 2),
        ("cpu-avx512", 32 * 3.7 * 2 * 16 * 2),
    ],
)
def test_no_clock_of_a_cpu_is_above_the_one_of_its_ceiling(name, gflop_per_s):
    found = load_profile(SHIPPED / f"{name}.toml")
    peak = found.peak("f32", "vector")
    assert peak.value == pytest.approx(gflop_per_s * 1e9, rel=1e-3)  # four digits are written down
    assert peak.typical / peak.value == pytest.approx(found.clock.typical / found.clock.value, rel=1e-3)
