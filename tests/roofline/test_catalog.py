"""Profiles are found by name, alias and file, on the user's path before the shipped ones."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hlo_count.errors import DeviceError
from hlo_count.roofline import catalog
from hlo_count.roofline.catalog import SEARCH_PATH_VARIABLE, device, devices


@pytest.fixture(autouse=True)
def no_profiles_of_ones_own(monkeypatch, tmp_path):
    """What lies in the configuration directory of whoever runs the tests stays out of them."""
    monkeypatch.setattr(catalog, "user_directory", lambda: tmp_path / "config")
    monkeypatch.delenv(SEARCH_PATH_VARIABLE, raising=False)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("h100-sxm", "h100-sxm"),
        ("H100_SXM", "h100-sxm"),
        ("h100", "h100-sxm"),
        ("trillium", "tpu-v6e"),
        # what jax calls them
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("NVIDIA A100-SXM4-40GB", "a100-sxm-40gb"),
        ("TPU v5 lite", "tpu-v5e"),
        ("TPU v5", "tpu-v5p"),
        ("TPU v6 lite", "tpu-v6e"),
        ("TPU7x", "tpu-v7"),
        ("TPU v4", "tpu-v4"),
        # targets that compile for them
        ("tpu:v5e:2x4", "tpu-v5e"),
        ("tpu:v5e:2x4*2", "tpu-v5e"),
        ("tpu:v5e*2", "tpu-v5e"),
        ("h100-sxm:8", "h100-sxm"),
        ("gpu:h100-sxm", "h100-sxm"),
    ],
)
def test_names_and_aliases(asked, found):
    assert device(asked).name == found


def test_a_device_is_its_own_name():
    h100 = device("h100-sxm")
    assert device(h100) is h100


@pytest.mark.parametrize(
    ("asked", "parts"),
    [
        ("h10", ["no device 'h10'", "h100"]),
        ("tpu-v5", ["no device 'tpu-v5'", "tpu-v5e", "tpu-v5p"]),
        ("mi300", ["mi300x"]),
        ("tpu:v5z:2x4", ["no device 'v5z'", "v5e"]),
        ("zzzz", ["no device 'zzzz'", "h100-sxm", "tpu-v5e", "`hlo-count devices` lists all"]),
        ("local", ["no profile 'local' of this machine yet", "hlo-count calibrate"]),
        ("cpu", ["no profile 'cpu' of this machine yet", "hlo-count calibrate"]),
    ],
)
def test_an_unknown_device_lists_the_near_names(asked, parts):
    with pytest.raises(DeviceError) as error:
        device(asked)
    assert all(part in str(error.value) for part in parts)


def test_a_file_is_a_device(tmp_path, small_profile):
    path = tmp_path / "some.toml"
    path.write_text(small_profile)
    assert device(path).name == device(str(path)).name == "mine"


def test_the_search_path_takes_files_and_directories(tmp_path, monkeypatch, small_profile):
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "a.toml").write_text(small_profile)
    (tmp_path / "b.toml").write_text(small_profile.replace('"mine"', '"other"\naliases = ["theirs"]'))
    monkeypatch.setenv(SEARCH_PATH_VARIABLE, f"{tmp_path / 'many'}:{tmp_path / 'b.toml'}")
    assert device("mine").name == "mine"
    assert device("theirs").name == "other"
    assert {"mine", "other", "h100-sxm"} <= {d.name for d in devices()}


def test_ones_own_profile_hides_the_shipped_one(tmp_path, monkeypatch, small_profile):
    (tmp_path / "mine.toml").write_text(small_profile.replace('"mine"', '"h100-sxm"'))
    monkeypatch.setenv(SEARCH_PATH_VARIABLE, str(tmp_path))
    assert device("h100-sxm").peak("bf16").value == 100e12
    assert [d.path.name for d in devices() if d.name == "h100-sxm"] == ["mine.toml"]


def test_a_profile_that_changes_is_read_again(tmp_path, small_profile):
    (tmp_path / "config").mkdir()
    path = tmp_path / "config" / "mine.toml"
    path.write_text(small_profile)
    assert device("mine").peak("bf16").value == 100e12
    path.write_text(small_profile.replace("100,", "200,"))
    assert device("mine").peak("bf16").value == 200e12


def test_a_mistake_in_one_profile_does_not_take_the_others_away(tmp_path, monkeypatch, small_profile):
    (tmp_path / "good.toml").write_text(small_profile.replace('"mine"', '"good"'))
    (tmp_path / "bad.toml").write_text('name = "bad"')
    monkeypatch.setenv(SEARCH_PATH_VARIABLE, str(tmp_path))
    for name in ("good", "h100-sxm"):
        with pytest.warns(UserWarning, match=r"bad\.toml: this profile is left out: bad\.toml: backend: is missing"):
            assert device(name).name == name
    with pytest.raises(DeviceError, match=r"bad\.toml: backend: is missing"):
        device("bad")
    with pytest.warns(UserWarning, match="left out"):
        assert {"good", "h100-sxm"} <= {d.name for d in devices()}


def test_a_device_prints_as_its_row(tmp_path, small_profile):
    path = tmp_path / "mine.toml"
    path.write_text(small_profile)
    shown = str(device(path)).splitlines()
    assert shown[0].startswith("mine: ")
    assert any(line.startswith("mine ") for line in shown[1:])
    assert max(map(len, shown)) <= 100


def test_a_search_path_that_does_not_exist_is_an_error(monkeypatch):
    monkeypatch.setenv(SEARCH_PATH_VARIABLE, "/nowhere/at/all")
    with pytest.raises(DeviceError, match=r"HLO_COUNT_DEVICES: /nowhere/at/all does not exist"):
        device("h100-sxm")


def test_the_table_has_a_row_a_device_and_fits():
    text = str(devices())
    lines = text.splitlines()
    assert all(len(line) <= 100 for line in lines)
    assert [line.split()[0] for line in lines[2:] if line.split()][: len(devices())] == [
        row["name"] for row in (device.to_row() for device in devices())
    ]
    assert repr(devices()) == text


def test_a_row_holds_what_the_profile_says():
    row = device("a100-sxm-40gb").to_row()
    assert row == {
        "name": "a100-sxm-40gb",
        "f64_tflop_per_s": 19.5,
        "f32_tflop_per_s": 156,
        "bf16_tflop_per_s": 312,
        "narrow_tops_per_s": 624,
        "f32_vector_tflop_per_s": 19.5,
        "memory_gb": 40,
        "memory_gb_per_s": 1555,
        "ridge_bf16": 312e12 / 1555e9,
        "devices_per_chip": 1,
        "origin": "",
    }


def test_looking_up_a_device_does_not_load_jax():
    code = (
        "import sys; from hlo_count.roofline.catalog import device; device('h100'); "
        "import hlo_count.roofline.calibrate; "
        "assert not {'jax', 'numpy', 'tqdm', 'networkx'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
